"""Drives a trained policy in CARLA's own Leaderboard evaluator, which takes `AGENT_FILE` as its agent.

The evaluator owns the world, its clock and the hero. The policy is privileged: its bird view and its metrics are
computed from the state of the world, as the evaluator's client has it.

Interface: CARLA Leaderboard, https://leaderboard.carla.org/get_started_v2_0/#creating-your-own-autonomous-agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import carla
import numpy as np
import yaml

from rllib_integration.annotations import Reading, Record, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import ConfigError, load_class, merge
from rllib_integration.config_file import load_config
from rllib_integration.driving.policies import find_policy, load_policy
from rllib_integration.metrics import EpisodeMetrics
from rllib_integration.roads.routes import Route
from rllib_integration.scenario import town_name
from rllib_integration.sensors import SensorFactory, SensorInterface
from rllib_integration.sensors.base_sensor import EventSensor, PseudoSensor

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

AGENT_FILE = Path(__file__).parents[1] / "evaluator_agent" / "policy_agent.py"
"""The agent file for the evaluator's option `--agent`."""

_SETTINGS: Record = {"configuration": "", "policy": "", "overrides": []}
_GIVEN_START = "0,0,0"  # a place of any kind: it tells experiments that they don't choose where the hero starts


class EvaluatorsWorld:
    """The `core` of an experiment in a world that another program ticks.

    Args:
        world: The world, as the other program's client knows it.
        hero: The vehicle to drive.
        config: The experiment's settings, complete.
        decision_ticks: Ticks from one decision to the next.

    Attributes:
        world: As above.
        map: The town.
        town: Its plain name.
        hero: As above.
        sensor_interface: The hero's sensors, and its route.
        metrics: The hero's infractions, distance and speed.
        rng: Random numbers for the experiment.
        others: Empty; the evaluator has one hero.
    """

    def __init__(self, world: carla.World, hero: carla.Vehicle, config: Settings, decision_ticks: int) -> None:
        self.world, self.hero = world, hero
        self.map = world.get_map()
        self.town = town_name(self.map.name)
        self.rng = np.random.default_rng(0)
        self.others: Mapping[str, object] = {}
        self.sensor_interface = SensorInterface()
        self.sensor_interface.map = self.map
        self.sensor_interface.ticks_per_step = decision_ticks
        for name, attributes in config["hero"]["sensors"].items():
            SensorFactory.prepare(attributes, self.map)
            SensorFactory.spawn(name, attributes, self.sensor_interface, hero)
        EpisodeMetrics.prepare(self.map)
        self.metrics = EpisodeMetrics(hero, self.map, self.sensor_interface)

    def find_actors(self, pattern: str) -> list[carla.Actor]:
        """The world's actors whose type matches a pattern, as `CarlaCore.find_actors` gives them."""
        return list(cast("Iterable[carla.Actor]", self.world.get_actors().filter(pattern)))

    def start_hero(self, pose: carla.Transform, speed: float) -> None:
        """Do nothing: the evaluator has placed the hero."""

    def observe(self) -> dict[str, Reading]:
        """Read the sensors of the newest frame, and bring the metrics up to date."""
        data = self.sensor_interface.get_data(self.world.get_snapshot().frame)
        self.metrics.update()
        return data

    def close(self) -> None:
        """Destroy the sensors. Twice is fine."""
        self.sensor_interface.destroy()


class LeaderboardDriver:
    """Drives one hero after another with a trained policy.

    Args:
        file: YAML with `configuration`, `policy` (a checkpoint or a run's folder), and `overrides` as of `--set`.

    Raises:
        ConfigError: The file, the configuration or the policy can't be used. Or the policy needs a sensor, such as a
            camera, that can't be computed from the world's state.
    """

    def __init__(self, file: str | Path) -> None:
        path = Path(file).expanduser()
        if not path.is_file():
            raise ConfigError(f"There is no agent's configuration {path}; `carla-rllib leaderboard` writes one.")
        settings = merge(_SETTINGS, yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
        env_config = load_config(settings["configuration"], settings["overrides"])["env_config"]
        config = env_config["experiment"]
        self.experiment: BaseExperiment = load_class(config["type"], BaseExperiment, "env_config.experiment.type")(
            {**config, "hero": {**config["hero"], "spawn_points": [_GIVEN_START]}}
        )
        for name, attributes in self.experiment.config["hero"]["sensors"].items():
            if not issubclass(SensorFactory.sensor_class(attributes["type"]), (PseudoSensor, EventSensor)):
                raise ConfigError(
                    f"The policy's sensor '{name}' ({attributes['type']}) is no part of the world's state: the agent "
                    "for the Leaderboard drives policies with a bird view and sensors of events."
                )
        self.policy = load_policy(find_policy(settings["policy"]).path, "cpu")
        core = env_config.get("carla") or {}
        self.decision_seconds = float(core.get("timestep", 0.05)) * int(core.get("ticks_per_step", 1))
        self._plan: Route | None = None
        self._core: EvaluatorsWorld | None = None
        self._control = carla.VehicleControl()
        self._due = 0.0

    def set_plan(self, plan: Sequence[tuple[carla.Transform, Any]]) -> None:
        """Set the route to drive: poses about a metre apart, each with a road option."""
        rows = [(pose.location.x, pose.location.y, pose.location.z, np.radians(pose.rotation.yaw)) for pose, _ in plan]
        options = [int(getattr(option, "value", option)) for _, option in plan]
        self._plan = Route(np.array(rows, np.float64), np.array(options, np.int8))

    def act(self, world: carla.World, hero: carla.Vehicle, seconds: float) -> carla.VehicleControl:
        """The control for the next tick; the policy decides anew when `decision_seconds` have passed.

        Args:
            world: As the evaluator's client knows it.
            hero: The vehicle to drive.
            seconds: Simulated, of the newest frame.
        """
        if self._core is None or self._core.hero.id != hero.id:
            self._begin(world, hero, seconds)
        if seconds >= self._due - 1e-3:
            self._decide()
            self._due += self.decision_seconds
        return self._control

    def _begin(self, world: carla.World, hero: carla.Vehicle, seconds: float) -> None:
        self.close()
        tick = world.get_settings().fixed_delta_seconds or 0.05
        config = self.experiment.config
        self._core = EvaluatorsWorld(world, hero, config, max(1, round(self.decision_seconds / tick)))
        self._core.sensor_interface.route = self._plan
        core = cast("CarlaCore", self._core)
        self.experiment.prepare_world(core, config)
        self.experiment.place_hero(core)
        self.experiment.reset()
        self._due, self._has_decided = seconds, False

    def _decide(self) -> None:
        assert self._core is not None
        core = cast("CarlaCore", self._core)
        observation, _ = self.experiment.get_observation(self._core.observe())
        if self._has_decided:
            self.experiment.get_done_status(observation, core)  # experiments count steps and distance in it
        action, _ = self.policy.act(observation)
        self._control = self.experiment.compute_action(action)
        self._has_decided = True

    def close(self) -> None:
        """Destroy the hero's sensors. Twice is fine."""
        core, self._core = self._core, None
        if core is not None:
            core.close()
