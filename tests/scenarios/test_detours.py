"""With `Detours` the rule driver passes what stands at its lane's edge, and waits for what stands in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.roads.routes import Route
from rllib_integration.suites.rule_driver import RuleDriving

_SECONDS = 150.0
_GAPS = {"frequency": [150.0, 250.0]}  # between oncoming cars, m


@pytest.fixture(scope="module")
def env(make_env: Callable[..., CarlaEnv]) -> CarlaEnv:
    return make_env(type=RuleDriving)


def ride(env: CarlaEnv, kind: str, **parameters: Any) -> dict[str, Any]:
    """The outcome of a scenario that the rule driver meets."""
    control, _ = env.reset(seed=3, options={"scenarios": {"types": {kind: parameters}}})
    ended = False
    for _ in range(round(_SECONDS / 0.1)):
        control, _, ended, _, info = env.step(control)
        if ended:
            break
    assert ended, "the route is not done"
    (outcome,) = info["scenarios"]
    return outcome


@pytest.mark.parametrize("kind", ["ParkedObstacle", "Accident", "ConstructionObstacle", "HazardAtSideLane"])
def test_an_obstacle_is_passed_on_the_lane_beside(env: CarlaEnv, kind: str) -> None:
    assert ride(env, kind)["result"] == "passed"


def test_an_obstacle_is_passed_on_the_lane_of_oncoming_traffic_when_that_is_free(env: CarlaEnv) -> None:
    assert ride(env, "ParkedObstacleTwoWays", **_GAPS)["result"] == "passed"


def test_an_emergency_vehicle_from_behind_is_let_past(env: CarlaEnv) -> None:
    assert ride(env, "YieldToEmergencyVehicle")["result"] == "passed"


def test_who_reaches_over_the_middle_of_the_road_gets_room(env: CarlaEnv) -> None:
    outcome = ride(env, "InvadingTurn")
    assert (outcome["result"], outcome["infractions"]) == ("passed", {})


def test_a_car_that_stands_in_the_lanes_middle_is_waited_for(env: CarlaEnv) -> None:
    outcome = ride(env, "HardBreakRoute")
    assert (outcome["result"], outcome["infractions"]) == ("passed", {})
    route = env.core.sensor_interface.route
    assert route is not None
    np.testing.assert_array_equal(route.points, route.planned_piece(route.length, route.length)[0])


def test_a_route_led_aside_keeps_its_length_and_returns() -> None:
    route = Route(np.column_stack([np.arange(101.0), np.zeros((101, 3))]), np.zeros(101, np.int8))
    route.lead_aside(20.0, 32.0, 50.0, 62.0, -3.5)
    assert route.length == 100.0
    np.testing.assert_allclose(route.points[[0, 20, 62, 100], 1], 0.0)
    np.testing.assert_allclose(route.points[32:51, 1], -3.5)
    assert route.points[26, 1] == pytest.approx(-1.75)
    assert -0.5 < route.points[26, 3] < -0.3  # the line's direction
    route.update(20.0, 0.0)
    assert route.led_aside == 0.0
    route.update(40.0, -3.5)
    assert (route.travelled, route.led_aside) == (pytest.approx(40.0), pytest.approx(3.5))
    route.lead_aside(20.0, 32.0, 60.0, 72.0, -3.5)  # once more, from where it was planned
    assert route.points[55, 1] == pytest.approx(-3.5)
    np.testing.assert_array_equal(route.planned_piece(40.0, 100.0)[0][:, 1], 0.0)
