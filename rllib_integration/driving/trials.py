"""Drives policies through many episodes on all processors, and says how well they drove.

Every episode has a seed of its own, which decides where it starts: each policy gets the same starts, whatever the
number of workers. A worker is a process with one environment that stays in a town for as long as there is work there.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, overlay
from rllib_integration.driving.policies import DrivingPolicy
from rllib_integration.errors import IntegrationError
from rllib_integration.failures import INTERRUPTED, Failure, UserCodeFailure
from rllib_integration.processes.workers import WorkerError, run_workers, share_out

if TYPE_CHECKING:
    from rllib_integration.carla_env import CarlaEnv

VALUES_EVERY = 10  # decisions between two that are kept to compare the predicted with the realised return
TRACK_EVERY = 20  # decisions between two places of a record's track
_NEGLIGIBLE = 0.02  # share of a return that may be missing at a cut-off episode's end


class TrialError(IntegrationError, RuntimeError):
    """A worker of a driving test failed."""


class Recordable(Protocol):
    """A world whose episodes can be recorded: an environment, or one with several agents."""

    def record_next_episode(self, folder: Path, label: str, **facts: object) -> None:
        """Record the episode that the next `reset` begins."""


@dataclass(frozen=True)
class Task:
    """One episode to drive.

    Attributes:
        policy: Name of the policy.
        town: Where.
        seed: Of the episode.
        replays: Folder that it is recorded in; None records nothing.
    """

    policy: str
    town: str
    seed: int
    replays: Path | None = None

    def record(self, env: Recordable) -> None:
        """Record the episode that begins next, if the task asks for it."""
        if self.replays is not None:
            label = f"{self.policy} in {self.town}, start {self.seed}"
            env.record_next_episode(self.replays, label, policy=self.policy, seed=self.seed)


@dataclass
class Rollout:
    """What a policy has done in an episode so far.

    Attributes:
        rewards: Of its decisions.
        expected: The returns that it expected of them.
        speeds: After them, where the experiment tells them [km/h].
        off_lane: Decisions outside of the lanes of its direction.
        off_road: Decisions off every lane.
        track: Places on the way, x and y [m].
        info: Of the last decision.
        terminated: Whether it has ended for good, as in a crash.
        truncated: Whether it was cut off.
    """

    rewards: list[float] = field(default_factory=list)
    expected: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    off_lane: int = 0
    off_road: int = 0
    track: list[tuple[int, int]] = field(default_factory=list)
    info: Settings = field(default_factory=dict)
    terminated: bool = False
    truncated: bool = False

    def note(self, reward: float, terminated: bool, truncated: bool, info: Settings) -> None:
        """Take in what a decision has led to, as `env.step` returns it."""
        self.rewards.append(reward)
        self.terminated, self.truncated, self.info = terminated, truncated, info
        if "speed" in info:
            self.speeds.append(float(info["speed"]))
        self.off_lane += not info.get("in_lane", True)
        self.off_road += bool(info.get("off_road", False))
        if (len(self.rewards) - 1) % TRACK_EVERY == 0 and "position" in info:
            self.track.append((round(info["position"][0]), round(info["position"][1])))

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated

    @property
    def metrics(self) -> Record:
        """The library's figures of the episode; none before its end."""
        return self.info.get("episode_metrics") or {}

    @property
    def end(self) -> str:
        """Why it has ended."""
        if not self.ended:
            return "the steps asked for are done"
        return str(self.info.get("end") or ("terminated" if self.terminated else "truncated"))

    def record(self, task: Task, gamma: float) -> Record:
        """What `drive_episode` returns of it."""
        decisions = max(len(self.rewards), 1)
        return {
            "policy": task.policy,
            "town": task.town,
            "seed": task.seed,
            "distance": float(self.info.get("distance") or self.metrics.get("distance") or 0.0),
            "speed": float(np.mean(self.speeds)) if self.speeds else 3.6 * float(self.metrics.get("mean_speed", 0.0)),
            "steps": len(self.rewards),
            "return": math.fsum(self.rewards),
            "off_lane": self.off_lane / decisions,
            "off_road": self.off_road / decisions,
            "end": self.end,
            "track": self.track,
            "position": [round(number, 1) for number in self.info.get("position", ())],
            "values": expected_and_realised(self.expected, self.rewards, gamma, self.terminated),
            "metrics": self.metrics,
        }


def drive_settings(document: Settings, towns: Sequence[str] = ()) -> tuple[Record, list[str]]:
    """The environment and the towns of a driving test.

    Args:
        document: A configuration; what its `evaluation.evaluation_config.env_config` says is laid over `env_config`.
        towns: Instead of the configuration's.

    Returns:
        The environment's configuration, and the towns.

    Raises:
        ConfigError: Neither names a town.
    """
    evaluation = (document.get("evaluation") or {}).get("evaluation_config") or {}
    env_config = overlay(document["env_config"], evaluation.get("env_config") or {})
    named = list(towns) or env_config["experiment"].get("town")
    named = [named] if isinstance(named, str) else list(named or ())
    if not named:
        raise ConfigError("No town is named: give --towns, or env_config.experiment.town in the configuration.")
    return env_config, named


