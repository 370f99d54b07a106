"""How long tests wait for what an idle machine does at once."""

from __future__ import annotations

PATIENCE = 60.0
"""[s] A bound for what would else be waited for for ever. No test measures by it: a busy machine takes its time."""
