"""Action converters: from a policy's numbers or vectors to throttle, brake and steering."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import carla
import gymnasium
import numpy as np
from gymnasium import spaces

from rllib_integration.annotations import Action

FASTEST = 30.0
"""Speed [km/h] above which the throttle is ignored, as in the Carla RL Project."""


def _numbered(levels: tuple[float, ...]) -> list[tuple[float, float]]:
    """Pairs (pedal, steer) in which only one differs from 0; number 0 does nothing."""
    signed = [sign * level for sign in (1.0, -1.0) for level in levels]
    return [(0.0, 0.0), *((level, 0.0) for level in signed), *((0.0, level) for level in signed)]


DISCRETE_9 = _numbered((1.0, 0.5))
DISCRETE_13 = _numbered((1.0, 0.5, 0.25))
COMBINED = [(pedal, steer) for pedal in (0.6, 0.0, -0.6) for steer in (0.0, -0.2, 0.2, -0.6, 0.6)]
"""Fifteen pairs that combine pedal and steering, unlike the actions above."""


class Converter(NamedTuple):
    """An action space and its conversion to controls.

    Attributes:
        space: The action space.
        control: From an action to pedal (-1 full brake .. 1 full throttle), brake (0..1) and steer (-1..1).
    """

    space: gymnasium.Space
    control: Callable[[Action], tuple[float, float, float]]


def _discrete(table: list[tuple[float, float]]) -> Converter:
    return Converter(spaces.Discrete(len(table)), lambda action: (table[int(action)][0], 0.0, table[int(action)][1]))


def _box(low: list[float], high: list[float]) -> spaces.Box:
    return spaces.Box(np.array(low, np.float32), np.array(high, np.float32))


CONVERTERS: dict[str, Converter] = {
    "discrete_9": _discrete(DISCRETE_9),
    "discrete_13": _discrete(DISCRETE_13),
    "combined": _discrete(COMBINED),
    "continuous": Converter(_box([0.0, 0.0, -1.0], [1.0, 1.0, 1.0]), lambda a: (float(a[0]), float(a[1]), float(a[2]))),
    "pedal_steer": Converter(_box([-1.0, -1.0], [1.0, 1.0]), lambda a: (float(a[0]), 0.0, float(a[1]))),
}
"""By the names that `others.actions` accepts."""


def to_control(converter: Converter, action: Action, speed: float, fastest: float = FASTEST) -> carla.VehicleControl:
    """The control of an action.

    A negative pedal brakes. Values outside the space's bounds, as a Gaussian policy draws them, are clipped.

    Args:
        converter: Converts the action.
        action: An action of the converter's space.
        speed: Speed of the hero [km/h].
        fastest: Speed above which the throttle is ignored [km/h].
    """
    if isinstance(converter.space, spaces.Box):
        action = np.clip(action, converter.space.low, converter.space.high)
    pedal, brake, steer = converter.control(action)
    throttle = max(pedal, 0.0) if speed <= fastest else 0.0
    return carla.VehicleControl(throttle=throttle, brake=max(brake, -pedal, 0.0), steer=steer)
