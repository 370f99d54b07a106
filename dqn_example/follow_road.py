"""Following the road by bird view with numbered actions: the task of `dqn_quickstart.yaml`.

This is what a user of the library writes. The example's other tasks derive from it and change a part each:
`DriveRoute`, `DriveInTraffic` and `DQNExperiment`, the task of the original integration.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import carla
import numpy as np
from gymnasium import spaces

from dqn_example.dqn_actions import ACTIONS
from dqn_example.dqn_rewards import lane_reward
from dqn_example.dqn_starts import LaneStarts
from dqn_example.dqn_state import HeroState, forward_speed, is_in_lane
from rllib_integration.annotations import Record, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import Rule, merge, one_of, positive
from rllib_integration.planes import Picture, join, plane_of
from rllib_integration.roads.lanes import LaneIndex
from rllib_integration.sensors import SensorFactory

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

WHERE = "env_config.experiment.others"
ENDS = ("fell", "collision", "left_lane", "left_route", "red_light", "idle")
"""Bad ends; of several in one step, the first is reported."""
LIMITS = ("time_limit", "distance_limit", "route_done")
"""Limits that cut an episode off; of several in one step, the first is reported."""
IDLE_SPEED = 1.0  # [km/h]
FALLEN_HEIGHT = -0.5  # [m]
FASTEST_SHOWN = 15.0  # [m/s] full brightness of the speed plane


class FollowRoad(BaseExperiment):
    """Drives along the road, wherever it leads; the episode ends where the hero leaves the lanes of its direction.

    The observation is the bird view and a plane whose brightness shows the speed: uint8 (size, size, planes).

    Args:
        config: The `experiment` section; `OTHERS` are the settings under `others`, with their defaults.

    Raises:
        ConfigError: A setting is unknown or can't be used, or the hero has no bird view.
    """

    OTHERS: ClassVar[Record] = {
        "actions": "original",  # 29 of throttle x steer; "fine": 28 that steer gently; "braking": those and a stop
        "target_speed": 8.0,  # [m/s] at which the reward is highest
        "start_speed": 8.0,  # [m/s] greatest speed at the start; three starts in ten are at rest
        "max_time_idle": 25,  # steps at 1 km/h or less before the episode ends
        "max_time_episode": 300,  # steps before it is cut off
    }
    RULES: ClassVar[dict[str, Rule]] = {
        "actions": one_of(*ACTIONS),
        "target_speed": positive("a speed above 0 in m/s", float),
        "max_time_idle": positive("a whole number of steps, 1 or more", int),
        "max_time_episode": positive("a whole number of steps, 1 or more", int),
    }
    ELSEWHERE: ClassVar[dict[str, str]] = {}
    """Settings of the example's other tasks, for the message to a user who mixes them up."""

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        self.others = merge(self.OTHERS, self.config["others"], WHERE, rules=self.RULES, elsewhere=self.ELSEWHERE)
        self.config["others"] = self.others
        self.actions = ACTIONS[self.others.get("actions", "original")]
        self.birdview = self.find_sensor("sensor.birdview")
        self.starts = LaneStarts(self.others.get("start_speed", 0.0), self.others.get("retry_share", 0.0))
        self._core: CarlaCore | None = None
        self._start_is_given = False
        self._space: spaces.Box | None = None
        self.reset()

    # The episode

    def prepare_world(self, core: CarlaCore, config: Record) -> None:
        """Note whether the episode's configuration names spawn points."""
        self._start_is_given = bool(config["hero"]["spawn_points"])

    def place_hero(self, core: CarlaCore) -> None:
        """Move the hero to a random place on a lane with a random speed, unless `hero.spawn_points` is set."""
        self._core = core
        if not self._start_is_given:
            self.starts.place(core)

    def reset(self) -> None:
        """Forget the last episode."""
        self.steps = 0
        self.idle_steps = 0
        self.off_lane_steps = 0
        self.distance = 0.0
        self.state: HeroState | None = None
        self.last_state: HeroState | None = None
        self.end_reason: str | None = None
        self.last_control = carla.VehicleControl()
        self.collided = False
        self.info: Record = {}
        self.starts.begin_episode()

    # Actions

    def get_action_space(self) -> spaces.Discrete:
        """Numbers of `get_actions`."""
        return spaces.Discrete(len(self.actions))

    def get_actions(self) -> dict[int, list[float | bool]]:
        """Number -> throttle, steer, brake, reverse, hand brake."""
        return self.actions

    def compute_action(self, action: int) -> carla.VehicleControl:
        """The control of an action's number."""
        throttle, steer, brake, reverse, hand_brake = self.actions[int(action)]
        self.last_control = carla.VehicleControl(
            throttle=throttle, steer=steer, brake=brake, reverse=bool(reverse), hand_brake=bool(hand_brake)
        )
        return self.last_control

    # Observations

    def get_observation_space(self) -> spaces.Box:
        """Planes of bytes: uint8 (size, size, planes)."""
        if self._space is None:
            shape = SensorFactory.space(self.config["hero"]["sensors"][self.birdview]).shape
            assert shape is not None
            self._space = spaces.Box(0, 255, join(self.planes(np.zeros(shape, np.uint8))).shape, np.uint8)
            self.reset()
        return self._space

    def get_observation(self, sensor_data: Record) -> tuple[Picture, Record]:
        """Join the newest bird view with the other planes."""
        sensors = self.config["hero"]["sensors"]
        self.collided = any(sensors[name].get("type") == "sensor.other.collision" for name in sensor_data)
        self.info = {}
        return join(self.planes(sensor_data[self.birdview][1])), self.info

    def planes(self, picture: Picture) -> list[Picture]:
        """The planes of the observation: the bird view, and the speed."""
        speed = forward_speed(self._core.hero) if self._core is not None else 0.0
        return [picture, plane_of(picture, speed / FASTEST_SHOWN)]

    # Ends and rewards

    def get_done_status(self, observation: Picture, core: CarlaCore) -> bool:
        """Whether the episode has come to a bad end."""
        self.last_state, self.state = self.state, self.read_state(core)
        self._count(self.state)
        ends = self.bad_ends(self.state, core)
        self.end_reason = next((name for name in ENDS if ends.get(name)), None)
        self.starts.note(core, self.state, self.end_reason)
        self._fill_info(self.state, core.map.name.rsplit("/", 1)[-1])
        return self.end_reason is not None

    def read_state(self, core: CarlaCore) -> HeroState:
        """The hero after the tick, from the data that the client already holds."""
        hero, lanes = core.hero, LaneIndex.for_map(core.map)
        transform = hero.get_transform()
        place = transform.location
        return HeroState(
            x=place.x,
            y=place.y,
            z=place.z,
            speed=3.6 * hero.get_velocity().length(),
            forward_speed=forward_speed(hero),
            lane=lanes.locate(place.x, place.y, place.z, transform.rotation.yaw),
            on_road=lanes.on_road(place.x, place.y, place.z),
            steer=self.last_control.steer,
        )

    def _count(self, state: HeroState) -> None:
        self.steps += 1
        self.idle_steps = self.idle_steps + 1 if state.speed <= IDLE_SPEED else 0
        self.off_lane_steps = 0 if is_in_lane(state.lane) else self.off_lane_steps + 1
        if self.last_state is not None:
            self.distance += math.hypot(state.x - self.last_state.x, state.y - self.last_state.y)

    def bad_ends(self, state: HeroState, core: CarlaCore) -> dict[str, bool]:
        """Whether each of `ENDS` holds for the hero's state."""
        return {
            "fell": state.z < FALLEN_HEIGHT and state.lane is None,  # some towns have roads below sea level
            "collision": self.collided,
            "left_lane": self.off_lane_steps > 0,
            "idle": self.idle_steps > self.others["max_time_idle"],
        }

    def _fill_info(self, state: HeroState, town: str) -> None:
        """Put the values that are logged for each step into `info`."""
        self.info.update(
            heading_deviation=abs(math.radians(state.lane.heading_error)) if state.lane else math.pi / 2,
            distance=self.distance,
            speed=state.speed,
            off_road=not state.on_road,
            in_lane=is_in_lane(state.lane),
            position=(state.x, state.y),
            town=town,
        )
        if self.end_reason is not None:
            self.info["end"] = self.end_reason

    def get_truncated_status(self, observation: Picture, core: CarlaCore) -> bool:
        """Whether the episode is cut off; the state in which it is still has a value."""
        limits = self.limits(core)
        reached = next((name for name in LIMITS if limits.get(name)), None)
        if reached is not None and self.end_reason is None:
            self.info["end"] = reached
        return reached is not None

    def limits(self, core: CarlaCore) -> dict[str, bool]:
        """Whether the episode has reached each of `LIMITS`."""
        route = core.sensor_interface.route
        return {
            "time_limit": self.steps > self.others["max_time_episode"],
            "route_done": route is not None and route.finished,
        }

    def compute_reward(self, observation: Picture, core: CarlaCore) -> dict[str, float]:
        """The step's reward in named parts."""
        assert self.state is not None
        return lane_reward(self.state, self.end_reason, self.others["target_speed"])
