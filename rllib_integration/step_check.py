"""Holds what goes through a step to its form: the action, the control that an experiment makes of it, the reward.

Unchecked, a NaN reaches the network's weights many steps later, where nothing tells its origin. All checks of a step
together take less than five microseconds.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any, SupportsFloat

import carla
import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rllib_integration.errors import IntegrationError
from rllib_integration.observation_check import Check, show

_WHOLE = (int, np.int64)
_TOLERANCE = 1e-5
"""Share of a bound by which an action may be beyond it: what 32-bit numbers lose when a network's output is scaled."""


class ExperimentError(IntegrationError, ValueError):
    """A method of an experiment returned what can't be used; the message names the class, the method and the value."""


def action_guard(space: gymnasium.Space) -> Check:
    """A function that raises `gymnasium.error.InvalidAction` for what is not in the space.

    Args:
        space: The action space that the experiment declares.
    """
    if isinstance(space, spaces.Box):
        return _box_guard(space)
    first, end = (int(space.start), int(space.start) + int(space.n)) if isinstance(space, spaces.Discrete) else (0, 0)

    def check(action: Any) -> None:
        if type(action) in _WHOLE and first <= action < end:  # takes a third of the time that `contains` does
            return
        if not space.contains(action):
            raise gymnasium.error.InvalidAction(f"The action is {show(action)}, which is not in {space}.")

    return check


def _box_guard(space: spaces.Box) -> Check:
    slack = _TOLERANCE * np.maximum(np.maximum(np.abs(space.low), np.abs(space.high)), 1.0)
    shape = space.shape
    with np.errstate(invalid="ignore"):
        lows = np.where(np.isfinite(space.low), space.low - slack, -np.finfo(np.float64).max).ravel().tolist()
        highs = np.where(np.isfinite(space.high), space.high + slack, np.finfo(np.float64).max).ravel().tolist()

    def check(action: object) -> None:
        if type(action) is np.ndarray and action.dtype.kind in "fiu":
            numbers = action
        else:
            try:
                numbers = np.asarray(action, np.float64)
            except (TypeError, ValueError):
                raise gymnasium.error.InvalidAction(f"The action is {show(action)}, but numbers are needed.") from None
        if numbers.shape != shape:
            raise gymnasium.error.InvalidAction(
                f"The action {show(action)} has shape {numbers.shape}, but the action space has {shape}."
            )
        # Python's own comparisons: for the few numbers of an action they take less time than NumPy's.
        for number, low, high in zip(numbers.ravel().tolist(), lows, highs):
            if not low <= number <= high:
                raise gymnasium.error.InvalidAction(_beyond(space, numbers))

    return check


def _beyond(space: spaces.Box, numbers: NDArray[np.floating]) -> str:
    """A sentence about the first number of an action that its space does not allow."""
    inside = (numbers >= space.low) & (numbers <= space.high) & np.isfinite(numbers)
    place = int(np.argmin(inside.ravel()))
    low, high = space.low.ravel()[place], space.high.ravel()[place]
    number = numbers.ravel()[place]
    return f"Number {place} of the action is {number:g}, but the action space allows {low:g} to {high:g}."


def check_control(control: object, experiment: object, hero: object = None) -> None:
    """Refuse what an experiment's `compute_action` must not return.

    Args:
        control: What it returned.
        experiment: Named in messages.
        hero: A walker takes a `carla.WalkerControl`, everything else a `carla.VehicleControl`.

    Raises:
        ExperimentError: It is of another type, or a number in it is not finite.
    """
    wanted = carla.WalkerControl if isinstance(hero, carla.Walker) else carla.VehicleControl
    if not isinstance(control, wanted):
        raise ExperimentError(
            f"{type(experiment).__name__}.compute_action returned {show(control)}, "
            f"but it has to return a carla.{wanted.__name__}."
        )
    if isinstance(control, carla.VehicleControl):
        if not math.isfinite(control.throttle + control.steer + control.brake):
            raise ExperimentError(
                f"{type(experiment).__name__}.compute_action returned a control with throttle {control.throttle:g}, "
                f"steer {control.steer:g} and brake {control.brake:g}; all have to be finite."
            )
    elif isinstance(control, carla.WalkerControl):
        direction = control.direction
        if not math.isfinite(control.speed + direction.x + direction.y + direction.z):
            raise ExperimentError(
                f"{type(experiment).__name__}.compute_action returned a walker's control with speed {control.speed:g} "
                f"and direction {direction}; all have to be finite."
            )


def read_reward(reward: object, experiment: object) -> tuple[float, dict[str, float] | None]:
    """The reward of a step, and its parts where the experiment names them.

    Raises:
        ExperimentError: The reward, or a part of it, is no finite number.
    """
    if not isinstance(reward, float) and isinstance(reward, Mapping):
        parts = {name: _number(part, experiment, name) for name, part in reward.items()}
        return sum(parts.values()), parts
    return _number(reward, experiment), None


def _number(value: object, experiment: object, part: str = "") -> float:
    number = math.nan
    if type(value) is float or type(value) is int:
        number = value
    elif isinstance(value, SupportsFloat):  # text is not
        with contextlib.suppress(TypeError, ValueError):  # an array of several numbers
            number = float(value)
    if not math.isfinite(number):
        name = f"part {part!r} of the reward" if part else "the reward"
        raise ExperimentError(
            f"{type(experiment).__name__}.compute_reward returned {show(value)} as {name}, "
            "but it has to be a finite number."
        )
    return number
