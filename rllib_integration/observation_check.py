"""Holds observations to their space, quickly enough for every step.

`gymnasium.Space.contains` compares a whole picture with its bounds, which for a byte picture between 0 and 255
can't fail, and does not say what is wrong. This check leaves out what can't fail, and says which entry it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gymnasium
import numpy as np
from gymnasium import spaces

from rllib_integration.annotations import Observation
from rllib_integration.errors import IntegrationError

Check = Callable[[Observation], None]


class ObservationError(IntegrationError, ValueError):
    """An observation is not in the observation space; the message says which entry, and why."""


def observation_guard(space: gymnasium.Space, name: str = "observation") -> Check:
    """A function that raises `ObservationError` for what is not in the space.

    Args:
        space: The space that the experiment declares.
        name: What messages call the value.
    """
    if isinstance(space, spaces.Dict):
        return _dict_guard(space, name)
    if isinstance(space, spaces.Tuple):
        return _tuple_guard(space, name)
    if isinstance(space, spaces.Box):
        return _box_guard(space, name)

    def check(value: object) -> None:
        if not space.contains(value):
            raise ObservationError(f"{name} is {show(value)}, which is not in its space {space}.")

    return check


def _dict_guard(space: spaces.Dict, name: str) -> Check:
    guards = {key: observation_guard(part, f"{name}[{key!r}]") for key, part in space.spaces.items()}

    def check(value: object) -> None:
        if not isinstance(value, Mapping):
            raise ObservationError(f"{name} is {show(value)}, but its space is a Dict with {list(guards)}.")
        if value.keys() != guards.keys():
            raise ObservationError(
                f"{name} has the entries {sorted(map(str, value))}, but its space has {sorted(map(str, guards))}."
            )
        for key, guard in guards.items():
            guard(value[key])

    return check


def _tuple_guard(space: spaces.Tuple, name: str) -> Check:
    guards = [observation_guard(part, f"{name}[{index}]") for index, part in enumerate(space.spaces)]

    def check(value: object) -> None:
        if not isinstance(value, tuple) or len(value) != len(guards):
            raise ObservationError(f"{name} is {show(value)}, but its space is a tuple of {len(guards)} entries.")
        for entry, guard in zip(value, guards):
            guard(entry)

    return check


def _box_guard(space: spaces.Box, name: str) -> Check:
    low, high = space.low, space.high
    if np.issubdtype(space.dtype, np.integer):
        limits = np.iinfo(space.dtype)
        bounded = bool((low > limits.min).any() or (high < limits.max).any())
    else:
        bounded = True  # NaN is in no space

    def check(value: object) -> None:
        if not isinstance(value, np.ndarray):
            raise ObservationError(f"{name} is {show(value)}, but it has to be a numpy array as in {_brief(space)}.")
        if value.dtype != space.dtype:
            raise ObservationError(
                f"{name} has dtype {value.dtype}, but its space {_brief(space)} has {space.dtype}; "
                f"return it with .astype(np.{space.dtype})."
            )
        if value.shape != space.shape:
            raise ObservationError(f"{name} has shape {value.shape}, but its space {_brief(space)} has {space.shape}.")
        if bounded:
            inside = (value >= low) & (value <= high)
            if not inside.all():
                index = tuple(int(axis[0]) for axis in np.nonzero(~inside))
                place = f"{name}{list(index)}" if index else name
                raise ObservationError(
                    f"{place} is {value[index]}, but its space allows {low[index]} to {high[index]}."
                )

    return check


def _brief(space: spaces.Box) -> str:
    return f"Box({space.low.min()}, {space.high.max()}, {space.shape}, {space.dtype})"


def show(value: object) -> str:
    """A short description of a value for messages."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
