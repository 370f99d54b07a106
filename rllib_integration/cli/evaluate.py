"""`carla-rllib evaluate`: a driving test of policies, in figures, as JSON and as a picture."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rllib_integration.annotations import Record, Settings
from rllib_integration.cli.configurations import find_configuration, policy_path
from rllib_integration.cli.flags import add_configuration, add_output, names, positive_int, require
from rllib_integration.cli.view import add_record_flag, add_view_flag, replays_of, viewer_of
from rllib_integration.cli.workers import add_workers, count_workers
from rllib_integration.config.merging import ConfigError
from rllib_integration.config_file import load_config
from rllib_integration.driving.evaluation import (
    agents_summary,
    agents_table,
    best_policy,
    by_agent,
    driving_summary,
    driving_table,
)
from rllib_integration.driving.policies import DrivingPolicy, find_policy, load_policy
from rllib_integration.driving.trials import Task, drive_settings, drive_tasks
from rllib_integration.failures import exit_status_of
from rllib_integration.processes.guard import run_guarded
from rllib_integration.processes.ray_setup import prepare_for_ray
from rllib_integration.servers import EMBEDDED_CHOSEN, ServerSettings

FIRST_SEED = 1_000_000  # far from the seeds of training
SUMMARY = "drive greedily from many starts; print distances, time off the lane and how it ended"
EXAMPLES = """examples:
  carla-rllib evaluate drive drive --towns Town02,Town03 --episodes 50 --output test
  carla-rllib evaluate my.yaml ~/ray_results/carla_rllib/my --all-checkpoints"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_configuration(parser, "env_config.experiment.weather=HardRainNoon")
    parser.add_argument(
        "policies", nargs="+", metavar="POLICY",
        help="checkpoints, runs' folders (the best checkpoint of each, else its newest), or shipped policies",
    )  # fmt: skip
    parser.add_argument(
        "--all-checkpoints", action="store_true", help="test every checkpoint of each run's folder, and name the best"
    )
    parser.add_argument("--episodes", type=positive_int, default=50, metavar="N", help="in each town (default: 50)")
    parser.add_argument("--towns", type=names, default=(), metavar="A,B", help="instead of the configuration's")
    add_workers(parser)
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first start in each town")
    add_output(parser, "NAME", "write NAME.json and NAME.png")
    add_view_flag(parser)
    add_record_flag(parser)


def run(arguments: argparse.Namespace, experiment: str | None = None) -> int:
    """Drive as the parsed arguments say, under guard; print the table, write the result.

    Args:
        arguments: Of a parser with `add_arguments`.
        experiment: The experiment's class, where the configuration names none.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """

    def work() -> int:
        with viewer_of(arguments):
            return _test(arguments, experiment)

    return run_guarded(lambda: exit_status_of(work))


def _test(arguments: argparse.Namespace, experiment: str | None) -> int:
    require("torch")
    started = time.monotonic()
    document = load_config(find_configuration(arguments.configuration), arguments.overrides)
    if experiment is not None:
        document["env_config"]["experiment"].setdefault("type", experiment)
    env_config, towns = drive_settings(document, arguments.towns)
    given = [str(policy_path(text)) for text in arguments.policies]
    policies = _name_policies(_checkpoints(given) if arguments.all_checkpoints else given)
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    tasks = [Task(policy, town, seed) for policy in policies for town in towns for seed in seeds]
    workers = count_workers(arguments.workers, len(tasks), env_config.get("carla") or {})
    env_config = settle_server(env_config)
    print(f"{len(tasks)} episodes on {workers} workers", flush=True)
    gamma = float((document.get("training") or {}).get("gamma") or 0.99)
    recorded = {seed for seed in seeds if seed < arguments.seed + arguments.record_episodes}
    folders = {name: replays_of(path) for name, path in policies.items()} if recorded else {}
    tasks = [replace(task, replays=folders.get(task.policy) if task.seed in recorded else None) for task in tasks]
    if env_config.get("agents"):
        records = _test_agents(document, env_config, policies, tasks, workers, gamma)
    else:
        records = list(drive_tasks(env_config, policies, load_on_cpu, tasks, workers=workers, gamma=gamma))
    for folder in dict.fromkeys(folders.values()):
        print(f"Recorded episodes: {folder}", flush=True)
    order = {name: number for number, name in enumerate(towns)}
    records.sort(key=lambda record: (order[record["town"]], record["policy"], record["seed"]))
    print(f"Driven in {time.monotonic() - started:.0f} s:\n{driving_table(records)}", flush=True)
    if env_config.get("agents"):
        print(agents_table(groups_of_agents(records)), flush=True)
    if len(policies) > 1:
        best = best_policy(records)
        print(f"The best of {len(policies)} is {best}: {policies[best]}", flush=True)
    if arguments.output is not None:
        for file in write_result(arguments.output.expanduser(), records, policies):
            print(file)
    return 0


