"""The actions: pedals and steering, as two numbers or as numbered pairs."""

from __future__ import annotations

from typing import Any

import carla
import numpy as np
from gymnasium import spaces

from rllib_integration.annotations import Action, Record, Settings
from rllib_integration.config.merging import Rule

ACTION: Record = {
    "discrete": False,  # whether actions are numbered pairs of the values below, else any within the bounds below
    "discrete_acc": [-3.0, 0.0, 3.0],  # 3 is full throttle, -8 full brake
    "discrete_steer": [-0.2, 0.0, 0.2],  # share of the full lock, positive to the left
    "continuous_accel_range": [-3.0, 3.0],
    "continuous_steer_range": [-0.3, 0.3],
    "max_steer_change": 0.0,  # greatest change of the steering in a step, share of the full lock; 0 = no limit
}
_FULL_THROTTLE, _FULL_BRAKE = 3.0, 8.0


def _are_numbers(values: Any, low: float, high: float) -> bool:
    return bool(values) and all(isinstance(value, (int, float)) and low <= value <= high for value in values)


def _is_range(values: Any, low: float, high: float) -> bool:
    return _are_numbers(values, low, high) and len(values) == 2 and values[0] < values[1]


RULES = {
    "discrete_acc": Rule(
        list, accepts=lambda values: _are_numbers(values, -8.0, 3.0), expected="a list of numbers from -8 to 3"
    ),
    "discrete_steer": Rule(
        list, accepts=lambda values: _are_numbers(values, -1.0, 1.0), expected="a list of numbers from -1 to 1"
    ),
    "continuous_accel_range": Rule(
        list, accepts=lambda values: _is_range(values, -8.0, 3.0), expected="[least, most], from -8 to 3"
    ),
    "continuous_steer_range": Rule(
        list, accepts=lambda values: _is_range(values, -1.0, 1.0), expected="[least, most], from -1 to 1"
    ),
    "max_steer_change": Rule(float, accepts=lambda value: 0.0 <= value <= 2.0, expected="a number from 0 to 2"),
}


class Actions:
    """Turns actions into controls.

    Args:
        settings: `ACTION`, complete.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_change = settings["max_steer_change"]
        self.pairs = [(acc, steer) for acc in settings["discrete_acc"] for steer in settings["discrete_steer"]]
        low, high = zip(settings["continuous_accel_range"], settings["continuous_steer_range"])
        self.space: spaces.Space
        if settings["discrete"]:
            self.space = spaces.Discrete(len(self.pairs))
        else:
            self.space = spaces.Box(np.array(low, np.float32), np.array(high, np.float32))

    def control(self, action: Action, steer_before: float) -> carla.VehicleControl:
        """The control of an action.

        Args:
            action: One of `space`.
            steer_before: Steering of the last step in CARLA's sense, -1..1, positive to the right.
        """
        if isinstance(self.space, spaces.Box):
            acceleration, left = (float(part) for part in np.clip(action, self.space.low, self.space.high))
        else:
            acceleration, left = self.pairs[int(action)]
        steer = -left
        if self._max_change:
            steer = min(max(steer, steer_before - self._max_change), steer_before + self._max_change)
        throttle, brake = max(acceleration / _FULL_THROTTLE, 0.0), max(-acceleration / _FULL_BRAKE, 0.0)
        return carla.VehicleControl(throttle=throttle, brake=brake, steer=steer)
