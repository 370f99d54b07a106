"""How a driver drives: what a client may order, in the Traffic Manager's words and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicarla.physics.state import Rows

_FASTEST = 3.0  # times the speed limit
_FARTHEST = 50.0  # [m]


class Manners(NamedTuple):
    """A vehicle's parameters; percentages of ticks are chances that are drawn in each tick.

    Attributes:
        vehicle_percentage_speed_difference: % below the speed limit.
        distance_to_leading_vehicle: Kept to the vehicle ahead while standing [m].
        auto_lane_change: Whether it changes lanes round vehicles ahead, 1 or 0.
        random_left_lanechange_percentage: Of ticks in which it wants to change to the left.
        random_right_lanechange_percentage: Of ticks in which it wants to change to the right.
        keep_slow_lane_rule_percentage: Of ticks in which it wants to change to the slower lane.
        ignore_lights_percentage: Of ticks in which it sees no light.
        ignore_signs_percentage: Of ticks in which it sees no sign.
        ignore_vehicles_percentage: Of ticks in which it sees no vehicle.
        ignore_walkers_percentage: Of ticks in which it sees no walker.
    """

    vehicle_percentage_speed_difference: float = 0.0
    distance_to_leading_vehicle: float = 2.0
    auto_lane_change: float = 1.0
    random_left_lanechange_percentage: float = 0.0
    random_right_lanechange_percentage: float = 0.0
    keep_slow_lane_rule_percentage: float = 0.0
    ignore_lights_percentage: float = 0.0
    ignore_signs_percentage: float = 0.0
    ignore_vehicles_percentage: float = 0.0
    ignore_walkers_percentage: float = 0.0


CHANCES = (
    "left_chance",
    "right_chance",
    "slow_lane_chance",
    "lights_chance",
    "signs_chance",
    "vehicles_chance",
    "walkers_chance",
)
"""Fields of drivers, in the order of the percentages of ticks."""


def write_manners(drivers: Rows, manners: Sequence[Manners]) -> None:
    """Write each driver's manners into its row; what is out of bounds is brought to them."""
    figures = np.array(manners, np.float64).reshape(len(drivers), len(Manners._fields))
    drivers["speed_share"] = np.clip(1.0 - 0.01 * figures[:, 0], 0.0, _FASTEST)
    drivers["distance"] = np.clip(figures[:, 1], 0.0, _FARTHEST)
    drivers["auto_lane_change"] = figures[:, 2] != 0.0
    for column, name in enumerate(CHANCES, 3):
        drivers[name] = np.clip(0.01 * figures[:, column], 0.0, 1.0)
