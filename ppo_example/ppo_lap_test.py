"""Lap tests: the share of clean laps in both directions, and lap times compared with a rule-based driver.

A lap is clean if the hero completes it without leaving the track, hitting anything, getting stuck or running out of
time.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from ppo_example.ppo_experiment import PPOExperiment
from ppo_example.ppo_reference import PurePursuit
from rllib_integration.annotations import Record, Settings
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import overlay
from rllib_integration.driving.policies import DrivingPolicy
from rllib_integration.driving.trials import Task, drive_tasks

DIRECTIONS = ("forward", "backward")
CLEAN = "laps_done"
MOST_STEPS = 1500
SMOOTHNESS = ("steering_rate", "steering_sign_changes", "offset_95")


def drive_laps(
    env_config: Settings,
    policies: Mapping[str, str],
    load_policy: Callable[[str], DrivingPolicy],
    towns: Sequence[str],
    seeds: Sequence[int],
    workers: int,
) -> Iterator[Record]:
    """Drive one lap for each policy, direction, town and seed.

    Args:
        env_config: Of the environment, with a `PPOExperiment`.
        policies: Name -> path that `load_policy` loads it from.
        load_policy: A function at a module's top level.
        towns: The circuits.
        seeds: One lap each; a seed decides the start.
        workers: Processes, each with a simulator.

    Yields:
        The records of `drive_tasks`, and the `direction`.
    """
    tasks = [Task(policy, town, seed) for policy in policies for town in towns for seed in seeds]
    for direction in DIRECTIONS:
        settings = _one_lap(env_config, direction)
        for record in drive_tasks(settings, policies, load_policy, tasks, workers=min(workers, len(tasks)), gamma=0.99):
            yield {**record, "direction": direction}


def drive_reference(env_config: Settings, towns: Sequence[str], seeds: Sequence[int]) -> Iterator[Record]:
    """Drive the same laps by pure pursuit in this process; yields town, seed, direction, end and metrics of each."""
    for direction in DIRECTIONS:
        env = CarlaEnv(_one_lap(env_config, direction, {"action": {"discrete": False}}))
        try:
            for town in towns:
                for seed in seeds:
                    yield {"town": town, "seed": seed, "direction": direction, **_drive_by_rule(env, town, seed)}
        finally:
            env.close()


def _one_lap(env_config: Settings, direction: str, more: Settings | None = None) -> Record:
    others = {"direction": direction, "laps": 1, "max_time_episode": MOST_STEPS, **(more or {})}
    return overlay(env_config, {"experiment": {"others": others}})


def _drive_by_rule(env: CarlaEnv, town: str, seed: int) -> Record:
    _, info = env.reset(seed=seed, options={"town": town})
    driver, ended = PurePursuit(), False
    experiment = cast(PPOExperiment, env.experiment)
    while not ended:
        _, _, terminated, truncated, info = env.step(driver.act(experiment, env.core))
        ended = terminated or truncated
    return {"end": str(info.get("end")), "metrics": info["episode_metrics"]}


def summarise_laps(records: Sequence[Settings], reference: Sequence[Settings]) -> list[Record]:
    """A summary for each policy, town and direction.

    Returns:
        policy, town, direction; `laps` driven; `clean`: share of clean laps; `lap_time`: median of the clean laps [s];
        `reference_time`: that of the rule-based driver. Both times are None without a clean lap. Also the medians of
        `SMOOTHNESS`, and `ends`: number of episodes by their end.
    """
    groups: dict[tuple[str, str, str], list[Settings]] = {}
    for record in records:
        groups.setdefault((record["policy"], record["town"], record["direction"]), []).append(record)
    summaries = []
    for (policy, town, direction), laps in sorted(groups.items()):
        clean = [lap for lap in laps if lap["end"] == CLEAN]
        by_rule = [lap for lap in reference if (lap["town"], lap["direction"], lap["end"]) == (town, direction, CLEAN)]
        ends = [lap["end"] for lap in laps]
        summaries.append(
            {
                "policy": policy,
                "town": town,
                "direction": direction,
                "laps": len(laps),
                "clean": len(clean) / len(laps),
                "lap_time": _median(clean, "lap_time"),
                "reference_time": _median(by_rule, "lap_time"),
                **{name: _median(laps, name) for name in SMOOTHNESS},
                "ends": {end: ends.count(end) for end in sorted(set(ends))},
            }
        )
    return summaries


def _median(laps: Sequence[Settings], name: str) -> float | None:
    values = [lap["metrics"][name] for lap in laps if lap["metrics"].get(name) is not None]
    return statistics.median(values) if values else None


def lap_table(summaries: Sequence[Settings]) -> str:
    """A line for each summary, and one for each policy and circuit over both directions."""
    width = max(len("policy"), *(len(summary["policy"]) for summary in summaries))
    lines = [
        f"{'policy':<{width}} {'circuit':<12} {'direction':<9} {'laps':>4} {'clean':>6} {'lap s':>6} {'rule s':>6} "
        f"{'ratio':>5} {'steer/s':>7} {'turns/s':>7} {'off m':>5}  ended by"
    ]
    for summary in summaries:
        own, rule = summary["lap_time"], summary["reference_time"]
        ratio = own / rule if own and rule else None
        ends = ", ".join(f"{end} {count}" for end, count in summary["ends"].items())
        lines.append(
            f"{summary['policy']:<{width}} {summary['town']:<12} {summary['direction']:<9} {summary['laps']:>4} "
            f"{100 * summary['clean']:>4.0f} % {_number(own, 6, 1)} {_number(rule, 6, 1)} {_number(ratio, 5, 2)} "
            f"{_number(summary['steering_rate'], 7, 2)} {_number(summary['steering_sign_changes'], 7, 2)} "
            f"{_number(summary['offset_95'], 5, 2)}  {ends}"
        )
    for policy, town in dict.fromkeys((summary["policy"], summary["town"]) for summary in summaries):
        both = [summary for summary in summaries if (summary["policy"], summary["town"]) == (policy, town)]
        laps = sum(summary["laps"] for summary in both)
        clean = round(sum(summary["clean"] * summary["laps"] for summary in both))
        lines.append(f"{policy} on {town}: {clean} of {laps} laps clean, {100 * clean / laps:.1f} %")
    return "\n".join(lines)


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"
