"""The traffic of an episode, in the server or by a Traffic Manager: how many, where, and how they behave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rllib_integration.annotations import Settings


class TrafficPlan(NamedTuple):
    """All that decides an episode's traffic; it crosses to the traffic's process as JSON.

    Attributes:
        n_vehicles: Vehicles on autopilot.
        n_walkers: Walkers on the town's sidewalks.
        hybrid: Whether the Traffic Manager moves vehicles far from the hero without physics.
        seed: Decides blueprints, places and behaviour.
        keep_clear: Places (x, y in metres) without vehicles within 8 m.
        manners: How the vehicles drive, some of `TRAFFIC_MANNERS`, as numbers or ranges.
        pedestrians_cross_factor: Share of the walkers that may cross roads anywhere, from 0 to 1.
    """

    n_vehicles: int
    n_walkers: int
    hybrid: bool
    seed: int
    keep_clear: Sequence[Sequence[float]]
    manners: Settings
    pedestrians_cross_factor: float
