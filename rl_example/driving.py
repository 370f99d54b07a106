"""Driving along routes, with a choice of observations, actions and rewards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import carla
import numpy as np
from gymnasium import spaces

from rl_example.actions import CONVERTERS, FASTEST, to_control
from rl_example.observations import IMAGE, PARTS
from rl_example.rewards import REWARDS
from rl_example.state import DrivingState, impulses_of, read_state
from rllib_integration.annotations import Record, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import ConfigError, Rule, merge, one_of, positive

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

OTHERS: Record = {
    "observations": ["ego", "route"],  # parts of the observation: image, ego, direction, target, route
    "actions": "discrete_9",  # discrete_9, discrete_13, combined, continuous or pedal_steer
    "reward": "progress",  # carla, cirl, her, sparse or progress
    "fastest": FASTEST,  # [km/h] speed above which the throttle is ignored
    "goal_distance": 2.0,  # [m] from the route's end, within which it counts as reached
    "time_limit": 300,  # decisions before an episode is cut off
    "idle_limit": 50,  # decisions in a row below 1 km/h that end an episode
    "end_on_collision": True,  # needs a sensor.other.collision
    "end_off_road": 0.5,  # share of the car off every lane, or on the opposite one, that ends an episode; 1 = no end
    "start_speed": 0.0,  # [m/s] greatest speed at the start
}
_PARTS = ("image", *PARTS)
_RULES = {
    "observations": Rule(
        list,
        accepts=lambda names: len(names) > 0 and len(set(names)) == len(names) and set(names) <= set(_PARTS),
        expected=f"a list of some of {', '.join(_PARTS)}",
    ),
    "actions": one_of(*CONVERTERS),
    "reward": one_of(*REWARDS),
    "fastest": positive("a speed above 0 in km/h", float),
    "goal_distance": positive("a distance above 0 in m", float),
    "time_limit": positive("a whole number of decisions, 1 or more", int),
    "idle_limit": positive("a whole number of decisions, 1 or more", int),
    "end_off_road": Rule(float, accepts=lambda share: 0.0 < share <= 1.0, expected="a share above 0, up to 1"),
    "start_speed": Rule(float, accepts=lambda speed: speed >= 0.0, expected="a speed of 0 or more in m/s"),
}
IDLE_SPEED = 1.0  # [km/h]
CAMERA = "front"


class UrbanDriving(BaseExperiment):
    """Drives to the end of a route; see `OTHERS` for what can be set under `env_config.experiment.others`."""

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        where = "env_config.experiment.others"
        self.others = merge(OTHERS, self.config["others"], where, rules=_RULES)
        self.config["others"] = self.others
        needs_route = {"target", "route", "direction"} & set(self.others["observations"])
        if not self.config["route"] and (needs_route or self.others["reward"] in ("carla", "her", "sparse")):
            raise ConfigError(
                f"{where} asks for a goal, which needs env_config.experiment.route, as {{length: 200}} or "
                "{goal: 'x,y,z'}."
            )
        sensors = self.config["hero"]["sensors"]
        if "image" in self.others["observations"]:
            sensors.setdefault(CAMERA, dict(IMAGE))
        self._collisions = [name for name, one in sensors.items() if one["type"] == "sensor.other.collision"]
        self._converter = CONVERTERS[self.others["actions"]]
        self._reward = REWARDS[self.others["reward"]]
        self._core: CarlaCore | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self.steps = self.idle_steps = 0
        self.distance = 0.0
        self.state: DrivingState | None = None
        self.last_state: DrivingState | None = None
        self.end: str | None = None
        self._control = carla.VehicleControl()
        self._info: Record = {}

    def place_hero(self, core: CarlaCore) -> None:
        """Give the hero a speed along its lane."""
        self._core = core
        speed = float(core.rng.uniform(0.0, self.others["start_speed"]))
        if speed > 0.0:
            core.start_hero(core.hero.get_transform(), speed)

    def get_action_space(self) -> spaces.Space:
        """As `others.actions` says."""
        return self._converter.space

    def get_observation_space(self) -> spaces.Dict:
        """A part for each entry of `others.observations`."""
        image = spaces.Box(0, 255, (84, 84, 3), np.uint8)
        return spaces.Dict(
            {name: image if name == "image" else PARTS[name].space for name in self.others["observations"]}
        )

    def compute_action(self, action: object) -> carla.VehicleControl:
        """The control of an action."""
        speed = self.state.speed if self.state is not None else 0.0
        self._control = to_control(self._converter, action, speed, self.others["fastest"])
        return self._control

    def get_observation(self, sensor_data: Record) -> tuple[dict[str, np.ndarray], Record]:
        """Read the hero's state, and return the parts that `others.observations` names."""
        assert self._core is not None
        impulses = impulses_of(sensor_data, self._collisions)
        self.last_state = self.state
        self.state = read_state(self._core, impulses, self._control.steer, self.others["goal_distance"])
        route = self._core.sensor_interface.route
        observation = {
            name: sensor_data[CAMERA][1] if name == "image" else PARTS[name].read(self.state, route, sensor_data)
            for name in self.others["observations"]
        }
        self._info = {}
        return observation, self._info

    def get_done_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the goal is reached, or the episode has ended badly."""
        assert self.state is not None
        assert self.last_state is not None
        self.steps += 1
        self.distance += self.state.transform.location.distance(self.last_state.transform.location)
        self.idle_steps = self.idle_steps + 1 if self.state.speed < IDLE_SPEED else 0
        self.end = self._reason_to_end(self.state)
        self._info.update(
            distance=self.distance,
            speed=self.state.speed,
            off_road=self.state.off_road > 0.0,
            in_lane=self.state.opposite == 0.0 and self.state.off_road == 0.0,
            position=(self.state.transform.location.x, self.state.transform.location.y),
            town=core.map.name.rsplit("/", 1)[-1],
        )
        if self.end is not None:
            self._info["end"] = self.end
            self._info["is_success"] = self.end == "goal"
        return self.end is not None

    def _reason_to_end(self, state: DrivingState) -> str | None:
        if state.reached:
            return "goal"
        if state.impulses and self.others["end_on_collision"]:
            return "collision"
        limit = self.others["end_off_road"]
        if limit < 1.0 and state.off_road >= limit:
            return "off_road"
        if limit < 1.0 and state.opposite >= limit:
            return "opposite_lane"
        return "idle" if self.idle_steps > self.others["idle_limit"] else None

    def get_truncated_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the time is up."""
        if self.steps < self.others["time_limit"] or self.end is not None:
            return False
        self._info.update(end="time_limit", is_success=False)
        return True

    def compute_reward(self, observation: object, core: CarlaCore) -> dict[str, float]:
        """The step's reward in named parts."""
        assert self.state is not None
        assert self.last_state is not None
        return self._reward(self.last_state, self.state, self.end not in (None, "goal"))