def settle_server(env_config: Record) -> Record:
    """The settings with the server that `auto` stands for; said here once, or each worker would say it."""
    core = env_config.get("carla") or {}
    if not ServerSettings.from_core_config(core).falls_back_to_embedded:
        return env_config
    print(EMBEDDED_CHOSEN, flush=True)
    return {**env_config, "carla": {**core, "server": "embedded"}}


def _test_agents(
    document: Settings,
    env_config: Settings,
    policies: dict[str, str],
    tasks: Sequence[Task],
    workers: int,
    gamma: float,
) -> list[Record]:
    """Drive episodes of several agents; return a record of each agent's life."""
    require("ray")
    prepare_for_ray()
    from rllib_integration.driving.agents import drive_agent_tasks
    from rllib_integration.training.agent_policies import policy_mapping

    mapping = policy_mapping(document)
    driven = drive_agent_tasks(env_config, policies, mapping, mapping.policies, tasks, workers=workers, gamma=gamma)
    return list(driven)


def groups_of_agents(records: Sequence[Settings]) -> dict[str, list[Settings]]:
    """The records of each policy under test: all, and, where there are several, those of each driver and each agent."""
    groups: dict[str, list[Settings]] = {}
    for policy in dict.fromkeys(record["policy"] for record in records):
        own = [record for record in records if record["policy"] == policy]
        drivers = dict.fromkeys(sorted(record["driver"] for record in own))
        groups[policy] = own
        if len(drivers) > 1:
            for driver in drivers:
                groups[f"{policy}: policy {driver}"] = [record for record in own if record["driver"] == driver]
        groups |= {f"{policy}: {agent}": part for agent, part in by_agent(own).items()}
    return groups


def load_on_cpu(checkpoint: str) -> DrivingPolicy:
    """A worker's policy; the workers are as many as processors, and a GPU would be shared by all."""
    return load_policy(checkpoint, "cpu")


def _checkpoints(given: Sequence[str]) -> list[str]:
    """The folders given, in place of a run's folder every checkpoint in it."""
    found: list[str] = []
    for text in given:
        found += sorted(str(folder) for folder in Path(text).expanduser().glob("checkpoint_*")) or [text]
    return found


def _name_policies(given: Sequence[str]) -> dict[str, str]:
    """Short names, each of its own, for checkpoints."""
    policies: dict[str, str] = {}
    for text in given:
        found = find_policy(text)
        if found.choice:
            print(f"Policy: {found}", flush=True)
        folder = found.path
        name = folder.name if folder.is_dir() else folder.parent.name
        if name.startswith("checkpoint_") and len(given) > 1:
            name = f"{(folder if folder.is_dir() else folder.parent).parent.name}/{name.removeprefix('checkpoint_')}"
        if name in policies:
            raise ConfigError(f"{text} was named twice.")
        policies[name] = str(folder)
    return policies


def write_result(output: Path, records: Sequence[Record], policies: dict[str, str]) -> list[Path]:
    """Write the records and their summaries as JSON, and the picture where matplotlib is installed."""
    output.parent.mkdir(parents=True, exist_ok=True)
    summaries = [
        {"town": town, "policy": policy, **driving_summary(part)}
        for town in dict.fromkeys(record["town"] for record in records)
        for policy in policies
        if (part := [record for record in records if (record["town"], record["policy"]) == (town, policy)])
    ]
    files = [output.with_suffix(".json")]
    document = {"policies": policies, "best": best_policy(records), "summaries": summaries, "episodes": list(records)}
    if any("agent" in record for record in records):
        document["agents"] = {name: agents_summary(part) for name, part in groups_of_agents(records).items()}
    files[0].write_text(json.dumps(document), encoding="utf-8")
    try:
        from rllib_integration.driving.trial_picture import draw_drive_test
    except ImportError:
        print("There is no picture without matplotlib: pip install matplotlib", file=sys.stderr)
        return files
    files.append(output.with_suffix(".png"))
    draw_drive_test(records).savefig(files[1], dpi=100)
    return files
