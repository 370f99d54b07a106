"""The tasks: actions in the original's order, observations, ends and rewards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import carla
import numpy as np
import pytest

from dqn_example.dqn_experiment import DQNExperiment
from dqn_example.dqn_rewards import lane_reward, original_reward, route_reward, traffic_reward
from dqn_example.dqn_state import HeroState, RoutePose, is_in_lane
from dqn_example.drive_route import DriveInTraffic, DriveRoute, shown_ahead
from dqn_example.follow_road import FollowRoad
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.metrics import COLLISIONS, PENALTIES
from rllib_integration.road_ahead import NOTHING, SIGHT
from rllib_integration.roads.lanes import LanePosition
from tests.known import present

BIRDVIEW = {"type": "sensor.birdview", "size": 84, "radius": 15}


@pytest.fixture
def minitown_env() -> Iterator[CarlaEnv]:
    """A task whose every start goes back to where an episode went wrong, if one did."""
    others = {"actions": "original", "start_speed": 0.0, "retry_share": 1.0}
    task = {
        "type": DriveRoute,
        "town": "Minitown",
        "hero": {"sensors": {"birdview": BIRDVIEW}},
        "route": {"length": 300},
        "others": others,
    }
    env = CarlaEnv({"carla": {"timeout": 60.0, "ticks_per_step": 4, "enable_rendering": False}, "experiment": task})
    yield env
    env.close()


def original(**others: Any) -> DQNExperiment:
    return DQNExperiment({"hero": {"sensors": {"birdview": dict(BIRDVIEW)}}, "others": others})


def road(**others: Any) -> FollowRoad:
    return FollowRoad({"hero": {"sensors": {"birdview": dict(BIRDVIEW)}}, "others": others})


def route_task(task: type[DriveRoute] = DriveRoute, **others: Any) -> DriveRoute:
    others = {"retry_share": 0.0, **others}
    return task({"hero": {"sensors": {"birdview": dict(BIRDVIEW)}}, "route": {"length": 500}, "others": others})


def traffic(**others: Any) -> DriveRoute:
    return route_task(DriveInTraffic, **{"previous_planes": [], **others})


def lane(lateral: float = 0.0, heading_error: float = 0.0, is_junction: bool = False, **changes: Any) -> LanePosition:
    values: dict[str, Any] = {
        "width": 3.5, "is_driving": True, "road_id": 1, "section_id": 0, "lane_id": 1, "x": 0, "y": 0, "z": 0, "yaw": 0
    }  # fmt: skip
    values |= {"lateral": lateral, "heading_error": heading_error, "is_junction": is_junction, **changes}
    return LanePosition(**values)


def state(**changes: Any) -> HeroState:
    values: dict[str, Any] = {"x": 0.0, "y": 0.0, "z": 0.0, "speed": 28.8, "forward_speed": 8.0}
    values |= {"lane": lane(), "on_road": True, "steer": 0.0}
    return HeroState(**{**values, **changes})


def test_the_29_actions_are_in_the_original_order() -> None:
    actions = original().get_actions()
    assert actions == road().get_actions()
    assert len(actions) == 29
    assert actions[0] == [0.0, 0.0, 0.0, False, False]
    assert actions[1] == [0.0, 0.0, 1.0, False, False]
    assert [actions[number][1] for number in range(2, 8)] == [0.75, 0.5, 0.25, -0.75, -0.5, -0.25]
    for row, throttle in enumerate((0.3, 0.6, 1.0)):
        numbers = range(8 + 7 * row, 15 + 7 * row)
        assert [actions[number][0] for number in numbers] == [throttle] * 7
        assert [actions[number][1] for number in numbers] == [0.0, 0.75, 0.5, 0.25, -0.75, -0.5, -0.25]


def test_an_action_becomes_its_control() -> None:
    control = original().compute_action(20)
    assert (control.throttle, control.steer, control.brake) == (pytest.approx(0.6), -0.5, 0.0)
    assert len(road(actions="fine").get_actions()) == 28


@pytest.mark.parametrize("framestack", [1, 4, 6])
def test_fault_19_pictures_are_stacked_oldest_first(framestack: int) -> None:
    task = original(framestack=framestack)
    assert task.get_observation_space().shape == (84, 84, 3 * framestack)
    shown = []
    for value in range(1, 8):
        picture = np.full((84, 84, 3), value, np.uint8)
        observation, _ = task.get_observation({"birdview": (value, picture)})
        assert task.get_observation_space().contains(observation)
        shown.append(observation[0, 0, ::3].tolist())
    assert shown[0] == [1] * framestack
    assert shown[-1] == list(range(8 - framestack, 8))


def moving(task: FollowRoad, speed: float) -> FollowRoad:
    """The task, with a hero that drives at a speed [m/s]."""
    velocity = carla.Vector3D(speed, 0.0, 0.0)
    hero = SimpleNamespace(get_velocity=lambda: velocity, get_transform=carla.Transform)
    task._core = SimpleNamespace(hero=hero, metrics=None)  # type: ignore[assignment]
    return task


def test_the_speed_plane_is_one_more_channel_as_bright_as_the_hero_is_fast() -> None:
    task = moving(road(), 7.5)
    assert task.get_observation_space().shape == (84, 84, 4)
    observation, _ = task.get_observation({"birdview": (1, np.zeros((84, 84, 3), np.uint8))})
    assert set(observation[..., 3].ravel()) == {127}


def test_what_is_ahead_is_shown_as_the_speed_from_which_it_can_be_heeded() -> None:
    def brightness(**ahead: float) -> list[int]:
        return [int(255 * min(share, 1.0)) for share in shown_ahead(NOTHING._replace(**ahead))]

    assert brightness() == [255, 0, 255, 255, 255]
    assert brightness(gap=10.0, gap_speed=3.0, line=SIGHT / 4)[:4] == [int(255 * math.sqrt(10.0 / SIGHT)), 51, 255, 127]
    assert traffic().get_observation_space().shape == (84, 84, 9)  # the picture, the speed and what is ahead


def test_the_settings_of_old_files_are_understood_and_wrong_ones_refused() -> None:
    task = original(framestack=2, max_time_idle=10, max_time_episode=20)
    assert task.others["max_time_episode"] == 20
    with pytest.raises(ConfigError, match=r"did you mean env_config\.experiment\.others\.framestack"):
        original(frame_stack=2)
    with pytest.raises(ConfigError, match=r"'target_speed' belongs to the tasks FollowRoad"):
        original(target_speed=8.0)
    with pytest.raises(ConfigError, match="original, fine or braking"):
        road(actions="fast")
    with pytest.raises(ConfigError, match=r"sensor\.birdview, which DQNExperiment observes"):
        DQNExperiment({"hero": {"sensors": {}}})


def test_the_observation_space_can_be_asked_for_during_an_episode() -> None:
    task = original(framestack=2)
    task.get_observation({"birdview": (1, np.full((84, 84, 3), 1, np.uint8))})
    task.get_observation_space()
    task.get_observation({"birdview": (2, np.full((84, 84, 3), 2, np.uint8))})
    task.steps = 7
    assert task.get_observation_space().shape == (84, 84, 6)
    assert task.steps == 7


class Drive:
    """Feeds an experiment with hero states, without a simulator."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, task: FollowRoad) -> None:
        self.task = task
        self.states: list[HeroState] = []
        self.core: Any = SimpleNamespace(
            map=SimpleNamespace(name="Carla/Maps/Town05"),
            sensor_interface=SimpleNamespace(route=None),
            metrics=SimpleNamespace(counts=dict.fromkeys(PENALTIES, 0)),
        )
        monkeypatch.setattr(self.task, "read_state", lambda core: self.states.pop(0))

    def step(self, hero: HeroState, collided: bool = False) -> tuple[bool, bool, dict[str, float], dict[str, Any]]:
        self.states.append(hero)
        _, info = self.task.get_observation({"birdview": (1, np.zeros((84, 84, 3), np.uint8))})
        self.task.collided = collided
        nothing = np.zeros(0, np.uint8)
        done = self.task.get_done_status(nothing, self.core)
        cut = self.task.get_truncated_status(nothing, self.core)
        return done, cut, self.task.compute_reward(nothing, self.core), info


