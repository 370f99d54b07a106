"""Several heroes in one world: one tick for all, and an experiment, sensors, metrics and a route for each."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

import carla
import gymnasium
import numpy as np

from rllib_integration.annotations import Reading, Record, Settings
from rllib_integration.base_experiment import BaseExperiment, override_experiment_config, resolve_experiment_config
from rllib_integration.carla_core import CarlaCore, push_hero, resolve_core_config
from rllib_integration.carla_env import seeded_apart, use_one_opencv_thread
from rllib_integration.config.merging import ConfigError, copy_settings, load_class, merge
from rllib_integration.dynamics import Dynamics
from rllib_integration.metrics import EpisodeMetrics
from rllib_integration.multi_agent.hero_view import HeroView
from rllib_integration.multi_agent.settings import experiments_of, life_name, name_of_life, resolve_agents
from rllib_integration.observation_check import Check, observation_guard
from rllib_integration.scenario import SpawnError, hero_transforms
from rllib_integration.scenarios.settings import resolve_scenarios
from rllib_integration.setup_check import check_setup
from rllib_integration.step_check import action_guard, check_control, read_reward
from rllib_integration.telemetry.replay import replays_beside
from rllib_integration.telemetry.reporter import Reporter
from rllib_integration.user_code import (
    COMPUTE_ACTION,
    COMPUTE_REWARD,
    GET_DONE,
    GET_OBSERVATION,
    GET_TRUNCATED,
    PLACE_HERO,
    PREPARE_WORLD,
    RESET,
    UserCode,
)

logger = logging.getLogger(__name__)

Rewards = dict[str, float]
ShareRewards = Callable[[Rewards, Mapping[str, HeroView]], Rewards]


class Step(NamedTuple):
    """The outcome of a decision of all agents; each dictionary is by agent.

    Attributes:
        observations: Of the agents that were active before this step, or are now.
        rewards: Of the agents that were active before.
        terminated: Whether the life has ended for good, as in a crash.
        truncated: Whether the life was cut off, as at a time limit.
        infos: As from `CarlaEnv.step`.
    """

    observations: Record
    rewards: Rewards
    terminated: dict[str, bool]
    truncated: dict[str, bool]
    infos: dict[str, Record]


@dataclass
class _Agent:
    """One agent over all of its lives."""

    name: str
    experiment: BaseExperiment
    check_action: Check
    check_observation: Check
    reporter: Reporter
    code: UserCode
    life: int = 0
    dynamics: Dynamics | None = None
    config: Record = field(default_factory=dict)  # of this episode


class SharedWorld:
    """One world with several agents, each with its own hero and its own experiment.

    An agent whose life ends leaves; the episode ends with the last agent. With `lives` above 1, an agent begins again
    elsewhere under another id: each life has its own.

    Args:
        config: `{"carla": {...}, "experiment": {...}, "agents": {...}}`; see `AGENTS_CONFIG`.

    Attributes:
        config: The configuration, complete.
        core: The simulator; started by the first `reset`.
        heroes: The views of the active agents, by id.
        possible_agents: Ids of all possible lives.
        observation_spaces: The spaces of observations, by id.
        action_spaces: The spaces of actions, by id.

    Raises:
        ConfigError: The configuration can't be used.
    """

    def __init__(self, config: Settings) -> None:
        sections = merge(
            {"carla": {}, "experiment": {}, "agents": {}},
            config,
            "env_config",
            free=("carla", "experiment", "agents"),
        )
        core_config = resolve_core_config(sections["carla"])
        settings = resolve_agents(sections["agents"])
        shared = resolve_experiment_config(sections["experiment"])
        runner = getattr(config, "worker_index", 0)
        self._agents = {
            name: _make_agent(name, own, core_config, runner) for name, own in experiments_of(settings, shared).items()
        }
        if shared["scenarios"] != resolve_scenarios(None):
            raise ConfigError(
                "env_config.experiment.scenarios has settings, but scenarios need a world with a single hero."
            )
        for agent in self._agents.values():
            check_setup(core_config, agent.experiment.config)
        self.config: Record = {"carla": core_config, "experiment": shared, "agents": settings}
        use_one_opencv_thread()
        self._settings = settings
        self._share = _load_function(settings["rewards"])
        lives = [life_name(name, life) for life in range(1, settings["lives"] + 1) for name in self._agents]
        self.possible_agents = lives
        spaces = {
            name: (agent.experiment.get_observation_space(), agent.experiment.get_action_space())
            for name, agent in self._agents.items()
        }
        self.observation_spaces = {life: spaces[name_of_life(life)][0] for life in lives}
        self.action_spaces = {life: spaces[name_of_life(life)][1] for life in lives}
        self.heroes: dict[str, HeroView] = {}
        self._core: CarlaCore | None = None
        self._rng = np.random.default_rng(seeded_apart(core_config, runner)["seed"])
        self._fresh: list[str] = []
        self._wrecks: list[tuple[float, HeroView]] = []
        self._last: Record = {}
        self._actions: Record = {}
        self._loss: Record | None = None
        self._steps = 0
        self._left_to_record = 0
        self._wish: tuple[Path, str, Record] | None = None  # how the next episode is to be recorded
        self._recording: tuple[Path, str, Record] | None = None  # how this one is
        self._step_seconds = core_config["timestep"] * core_config["ticks_per_step"]

    @property
    def core(self) -> CarlaCore:
        """The world, with its server; the first use starts them."""
        if self._core is None:
            self._core = CarlaCore(self.config["carla"])
        return self._core

    # Recording

    def record_next_episode(self, folder: str | os.PathLike[str], label: str, **facts: object) -> None:
        """Record the episode that the next `reset` begins, in a file for each agent's life.

        Each file shows the whole world for as long as that life lasts, and follows its hero. `carla-rllib view` plays
        it without any server.

        Args:
            folder: Where it is written when the life ends; is made.
            label: Its name for people; the agent is added.
            facts: What else is to be known of it, as JSON holds it.
        """
        self._wish = Path(folder), label, dict(facts)

    def begin_evaluation(self) -> None:
        """Record the next `carla.record_episodes` episodes, which begin an evaluation."""
        self._left_to_record = self.config["carla"]["record_episodes"]

    def _record(self, life: str) -> None:
        """Record the life that begins, if its episode is recorded."""
        if self._recording is not None:
            folder, label, facts = self._recording
            about = {"label": f"{label}, {life}", "agent": life, **facts}
            self._agents[name_of_life(life)].reporter.record_next(folder, about)

    # An episode begins

    def reset(self, seed: int | None = None, options: Settings | None = None) -> tuple[Record, dict[str, Record]]:
        """Begin an episode.

        Args:
            seed: Seeds this and all later episodes.
            options: Settings of the shared experiment for this episode alone, such as `{"town": "Town03"}`.

        Returns:
            Observations and further information, by agent.

        Raises:
            ConfigError: A town, blueprint, weather, sensor, spawn point or option does not exist.
            SpawnError: There are more agents than free spawn points.
            ServerGaveUpError: Several servers in a row failed.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        episode_seed = int(self._rng.integers(2**63))
        if self._last:
            self.core.end_episode()
        self._last = {}
        if self._left_to_record > 0:
            self._left_to_record -= 1
            self.record_next_episode(replays_beside(self.config["carla"]["live_folder"]), "Evaluation")
        self._recording, self._wish = self._wish, None
        while True:
            try:
                observations, infos = self._begin(episode_seed, options)
                break
            except RuntimeError as error:
                self._give_up_server(error)
        infos = self._own_infos(infos)
        servers = self.core.episode_began()
        for info in infos.values():
            info |= servers
        return observations, infos

    def _begin(self, seed: int, options: Settings | None) -> tuple[Record, dict[str, Record]]:
        core = self.core
        self.heroes.clear()
        self._wrecks, self._fresh, self._steps = [], [], 0
        shared = _with_options(self.config["experiment"], options)
        activity = shared["background_activity"]
        core.setup_experiment({**shared, "background_activity": {**activity, "n_vehicles": 0, "n_walkers": 0}}, seed)
        streams = np.random.SeedSequence(seed).spawn(len(self._agents) + 1)
        for agent, stream in zip(self._agents.values(), streams):
            agent.life = 1
            agent.code.begin_episode()
            agent.config = copy_settings(_with_options(agent.experiment.config, options))
            self.heroes[agent.name] = HeroView(core, agent.name, self.heroes, np.random.default_rng(stream))
        poses = self._draw_starts()
        traffic_seed = activity["seed"]
        if traffic_seed is None:
            traffic_seed = int(np.random.default_rng(streams[-1]).integers(2**31))
        first = [(starts[0].location.x, starts[0].location.y) for starts in poses.values()]
        core.spawn_background_activity(activity, traffic_seed, first)
        for name, view in self.heroes.items():
            agent = self._agents[name]
            with agent.code.within(PREPARE_WORLD):
                agent.experiment.prepare_world(_as_core(view), agent.config)
        sensors = [agent.config["hero"]["sensors"] for agent in self._agents.values()]
        core.choose_rendering(sensors)
        core.prepare_sensors(sensors)
        core.sensor_interface.ticks_per_step = core.config["ticks_per_step"]
        for name, view in self.heroes.items():
            self._bring(self._agents[name], view, poses[name])
        core.tick_world()  # makes the heroes' poses known to the client
        for name, view in self.heroes.items():
            self._equip(self._agents[name], view)
            self._place(self._agents[name], view)
            core.tick_world()  # makes the hero's place known to the next one
        core.start_heroes([(view.hero, *view.start) for view in self.heroes.values() if view.start is not None])
        core.tick_world()
        for name, view in self.heroes.items():
            self._set_out(self._agents[name], view)
        return self._observe(core.tick(None), list(self.heroes))

    def _draw_starts(self) -> dict[str, list[carla.Transform]]:
        """Starts of each agent in order of preference; the preferred ones differ between agents."""
        poses: dict[str, list[carla.Transform]] = {}
        taken: list[carla.Location] = []
        for name, view in self.heroes.items():
            agent = self._agents[name]
            candidates = hero_transforms(agent.config["hero"]["spawn_points"], self.core.map, view.rng)
            free = [pose for pose in candidates if all(pose.location.distance(place) > 1.0 for place in taken)]
            poses[name] = free or candidates
            taken.append(poses[name][0].location)
        return poses

    def _bring(self, agent: _Agent, view: HeroView, poses: list[carla.Transform]) -> None:
        """Spawn an agent's hero at the first free pose."""
        view.hero = cast(
            carla.Vehicle, self.core.spawn_further_hero(agent.config["hero"]["blueprint"], poses, view.rng)
        )

    def _equip(self, agent: _Agent, view: HeroView) -> None:
        """Give a hero its sensors, metrics and physics; the client has to know its pose."""
        core = self.core
        core.spawn_sensors(agent.config["hero"]["sensors"], view.sensor_interface, view.hero)
        view.metrics = core.connection.call(EpisodeMetrics, view.hero, core.map, view.sensor_interface)
        agent.dynamics = Dynamics(
            agent.config["dynamics_randomisation"], int(view.rng.integers(2**63)), self._step_seconds
        )
        if agent.dynamics.changes_car and isinstance(view.hero, carla.Vehicle):
            physics = core.connection.ask(view.hero.get_physics_control)
            core.connection.call(view.hero.apply_physics_control, agent.dynamics.change(physics))

    def _place(self, agent: _Agent, view: HeroView) -> None:
        with agent.code.within(PLACE_HERO):
            agent.experiment.place_hero(_as_core(view))

    def _set_out(self, agent: _Agent, view: HeroView) -> None:
        """Give a hero that has its place a route, and have its experiment forget the last life."""
        view.set_route(agent.config["route"])
        with agent.code.within(RESET):
            agent.experiment.reset()

    def _observe(self, data: Mapping[str, Reading], agents: list[str]) -> tuple[Record, dict[str, Record]]:
        """Observations and further information of some lives."""
        observations: Record = {}
        infos: dict[str, Record] = {}
        for life in agents:
            view, agent = self.heroes[life], self._agents[name_of_life(life)]
            readings = view.sensor_interface.take(data)
            assert view.metrics is not None
            view.metrics.update()
            with agent.code.within(GET_OBSERVATION):
                observation, info = agent.experiment.get_observation(readings)
            agent.check_observation(observation)
            observations[life], infos[life] = observation, info
            if life not in self._last:
                self._record(life)
                agent.reporter.begin_episode(_as_core(view), observation, readings)
            view.readings = readings
        self._last |= observations
        return observations, infos

    def _own_infos(self, infos: Mapping[str, Record]) -> dict[str, Record]:
        """Copies of the experiments' `info`, with the dynamics of each hero.

        Call it at a step's end: experiments add to their `info` until then.
        """
        copies = {life: dict(info) for life, info in infos.items()}
        for life, info in copies.items():
            dynamics = self._agents[name_of_life(life)].dynamics
            if dynamics is not None and dynamics.told:
                info["dynamics"] = dynamics.told
        return copies

    # A decision

    def begin_step(self, actions: Mapping[str, object]) -> None:
        """Begin a decision of all agents, and return while the simulator runs; `finish_step` has to follow.

        Args:
            actions: An action for each agent that has had an observation.

        Raises:
            gymnasium.error.ResetNeeded: No episode has begun, or it has ended.
            gymnasium.error.InvalidAction: An action is missing, outside its space, or of an unknown agent.
        """
        deciding = [life for life in self.heroes if life not in self._fresh]
        if not self.heroes:
            raise gymnasium.error.ResetNeeded("Call reset() before step(): no episode has begun, or it has ended.")
        if actions.keys() != set(deciding):
            raise gymnasium.error.InvalidAction(
                f"There are actions for {sorted(actions)}, but {sorted(deciding)} have to act."
            )
        self._loss = None
        self._actions = dict(actions)
        self._steps += 1
        try:
            for life in deciding:
                agent, view = self._agents[name_of_life(life)], self.heroes[life]
                agent.check_action(actions[life])
                agent.code.begin_step(self._steps)
                with agent.code.within(COMPUTE_ACTION):
                    control = agent.experiment.compute_action(actions[life])
                check_control(control, agent.experiment, view.hero)
                if agent.dynamics is not None and isinstance(control, carla.VehicleControl):
                    control = agent.dynamics.act(control)
                view.apply_hero_control(control)
            self.core.begin_tick(None, self.core.config["ticks_per_step"])
        except RuntimeError as error:
            self._loss = self._give_up_server(error)

    def finish_step(self) -> Step:
        """Wait for the simulator; returns the outcome of the decisions."""
        if self._loss is None:
            try:
                return self._advance()
            except RuntimeError as error:
                self._loss = self._give_up_server(error)
        lost = [life for life in self.heroes if life not in self._fresh]
        step = Step(
            {life: self._last[life] for life in lost},
            dict.fromkeys(lost, 0.0),
            dict.fromkeys(lost, False),
            dict.fromkeys(lost, True),
            {life: dict(self._loss) for life in lost},
        )
        for life in lost:
            self._report(life, step)
        self.heroes.clear()
        return step

    def _advance(self) -> Step:
        core = self.core
        data = core.finish_tick()
        fresh, self._fresh = self._fresh, []
        deciding = [life for life in self.heroes if life not in fresh]
        for life in fresh:
            self._set_out(self._agents[name_of_life(life)], self.heroes[life])
        observations, infos = self._observe(data, deciding)
        step = Step(observations, {}, {}, {}, dict(infos))
        for life in deciding:
            self._judge(life, step)
        if self._share is not None:
            self._share_rewards(step)
        ended = [life for life in deciding if step.terminated[life] or step.truncated[life]]
        for life in deciding:
            self._report(life, step)
        for life in ended:
            self._end(life, step.infos[life])
        self._clear_wrecks()
        if len(ended) == len(deciding):  # the episode, too: for RLlib it ends with the last that has decided in it
            for life in fresh:
                self._remove(life)
            return step
        for life in ended:
            self._begin_next_life(life)
        began, more = self._observe(data, fresh) if fresh else ({}, {})
        return step._replace(observations=observations | began, infos=step.infos | self._own_infos(more))

    def _judge(self, life: str, step: Step) -> None:
        agent, view = self._agents[name_of_life(life)], self.heroes[life]
        experiment, core, observation = agent.experiment, _as_core(view), step.observations[life]
        with agent.code.within(GET_DONE):
            step.terminated[life] = bool(experiment.get_done_status(observation, core))
        with agent.code.within(GET_TRUNCATED):
            step.truncated[life] = bool(experiment.get_truncated_status(observation, core))
        with agent.code.within(COMPUTE_REWARD):
            rewards = experiment.compute_reward(observation, core)
        reward, parts = read_reward(rewards, experiment)
        step.rewards[life] = reward
        step.infos.update(self._own_infos({life: step.infos[life]}))
        if parts is not None:
            step.infos[life]["reward_parts"] = parts

    def _share_rewards(self, step: Step) -> None:
        assert self._share is not None
        shared = self._share(dict(step.rewards), self.heroes)
        if not isinstance(shared, Mapping) or shared.keys() != step.rewards.keys():
            raise ConfigError(
                f"{self._settings['rewards']} returned {shared!r}, but it has to return a reward for each of "
                f"{sorted(step.rewards)}."
            )
        for life, reward in shared.items():
            step.rewards[life], _ = read_reward(reward, self._share)

    def _report(self, life: str, step: Step) -> None:
        """Send an agent's decision to viewers."""
        info, view = step.infos[life], self.heroes[life]
        ended = "terminated" if step.terminated[life] else "truncated" if step.truncated[life] else None
        end = ended and str(info.get("end") or ended)
        decision = (self._actions[life], step.observations[life], step.rewards[life], end, info, view.readings)
        self._agents[name_of_life(life)].reporter.note_step(_as_core(view), *decision)

    def _end(self, life: str, info: Record) -> None:
        """Remove an agent whose life has ended."""
        metrics = self.heroes[life].metrics
        assert metrics is not None
        info["episode_metrics"] = metrics.summary(str(info.get("end", "")))
        self._remove(life)

    def _remove(self, life: str) -> None:
        """Take a hero out of the world, or leave its body there for a while."""
        view = self.heroes.pop(life)
        self.core.connection.call(view.sensor_interface.destroy)
        if self._settings["ended"] == "stop" and self.heroes:
            if isinstance(view.hero, carla.Vehicle):
                view.hero.apply_control(carla.VehicleControl(brake=1.0, hand_brake=True))
            self._wrecks.append((self._settings["stop_seconds"], view))
        else:
            self.core.remove(view.hero)

    def _clear_wrecks(self) -> None:
        """Remove stopped heroes whose time is up."""
        wrecks, self._wrecks = self._wrecks, []
        for seconds, view in wrecks:
            if seconds > self._step_seconds:
                self._wrecks.append((seconds - self._step_seconds, view))
            else:
                self.core.remove(view.hero)

    def _begin_next_life(self, life: str) -> None:
        """Begin an agent's next life, if it has one and there is room; its first observation is in the next step."""
        agent = self._agents[name_of_life(life)]
        if agent.life >= self._settings["lives"]:
            return
        agent.life += 1
        name = life_name(agent.name, agent.life)
        view = HeroView(self.core, name, self.heroes, np.random.default_rng(self._rng.integers(2**63)))
        poses = hero_transforms(agent.config["hero"]["spawn_points"], self.core.map, view.rng)
        try:
            self._bring(agent, view, poses)
        except SpawnError as error:
            logger.info("%s does not begin again: %s", agent.name, error)
            return
        self.heroes[name] = view
        self._fresh.append(name)
        self._equip(agent, view)
        self._place(agent, view)
        if view.start is not None:
            push_hero(view.hero, *view.start)

    def _give_up_server(self, error: RuntimeError) -> Record:
        """`CarlaCore.give_up_server`; raises the error again if there is no core."""
        if self._core is None:
            raise error
        return self._core.give_up_server(error)

    def close(self) -> None:
        """End the server, if it was started here, and release everything else. Twice is fine."""
        self.heroes.clear()
        for agent in self._agents.values():
            agent.reporter.close()
            agent.code.close()
        core, self._core = self._core, None
        if core is not None:
            core.close()


