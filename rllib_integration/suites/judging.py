"""A policy's own experiment under a suite's rules: its observations and actions, but the suite's starts and ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rllib_integration.annotations import Observation, Record, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import load_class
from rllib_integration.suites.definitions import Rules

if TYPE_CHECKING:
    import carla
    import gymnasium

    from rllib_integration.carla_core import CarlaCore

STANDING = 0.1  # [m/s] below which the hero counts as standing


class JudgedExperiment(BaseExperiment):
    """Another experiment, whose episodes end by the rules of a suite.

    Args:
        config: Configuration of the other experiment, with its `type` and `others` under `others.experiment`.

    Attributes:
        inner: The other experiment.
        rules: Rules of the next episode; set them before `reset`.
    """

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        inner = self.config["others"]["experiment"]
        kind = load_class(inner["type"], BaseExperiment, "env_config.experiment.type")
        plain = {name: value for name, value in self.config.items() if name not in ("type", "others")}
        self.inner: BaseExperiment = kind({**plain, "others": inner["others"]})
        self.config["hero"] = self.inner.config["hero"]  # with the sensors that the inner one has added
        self.rules = Rules(0.0, 0.0)
        self._seconds = self._stood = 0.0
        self._end: str | None = None
        self._info: Record = {}  # of the present step

    def reset(self) -> None:
        """Forget the last episode."""
        self._seconds = self._stood = 0.0
        self._end = None
        self.inner.reset()

    def prepare_world(self, core: CarlaCore, config: Record) -> None:
        """Do nothing: the suite determines the world."""

    def place_hero(self, core: CarlaCore) -> None:
        """Pass the world to the inner experiment, and move the hero back to the suite's start."""
        start = core.hero.get_transform()
        self.inner.place_hero(core)
        core.start_hero(start, 0.0)

    def get_action_space(self) -> gymnasium.Space:
        """Same as the inner experiment's."""
        return self.inner.get_action_space()

    def get_observation_space(self) -> gymnasium.Space:
        """Same as the inner experiment's."""
        return self.inner.get_observation_space()

    def get_actions(self) -> object:
        """Same as the inner experiment's."""
        return self.inner.get_actions()

    def compute_action(self, action: object) -> carla.VehicleControl:
        """Same as the inner experiment's."""
        return self.inner.compute_action(action)

    def get_observation(self, sensor_data: Record) -> tuple[Observation, Record]:
        """Same as the inner experiment's."""
        observation, self._info = self.inner.get_observation(sensor_data)
        return observation, self._info

    def get_done_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the suite's rules end the episode; the inner experiment keeps its state up to date."""
        self.inner.get_done_status(observation, core)
        self.inner.get_truncated_status(observation, core)
        self.inner.compute_reward(observation, core)
        elapsed = core.config["timestep"] * core.config["ticks_per_step"]
        self._seconds += elapsed
        velocity = core.hero.get_velocity()
        self._stood = self._stood + elapsed if math.hypot(velocity.x, velocity.y) < STANDING else 0.0
        self._end = self._reason_to_end(core)
        if self._end is not None:
            self._info["end"] = self._end  # what recordings and viewers say of it
        return self._end is not None

    def _reason_to_end(self, core: CarlaCore) -> str | None:
        route, metrics, rules = core.sensor_interface.route, core.metrics, self.rules
        assert route is not None
        assert metrics is not None
        place, goal = core.hero.get_location(), route.goal
        near = math.hypot(goal.x - place.x, goal.y - place.y) < rules.goal_distance
        if near and route.length - route.travelled < 5.0 * rules.goal_distance:
            return "goal"
        if rules.goal_distance == 0.0 and route.finished:
            return "goal"
        if rules.collision_fails and any(count for name, count in metrics.counts.items() if name.startswith("coll")):
            return "collision"
        if self._seconds >= rules.seconds(route.length):
            return "timeout"
        if 0.0 < rules.blocked_seconds <= self._stood:
            return "blocked"
        return "left_route" if 0.0 < rules.farthest_off < route.deviation else None

    def get_truncated_status(self, observation: object, core: CarlaCore) -> bool:
        """Never: all ends follow from the rules."""
        return False

    def compute_reward(self, observation: object, core: CarlaCore) -> float:
        """1 at the goal, else 0."""
        return float(self._end == "goal")

    @property
    def end(self) -> str | None:
        """The reason of the episode's end: goal, collision, timeout, blocked or left_route."""
        return self._end
