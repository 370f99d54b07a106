"""An experiment in a CARLA world as a Gymnasium environment."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import carla
import cv2
import gymnasium
import numpy as np

from rllib_integration.annotations import Action, Observation, Record, Rewards, Settings
from rllib_integration.base_experiment import BaseExperiment, override_experiment_config, resolve_experiment_config
from rllib_integration.carla_core import CarlaCore, resolve_core_config
from rllib_integration.config.merging import ConfigError, copy_settings, load_class, merge
from rllib_integration.dynamics import Dynamics
from rllib_integration.observation_check import observation_guard
from rllib_integration.rendering import (
    Picture,
    Window,
    choose_camera,
    choose_picture,
    draw_rays,
    side_by_side,
)
from rllib_integration.scenarios.criteria import LeaderboardCriteria
from rllib_integration.scenarios.director import Director, direct, launch
from rllib_integration.scenarios.drawing import choose_route, situate
from rllib_integration.scenarios.leaderboard_results import route_record
from rllib_integration.scenarios.settings import pinned_situations, resolve_scenarios
from rllib_integration.servers import ServerError
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

_SCENARIO_STREAM = 1  # of an episode's random numbers, so that a setting of scenarios does not change its traffic
_DYNAMICS_STREAM = 2
_SEEDS_APART = 10_007  # between env runners


class CarlaEnv(gymnasium.Env):
    """One hero in one world, driven by one experiment.

    A server that dies or hangs costs the episode: `step` returns the last observation with `truncated=True` and
    `info["server_restarted"]=True`, and the next `reset` finds a new server. The server is started by the
    first `reset`, so that an environment made only for its spaces costs nothing.

    Args:
        config: `{"carla": {...}, "experiment": {"type": <class or "package.module:Class">, ...}}`, a dictionary
            or RLlib's `EnvContext`; what is left out has its default.
        render_mode: None, "rgb_array" or "human".

    Attributes:
        config: The configuration, complete.
        experiment: The experiment.
        action_space: What `step` takes.
        observation_space: What `reset` and `step` return, held to at every step.

    Raises:
        ConfigError: The configuration has an unknown key or a value that can't be used.
    """

    metadata: Record = {"render_modes": ["rgb_array", "human"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, config: Settings, render_mode: str | None = None) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ConfigError(f"render_mode is {render_mode!r}, but it has to be None or one of {', '.join(modes)}.")
        sections = merge({"carla": {}, "experiment": {}}, config, "env_config", free=("carla", "experiment"))
        core_config = resolve_core_config(sections["carla"])
        experiment_config = resolve_experiment_config(sections["experiment"])
        if "type" not in experiment_config:
            raise ConfigError(
                "env_config.experiment.type is missing: name the experiment's class, as 'package.module:Class'."
            )
        experiment_class = load_class(experiment_config["type"], BaseExperiment, "env_config.experiment.type")
        self.experiment: BaseExperiment = experiment_class(experiment_config)
        self.config: Record = {"carla": core_config, "experiment": self.experiment.config}
        check_setup(core_config, self.experiment.config)
        self.action_space = self.experiment.get_action_space()
        self.observation_space = self.experiment.get_observation_space()
        # RLlib gives all of its env runners one configuration.
        runner = getattr(config, "worker_index", 0)
        self._first_seed: int | None = seeded_apart(core_config, runner)["seed"]
        self.render_mode = render_mode
        step_seconds = core_config["timestep"] * core_config["ticks_per_step"]
        self.metadata = {**self.metadata, "render_fps": max(1, round(1.0 / step_seconds))}
        self._check_observation = observation_guard(self.observation_space)
        self._check_action = action_guard(self.action_space)
        use_one_opencv_thread()
        self._core: CarlaCore | None = None
        self._director: Director | None = None
        self._criteria: LeaderboardCriteria | None = None
        self._dynamics: Dynamics | None = None
        self._began = 0.0
        self._level = 0
        self._in_episode = False
        self._action: Action = None
        self._loss: Record | None = None  # of the server, in the present step: what its info says
        self._last_observation: Observation = None
        self._sensor_data: Record = {}
        self._picture = Picture(core_config["resolution_x"], core_config["resolution_y"])
        self._window: Window | None = None
        live = core_config["live_folder"]
        self._left_to_record = 0
        self._steps = 0
        self._user_code = UserCode(self.experiment, Path(live) if live else None)
        self._reporter = Reporter(Path(live) if live else None, runner, step_seconds, self.observation_space)

    @property
    def core(self) -> CarlaCore:
        """The world, with its server; the first use starts them."""
        if self._core is None:
            self._core = CarlaCore(self.config["carla"])
        return self._core

    @property
    def hero(self) -> carla.Vehicle | None:
        """The vehicle that the experiment drives, None before the first `reset`."""
        return self._core.hero if self._core is not None else None

    @property
    def episode_metrics(self) -> dict[str, float | int | str]:
        """What has happened in the episode so far, as `EpisodeMetrics.summary` tells it; empty while there is no hero.

        A wrapper that cuts episodes off, such as `gymnasium.wrappers.TimeLimit`, does not tell the environment. It gets
        them by `env.get_wrapper_attr("episode_metrics")`.
        """
        metrics = self._core.metrics if self._core is not None else None
        return {} if metrics is None else metrics.summary()

    @property
    def compute_reward(self) -> Callable[[Observation, Observation, object], Rewards]:
        """`compute_reward(achieved, desired, info)` of goal environments, where the experiment has `goal_reward`."""
        if type(self.experiment).goal_reward is BaseExperiment.goal_reward:
            raise AttributeError(f"{type(self.experiment).__name__} has no goals: it does not override goal_reward.")
        return lambda achieved, desired, info: self.experiment.goal_reward(achieved, desired)

    def record_next_episode(self, folder: str | os.PathLike[str], label: str, **facts: object) -> None:
        """Record the episode that the next `reset` begins: a file that `carla-rllib view` plays without any server.

        Args:
            folder: Where it is written when the episode ends; is made.
            label: Its name for people.
            facts: What else is to be known of it, as JSON holds it.
        """
        self._reporter.record_next(Path(folder), {"label": label, **facts})

    def begin_evaluation(self) -> None:
        """Hear that an evaluation begins, of which `carla.record_episodes` episodes are recorded."""
        self._left_to_record = self.config["carla"]["record_episodes"]

    def set_level(self, level: int) -> None:
        """Choose the level of the scenarios' curriculum (`scenarios.levels`); it holds from the next `reset` on.

        Raises:
            ConfigError: There is no such level.
        """
        scenarios = {**self.experiment.config["scenarios"], "level": level}
        self.experiment.config["scenarios"] = resolve_scenarios(scenarios)

    def reset(self, *, seed: int | None = None, options: Record | None = None) -> tuple[Observation, Record]:
        """Begin an episode.

        Args:
            seed: Seeds this and all later episodes; on the embedded server they repeat bit for bit, but for the ids
                of actors, which go on counting.
            options: Settings of the experiment for this episode alone, such as `{"town": "Town03"}` or
                `{"weather": "HardRainNoon", "hero": {"spawn_points": ["10,20,0.5"]}}`.

        Returns:
            The first observation, and further information: the experiment's own; `servers`, counts of servers
            started and lost; after a loss `server_recovery_seconds`, from noticing it to the new episode; `dynamics`,
            what `dynamics_randomisation` has drawn.

        Raises:
            ConfigError: A town, blueprint, weather, sensor, spawn point or option does not exist.
            ServerGaveUpError: Several servers in a row failed.
        """
        if seed is None and self._np_random is None:
            seed = self._first_seed
        super().reset(seed=seed)
        episode_seed = int(self.np_random.integers(2**63))
        episode_config = _with_options(self.experiment.config, options)
        if self._last_observation is not None and self._core is not None:
            self._core.end_episode()  # also one that a wrapper, such as a limit of time, has cut off
        self._in_episode = False
        self._last_observation = None
        if self._left_to_record > 0:
            self._left_to_record -= 1
            self.record_next_episode(replays_beside(self.config["carla"]["live_folder"]), "Evaluation")
        while True:
            try:
                observation, info = self._begin_episode(episode_config, episode_seed)
                break
            except RuntimeError as error:
                self._recover_from(error)
            finally:
                self._user_code.inside[0] = 0
        info |= self.core.episode_began()
        self._in_episode = True
        self._last_observation = observation
        self._picture.begin_episode()
        self._reporter.begin_episode(self.core, observation, self._sensor_data)
        if self.render_mode == "human":
            self.render()
        return observation, info

    def _begin_episode(self, experiment_config: Settings, seed: int) -> tuple[Observation, Record]:
        core, self._steps = self.core, 0
        self._user_code.begin_episode()
        inside = self._user_code.inside
        rng = np.random.default_rng([seed, _SCENARIO_STREAM])
        chosen = choose_route(experiment_config, rng)
        config = copy_settings(core.setup_experiment(chosen, seed, lambda town: situate(chosen, town, rng)))
        inside[0] = PREPARE_WORLD
        self.experiment.prepare_world(core, config)
        inside[0] = 0
        core.reset_hero(config["hero"], core.config["ticks_per_step"])
        decision = core.config["timestep"] * core.config["ticks_per_step"]
        self._dynamics = Dynamics(config["dynamics_randomisation"], [seed, _DYNAMICS_STREAM], decision)
        core.change_dynamics(self._dynamics)
        scenarios = config["scenarios"]
        start = core.hero.get_transform() if core.hero is not None and scenarios["pinned"] else None
        inside[0] = PLACE_HERO
        self.experiment.place_hero(core)
        inside[0] = 0
        if start is not None:
            launch(core, start, scenarios["start_speed"], rng)
        core.set_route(config["route"])
        self._director = direct(core, pinned_situations(scenarios), rng)
        self._level = scenarios["level"]
        self._criteria = LeaderboardCriteria(core) if scenarios["leaderboard"] else None
        self._began = time.monotonic()
        inside[0] = RESET
        self.experiment.reset()
        inside[0] = 0
        self._sensor_data = core.tick(None)
        inside[0] = GET_OBSERVATION
        observation, info = self.experiment.get_observation(self._sensor_data)
        inside[0] = 0
        self._check_observation(observation)
        if self._dynamics.told:
            info = {**info, "dynamics": self._dynamics.told}
        if self._director is None:
            return observation, dict(info)
        situation = {key: config[key] for key in ("town", "hero", "route", "scenarios")}
        return observation, {**info, "situation": situation}

    def step(self, action: object) -> tuple[Observation, float, bool, bool, Record]:
        """Act for `ticks_per_step` ticks.

        Args:
            action: One of the action space.

        Returns:
            Observation, reward, whether the episode has ended for good, whether it was cut
            off, and further information: the experiment's own; `reward_parts`, where it names them; `scenarios`
            at the end of an episode that has any (see `Outcome`); `leaderboard`, its record (see `route_record`), where
            `scenarios.leaderboard` is set; `episode_metrics` at the episode's end (see
            `EpisodeMetrics.summary`; the property of that name has them at any time); `server_restarted`, when the
            server was lost.

        Raises:
            gymnasium.error.ResetNeeded: The episode has ended, or none has begun.
            gymnasium.error.InvalidAction: The action is not in the action space.
            ObservationError, ExperimentError: The experiment returned what can't be used.
        """
        self.begin_step(action)
        return self.finish_step()

    def begin_step(self, action: object) -> None:
        """Begin what `step` does, and return while the simulator works; `finish_step` has to follow.

        So that several environments' simulators can work at the same time; raises as `step` does.
        """
        if not self._in_episode:
            raise gymnasium.error.ResetNeeded("Call reset() before step(): no episode has begun, or it has ended.")
        self._check_action(action)
        self._action, self._loss = action, None
        self._steps += 1
        self._user_code.begin_step(self._steps)
        inside = self._user_code.inside
        try:
            inside[0] = COMPUTE_ACTION
            control = self.experiment.compute_action(action)
            inside[0] = 0
            check_control(control, self.experiment)
            if self._director is not None:
                control = self._director.act(control)
            if self._dynamics is not None:
                control = self._dynamics.act(control)
            self.core.begin_tick(control, self.core.config["ticks_per_step"])
        except RuntimeError as error:
            self._loss = self._recover_from(error)
        finally:
            inside[0] = 0

    def finish_step(self) -> tuple[Observation, float, bool, bool, Record]:
        """Wait for the simulator; return what `step` returns."""
        if self._loss is None:
            try:
                observation, reward, terminated, truncated, info = self._advance()
            except RuntimeError as error:
                self._loss = self._recover_from(error)
            finally:
                self._user_code.inside[0] = 0
        if self._loss is not None:
            observation, reward, terminated, truncated = self._last_observation, 0.0, False, True
            info = self._loss
        self._in_episode = not (terminated or truncated)
        self._last_observation = observation
        self._picture.note_step(self._action, reward)
        end = None if self._in_episode else str(info.get("end") or ("terminated" if terminated else "truncated"))
        if self._core is not None:
            heard = (self._action, observation, reward, end, info, self._sensor_data)
            self._reporter.note_step(self._core, *heard)
        if self.render_mode == "human":
            self.render()
        return observation, reward, terminated, truncated, info

    def _advance(self) -> tuple[Observation, float, bool, bool, Record]:
        experiment, core, inside = self.experiment, self.core, self._user_code.inside
        self._sensor_data = core.finish_tick()
        inside[0] = GET_OBSERVATION
        observation, info = experiment.get_observation(self._sensor_data)
        self._check_observation(observation)
        inside[0] = GET_DONE
        terminated = bool(experiment.get_done_status(observation, core))
        inside[0] = GET_TRUNCATED
        truncated = bool(experiment.get_truncated_status(observation, core))
        inside[0] = COMPUTE_REWARD
        reward, parts = read_reward(experiment.compute_reward(observation, core), experiment)
        inside[0] = 0
        info = dict(info)  # not before: experiments add what the calls above have found
        if parts is not None:
            info["reward_parts"] = parts
        if self._criteria is not None:
            self._criteria.update()
            if self._criteria.end is not None and not terminated:
                truncated = True
                info["end"] = self._criteria.end
        if terminated or truncated:
            self._tell_episode(info)
        return observation, reward, terminated, truncated, info

    def _tell_episode(self, info: Record) -> None:
        """Add what there is to say about an episode that ends."""
        if self._director is not None:
            info["scenarios"] = [outcome.info() for outcome in self._director.finish()]
            info["level"] = self._level
        metrics = self.core.metrics
        if metrics is None:
            return
        info["episode_metrics"] = metrics.summary(str(info.get("end", "")))
        if self._criteria is not None:
            info["leaderboard"] = route_record(metrics, self._criteria, time.monotonic() - self._began)

    def _recover_from(self, error: RuntimeError) -> Record:
        """Do what `CarlaCore.give_up_server` does, where there is a world."""
        if self._core is None:
            raise error
        return self._core.give_up_server(error)

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """What the hero does: bird view, camera and rays side by side, with speed, action, reward and return.

        Returns:
            uint8 (resolution_y, resolution_x, 3), RGB, for "rgb_array"; None for "human", which shows it in a
            window where there is a display.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() without a render_mode: make the environment with render_mode='rgb_array'.")
            return None
        frame = self._picture.draw(self._view(), self.hero)
        if self.render_mode == "rgb_array":
            return frame
        if self._window is None:
            self._window = Window("CARLA")
        self._window.show(frame)
        return None

    def _view(self) -> np.ndarray | None:
        """What the hero's own sensors show; the world from above, where none is a picture or a bird view is missing."""
        if self._core is None or self._core.hero is None:
            return None
        sensors = self._core.sensor_interface.sensors
        shown = choose_picture(self._sensor_data, sensors)
        camera = choose_camera(self._sensor_data, sensors)
        if shown is None or shown is camera:
            try:
                shown = self._core.bird_view(self._picture.side)
            except ServerError as error:
                logger.warning("There is nothing to show from above: %s", error)
                shown = None
        views = (shown, camera, draw_rays(sensors, self._picture.side))
        return side_by_side([view for view in views if view is not None])

    def close(self) -> None:
        """End the server, if it was started here, and all that hangs on it. Twice is fine."""
        self._in_episode = False
        self._reporter.close()
        self._user_code.close()
        if self._window is not None:
            self._window.close()
            self._window = None
        if self._core is not None:
            self._core.close()
            self._core = None


def use_one_opencv_thread() -> None:
    """Have OpenCV draw in one thread: to share an observation's small picture among threads takes longer."""
    if "OPENCV_FOR_THREADS_NUM" not in os.environ:
        cv2.setNumThreads(1)


def seeded_apart(core_config: Settings, runner: int = 0, number: int = 0) -> Record:
    """A `carla` section whose environment sees other episodes than those of other runners and numbers.

    Args:
        core_config: The section that they share; without a seed nothing has to be done.
        runner: Number of the env runner.
        number: Of the environment within its runner.
    """
    seed = core_config.get("seed")
    return {**core_config, "seed": None if seed is None else seed + _SEEDS_APART * runner + number}


def _with_options(config: Record, options: Settings | None) -> Record:
    """The experiment's settings with those of one episode over them."""
    return override_experiment_config(config, options) if options else config
