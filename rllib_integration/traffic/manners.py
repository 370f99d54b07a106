"""How background traffic drives: parameters of the Traffic Manager, whoever drives, and each vehicle's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from rllib_integration.annotations import Settings
from rllib_integration.config.merging import Rule

Manners: TypeAlias = Mapping[str, float]
"""A vehicle's value of each of `TRAFFIC_MANNERS`, in their order."""

TRAFFIC_MANNERS: dict[str, float] = {
    # As the Traffic Manager's methods: a number, or [least, most], of which each vehicle draws its own by the seed.
    "vehicle_percentage_speed_difference": 0.0,  # % below the speed limit; above it if negative
    "distance_to_leading_vehicle": 2.0,  # [m] to the vehicle ahead at standstill
    "auto_lane_change": True,  # change lanes round vehicles ahead
    "random_left_lanechange_percentage": 0.0,  # % of ticks in which it wants to change to the left lane
    "random_right_lanechange_percentage": 0.0,  # % of ticks in which it wants to change to the right lane
    "keep_slow_lane_rule_percentage": 0.0,  # % of ticks in which it wants to change to the slower lane
    "ignore_lights_percentage": 0.0,  # % of ticks in which it sees no traffic light
    "ignore_signs_percentage": 0.0,  # % of ticks in which it sees no stop or yield sign
    "ignore_vehicles_percentage": 0.0,  # % of ticks in which it sees no vehicle
    "ignore_walkers_percentage": 0.0,  # % of ticks in which it sees no walker
}
"""Defaults, which are the Traffic Manager's own."""

_SLOWER, _FASTER, _FARTHEST = 100.0, -200.0, 50.0
_STREAM = 1  # beside the seed: what vehicles draw here changes nothing else that is drawn by it


def _rule(low: float, high: float, unit: str) -> Rule:
    def accepts(value: float | list[object]) -> bool:
        ends = value if isinstance(value, list) else [value, value]
        if len(ends) != 2 or not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends):
            return False
        return bool(low <= ends[0] <= ends[1] <= high)  # type: ignore[operator]

    expected = f"a number of {unit} from {low:g} to {high:g}, or a range [least, most] of them"
    return Rule(float, list, accepts=accepts, expected=expected)


RULES: dict[str, Rule] = {
    name: _rule(0.0, 100.0, "percent") for name in TRAFFIC_MANNERS if name.endswith("_percentage")
} | {
    "vehicle_percentage_speed_difference": _rule(_FASTER, _SLOWER, "percent"),
    "distance_to_leading_vehicle": _rule(0.0, _FARTHEST, "metres"),
    "auto_lane_change": Rule(bool),
}


def draw_manners(settings: Settings, number: int, seed: int) -> list[Manners]:
    """The manners of so many vehicles.

    Args:
        settings: Some of `TRAFFIC_MANNERS`, as numbers or ranges; the others have their defaults.
        number: Of vehicles.
        seed: Decides what is drawn from ranges.
    """
    drawn: list[Manners] = []
    for shares in np.random.default_rng([seed, _STREAM]).random((number, len(TRAFFIC_MANNERS))).tolist():
        manners = {}
        for share, (name, default) in zip(shares, TRAFFIC_MANNERS.items()):
            value = settings.get(name, default)
            manners[name] = value[0] + share * (value[1] - value[0]) if isinstance(value, (list, tuple)) else value
        drawn.append(manners)
    return drawn