def test_standing_too_long_ends_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(monkeypatch, road(max_time_idle=3))
    standing = state(speed=1.0, forward_speed=0.3)
    assert [drive.step(standing)[0] for _ in range(4)] == [False, False, False, True]
    assert drive.task.end_reason == "idle"


def test_moving_resets_the_idle_count(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(monkeypatch, road(max_time_idle=1))
    for speed in (0.5, 5.0, 0.5, 5.0):
        assert not drive.step(state(speed=speed))[0]


def test_fault_18_the_time_limit_cuts_off_and_pays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(monkeypatch, original(max_time_episode=2))
    outcomes = [drive.step(state()) for _ in range(3)]
    assert [(done, cut) for done, cut, _, _ in outcomes] == [(False, False), (False, False), (False, True)]
    assert outcomes[-1][2]["end"] == 0.0
    assert outcomes[-1][3]["end"] == "time_limit"


def test_the_distance_limit_and_the_routes_end_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(monkeypatch, route_task(distance_limit=5.0))
    assert not drive.step(state(x=0.0, route=on_route()))[1]
    done, cut, _, info = drive.step(state(x=6.0, route=on_route()))
    assert (done, cut, info["end"]) == (False, True, "distance_limit")
    drive = Drive(monkeypatch, route_task())
    drive.core.sensor_interface.route = SimpleNamespace(finished=True)
    done, cut, _, info = drive.step(state(route=on_route()))
    assert (done, cut, info["end"]) == (False, True, "route_done")


def test_fault_19_falling_and_crashing_end_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    done, _, parts, info = Drive(monkeypatch, original()).step(state(z=-0.6, lane=None, on_road=False))
    assert (done, parts["end"], info["end"]) == (True, -40.0, "fell")
    assert not Drive(monkeypatch, original()).step(state(z=-8.0))[0], "a road below sea level is no abyss"
    done, _, parts, info = Drive(monkeypatch, original()).step(state(), collided=True)
    assert (done, parts["collision"], info["end"]) == (True, -40.0, "collision")
    done, _, parts, info = Drive(monkeypatch, road()).step(state(), collided=True)
    assert (done, parts["end"], info["end"]) == (True, -1.0, "collision")


def test_leaving_the_lane_ends_the_episode_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = state(lane=lane(lateral=2.2), route=on_route())
    assert not Drive(monkeypatch, original()).step(outside)[0]
    done, _, parts, info = Drive(monkeypatch, road()).step(outside)
    assert (done, sum(parts.values()), info["end"]) == (True, -1.0, "left_lane")
    patient = Drive(monkeypatch, route_task(max_time_off_lane=1))
    assert [patient.step(outside)[0] for _ in range(2)] == [False, True]


def test_info_tells_the_distance_and_the_heading_deviation(monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(monkeypatch, original())
    drive.step(state())
    _, _, parts, info = drive.step(state(x=3.0, y=4.0, lane=lane(heading_error=-90.0)))
    assert info["distance"] == 5.0
    assert info["heading_deviation"] == pytest.approx(math.pi / 2)
    assert parts["distance"] == 5.0
    assert info["town"] == "Town05"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"speed": 12.0}, {"acceleration": 0.1}),
        ({"on_road": False, "lane": None}, {"off_road": -0.5}),
        ({"lane": lane(heading_error=150.0)}, {"wrong_way": -0.5}),
        ({"lane": lane(heading_error=40.0), "steer": 0.25}, {"steering": -0.05}),
        ({"lane": lane(heading_error=40.0), "steer": 0.0}, {"steering": -0.05}),
        ({"lane": lane(heading_error=40.0), "steer": -0.25}, {}),
        ({"lane": lane(heading_error=150.0, is_junction=True)}, {}),
    ],
)
def test_the_original_reward(changes: dict[str, Any], expected: dict[str, float]) -> None:
    last = state(x=-2.0, speed=10.0)
    parts = original_reward(state(**changes), last, None, collided=False)
    assert {name: value for name, value in parts.items() if value} == pytest.approx({"distance": 2.0, **expected})


