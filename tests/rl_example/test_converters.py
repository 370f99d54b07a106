"""What actions, observations and rewards mean, each held to its definition."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import carla
import numpy as np
import pytest
from gymnasium import spaces

from rl_example.actions import CONVERTERS, to_control
from rl_example.observations import DIRECTIONS, PARTS, read_direction, read_target
from rl_example.rewards import carla_reward, cirl_reward, her_reward, progress_reward, sparse_reward
from rl_example.state import DrivingState, impulses_of
from rllib_integration.roads.routes import RoadOption


def make_state(**changes: Any) -> DrivingState:
    state = DrivingState(
        transform=carla.Transform(carla.Location(10.0, 20.0, 0.0), carla.Rotation(yaw=90.0)),
        speed=18.0,
        forward_speed=5.0,
        acceleration=(1.0, -2.0),
        steer=0.0,
        goal=carla.Location(10.0, 60.0, 0.0),
        remaining=40.0,
        lateral=0.0,
        heading_error=0.0,
        direction=RoadOption.LANE_FOLLOW,
    )
    return replace(state, **changes)


def controls(name: str, speed: float = 0.0) -> list[tuple[float, float, float]]:
    converter = CONVERTERS[name]
    assert isinstance(converter.space, spaces.Discrete)
    found = [to_control(converter, number, speed) for number in range(int(converter.space.n))]
    return [(round(one.throttle, 3), round(one.brake, 3), round(one.steer, 3)) for one in found]


@pytest.mark.parametrize(("name", "levels"), [("discrete_9", (1.0, 0.5)), ("discrete_13", (1.0, 0.5, 0.25))])
def test_numbered_actions_drive_brake_and_steer_at_each_level(name: str, levels: tuple[float, ...]) -> None:
    expected = {(0.0, 0.0, 0.0)}
    for level in levels:
        expected |= {(level, 0.0, 0.0), (0.0, level, 0.0), (0.0, 0.0, level), (0.0, 0.0, -level)}
    assert set(controls(name)) == expected
    assert len(controls(name)) == len(expected) == int(name.rpartition("_")[2])


def test_above_thirty_kilometres_an_hour_the_throttle_stays_shut_and_the_brake_works() -> None:
    for slow, fast in zip(controls("combined", 29.9), controls("combined", 30.1), strict=True):
        assert fast == (0.0, *slow[1:])
    assert any(brake > 0.0 and steer != 0.0 for _, brake, steer in controls("combined", 30.1))


def test_continuous_actions_beyond_their_bounds_are_cut() -> None:
    control = to_control(CONVERTERS["continuous"], np.array([7.0, -3.0, -2.0]), 0.0)
    assert (control.throttle, control.brake, control.steer) == (1.0, 0.0, -1.0)
    control = to_control(CONVERTERS["pedal_steer"], np.array([-0.25, 0.5]), 0.0)
    assert (control.throttle, control.brake, control.steer) == (0.0, 0.25, 0.5)


@pytest.mark.parametrize("name", [name for name in PARTS if name != "route"])
def test_parts_of_observations_are_in_their_spaces_also_far_off(name: str) -> None:
    far = make_state(goal=carla.Location(5000.0, -900.0, 0.0), forward_speed=60.0, lateral=90.0, acceleration=(80.0, 0))
    for state in (make_state(), far, make_state(goal=make_state().transform.location)):
        assert PARTS[name].space.contains(PARTS[name].read(state, None, {}))


def test_the_target_is_seen_from_the_hero() -> None:
    ahead, right, distance, *unit = read_target(make_state(), None, {})
    assert (ahead, distance) == (pytest.approx(0.4), pytest.approx(0.4))
    assert right == pytest.approx(0.0, abs=1e-6)
    assert unit == pytest.approx([1.0, 0.0], abs=1e-6)
    to_the_right = make_state(goal=carla.Location(-20.0, 20.0, 0.0))
    assert read_target(to_the_right, None, {})[1] == pytest.approx(0.3)


def test_each_direction_has_a_place_of_its_own() -> None:
    places = [int(read_direction(make_state(direction=one), None, {}).argmax()) for one in DIRECTIONS]
    assert places == [0, 1, 2, 3, 4]
    assert read_direction(make_state(direction=RoadOption.CHANGE_LANE_LEFT), None, {}).argmax() == 4


def test_carlas_reward_pays_metres_and_speed_and_punishes_what_has_grown() -> None:
    last = make_state(off_road=0.5)
    state = make_state(remaining=37.0, speed=20.0, impulses={"vehicle": 5000.0}, opposite=0.25)
    assert carla_reward(last, state, False) == pytest.approx(
        {"distance": 3.0, "speed": 0.1, "collision": -0.1, "off_road": 1.0, "opposite": -0.5}
    )


@pytest.mark.parametrize(
    ("direction", "speed", "paid"),
    [
        (RoadOption.LANE_FOLLOW, 18.0, 18.0),
        (RoadOption.LANE_FOLLOW, 30.0, 25.0),
        (RoadOption.STRAIGHT, 30.0, 30.0),
        (RoadOption.STRAIGHT, 40.0, 35.0),
        (RoadOption.LEFT, 15.0, 15.0),
        (RoadOption.RIGHT, 26.0, 14.0),
    ],
)
def test_cirls_reward_pays_the_speed_that_the_command_allows(direction: RoadOption, speed: float, paid: float) -> None:
    state = make_state(direction=direction, forward_speed=speed / 3.6)
    assert cirl_reward(make_state(), state, False)["speed"] == pytest.approx(paid)


@pytest.mark.parametrize(
    ("direction", "steer", "cost"),
    [
        (RoadOption.LEFT, 0.1, -15.0),
        (RoadOption.LEFT, -0.1, 0.0),
        (RoadOption.RIGHT, -0.1, -15.0),
        (RoadOption.STRAIGHT, 0.3, -20.0),
        (RoadOption.STRAIGHT, 0.1, 0.0),
        (RoadOption.LANE_FOLLOW, 0.9, 0.0),
    ],
)
def test_cirls_reward_punishes_steering_against_the_command(direction: RoadOption, steer: float, cost: float) -> None:
    assert cirl_reward(make_state(), make_state(direction=direction, steer=steer), False)["steering"] == cost


def test_cirls_reward_punishes_collisions_by_what_was_hit() -> None:
    state = make_state(impulses={"walker": 1.0, "other": 9.0}, off_road=0.5)
    found = cirl_reward(make_state(), state, True)
    assert (found["collision"], found["off_road"]) == (-150.0, -50.0)


def test_goal_rewards_pay_at_the_goal() -> None:
    there = make_state(reached=True)
    assert her_reward(there, there, False) == {"goal": 500.0, "speed": 0.0}
    assert her_reward(there, make_state(speed=12.5), False) == {"goal": 0.0, "speed": 0.5}
    assert her_reward(there, make_state(speed=90.0), False)["speed"] == 1.0
    assert (sparse_reward(there, there, False), sparse_reward(there, make_state(), False)) == (
        {"goal": 1.0},
        {"goal": 0.0},
    )


def test_the_progress_reward_is_at_most_one_and_minus_one_for_a_bad_end() -> None:
    best = make_state(forward_speed=25.0 / 3.6)
    assert sum(progress_reward(best, best, False).values()) == pytest.approx(1.0)
    for state in (
        make_state(),
        replace(best, lateral=1.0),
        replace(best, heading_error=30.0),
        make_state(forward_speed=9.0),
    ):
        assert 0.0 < sum(progress_reward(best, state, False).values()) < 1.0
    assert sum(progress_reward(best, make_state(forward_speed=-2.0), False).values()) < 0.0
    assert sum(progress_reward(best, best, True).values()) == -1.0


def test_the_strongest_impulse_of_each_kind_counts() -> None:
    class Other:
        def __init__(self, type_id: str) -> None:
            self.type_id = type_id

    data = {
        "a": (1, [Other("walker.pedestrian.0001"), 3.0]),
        "b": (1, [Other("static.building"), 5.0]),
        "c": (1, [None, 7.0]),
        "camera": (1, np.zeros(3)),
    }
    assert impulses_of(data, ["a", "b", "c", "quiet"]) == {"walker": 3.0, "other": 7.0}
    assert math.isclose(sum(impulses_of(data, ["quiet"]).values()), 0.0)
