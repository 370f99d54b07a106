"""What lies ahead on a route, and the reward that heeds it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import carla
import numpy as np
import pytest
from numpy.typing import NDArray

from dqn_example.dqn_rewards import traffic_reward
from dqn_example.dqn_state import HeroState, RoutePose
from rllib_integration.impatience import Waiting
from rllib_integration.metrics import EpisodeMetrics
from rllib_integration.road_ahead import (
    NOTHING,
    SIGHT,
    Ahead,
    RoadAhead,
    _crossing_ahead,
    _gap_ahead,
    _Hero,
    _lines_on,
    _Others,
)
from rllib_integration.sensors.actor_roster import VEHICLE, WALKER

ROUTE = np.stack([np.arange(-1.0, 41.0), *np.zeros((3, 42))], axis=1)  # along x; the hero's middle is at 0
FRONT = 2.5  # [m]


def all_ahead(
    route: NDArray[np.float64], hero: _Hero, others: _Others, to_junction: float, impatience: float
) -> tuple[float, float, float]:
    """Gap, its speed and the crossing."""
    distances = ROUTE[:, 0].copy()
    gap, gap_speed = _gap_ahead(route, distances, hero, others)
    return gap, gap_speed, _crossing_ahead(route, distances, hero, others, to_junction, impatience)


def look(
    *others: tuple[float, float, float, float, float, int],
    speed: float = 7.0,
    height: float = 0.0,
    to_junction: float = 0.0,
    impatience: float = 0.0,
) -> tuple[float, float, float]:
    """Gap, its speed and the crossing that others make: x, y, yaw, vx, vy, kind."""
    table = np.array(others, float).reshape(-1, 6)
    poses = np.column_stack([table[:, :2], np.zeros(len(table)), table[:, 2]])
    sizes = np.where(table[:, 5:] == WALKER, [[0.2, 0.2]], [[2.0, 1.0]])
    kinds = table[:, 5].astype(np.int64)
    seen = _Others(poses, sizes, kinds, table[:, 3:5])
    return all_ahead(ROUTE, _Hero(0.0, FRONT, speed, FRONT, 1.0, height), seen, to_junction, impatience)


def test_the_gap_is_to_the_one_that_forces_the_hero_to_be_slowest() -> None:
    assert look() == (SIGHT, 0.0, SIGHT)
    standing, faster = (20.0, 0.0, 0.0, 0.0, 0.0, VEHICLE), (12.0, 0.0, 0.0, 9.0, 0.0, VEHICLE)
    gap, gap_speed, _ = look(standing)
    assert gap == pytest.approx(20.0 - 2.0 - FRONT, abs=1.0)
    assert gap_speed == 0.0
    assert look(faster, standing)[1] == 0.0
    assert look((20.0, 3.5, 0.0, 0.0, 0.0, VEHICLE))[0] == SIGHT  # on the lane beside
    assert look((-8.0, 0.0, 0.0, 9.0, 0.0, VEHICLE))[0] == SIGHT  # behind
    assert look(standing, height=5.0)[0] == SIGHT  # on a bridge, or below it
    assert look((6.0, 0.0, 0.0, 0.0, 0.0, VEHICLE))[0] == pytest.approx(6.0 - 2.0 - FRONT, abs=1.0)
    assert look((2.0, 0.0, 0.0, 0.0, 0.0, VEHICLE))[0] == 0.0  # touches the hero
    assert look((20.0, 1.7, 0.0, 0.0, 0.0, WALKER))[0] < SIGHT  # walkers are given a wider berth
    assert look((20.0, 2.4, 0.0, 0.0, 0.0, VEHICLE))[0] == SIGHT


def test_who_is_about_to_cross_counts_if_it_does_so_when_the_hero_is_there() -> None:
    crosses = (15.0, -4.0, np.pi / 2, 0.0, 2.0, WALKER)
    gap, _, crossing = look(crosses)
    assert gap == SIGHT
    assert crossing == pytest.approx(15.0 - FRONT, abs=1.0)
    assert look((15.0, -4.0, -np.pi / 2, 0.0, -2.0, WALKER))[2] == SIGHT  # walks away
    assert look((35.0, -2.0, np.pi / 2, 0.0, 4.0, VEHICLE), speed=3.0)[2] == SIGHT  # long gone by then
    assert look((6.0, -4.0, np.pi / 2, 0.0, 1.0, WALKER), speed=20.0)[2] == SIGHT  # the hero is
    assert look((12.0, 0.0, 0.0, 9.0, 0.0, VEHICLE))[2] == SIGHT  # drives along the route


def test_oncoming_vehicles_keep_to_their_side_of_the_road_that_the_route_follows() -> None:
    drifts = (30.0, -3.5, np.pi - 0.12, -9.93, 1.19, VEHICLE)  # as in a bend
    assert look(drifts, speed=10.0)[2] < SIGHT
    assert look(drifts, speed=10.0, to_junction=40.0) == (SIGHT, 0.0, SIGHT)
    assert look((30.0, -2.0, np.pi, -10.0, 0.0, VEHICLE), to_junction=40.0)[0] == pytest.approx(
        25.5, abs=1.0
    )  # too wide


def test_who_comes_fast_from_the_side_is_seen_from_afar_and_also_where_the_route_joins_its_way() -> None:
    assert look((8.0, -70.0, np.pi / 2, 0.0, 20.0, VEHICLE), speed=0.0)[2] < SIGHT
    bend = np.pi / 2 * np.clip((ROUTE[:, 0] - 4.0) / 10.0, 0.0, 1.0)
    to_right = np.stack([np.cumsum(np.cos(bend)) - 2.0, np.cumsum(np.sin(bend)), np.zeros(42), bend], axis=1)
    behind = np.array([[to_right[20, 0], -30.0, 0.0, np.pi / 2]])  # on the way that the route turns into
    car = _Others(behind, np.array([[2.0, 1.0]]), np.array([VEHICLE]), np.array([[0.0, 12.0]]))
    assert all_ahead(to_right, _Hero(0.0, FRONT, 3.0, FRONT, 1.0, 0.0), car, 0.0, 0.0)[2] < SIGHT
    assert all_ahead(to_right, _Hero(0.0, FRONT, 3.0, FRONT, 1.0, 0.0), car, 40.0, 0.0)[2] == SIGHT  # no junction


def test_an_impatient_hero_takes_the_gap_in_which_others_still_can_brake() -> None:
    comes = (8.0, -40.0, np.pi / 2, 0.0, 10.0, VEHICLE)
    assert look(comes, speed=0.0)[2] < SIGHT
    assert look(comes, speed=0.0, impatience=1.0)[2] == SIGHT
    assert look((8.0, -20.0, np.pi / 2, 0.0, 10.0, VEHICLE), speed=0.0, impatience=1.0)[2] < SIGHT
    walks = (8.0, -4.0, np.pi / 2, 0.0, 2.0, WALKER)
    assert look(walks, speed=0.0, impatience=1.0) == look(walks, speed=0.0)


def test_impatience_grows_with_waiting_and_lasts_until_the_hero_is_through() -> None:
    waiting = Waiting()
    for second in range(13):
        waiting.update(float(second), 50.0, waits=True)
    assert 0.0 < waiting.impatience < 1.0
    waiting.update(100.0, 50.0, waits=True)
    assert waiting.impatience == 1.0
    waiting.update(101.0, 60.0, waits=False)
    assert waiting.impatience == 1.0
    waiting.update(103.0, 70.0, waits=False)
    assert waiting.impatience == 0.0


def test_stop_lines_are_those_across_the_route() -> None:
    lines = np.array([[10.0, 0.0, 0.0, 0.0, 1.75, 4.0], [20.0, 0.0, 0.0, np.pi, 1.75, 5.0], [15, 3.5, 0, 0, 1.7, 6.0]])
    assert _lines_on(ROUTE, ROUTE[:, 0], lines, FRONT) == [(10.0 - FRONT, 0)]
    assert _lines_on(ROUTE, ROUTE[:, 0], lines, 11.0) == []


def stop_line(speed: float, state: carla.TrafficLightState, sign: float | None = None) -> float:
    """Distance to the line to stop at, with a light 10 m ahead of the hero's middle, and a stop sign perhaps."""
    line = np.array([[0.0, 0.0, 0.0, 0.0, 1.75, 4.0]])
    metrics = SimpleNamespace(
        stop_lines_due=line[:0] if sign is None else line + [sign, 0, 0, 0, 0, 0],
        light_lines=line + [10.0, 0, 0, 0, 0, 0],
        light_at=lambda row: SimpleNamespace(state=state),
    )
    road_ahead = RoadAhead.__new__(RoadAhead)
    road_ahead._metrics = cast(EpisodeMetrics, metrics)
    return road_ahead._stop_line(ROUTE, ROUTE[:, 0], FRONT, speed)


