"""Driving to a pose: a task with goals, for hindsight replay."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import carla
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rl_example.actions import CONVERTERS, FASTEST, to_control
from rl_example.state import in_frame
from rllib_integration.annotations import Observation, Record, Rewards, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import Rule, merge, one_of, positive

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

OTHERS: Record = {
    "actions": "pedal_steer",  # as in driving.py
    "reward": "step_cost",  # "step_cost": -1 a step, 0 at the goal; "sparse": 0 a step, 1 at the goal
    "nearest": 8.0,  # [m] along the lanes from start to goal
    "farthest": 25.0,  # [m]
    "position_tolerance": 2.0,  # [m] within which a goal counts as reached
    "heading_tolerance": 45.0,  # [degrees]
    "start_speed": 3.0,  # [m/s] greatest speed at the start
    "fastest": FASTEST,  # [km/h] speed above which the throttle is ignored
    "time_limit": 50,  # decisions before an episode is cut off
}
_ABOVE_ZERO = positive("a number above 0", float)
_RULES = {
    "actions": one_of(*CONVERTERS),
    "reward": one_of("step_cost", "sparse"),
    "nearest": _ABOVE_ZERO,
    "farthest": _ABOVE_ZERO,
    "position_tolerance": _ABOVE_ZERO,
    "heading_tolerance": _ABOVE_ZERO,
    "start_speed": Rule(float, accepts=lambda speed: speed >= 0.0, expected="a speed of 0 or more in m/s"),
    "fastest": _ABOVE_ZERO,
    "time_limit": positive("a whole number of decisions, 1 or more", int),
}
FAST = 10.0  # [m/s] observed as 1


class ReachPose(BaseExperiment):
    """Drives to a pose on a lane some metres ahead, within the tolerances.

    Goals are poses, float32 (4,): x and y [m], cosine and sine of the yaw, in the frame of the episode's start (x
    forward, y to the right).
    """

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        self.others = merge(OTHERS, self.config["others"], "env_config.experiment.others", rules=_RULES)
        self.config["others"] = self.others
        self._converter = CONVERTERS[self.others["actions"]]
        self._core: CarlaCore | None = None
        self._start = carla.Transform()
        self._goal = np.zeros(4, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self.steps = 0
        self._control = carla.VehicleControl()
        self._info: Record = {}

    def place_hero(self, core: CarlaCore) -> None:
        """Draw the goal, and give the hero its speed."""
        self._core = core
        self._start = core.hero.get_transform()
        waypoint = core.map.get_waypoint(self._start.location)
        distance = float(core.rng.uniform(self.others["nearest"], self.others["farthest"]))
        ahead = waypoint.next(distance)
        goal = ahead[int(core.rng.integers(len(ahead)))].transform if ahead else waypoint.transform
        self._goal = self._in_start_frame(goal)
        core.start_hero(self._start, float(core.rng.uniform(0.0, self.others["start_speed"])))

    def _in_start_frame(self, pose: carla.Transform) -> NDArray[np.float32]:
        """A pose in the world as a goal, float32 (4,)."""
        origin = self._start.location
        x, y = in_frame(self._start.rotation.yaw, pose.location.x - origin.x, pose.location.y - origin.y)
        turn = math.radians(pose.rotation.yaw - self._start.rotation.yaw)
        return np.array([x, y, math.cos(turn), math.sin(turn)], np.float32)

    def get_action_space(self) -> spaces.Space:
        """As `others.actions` says."""
        return self._converter.space

    def get_observation_space(self) -> spaces.Dict:
        """`observation`: forward speed and steering, about -1..1; `achieved_goal` and `desired_goal`: poses."""
        goal = spaces.Box(-1000.0, 1000.0, (4,), np.float32)
        own = spaces.Box(-10.0, 10.0, (2,), np.float32)
        return spaces.Dict({"observation": own, "achieved_goal": goal, "desired_goal": goal})

    def compute_action(self, action: object) -> carla.VehicleControl:
        """The control of an action."""
        assert self._core is not None
        speed = 3.6 * self._core.hero.get_velocity().length()
        self._control = to_control(self._converter, action, speed, self.others["fastest"])
        return self._control

    def get_observation(self, sensor_data: Record) -> tuple[dict[str, NDArray[np.float32]], Record]:
        """The hero's motion, its pose and the goal."""
        assert self._core is not None
        hero = self._core.hero
        pose = hero.get_transform()
        self._speed = hero.get_velocity().dot(pose.get_forward_vector())
        self._achieved = self._in_start_frame(pose)
        self._info = {"position": (pose.location.x, pose.location.y), "speed": 3.6 * self._speed}
        own = np.array([self._speed / FAST, self._control.steer], np.float32)
        observation = {"observation": own, "achieved_goal": self._achieved, "desired_goal": self._goal.copy()}
        return observation, self._info

    def is_reached(self, achieved: Observation, desired: Observation) -> NDArray[np.bool_]:
        """Whether achieved poses are within the tolerances of desired ones, bool (...) for poses (..., 4)."""
        away = np.hypot(achieved[..., 0] - desired[..., 0], achieved[..., 1] - desired[..., 1])
        aligned = achieved[..., 2] * desired[..., 2] + achieved[..., 3] * desired[..., 3]
        tolerance = math.cos(math.radians(min(self.others["heading_tolerance"], 180.0)))
        return (away < self.others["position_tolerance"]) & (aligned >= tolerance)

    def goal_reward(self, achieved: object, desired: object) -> Rewards:
        """The reward of achieved poses for desired ones, float32 (...) for poses (..., 4)."""
        reached = self.is_reached(np.asarray(achieved), np.asarray(desired)).astype(np.float32)
        return reached if self.others["reward"] == "sparse" else reached - np.float32(1.0)

    def get_done_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the goal is reached; any other end would save the cost of further steps."""
        self.steps += 1
        reached = bool(self.is_reached(self._achieved, self._goal))
        self._reached = reached
        self._info.update(
            town=core.map.name.rsplit("/", 1)[-1],
            goal_distance=float(np.hypot(*(self._achieved[:2] - self._goal[:2]))),
        )
        if reached:
            self._info.update(end="goal", is_success=True)
        return reached

    def get_truncated_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the time is up."""
        if self.steps < self.others["time_limit"] or self._reached:
            return False
        self._info.update(end="time_limit", is_success=False)
        return True

    def compute_reward(self, observation: object, core: CarlaCore) -> float:
        """`goal_reward` of the hero's pose."""
        return float(self.goal_reward(self._achieved, self._goal))