def test_the_lane_reward_is_best_in_the_middle_at_the_target_speed() -> None:
    def reward(**changes: Any) -> float:
        return sum(lane_reward(state(**changes), None, 8.0).values())

    assert reward() == pytest.approx(1.0)
    assert reward(forward_speed=4.0) == pytest.approx(0.5)
    assert 0 < reward(forward_speed=10.0) < 0.5
    assert reward(forward_speed=12.0) == 0.0
    assert reward(forward_speed=-2.0) < 0
    assert reward(lane=lane(lateral=1.0)) < reward(lane=lane(lateral=0.5)) < 1
    assert reward(lane=lane(heading_error=20.0)) < 1
    assert reward(lane=lane(lateral=-1.0)) == pytest.approx(reward(lane=lane(lateral=1.0)))


@pytest.mark.parametrize(
    ("position", "inside"),
    [
        (None, False),
        (lane(), True),
        (lane(lateral=2.0), True),
        (lane(lateral=2.1), False),
        (lane(heading_error=100.0), False),
        (lane(is_driving=False), False),
    ],
)
def test_a_lane_counts_when_the_hero_is_within_it_in_its_direction(position: LanePosition | None, inside: bool) -> None:
    assert is_in_lane(position) is inside


def on_route(lateral: float = 0.0, heading_error: float = 0.0, bend: float = 0.0) -> RoutePose:
    return RoutePose(lateral, heading_error, abs(lateral), bend)