def test_the_first_line_that_has_to_be_heeded_counts() -> None:
    red, yellow, green = (getattr(carla.TrafficLightState, name) for name in ("Red", "Yellow", "Green"))
    assert stop_line(10.0, red) == 10.0 - FRONT
    assert stop_line(10.0, green) == SIGHT
    assert stop_line(5.0, yellow) == 10.0 - FRONT
    assert stop_line(10.0, yellow) == SIGHT  # there is no time to stop any more
    assert stop_line(10.0, red, sign=5.0) == 5.0 - FRONT
    assert stop_line(10.0, red, sign=12.0) == 10.0 - FRONT
    assert stop_line(10.0, green, sign=12.0) == 12.0 - FRONT


def test_waiting_pays_where_it_is_right_and_nowhere_else() -> None:
    def reward(speed: float, ahead: Ahead) -> float:
        pose = RoutePose(lateral=0.0, heading_error=0.0, deviation=0.0, bend=0.0)
        state = HeroState(0, 0, 0, 3.6 * speed, speed, None, on_road=True, steer=0.0, route=pose, ahead=ahead)
        return sum(traffic_reward(state, None, 7.0).values())

    red = NOTHING._replace(line=1.0)
    assert NOTHING.safe_speed(2.0) == np.inf
    assert red.safe_speed(2.0) == 0.0
    assert reward(0.0, red) == pytest.approx(1.0) == reward(7.0, NOTHING)
    assert reward(0.0, NOTHING) < 0.2
    assert reward(5.0, red) < 0.0
    assert Ahead(6.0, 4.0, SIGHT, SIGHT).safe_speed(2.0) == pytest.approx(np.sqrt(32.0))
    assert Ahead(6.0, 4.0, SIGHT, SIGHT).safe_speed(2.0, headway=1.0) == 4.0
    assert Ahead(3.0, 8.0, SIGHT, SIGHT).safe_speed(2.0, headway=1.0) == 6.0  # one who cut in draws away
    tailgating = Ahead(3.0, 5.0, SIGHT, SIGHT)
    assert reward(5.5, tailgating) < reward(3.0, tailgating) == pytest.approx(1.0)
