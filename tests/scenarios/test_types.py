"""Every type of scenario is passed by a driver who looks where it goes, and not by one who does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.scenarios.director import trigger_on_route
from rllib_integration.scenarios.road import Road
from rllib_integration.scenarios.situations import Trigger
from rllib_integration.scenarios.types import SCENARIO_TYPES
from tests.scenarios.drivers import Driver, drive

SEEDS = (1, 3)
LENGTHS = {"ParkedObstacle": 0.0, "Accident": 18.0, "ConstructionObstacle": 8.0, "HazardAtSideLane": 8.0}
"""Metres of road that an obstacle takes up beyond its begin."""
_FLOW = {"flow_speed": 8.0, "source_dist_interval": [80.0, 120.0]}
_ONCOMING = {"frequency": [150.0, 250.0]}
GIVEN: dict[str, dict[str, Any]] = {
    # Cyclists stand, so that a driver of a few lines knows where to pass them.
    "HazardAtSideLane": {"bicycle_drive_distance": 0.0},
    "HazardAtSideLaneTwoWays": {"bicycle_drive_distance": 0.0, **_ONCOMING},
    **dict.fromkeys(("ParkedObstacleTwoWays", "AccidentTwoWays", "ConstructionObstacleTwoWays"), _ONCOMING),
    **{kind: _FLOW for kind in SCENARIO_TYPES if "JunctionLeftTurn" in kind or "JunctionRightTurn" in kind},
}
"""Parameters that leave a driver of a few lines the gaps that it needs."""


@pytest.fixture(scope="module")
def env(make_env: Callable[..., CarlaEnv]) -> CarlaEnv:
    return make_env()


def careful(env: CarlaEnv, situation: dict[str, Any]) -> Driver:
    """A driver who does what the situation asks for: brakes for what is ahead, passes obstacles, gives way."""
    (pinned,) = situation["scenarios"]["pinned"]
    kind = pinned["type"].removesuffix("TwoWays")
    route = env.core.sensor_interface.route
    assert route is not None
    assert env.core.map is not None
    at = trigger_on_route(route, Trigger.read(pinned["trigger"], "trigger"))
    assert at is not None
    if kind in LENGTHS:
        begin = at + pinned["distance"]
        aside = 3.5 if pinned.get("direction") == "left" else -3.5
        return Driver(shift=(begin - 16.0, begin + LENGTHS[kind] + 12.0, aside))
    if kind == "InvadingTurn":
        return Driver(looks=False, shift=(at, at + pinned["distance"] + 30.0, 0.6))
    if kind == "YieldToEmergencyVehicle":
        has_right_lane = Road(env.core.map, route).lane_of_same_direction(at, "right") is not None
        return Driver(looks=False, shift=(at, math.inf, 3.5 if has_right_lane else -3.5))
    return Driver()


def careless(env: CarlaEnv, situation: dict[str, Any]) -> Driver:
    """A driver who does nothing of that."""
    (pinned,) = situation["scenarios"]["pinned"]
    wrong = {
        "InvadingTurn": Driver(looks=False, shift=(0.0, math.inf, -0.8)),  # near the middle of the road
        "ControlLoss": Driver(looks=False, steers=False),
        "PriorityAtJunction": Driver(speed=0.0),
    }
    return wrong.get(pinned["type"], Driver(looks=False))


def results(env: CarlaEnv, kind: str, make: Callable[[CarlaEnv, dict[str, Any]], Driver], **given: Any) -> list[str]:
    types = {kind: {**GIVEN.get(kind, {}), **given}}
    options: dict[str, Any] = {"scenarios": {"types": types, "start_speed": [4.0, 8.0]}}
    return [outcome["result"] for seed in SEEDS for outcome in drive(env, make, seed=seed, **options)["scenarios"]]


@pytest.mark.parametrize("kind", sorted(SCENARIO_TYPES))
def test_a_driver_who_looks_passes_and_one_who_does_not_fails(env: CarlaEnv, kind: str) -> None:
    assert results(env, kind, careful) == ["passed"] * len(SEEDS)
    # A flow without gaps, so that it is not by chance that nothing happens.
    dense = {"source_dist_interval": [12.0, 16.0]} if "source_dist_interval" in GIVEN.get(kind, {}) else {}
    assert "passed" not in results(env, kind, careless, **dense)
