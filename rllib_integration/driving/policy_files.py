"""Names of the files in a checkpoint that tell what kind of policy it holds."""

from __future__ import annotations

DESCRIPTION_FILE = "network.json"
"""In a checkpoint whose network needs no RLlib: its layers and its spaces."""

WEIGHTS_FILE = "weights.pth"
"""Beside it: the network's weights."""

SB3_MODEL_FILE = "model.zip"
"""In a checkpoint of Stable-Baselines3."""
