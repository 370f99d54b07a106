"""Walking to a goal across a road with traffic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import carla
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rllib_integration.annotations import Record, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import Rule, merge, positive
from rllib_integration.scenario import read_location

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

OTHERS: Record = {
    "goal": "0,0,0",  # x, y, z [m]
    "goal_distance": 1.5,  # [m] within which the goal counts as reached
    "fastest": 2.0,  # [m/s]
    "others_seen": 4,  # number of observed vehicles, the nearest ones
    "time_limit": 200,  # decisions before the episode is cut off
}
_WHERE = "env_config.experiment.others"
_RULES = {
    "goal": Rule(str, expected="a place as 'x,y,z' in m"),
    "goal_distance": positive("a distance above 0 in m", float),
    "fastest": positive("a speed above 0 in m/s", float),
    "others_seen": positive("a whole number of vehicles, 1 or more", int),
    "time_limit": positive("a whole number of decisions, 1 or more", int),
}
DIRECTIONS = 8
SIGHT = 30.0  # [m] within which vehicles are observed
_FAST = 10.0  # [m/s] of a vehicle, observed as 1
_COLLISION, _GOAL = -10.0, 10.0  # rewards equal to ten metres of progress


class Walking(BaseExperiment):
    """Walks to `others.goal`; `OTHERS` lists the settings.

    Action 0 stands. Actions 1 to 8 walk towards the goal, or in a direction turned from it by multiples of 45 degrees.
    The observation is float32 (1 + 4 n): the distance to the goal, and position and velocity of each of the n nearest
    vehicles, in a frame whose first axis points to the goal.
    """

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        self.others = merge(OTHERS, self.config["others"], _WHERE, rules=_RULES)
        self.config["others"] = self.others
        self.goal = read_location(self.others["goal"], f"{_WHERE}.goal")
        self._core: CarlaCore | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self.steps = 0
        self.collided = False
        self.distance: float | None = None  # to the goal [m]
        self.progress = 0.0  # towards the goal in the last decision [m]
        self._bearing = 0.0
        self.info: Record = {}

    def place_hero(self, core: CarlaCore) -> None:
        """Keep the world for later."""
        self._core = core

    def get_action_space(self) -> spaces.Discrete:
        """Standing, and eight directions."""
        return spaces.Discrete(1 + DIRECTIONS)

    def get_observation_space(self) -> spaces.Box:
        """As described for the class."""
        return spaces.Box(-np.inf, np.inf, (1 + 4 * self.others["others_seen"],), np.float32)

    def compute_action(self, action: int) -> carla.WalkerControl:  # type: ignore[override]
        """The walker's control of an action."""
        yaw = self._bearing + 2.0 * math.pi * (int(action) - 1) / DIRECTIONS
        speed = self.others["fastest"] if action else 0.0
        return carla.WalkerControl(carla.Vector3D(math.cos(yaw), math.sin(yaw), 0.0), speed, False)

    def get_observation(self, sensor_data: Record) -> tuple[NDArray[np.float32], Record]:
        """The goal's distance, and the nearest vehicles."""
        assert self._core is not None
        sensors = self.config["hero"]["sensors"]
        self.collided = any(sensors[name]["type"] == "sensor.other.collision" for name in sensor_data)
        place = self._core.hero.get_location()
        x, y = self.goal.x - place.x, self.goal.y - place.y
        distance = math.hypot(x, y)
        self.progress = 0.0 if self.distance is None else self.distance - distance
        self.distance, self._bearing = distance, math.atan2(y, x)
        seen = np.zeros((self.others["others_seen"], 4), np.float32)
        seen[:, 0] = 1.0  # no vehicle within sight
        for row, entry in zip(seen, self._nearest(place)):
            row[:] = entry
        self.info = {"position": (place.x, place.y), "distance_to_goal": distance}
        return np.concatenate([[distance / SIGHT], seen.ravel()]).astype(np.float32), self.info

    def _nearest(self, place: carla.Location) -> list[tuple[float, float, float, float]]:
        """Scaled positions and velocities of the vehicles within sight, the nearest first."""
        assert self._core is not None
        c, s = math.cos(self._bearing), math.sin(self._bearing)
        found = []
        for vehicle in self._core.find_actors("vehicle.*"):
            there, velocity = vehicle.get_location(), vehicle.get_velocity()
            x, y = (there.x - place.x) / SIGHT, (there.y - place.y) / SIGHT
            vx, vy = velocity.x / _FAST, velocity.y / _FAST
            if math.hypot(x, y) < 1.0:
                found.append((x * c + y * s, y * c - x * s, vx * c + vy * s, vy * c - vx * s))
        return sorted(found, key=lambda entry: math.hypot(*entry[:2]))[: self.others["others_seen"]]

    def get_done_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the walker has been hit or has reached the goal."""
        self.steps += 1
        is_reached = self.distance is not None and self.distance < self.others["goal_distance"]
        if self.collided or is_reached:
            self.info["end"] = "collision" if self.collided else "goal"
        return self.collided or is_reached

    def get_truncated_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the time is up; the last state still has a value."""
        is_over = self.steps >= self.others["time_limit"]
        if is_over:
            self.info.setdefault("end", "time_limit")
        return is_over

    def compute_reward(self, observation: object, core: CarlaCore) -> dict[str, float]:
        """Metres of progress to the goal, and the reward of the end."""
        end = _COLLISION if self.collided else _GOAL if self.info.get("end") == "goal" else 0.0
        return {"progress": self.progress, "end": end}
