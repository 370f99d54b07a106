"""Names for types that many signatures share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Settings: TypeAlias = Mapping[str, Any]
"""Named values of different types that are only read: a section of a configuration, a sensor's attributes."""

Record: TypeAlias = dict[str, Any]
"""Named values of different types: a configuration that may be changed, a step's `info`, an object of JSON."""
