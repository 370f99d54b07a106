"""The command line of a driving test: which policies, where, how often, and where the result goes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rllib_integration.arguments import INTERRUPTED, add_overrides, positive_int
from rllib_integration.config import ConfigError
from rllib_integration.driving.evaluation import best_policy, driving_summary, driving_table
from rllib_integration.driving.inference import resolve_checkpoint
from rllib_integration.driving.trials import DrivingPolicy, Task, drive_settings, drive_tasks
from rllib_integration.env_config import load_config
from rllib_integration.processors import available_cpus
from rllib_integration.servers import EMBEDDED_CHOSEN, chooses_embedded

FIRST_SEED = 1_000_000  # far from the seeds of training


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of a driving test."""
    parser.add_argument("configuration_file", help="YAML file that the policies were trained with")
    parser.add_argument("policies", nargs="+", help="checkpoints, or runs' folders (the newest checkpoint of each)")
    parser.add_argument(
        "--all-checkpoints", action="store_true", help="every checkpoint that a run's folder keeps, and which is best"
    )
    parser.add_argument("--episodes", type=positive_int, default=50, metavar="N", help="in each town (default 50)")
    parser.add_argument("--towns", type=_names, default=(), metavar="A,B", help="instead of the configuration's")
    parser.add_argument("--workers", type=positive_int, metavar="N", help="processes (default: one for each processor)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first start in each town")
    parser.add_argument("-o", "--output", type=Path, metavar="NAME", help="write NAME.json and NAME.png")
    add_overrides(parser, "env_config.experiment.weather=HardRainNoon")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def run_drive_test(arguments: argparse.Namespace, load_policy: Callable[[str], DrivingPolicy]) -> int:
    """Drive as the parsed flags say; print the table, write the result.

    Args:
        arguments: Of a parser with `add_test_arguments`.
        load_policy: Of a module's top level; called in every worker.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """
    records: list[dict[str, Any]] = []
    started = time.monotonic()
    try:
        document = load_config(arguments.configuration_file, arguments.overrides)
        env_config, towns = drive_settings(document, arguments.towns)
        policies = _name_policies(_checkpoints(arguments.policies) if arguments.all_checkpoints else arguments.policies)
        seeds = range(arguments.seed, arguments.seed + arguments.episodes)
        tasks = [Task(policy, town, seed) for policy in policies for town in towns for seed in seeds]
        workers = min(arguments.workers or available_cpus(), len(tasks))
        if chooses_embedded(env_config.get("carla") or {}):
            print(EMBEDDED_CHOSEN, flush=True)  # here, or each worker would say it
            env_config = {**env_config, "carla": {**(env_config.get("carla") or {}), "server": "embedded"}}
        print(f"{len(tasks)} episodes on {workers} workers", flush=True)
        gamma = float((document.get("training") or {}).get("gamma") or 0.99)
        for record in drive_tasks(env_config, policies, load_policy, tasks, workers=workers, gamma=gamma):
            records.append(record)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    order = {name: number for number, name in enumerate(towns)}
    records.sort(key=lambda record: (order[record["town"]], record["policy"], record["seed"]))
    print(f"Driven in {time.monotonic() - started:.0f} s:\n{driving_table(records)}", flush=True)
    if len(policies) > 1:
        best = best_policy(records)
        print(f"The best of {len(policies)} is {best}: {policies[best]}", flush=True)
    if arguments.output is not None:
        for file in write_result(arguments.output.expanduser(), records, policies):
            print(file)
    return 0


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
        folder = resolve_checkpoint(text)
        name = folder.name if folder.is_dir() else folder.parent.name
        if name.startswith("checkpoint_") and len(given) > 1:
            name = f"{(folder if folder.is_dir() else folder.parent).parent.name}/{name.removeprefix('checkpoint_')}"
        if name in policies:
            raise ConfigError(f"{text} was named twice.")
        policies[name] = str(folder)
    return policies


def write_result(output: Path, records: Sequence[dict[str, Any]], policies: dict[str, str]) -> list[Path]:
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
    files[0].write_text(json.dumps(document), encoding="utf-8")
    try:
        from rllib_integration.driving.trial_picture import draw_drive_test
    except ImportError:
        print("There is no picture without matplotlib: pip install matplotlib", file=sys.stderr)
        return files
    files.append(output.with_suffix(".png"))
    draw_drive_test(records).savefig(files[1], dpi=100)
    return files
