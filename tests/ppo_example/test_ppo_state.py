"""Every key of the state means what AWS DeepRacer's reward functions expect of it, in its units and directions.

The hero is moved by hand. Racetrack01 is driven counter-clockwise and begins with a straight along CARLA's x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import carla
import numpy as np
import pytest

from ppo_example.ppo_state import AWS_KEYS, MORE_KEYS, sample_state
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.tracks import Track, TrackProgress
from tests.known import present
from tests.ppo_example.conftest import progress_of, race_config, race_of

STRAIGHT = 12.0  # [m] along the track, on its straight
LENGTH, WIDTH = 332.4, 7.0
SECONDS = 0.1


class Hand:
    """Moves the hero along the track."""

    def __init__(self, env: CarlaEnv) -> None:
        self.env = env
        self.others: list[carla.Actor] = []

    def start(self, at: float = STRAIGHT, direction: str = "forward", patience: float = 1000.0) -> None:
        """Begin an episode, some metres along the track in its direction."""
        self.clear()
        experiment = race_of(self.env)
        experiment.others |= {"direction": direction, "n_spawn_points": 1, "max_time_stuck": patience}
        self.env.reset(seed=0)
        hero = self.env.core.hero
        hero.set_simulate_physics(False)
        # The episode counts from where the hero stands first.
        self.track = progress_of(self.env).track
        progress = TrackProgress(self.track)
        present(self.env.core.metrics).track = experiment._progress = progress
        self.put(at)
        self.env.core.tick(None)
        course, _, wheels, roster = present(experiment._begin)
        experiment._race = type(present(experiment._race))(course, progress, hero, wheels, roster)

    def put(self, along: float, aside: float = 0.0, turn: float = 0.0) -> None:
        """Put the hero along the track, to the right of its middle, turned to the right [degrees]."""
        pose = self.track.transform_at(along, aside, 0.05)
        pose.rotation.yaw += turn
        self.env.core.hero.set_transform(pose)

    def state(self, along: float, aside: float = 0.0, turn: float = 0.0, action: Any = (0.0, 0.0)) -> dict[str, Any]:
        """The state after a step to a place."""
        self.put(along, aside, turn)
        _, _, _, _, info = self.env.step(np.array(action, np.float32))
        return info["state"]

    def add(self, along: float, aside: float = 0.0, turn: float = 0.0) -> carla.Actor:
        """Another car on the track."""
        world = self.env.core.world
        pose = self.track.transform_at(along, aside, 0.1)
        pose.rotation.yaw += turn
        actor = world.spawn_actor(world.get_blueprint_library().find("vehicle.micro.microlino"), pose)
        actor.set_simulate_physics(False)
        self.others.append(actor)
        self.env.core.tick(None)
        return actor

    def clear(self) -> None:
        for actor in self.others:
            actor.destroy()
        self.others = []


@pytest.fixture(scope="module")
def env() -> Iterator[CarlaEnv]:
    env = CarlaEnv(race_config(laps=0, action={"continuous_steer_range": [-0.3, 0.3]}))
    yield env
    env.close()


@pytest.fixture
def hand(env: CarlaEnv) -> Iterator[Hand]:
    hand = Hand(env)
    hand.start()
    yield hand
    hand.clear()


def test_all_keys_are_there_and_no_other(hand: Hand) -> None:
    assert set(hand.state(20.0)) == {*AWS_KEYS, *MORE_KEYS} == set(sample_state())
    assert len(AWS_KEYS) == 23


def test_all_wheels_on_track_until_one_is_over_the_edge(hand: Hand) -> None:
    assert hand.state(20.0, aside=2.5)["all_wheels_on_track"] is True
    assert hand.state(20.0, aside=3.1)["all_wheels_on_track"] is False  # wheels are 0.55 m beside the middle
    assert hand.state(20.0, aside=-3.1)["all_wheels_on_track"] is False
    assert hand.state(20.0, aside=2.5, turn=60.0)["all_wheels_on_track"] is True
    assert hand.state(20.0, aside=2.8, turn=60.0)["all_wheels_on_track"] is False  # the front ones are 0.8 m ahead


def test_is_offtrack_when_the_last_wheel_has_left(hand: Hand) -> None:
    assert hand.state(20.0, aside=3.9)["is_offtrack"] is False
    assert hand.state(20.0, aside=4.2)["is_offtrack"] is True


def test_x_and_y_are_metres_with_y_to_the_left_of_x(hand: Hand) -> None:
    state, place = hand.state(20.0, aside=1.0), hand.env.core.hero.get_location()
    assert (state["x"], state["y"]) == pytest.approx((place.x, -place.y))
    assert state["y"] == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize(("turn", "heading"), [(0.0, 0.0), (30.0, -30.0), (-100.0, 100.0), (179.0, -179.0)])
def test_heading_is_counter_clockwise_from_x(hand: Hand, turn: float, heading: float) -> None:
    assert hand.state(20.0, turn=turn)["heading"] == pytest.approx(heading, abs=0.01)


def test_distance_from_center_is_never_negative(hand: Hand) -> None:
    for aside in (-2.0, 0.0, 1.5):
        assert hand.state(20.0, aside=aside)["distance_from_center"] == pytest.approx(abs(aside), abs=0.01)


def test_is_left_of_center_in_the_direction_of_travel(hand: Hand) -> None:
    assert hand.state(20.0, aside=-1.0)["is_left_of_center"] is True
    assert hand.state(20.0, aside=1.0)["is_left_of_center"] is False
    hand.start(at=100.0, direction="backward")
    assert hand.state(101.0, aside=-1.0)["is_left_of_center"] is True


def test_is_reversed_when_driving_clockwise(hand: Hand) -> None:
    assert hand.state(20.0)["is_reversed"] is False
    hand.start(at=100.0, direction="backward")
    assert hand.state(101.0)["is_reversed"] is True


def test_closest_waypoints_are_the_one_behind_and_the_one_ahead(hand: Hand) -> None:
    for direction in ("forward", "backward"):
        hand.start(at=50.0, direction=direction)
        state = hand.state(53.0)
        behind, ahead = state["closest_waypoints"]
        assert ahead == behind + 1
        way = np.subtract(state["waypoints"][ahead], state["waypoints"][behind])
        here = np.subtract((state["x"], state["y"]), state["waypoints"][behind])
        assert 0.0 <= way @ here / (way @ way) <= 1.0
        heading = math.radians(state["heading"])
        assert way @ (math.cos(heading), math.sin(heading)) > 0.0


def test_waypoints_go_round_the_middle_in_the_direction_of_travel_and_end_where_they_begin(hand: Hand) -> None:
    for direction, turn in (("forward", 1), ("backward", -1)):
        hand.start(at=50.0, direction=direction)
        waypoints = np.array(hand.state(51.0)["waypoints"])
        assert isinstance(hand.state(52.0)["waypoints"][0], tuple)
        assert tuple(waypoints[0]) == tuple(waypoints[-1])
        steps = np.diff(waypoints, axis=0)
        assert np.hypot(*steps.T).sum() == pytest.approx(LENGTH, rel=0.01)
        area = (waypoints[:-1, 0] * waypoints[1:, 1] - waypoints[1:, 0] * waypoints[:-1, 1]).sum()
        assert np.sign(area) == turn  # positive is counter-clockwise where y is to the left


def test_closest_waypoints_across_the_line_where_the_track_begins(hand: Hand) -> None:
    hand.start(at=330.0)
    state = hand.state(332.0)
    assert state["closest_waypoints"] == [len(state["waypoints"]) - 2, len(state["waypoints"]) - 1]
    assert hand.state(333.0)["closest_waypoints"] == [0, 1]


def test_progress_is_per_cent_of_a_lap_since_the_start_and_does_not_fall_back_at_the_line(hand: Hand) -> None:
    hand.start(at=320.0)
    for along in range(321, 321 + 340, 3):
        state = hand.state(float(along))
        assert state["progress"] == pytest.approx(100.0 * (along - 320.0) / LENGTH, abs=0.5)
    assert state["laps"] == 1


def test_speed_is_metres_a_second_on_the_ground(env: CarlaEnv) -> None:
    hand = Hand(env)
    hand.start()
    hero = env.core.hero
    hero.set_simulate_physics(True)
    hero.set_target_velocity(carla.Vector3D(4.0, 3.0, 0.0))
    state = hand.env.step(np.zeros(2, np.float32))[4]["state"]
    velocity = hero.get_velocity()
    assert state["speed"] == pytest.approx(math.hypot(velocity.x, velocity.y))
    ahead = hero.get_transform().get_forward_vector()
    assert state["speed_longitudinal"] == pytest.approx(velocity.dot(ahead))
    assert state["speed_longitudinal_waypoint"] == pytest.approx(velocity.x, abs=0.05)  # the straight leads along x


def test_steering_angle_is_degrees_of_the_front_wheels_positive_to_the_left(hand: Hand) -> None:
    assert hand.state(20.0, action=(0.0, 0.0))["steering_angle"] == 0.0
    assert hand.state(21.0, action=(0.0, 0.3))["steering_angle"] == pytest.approx(21.0)  # 0.3 of 70 degrees
    assert hand.env.core.hero.get_control().steer == pytest.approx(-0.3)
    assert hand.state(22.0, action=(0.0, -0.2))["steering_angle"] == pytest.approx(-14.0)
    assert hand.state(23.0, action=(0.0, -0.1))["steering_change"] == pytest.approx(7.0)


def test_steps_count_the_actions_taken(hand: Hand) -> None:
    counted = [hand.state(20.0 + number)["steps"] for number in range(3)]
    assert counted == [1, 2, 3]
    assert hand.state(24.0)["step"] == 4


def test_track_length_and_width_are_metres(hand: Hand) -> None:
    state = hand.state(20.0)
    assert state["track_length"] == pytest.approx(LENGTH, abs=0.2)
    assert state["track_width"] == pytest.approx(WIDTH)


def test_without_others_the_lists_of_objects_are_empty(hand: Hand) -> None:
    state = hand.state(20.0)
    lists = ("objects_distance", "objects_heading", "objects_left_of_center", "objects_location", "objects_speed")
    assert [state[key] for key in lists] == [[]] * 5
    assert state["closest_objects"] == [0, 0]
    assert state["is_vehicle_front"] is False


def test_objects_are_told_along_the_track_from_the_start_with_side_place_heading_and_speed(hand: Hand) -> None:
    hand.start(at=20.0)
    hand.add(60.0, aside=-1.5)  # 40 m from the start, on the left
    mover = hand.add(15.0, aside=1.0, turn=20.0)  # behind the start
    mover.set_simulate_physics(True)
    mover.set_target_velocity(carla.Vector3D(3.0, 0.0, 0.0))
    state = hand.state(30.0)
    order = np.argsort(state["objects_distance"])
    near, far = (int(number) for number in order)
    assert state["objects_distance"][near] == pytest.approx(40.0, abs=0.3)
    assert state["objects_distance"][far] == pytest.approx(LENGTH - 5.0, abs=1.0)
    # The formula of AWS's documentation for how far an object is.
    own = state["progress"] / 100.0 * state["track_length"]
    assert abs(state["objects_distance"][near] - own) == pytest.approx(30.0, abs=0.5)
    assert state["objects_left_of_center"][near] is True
    assert state["objects_left_of_center"][far] is False
    place = hand.others[0].get_location()
    assert state["objects_location"][near] == pytest.approx((place.x, -place.y), abs=0.1)
    assert state["objects_heading"][far] == pytest.approx(-20.0, abs=3.0)
    assert state["objects_speed"][near] == 0.0
    assert 0.5 < state["objects_speed"][far] < 4.0
    assert state["closest_objects"] == [far, near]  # behind, ahead


def test_is_vehicle_front_within_twelve_waypoints(hand: Hand) -> None:
    hand.start(at=20.0)
    hand.add(50.0)
    assert hand.state(22.0)["is_vehicle_front"] is False
    assert hand.state(30.0)["is_vehicle_front"] is True
    assert hand.state(54.0)["is_vehicle_front"] is False


def test_what_is_beside_the_track_is_no_object_of_it(hand: Hand) -> None:
    hand.add(60.0, aside=5.0)
    assert hand.state(30.0)["objects_distance"] == []


def test_is_crashed_when_something_was_hit(env: CarlaEnv) -> None:
    hand = Hand(env)
    hand.start()
    for number in range(12):
        assert hand.state(20.0 + number)["is_crashed"] is False
    hand.add(50.0)
    hand.put(46.0)
    env.core.tick(None)
    hero = env.core.hero
    hero.set_simulate_physics(True)
    hero.set_target_velocity(carla.Vector3D(8.0, 0.0, 0.0))
    states = []
    for _ in range(8):
        _, _, terminated, _, info = env.step(np.array([3.0, 0.0], np.float32))
        states.append(info["state"])
        if terminated:
            break
    hand.clear()
    assert states[-1]["is_crashed"] is True
    assert info["end"] == "collision"


def test_is_stuck_after_five_and_a_half_seconds_at_rest(env: CarlaEnv) -> None:
    hand = Hand(env)
    hand.start(patience=5.5)
    rests: list[bool] = []
    while not any(rests) and len(rests) < 100:
        rests.append(hand.state(20.0)["is_stuck"])
    assert len(rests) * SECONDS == pytest.approx(5.5, abs=2 * SECONDS)


def test_way_orientation_angle_is_the_tracks_direction_and_delta_yaw_the_angle_to_it(hand: Hand) -> None:
    hand.start(at=60.0)
    for along in (70.0, 100.0, 150.0):
        state = hand.state(along, turn=-25.0)
        track: Track = hand.track
        assert state["way_orientation_angle"] == pytest.approx((-math.degrees(track.at(along)[3]) + 180) % 360 - 180)
        assert state["delta_yaw"] == pytest.approx(25.0, abs=0.2)
        off = (state["heading"] - state["way_orientation_angle"] + 180.0) % 360.0 - 180.0
        assert off == pytest.approx(25.0, abs=0.2)


def test_current_wp_index_is_the_nearest_waypoint(hand: Hand) -> None:
    state = hand.state(31.3)
    away = np.hypot(*(np.array(state["waypoints"][:-1]) - (state["x"], state["y"])).T)
    assert state["current_wp_index"] == int(away.argmin())


def test_metres_are_those_of_the_step_and_seconds_its_length(hand: Hand) -> None:
    hand.state(20.0)
    state = hand.state(23.5)
    assert state["metres"] == pytest.approx(3.5, abs=0.01)
    assert hand.state(22.0)["metres"] == pytest.approx(-1.5, abs=0.01)
    assert state["seconds"] == pytest.approx(SECONDS)