def _make_agent(name: str, config: Settings, core_config: Settings, runner: int) -> _Agent:
    if "type" not in config:
        raise ConfigError(
            f"The experiment of {name} is missing: name its class, as env_config.experiment.type or "
            f"env_config.agents.heroes.{name}.type."
        )
    experiment: BaseExperiment = load_class(config["type"], BaseExperiment, "env_config.experiment.type")(config)
    observations, actions = experiment.get_observation_space(), experiment.get_action_space()
    live, step_seconds = core_config["live_folder"], core_config["timestep"] * core_config["ticks_per_step"]
    folder = Path(live) if live else None
    return _Agent(
        name,
        experiment,
        action_guard(actions),
        observation_guard(observations),
        Reporter(folder, runner, step_seconds, observations, name),
        UserCode(experiment, folder),
    )


def _load_function(reference: str | None) -> ShareRewards | None:
    """The function that `agents.rewards` names."""
    if reference is None:
        return None
    module, _, name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"env_config.agents.rewards: '{reference}' can't be imported: {error}.") from error
    if not callable(function):
        raise ConfigError(f"env_config.agents.rewards: '{reference}' is no function.")
    return cast(ShareRewards, function)


def _with_options(config: Record, options: Settings | None) -> Record:
    return override_experiment_config(config, options) if options else config


def _as_core(view: HeroView) -> CarlaCore:
    """A view, typed as the `core` that experiments expect."""
    return cast(CarlaCore, view)
