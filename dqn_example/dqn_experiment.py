"""Driving by bird view with numbered actions: what the hero may do, sees, and is rewarded for.

With its defaults this is the task of the original integration. The settings under `others` turn it into one
that is learnt in minutes: the end of an episode at the lane's edge, a reward that is bounded and wants a
certain speed, and starts all over the town.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import carla
import cv2
import numpy as np
from gymnasium import spaces

from dqn_example.dqn_actions import ACTIONS
from dqn_example.dqn_rewards import (
    BRAKING,
    HEADWAY,
    is_in_lane,
    lane_reward,
    original_reward,
    route_reward,
    traffic_reward,
)
from dqn_example.dqn_starts import LaneStarts
from dqn_example.dqn_state import HeroState, forward_speed, route_pose
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config import ConfigError, Rule, merge
from rllib_integration.lanes import LaneIndex
from rllib_integration.road_ahead import NOTHING, SIGHT, Ahead, RoadAhead
from rllib_integration.sensors import SensorFactory
from rllib_integration.sensors.bird_view_manager import read_planes

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

OTHERS: dict[str, Any] = {
    "framestack": 4,  # pictures in an observation, oldest first
    "speed_plane": False,  # one more plane that shows the speed, 255 = 15 m/s
    "ahead_planes": False,  # five more planes that show what is ahead on the route: its distance, speed, ... as numbers
    "actions": "original",  # "original": 29 of throttle x steer; "fine": 21 that steer gently; "braking": and a stop
    "previous_planes": [],  # masks that are shown once more as they were a decision ago, so that motion is seen
    "reward": "original",  # "original", "lane", "route" or "traffic": see dqn_rewards.py
    "target_speed": 8.0,  # [m/s] of the rewards other than the original
    "emergency_brake": False,  # brake fully, whatever the policy does, where the hero could hardly stop any more
    "max_time_idle": 600,  # steps at 1 km/h or less before the episode ends
    "max_time_episode": 6400,  # steps before it is cut off
    "end_off_lane": False,  # the episode ends where the hero leaves the lanes of its direction
    "max_time_off_lane": 0,  # steps that it may do so in a row before that
    "end_off_route": 0.0,  # [m] the episode ends so far away from the route; 0 = it does not
    "end_on_red_light": False,  # the episode ends where a red light is run
    "end_on_collision": True,  # needs a sensor.other.collision
    "collision_penalty": 40.0,  # taken off the "original" reward; the others take 1
    "start": "spawn_points",  # "spawn_points", or "lanes": anywhere on a lane, roughly along it
    "start_speed": 0.0,  # [m/s] starts on lanes have a speed up to this, three in ten none
    "retry_share": 0.0,  # of the starts on lanes that go back to some seconds before an episode ended badly
    "distance_limit": 0.0,  # [m] the episode is cut off after this distance; 0 = no limit
}
_BOUNDED_REWARDS = {"lane": lane_reward, "route": route_reward, "traffic": traffic_reward}
_RULES = {
    "actions": Rule(str, accepts=lambda name: name in ACTIONS, expected="original, fine or braking"),
    "reward": Rule(
        str,
        accepts=lambda name: name == "original" or name in _BOUNDED_REWARDS,
        expected="original, lane, route or traffic",
    ),
    "retry_share": Rule(float, accepts=lambda share: 0 <= share <= 1, expected="a share from 0 to 1"),
    "start": Rule(str, accepts=lambda name: name in ("spawn_points", "lanes"), expected="spawn_points or lanes"),
    "framestack": Rule(int, accepts=lambda count: count >= 1, expected="a whole number, 1 or more"),
    "max_time_idle": Rule(int, accepts=lambda count: count >= 1, expected="a whole number of steps, 1 or more"),
    "max_time_off_lane": Rule(int, accepts=lambda count: count >= 0, expected="a whole number of steps, 0 or more"),
    "max_time_episode": Rule(int, accepts=lambda count: count >= 1, expected="a whole number of steps, 1 or more"),
    "target_speed": Rule(float, accepts=lambda speed: speed > 0, expected="a speed above 0 in m/s"),
}
IDLE_SPEED = 1.0  # [km/h]
FALLEN_HEIGHT = -0.5  # [m]
EMERGENCY_BRAKING = 5.0  # [m/s^2] the emergency brake comes when more than this were needed
EMERGENCY_HEADWAY = 0.5  # [s] or less than this is left to the one ahead
STANDSTILL = 0.1  # [m/s] so that nothing starts either where nothing is allowed
FASTEST_SHOWN = 15.0  # [m/s] full brightness of the speed plane


class DQNExperiment(BaseExperiment):
    """The DQN example's task; see `OTHERS` for what can be set under `env_config.experiment.others`."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(config)
        where = "env_config.experiment.others"
        self.others = merge(OTHERS, self.config["others"], where, rules=_RULES)
        self.config["others"] = self.others
        if self.others["reward"] in ("route", "traffic") and not self.config["route"]:
            raise ConfigError(
                f"{where}.reward is {self.others['reward']}, which needs env_config.experiment.route, as "
                "{length: 500}."
            )
        asks = (self.others["reward"] == "traffic", self.others["ahead_planes"], self.others["emergency_brake"])
        self._looks_ahead = any(asks)
        self.actions = dict(ACTIONS[self.others["actions"]])
        self.birdview = self._find_birdview()
        self._frames: list[np.ndarray] = []
        self._previous = self._previous_channels()
        self._starts = LaneStarts(self.others["start_speed"], self.others["retry_share"])
        self._lane_indices: dict[str, LaneIndex] = {}
        self._core: CarlaCore | None = None
        self.reset()

    def _find_birdview(self) -> str:
        sensors = self.config["hero"]["sensors"]
        names = [name for name, sensor in sensors.items() if sensor.get("type") == "sensor.birdview"]
        if not names:
            raise ConfigError(
                "env_config.experiment.hero.sensors has no sensor of type sensor.birdview, which is what "
                "DQNExperiment observes."
            )
        return names[0]

    def reset(self) -> None:
        """Forget the last episode."""
        self.steps = 0
        self.idle_steps = 0
        self.off_lane_steps = 0
        self.distance = 0.0
        self.state: HeroState | None = None
        self.last_state: HeroState | None = None
        self.last_heading_deviation = 0.0
        self.end_reason: str | None = None
        self.last_control = carla.VehicleControl()
        self._frames = []
        self._starts.begin_episode()
        self._info: dict[str, Any] = {}
        self._collided = False
        self._road_ahead: RoadAhead | None = None
        self._ahead = NOTHING

    def place_hero(self, core: CarlaCore) -> None:
        """With `start: lanes`, move the hero to a random lane point, with a random speed."""
        self._core = core
        if self.others["start"] == "lanes":
            self._starts.place(core)

    def get_action_space(self) -> spaces.Discrete:
        """Numbers of `get_actions`."""
        return spaces.Discrete(len(self.actions))

    def get_observation_space(self) -> spaces.Box:
        """Bird views on the channel axis, oldest first, and the speed plane: uint8 (size, size, channels)."""
        picture = SensorFactory.space(self.config["hero"]["sensors"][self.birdview])
        assert picture.shape is not None
        height, width, planes = picture.shape
        channels = planes * self.others["framestack"] + len(self._previous) + int(self.others["speed_plane"])
        channels += len(_shown_ahead(NOTHING)) * int(self.others["ahead_planes"])
        return spaces.Box(0, 255, (height, width, channels), np.uint8)

    def _previous_channels(self) -> list[int]:
        """Where the masks lie that are shown as they were a decision ago."""
        names = list(self.others["previous_planes"])
        planes = read_planes(self.config["hero"]["sensors"][self.birdview].get("planes", ())) if names else ()
        for name in names:
            if name not in planes:
                raise ConfigError(
                    f"env_config.experiment.others.previous_planes names {name!r}, but the bird view's planes are "
                    f"{', '.join(planes)}."
                )
        return [planes.index(name) for name in names]

    def get_actions(self) -> dict[int, list[float | bool]]:
        """Number -> throttle, steer, brake, reverse, hand brake."""
        return self.actions

    def compute_action(self, action: int) -> carla.VehicleControl:
        """The control of an action's number."""
        throttle, steer, brake, reverse, hand_brake = self.actions[int(action)]
        self.last_control = carla.VehicleControl(
            throttle=float(throttle),
            steer=float(steer),
            brake=float(brake),
            reverse=bool(reverse),
            hand_brake=bool(hand_brake),
        )
        if self.others["emergency_brake"] and self._is_emergency():
            self.last_control = carla.VehicleControl(steer=float(steer), brake=1.0)
        return self.last_control

    def _is_emergency(self) -> bool:
        """Whether the hero is faster than hard braking and a short headway allow."""
        hero = self._core.hero if self._core is not None else None
        limit = self._ahead.safe_speed(EMERGENCY_BRAKING, EMERGENCY_HEADWAY)
        return hero is not None and forward_speed(hero) > limit - STANDSTILL

    def get_observation(self, sensor_data: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Stack the newest bird view on the ones before; an episode's first one fills the stack."""
        picture = sensor_data[self.birdview][1]
        self._collided = any(
            self.config["hero"]["sensors"][name].get("type") == "sensor.other.collision" for name in sensor_data
        )
        kept = max(self.others["framestack"], 2)
        self._frames = [*self._frames, picture] if self._frames else [picture] * kept
        self._frames = self._frames[-kept:]
        planes = self._frames[-self.others["framestack"] :]
        if self._previous:
            planes.append(self._frames[-2][..., self._previous])
        if self.others["speed_plane"]:
            planes.append(np.full(picture.shape[:2], self._shown_speed(), np.uint8))
        if self._looks_ahead:
            self._look_ahead()
        if self.others["ahead_planes"]:
            planes.extend(np.full(picture.shape[:2], level, np.uint8) for level in _shown_ahead(self._ahead))
        self._info = {}
        # numpy joins along the last axis byte by byte, several times slower.
        return cv2.merge(planes) if len(planes) > 1 else picture, self._info

    def _look_ahead(self) -> None:
        core = self._core
        if core is None or core.hero is None or core.metrics is None:
            return
        if self._road_ahead is None:
            self._road_ahead = RoadAhead(core.hero, core.sensor_interface, core.metrics)
        self._ahead = self._road_ahead.look()

    def _shown_speed(self) -> int:
        """Forward speed as the brightness of the speed plane."""
        if self._core is None or self._core.hero is None:
            return 0
        speed = forward_speed(self._core.hero)
        return int(255 * min(max(speed / FASTEST_SHOWN, 0.0), 1.0))

    def get_done_status(self, observation: np.ndarray, core: CarlaCore) -> bool:
        """Whether the hero crashed, fell, stood idle for too long or, if that ends it, left its lane."""
        self.last_state, self.state = self.state, self._read_state(core)
        self._count(self.state)
        self.end_reason = self._reason_to_end(self.state, core)
        self._starts.note(core, self.state, self.end_reason)
        self._tell(self.state, core.map.name.rsplit("/", 1)[-1])
        return self.end_reason is not None

    def _read_state(self, core: CarlaCore) -> HeroState:
        """The hero as it is after the tick, from what the client already holds."""
        transform = core.hero.get_transform()
        place = transform.location
        lanes = self._lanes(core.map)
        return HeroState(
            x=place.x,
            y=place.y,
            z=place.z,
            speed=3.6 * core.hero.get_velocity().length(),
            forward_speed=forward_speed(core.hero),
            lane=lanes.locate(place.x, place.y, place.z, transform.rotation.yaw),
            on_road=lanes.on_road(place.x, place.y, place.z),
            steer=self.last_control.steer,
            route=route_pose(core.sensor_interface.route, transform),
            ahead=self._ahead,
        )

    def _lanes(self, carla_map: carla.Map) -> LaneIndex:
        name = carla_map.name
        if name not in self._lane_indices:
            self._lane_indices[name] = LaneIndex.for_map(carla_map)
        return self._lane_indices[name]

    def _count(self, state: HeroState) -> None:
        self.steps += 1
        self.idle_steps = self.idle_steps + 1 if state.speed <= IDLE_SPEED else 0
        self.off_lane_steps = 0 if is_in_lane(state.lane) else self.off_lane_steps + 1
        if self.last_state is not None:
            self.distance += math.hypot(state.x - self.last_state.x, state.y - self.last_state.y)
        self.last_heading_deviation = abs(math.radians(state.lane.heading_error)) if state.lane else math.pi / 2

    def _reason_to_end(self, state: HeroState, core: CarlaCore) -> str | None:
        if state.z < FALLEN_HEIGHT and state.lane is None:  # some towns have roads below sea level
            return "fell"
        if self._collided and self.others["end_on_collision"]:
            return "collision"
        if self.others["end_off_lane"] and self.off_lane_steps > self.others["max_time_off_lane"]:
            return "left_lane"
        if state.route is not None and 0 < self.others["end_off_route"] < state.route.deviation:
            return "left_route"
        if self.others["end_on_red_light"] and core.metrics and core.metrics.counts["red_lights_run"] > 0:
            return "red_light"
        if self.idle_steps > self.others["max_time_idle"]:
            return "idle"
        return None

    def _tell(self, state: HeroState, town: str) -> None:
        self._info["heading_deviation"] = self.last_heading_deviation
        self._info["distance"] = self.distance
        self._info["speed"] = state.speed
        self._info["off_road"] = not state.on_road
        self._info["in_lane"] = is_in_lane(state.lane)
        self._info["position"] = (state.x, state.y)
        self._info["town"] = town
        if self.end_reason is not None:
            self._info["end"] = self.end_reason

    def get_truncated_status(self, observation: np.ndarray, core: CarlaCore) -> bool:
        """Whether the time or the distance is up; such a state still has a value."""
        reason = None
        if self.steps > self.others["max_time_episode"]:
            reason = "time_limit"
        elif 0 < self.others["distance_limit"] <= self.distance:
            reason = "distance_limit"
        elif core.sensor_interface.route is not None and core.sensor_interface.route.finished:
            reason = "route_done"
        if reason is not None and self.end_reason is None:
            self._info["end"] = reason
        return reason is not None

    def compute_reward(self, observation: np.ndarray, core: CarlaCore) -> dict[str, float]:
        """The step's reward in named parts."""
        assert self.state is not None
        if self.others["reward"] in _BOUNDED_REWARDS:
            reward = _BOUNDED_REWARDS[self.others["reward"]]
            return reward(self.state, self.end_reason, self.others["target_speed"])
        penalty = self.others["collision_penalty"] if self._collided else 0.0
        return original_reward(self.state, self.last_state, self.end_reason, penalty)


def _shown_ahead(ahead: Ahead) -> list[int]:
    """What is ahead, and the speed that it allows, as brightness: 255 = nothing within sight, or the fastest shown.

    Distances are shown by their square roots, as the speeds from which the hero can stop within them: the last metres
    decide, and of 40 m a metre would be one step of brightness in forty.
    """
    allowed = ahead.safe_speed(BRAKING, HEADWAY)
    gap, crossing, line = (math.sqrt(distance / SIGHT) for distance in (ahead.gap, ahead.crossing, ahead.line))
    shares = (gap, ahead.gap_speed / FASTEST_SHOWN, crossing, line, allowed / FASTEST_SHOWN)
    return [int(255 * min(max(share, 0.0), 1.0)) for share in shares]
