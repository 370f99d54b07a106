"""Names for types that many signatures share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Settings: TypeAlias = Mapping[str, Any]
"""Named values of different types that are only read: a section of a configuration, a sensor's attributes."""

Observation: TypeAlias = Any
"""An element of an experiment's observation space: an array, or a dictionary or tuple of them, as it likes."""

Action: TypeAlias = Any
"""An element of an experiment's action space: a number, an array, or a dictionary or tuple of them, as it likes."""

Rewards: TypeAlias = "NDArray[np.floating] | float"
"""The reward of a goal, or those of many."""

Reading: TypeAlias = tuple[int, Any]
"""A frame, and what a sensor perceived in it: of a type that each kind of sensor has for itself."""

Record: TypeAlias = dict[str, Any]
"""Named values of different types: a configuration that may be changed, a step's `info`, an object of JSON."""