def test_the_route_reward_wants_the_route_and_slows_down_for_its_bends() -> None:
    def paid(speed: float = 8.0, **pose: float) -> float:
        hero = state(forward_speed=speed, lane=lane(lateral=1.0), route=on_route(**pose))
        return sum(route_reward(hero, None, 8.0).values())

    assert paid() == pytest.approx(1.0)  # the middle of the route, not of the lane
    assert paid(lateral=1.0) < paid(lateral=0.3) < 1.0
    assert paid(heading_error=20.0) < 1.0
    assert paid(bend=0.15) == 0.0
    assert paid(speed=math.sqrt(3.5 / 0.15), bend=0.15) == pytest.approx(1.0)
    narrow, wide = (state(lane=lane(width=width), route=on_route(lateral=0.8)) for width in (2.5, 3.5))
    assert sum(route_reward(narrow, None, 8.0).values()) < sum(route_reward(wide, None, 8.0).values())
    assert sum(route_reward(state(route=on_route()), "left_route", 8.0).values()) == -1.0
    assert sum(traffic_reward(state(route=on_route()), "collision", 8.0).values()) == -5.0


def test_following_a_route_needs_a_route() -> None:
    with pytest.raises(ConfigError, match=r"env_config\.experiment\.route has to be set"):
        DriveRoute({"hero": {"sensors": {"birdview": dict(BIRDVIEW)}}})


def test_leaving_the_route_and_a_red_light_end_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Drive(monkeypatch, route_task()).step(state(route=on_route(3.9)))[0]
    assert Drive(monkeypatch, route_task()).step(state(route=on_route(4.1)))[3]["end"] == "left_route"
    for task, ended in ((route_task(), False), (traffic(), True)):
        drive = Drive(monkeypatch, task)
        drive.core.metrics.counts["red_lights_run"] = 1
        done, _, _, info = drive.step(state(route=on_route()))
        assert (done, info.get("end")) == (ended, "red_light" if ended else None)


def test_a_detour_over_the_next_lane_does_not_leave_the_heros_own(monkeypatch: pytest.MonkeyPatch) -> None:
    oncoming = lane(heading_error=180.0)
    assert Drive(monkeypatch, traffic()).step(state(lane=oncoming, route=on_route()))[3]["end"] == "left_lane"
    there = RoutePose(0.0, 0.0, 0.0, 0.0, led_aside=3.0)
    assert not Drive(monkeypatch, traffic()).step(state(lane=oncoming, route=there))[0]


def test_in_traffic_only_a_collision_of_the_heros_own_ends_the_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    hit_while_standing = Drive(monkeypatch, traffic()).step(state(route=on_route()), collided=True)
    assert not hit_while_standing[0]
    for kind in COLLISIONS:
        drive = Drive(monkeypatch, traffic())
        drive.core.metrics.counts[kind] = 1
        done, _, _, info = drive.step(state(route=on_route()), collided=True)
        assert (done, info["end"]) == (True, "collision")


def test_masks_of_what_moves_are_shown_as_they_were_before() -> None:
    sensor = {**BIRDVIEW, "format": "masks", "planes": ["road", "vehicles", "walkers"]}
    config = {"hero": {"sensors": {"birdview": sensor}}, "route": {"length": 500}}
    task = DriveInTraffic({**config, "others": {"previous_planes": ["walkers"]}})
    assert task.get_observation_space().shape == (84, 84, 10)
    pictures = [np.full((84, 84, 3), (10 * number, 1, number), np.uint8) for number in range(1, 4)]
    shown = [task.get_observation({"birdview": (0, picture)})[0][0, 0, :4].tolist() for picture in pictures]
    assert shown == [[10, 1, 1, 1], [20, 1, 2, 1], [30, 1, 3, 2]]
    with pytest.raises(ConfigError, match="'sky'"):
        DriveInTraffic({**config, "others": {"previous_planes": ["sky"]}})


def test_what_went_wrong_is_tried_again(minitown_env: CarlaEnv) -> None:
    minitown_env.reset(seed=3)
    done = False
    while not done:
        _, _, done, _, info = minitown_env.step(9)  # throttle and full lock
    assert info["end"] in ("left_lane", "left_route")
    end = carla.Location(*[*info["position"], 0.0])
    tried = []
    for _ in range(3):
        minitown_env.reset()
        tried.append(present(minitown_env.hero).get_location().distance_2d(end))
    assert max(tried) < 25.0
