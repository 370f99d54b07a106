#!/usr/bin/env python3
"""Test laps: python3 ppo_evaluate.py ppo_example/configs/ppo_vlidar_config.yaml RUN_OR_CHECKPOINT... --episodes 20"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ppo_train import EXPERIMENT
from rllib_integration.cli.configurations import find_configuration
from rllib_integration.cli.evaluate import FIRST_SEED, load_on_cpu, settle_server
from rllib_integration.cli.flags import add_configuration, positive_int, require, use_current_folder
from rllib_integration.config_file import load_config
from rllib_integration.driving.policies import find_policy
from rllib_integration.driving.trials import drive_settings
from rllib_integration.failures import exit_status_of
from rllib_integration.processes.cpus import available_cpus
from rllib_integration.processes.guard import run_guarded

CIRCUITS = "Racetrack01,Racetrack02"
"""The one that the shipped configurations train on, and one that none trains on."""
REFERENCE_LAPS = 2


def main() -> int:
    """Test as the command line says."""
    use_current_folder()
    parser = argparse.ArgumentParser(
        description="Drive laps in both directions; print the share of clean ones and the times beside pure pursuit's.",
        epilog=__doc__,
    )
    add_configuration(parser, "env_config.experiment.weather=HardRainNoon")
    parser.add_argument("policies", nargs="+", metavar="POLICY", help="runs' folders or checkpoints")
    parser.add_argument("--episodes", type=positive_int, default=10, metavar="N", help="of each circuit and direction")
    parser.add_argument("--towns", default=CIRCUITS, metavar="A,B", help="the circuits (default: %(default)s)")
    parser.add_argument("--workers", type=positive_int, metavar="N", help="processes (default: one a processor)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first start")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="write summaries and laps")
    arguments = parser.parse_args()
    return run_guarded(lambda: exit_status_of(lambda: _test(arguments)))


def _test(arguments: argparse.Namespace) -> int:
    require("ray", "torch")
    from ppo_example.ppo_lap_test import drive_laps, drive_reference, lap_table, summarise_laps

    document = load_config(find_configuration(arguments.configuration), arguments.overrides)
    document["env_config"]["experiment"].setdefault("type", EXPERIMENT)
    env_config, towns = drive_settings(document, arguments.towns.split(","))
    policies = {}
    for given in arguments.policies:
        found = find_policy(given)
        print(f"Policy: {found}", flush=True)
        policies[f"{found.path.parent.name}/{found.path.name.removeprefix('checkpoint_')}"] = str(found.path)
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    workers = arguments.workers or available_cpus()
    env_config = settle_server(env_config)
    reference = list(drive_reference(env_config, towns, seeds[:REFERENCE_LAPS]))
    laps = list(drive_laps(env_config, policies, load_on_cpu, towns, seeds, workers))
    summaries = summarise_laps(laps, reference)
    print(lap_table(summaries), flush=True)
    if arguments.output is not None:
        document = {"policies": policies, "summaries": summaries, "laps": laps, "reference": reference}
        arguments.output.expanduser().write_text(json.dumps(document), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