def drive_tasks(
    env_config: Settings,
    policies: Mapping[str, str],
    load_policy: Callable[[str], DrivingPolicy],
    tasks: Sequence[Task],
    *,
    workers: int,
    gamma: float,
) -> Iterator[Record]:
    """Drive episodes on several processes and yield the record of each one when it has ended, in any order.

    Args:
        env_config: Of the environment.
        policies: Name -> what `load_policy` loads it from.
        load_policy: A function of a module's top level, because the workers import it.
        tasks: What to drive.
        workers: Number of processes, each with a server of its own.
        gamma: Discount of one decision, for the realised returns.

    Raises:
        TrialError: A worker failed; the message is its own.
        UserCodeFailure: The user's own code failed in a worker.
    """
    yield from run_tasks(_drive_tasks, tasks, workers, dict(env_config), dict(policies), load_policy, gamma)


def run_tasks(
    work: Callable[..., Iterator[Record]], tasks: Sequence[Task], workers: int, *settings: object
) -> Iterator[Record]:
    """Drive episodes on several processes, and yield their records.

    Args:
        work: A function of a module's top level; gets a worker's tasks and the settings, and yields records.
        tasks: What to drive.
        workers: Number of processes.
        settings: They have to survive pickling.

    Raises:
        TrialError: A worker failed; the message is its own.
        UserCodeFailure: The user's own code failed in a worker.
    """
    shares = [(share, work, settings) for share in _share_out(tasks, workers)]
    try:
        with contextlib.closing(run_workers(_answer, shares)) as answers:
            for answer in answers:
                if isinstance(answer, Failure):
                    raise UserCodeFailure(answer) if answer.traceback else TrialError(answer.message)
                yield answer
    except WorkerError as error:
        raise TrialError(str(error)) from error


def _share_out(tasks: Sequence[Task], workers: int) -> list[list[Task]]:
    """Each worker's tasks: by town, so that few change their town, and equally many."""
    ordered = sorted(tasks, key=lambda task: (task.town, task.seed, task.policy))
    return share_out(ordered, workers)


def _drive_tasks(
    tasks: Sequence[Task],
    env_config: Record,
    policies: Mapping[str, str],
    load_policy: Callable[[str], DrivingPolicy],
    gamma: float,
) -> Iterator[Record]:
    """Drive a worker's tasks, one after another."""
    from rllib_integration.carla_env import CarlaEnv

    env = CarlaEnv({**env_config, "experiment": {**env_config["experiment"], "town": tasks[0].town}})
    try:
        loaded = {name: load_policy(policies[name]) for name in dict.fromkeys(task.policy for task in tasks)}
        for policy in loaded.values():
            policy.act(env.observation_space.sample())  # one that does not fit ends the test before any has driven
        for task in tasks:
            yield drive_episode(env, loaded[task.policy], task, gamma)
    finally:
        env.close()


def _answer(
    tasks: Sequence[Task],
    work: Callable[..., Iterator[Record]],
    settings: Sequence[object],
    send: Callable[[object], None],
) -> None:
    """Send what a worker's tasks yield; an error is an answer, too."""
    try:
        for record in work(tasks, *settings):
            send(record)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        send(Failure.of(error))


def drive_episode(env: CarlaEnv, policy: DrivingPolicy, task: Task, gamma: float) -> Record:
    """Drive one episode and return its record.

    Returns:
        policy, town, seed; `distance` [m], `speed` [km/h], `steps`, `return`, `off_lane` and `off_road` (shares of
        the decisions outside of the lanes of its direction, and off every lane), `end`, `position` of the end and
        `track`, places on the way ([x, y] in m), `values` (pairs of expected and realised discounted return) and
        `metrics` (the library's own figures of the episode).
    """
    task.record(env)
    observation, _ = env.reset(seed=task.seed, options={"town": task.town})
    rollout = Rollout()
    while not rollout.ended:
        action, value = policy.act(observation)
        rollout.expected.append(value)
        observation, reward, terminated, truncated, info = env.step(action)
        rollout.note(reward, terminated, truncated, info)
    return rollout.record(task, gamma)


def expected_and_realised(
    expected: Sequence[float], rewards: Sequence[float], gamma: float, terminated: bool
) -> list[tuple[float, float]]:
    """Pairs of the return that was expected and the discounted return that came, of some decisions.

    Of an episode that was cut off, the last decisions are left out: what would have followed is not known.
    """
    realised = np.zeros(len(rewards) + 1)
    for step in range(len(rewards) - 1, -1, -1):
        realised[step] = rewards[step] + gamma * realised[step + 1]
    known = len(rewards)
    if not terminated and gamma < 1.0:
        known -= int(np.ceil(np.log(_NEGLIGIBLE) / np.log(gamma)))
    steps = range(0, max(known, 0), VALUES_EVERY)
    return [(round(expected[n], 3), round(float(realised[n]), 3)) for n in steps if np.isfinite(expected[n])]
