"""Drives the scenarios of a suite in several processes, each with its own simulator."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError
from rllib_integration.processes.workers import WorkerError, run_workers, share_out
from rllib_integration.suites.agents import RANDOM, RULE, Act, Agent
from rllib_integration.suites.definitions import Scenario, weathers

if TYPE_CHECKING:
    from rllib_integration.carla_env import CarlaEnv

ATTEMPTS = 3
"""Attempts at an episode whose server is lost."""


class BenchmarkError(ConfigError):
    """A benchmark can't go on; the message is a sentence for the user."""


@dataclass(frozen=True)
class Drive:
    """A scenario with a seed.

    Attributes:
        scenario: The scenario.
        seed: Seed of the episode.
        replays: Folder for its recording; None = no recording.
    """

    scenario: Scenario
    seed: int
    replays: Path | None = None

    @property
    def key(self) -> str:
        """A unique name in a benchmark."""
        return self.scenario.key(self.seed)


def judged_config(env_config: Settings, agent: Agent) -> Record:
    """The environment's configuration in which an agent's own task is judged by a suite's rules.

    Args:
        env_config: The policy's configuration in training; for `rule` and `random`, only its server settings are used.
        agent: The driver.
    """
    experiment = dict(env_config["experiment"])
    if agent.name in (RULE, RANDOM):
        experiment = {"type": "rllib_integration.suites.rule_driver:RuleDriving"}
    inner = {"type": experiment.pop("type"), "others": experiment.pop("others", {})}
    experiment.update(type="rllib_integration.suites.judging:JudgedExperiment", others={"experiment": inner})
    # Each episode brings its own traffic, moved by CARLA's Traffic Manager, and scenarios, whatever the policy was
    # trained among.
    experiment.pop("background_activity", None)
    experiment.pop("scenarios", None)
    # Some experiments need a route when they are created; each episode replaces it.
    experiment["route"] = experiment.get("route") or {"length": 100}
    return {**env_config, "experiment": experiment}


def drive_all(env_config: Settings, agent: Agent, drives: Sequence[Drive], workers: int) -> Iterator[Record]:
    """Drive in several processes, and yield the record of each episode at its end, in any order.

    Raises:
        BenchmarkError: A worker failed; the message is that of the worker.
    """
    ordered = sorted(drives, key=lambda one: (one.scenario.town, one.seed, one.key))
    shares = [(dict(env_config), agent, share) for share in share_out(ordered, workers)]
    try:
        with contextlib.closing(run_workers(_work, shares)) as answers:
            for answer in answers:
                if isinstance(answer, str):
                    raise BenchmarkError(answer)
                yield answer
    except WorkerError as error:
        raise BenchmarkError(str(error)) from error


def _work(env_config: Record, agent: Agent, drives: Sequence[Drive], send: Callable[[object], None]) -> None:
    from rllib_integration.carla_env import CarlaEnv

    try:
        first = drives[0].scenario.town
        env = CarlaEnv({**env_config, "experiment": {**env_config["experiment"], "town": first}})
        try:
            act = agent.load(env.action_space, drives[0].seed)
            for drive in drives:
                send(drive_one(env, act, drive))
        finally:
            env.close()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        send(f"{type(error).__name__}: {' '.join(str(error).split())}")


def drive_one(env: CarlaEnv, act: Act, drive: Drive) -> Record:
    """Drive an episode, again if its server is lost; returns its record.

    Raises:
        BenchmarkError: The server was lost each time.
    """
    scenario = drive.scenario
    for _ in range(ATTEMPTS):
        env.experiment.rules = scenario.rules  # type: ignore[attr-defined]
        if drive.replays is not None:
            env.record_next_episode(drive.replays, drive.key)
        observation, info = env.reset(seed=drive.seed, options=scenario.options(weathers()))
        ended, steps = False, 0
        while not ended:
            observation, _, terminated, truncated, info = env.step(act(observation))
            steps += 1
            ended = terminated or truncated
        if info.get("server_restarted"):
            continue
        end = info["end"]
        return {
            "key": drive.key,
            "suite": scenario.suite,
            "task": scenario.task,
            "split": scenario.split,
            "town": scenario.town,
            "weather": scenario.weather,
            "number": scenario.number,
            "seed": drive.seed,
            "steps": steps,
            "end": end,
            "success": end == "goal",
            "metrics": {name: value for name, value in info["episode_metrics"].items() if name != "end_reason"},
            **_of_leaderboard(scenario, drive.seed, info),
        }
    raise BenchmarkError(f"The server was lost {ATTEMPTS} times while {drive.key} was driven.")


def _of_leaderboard(scenario: Scenario, seed: int, info: Record) -> Record:
    """For the route of a file: the outcomes of its scenarios, and its record in the Leaderboard's form."""
    if scenario.route is None:
        return {}
    name = f"RouteScenario_{scenario.route.route_id}_rep{seed}"
    record = {"route_id": name, "town_name": scenario.town, **info["leaderboard"]}
    return {"scenarios": info.get("scenarios", []), "leaderboard": record}
