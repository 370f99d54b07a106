"""`carla-rllib benchmark`: a policy on a suite of routes, with figures that can be checked."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rllib_integration.annotations import Record
from rllib_integration.cli.configurations import find_configuration, policy_path, shipped_policies
from rllib_integration.cli.flags import add_output, add_overrides, names, positive_int
from rllib_integration.cli.view import add_record_flag, add_view_flag, replays_of, viewer_of
from rllib_integration.cli.workers import add_workers, count_workers
from rllib_integration.config.merging import ConfigError, apply_override
from rllib_integration.config_file import load_config, resolve_env_config
from rllib_integration.failures import exit_status_of
from rllib_integration.processes.guard import run_guarded

SUMMARY = "drive a policy through a benchmark suite: CoRL2017, NoCrash or long routes"
EXAMPLES = """examples:
  carla-rllib benchmark nocrash rule --tasks empty --output rule_nocrash
  carla-rllib benchmark nocrash traffic --tasks regular
  carla-rllib benchmark corl2017 ~/ray_results/carla_rllib/a2c --routes 5
  carla-rllib benchmark longest6.xml rule --routes 2"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("suite", help="corl2017, nocrash, long, or a file of routes of CARLA's Leaderboard (.xml)")
    parser.add_argument("policy", help="rule, random, a shipped policy, a checkpoint, or the folder of a run")
    parser.add_argument("-c", "--config", help="configuration of the policy (default: config.yaml of its run)")
    parser.add_argument("--tasks", type=names, default=(), metavar="A,B", help="of the suite, such as empty,regular")
    parser.add_argument("--splits", type=names, default=(), metavar="A,B", help="such as train, or 'new town'")
    parser.add_argument("--routes", type=positive_int, metavar="N", help="the first N routes of each (default: all)")
    parser.add_argument("--weathers", type=names, default=(), metavar="A,B", help="such as ClearNoon (default: all)")
    parser.add_argument("--seeds", type=positive_int, default=1, metavar="N", help="drive each N times (default: 1)")
    add_workers(parser)
    add_output(parser, "FOLDER", "default: benchmarks/SUITE-POLICY")
    add_view_flag(parser)
    add_record_flag(parser)
    add_overrides(parser, "env_config.carla.server=packaged")


def run(arguments: argparse.Namespace) -> int:
    """Drive as the arguments say.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """

    def work() -> int:
        with viewer_of(arguments):
            return _benchmark(arguments)

    return run_guarded(lambda: exit_status_of(work, "Interrupted; the same command goes on from here."))


def _benchmark(arguments: argparse.Namespace) -> int:
    from rllib_integration.scenarios.leaderboard_results import results, write_results
    from rllib_integration.suites.agents import find_agent
    from rllib_integration.suites.definitions import hash_of
    from rllib_integration.suites.evidence import Evidence, hash_of_settings
    from rllib_integration.suites.results import scenario_summary, scenario_table, summarise, table
    from rllib_integration.suites.runner import Drive, drive_all, judged_config

    started = time.monotonic()
    scenarios = _choose(arguments)
    policy = arguments.policy if arguments.policy in ("rule", "random") else str(policy_path(arguments.policy))
    find_agent(policy)  # tells at once that there is none
    document = _document(arguments)
    agent = find_agent(policy, document)
    config = judged_config(document["env_config"], agent)
    drives = [Drive(scenario, seed) for seed in range(arguments.seeds) for scenario in scenarios]
    suite = Path(arguments.suite).stem
    output = arguments.output or Path("benchmarks") / f"{suite}-{agent.name.replace('/', '-')}"
    facts = {
        "suite": suite,
        "policy": agent.name,
        "checkpoint": None if agent.checkpoint is None else str(agent.checkpoint),
        "suite_sha256": hash_of(scenarios),
        "configuration_sha256": hash_of_settings(config),
        "policy_sha256": agent.digest(),
        "configuration": config,
    }
    evidence = Evidence(output.expanduser(), facts)
    left = [drive for drive in drives if drive.key not in evidence.episodes]
    replays = replays_of(agent.checkpoint)
    left = [replace(drive, replays=replays) for drive in left[: arguments.record_episodes]] + left[
        arguments.record_episodes :
    ]
    workers = count_workers(arguments.workers, len(left), config["carla"])
    known = f", {len(drives) - len(left)} are known already" if len(left) < len(drives) else ""
    print(f"{len(drives)} episodes of {suite} by {agent.name}{known}; {workers} workers", flush=True)
    for number, record in enumerate(drive_all(config, agent, left, workers) if left else (), 1):
        evidence.add(record)
        seconds = time.monotonic() - started
        print(
            f"{number:>5} of {len(left)} | {record['task']} | {record['split']} | {record['town']} | "
            f"{record['weather']} | {record['end']} | {seconds / number * (len(left) - number) / 60.0:.0f} min left",
            flush=True,
        )
    driven = [evidence.episodes[drive.key] for drive in drives]
    summaries, outcomes = summarise(driven), scenario_summary(driven)
    text = "\n".join(filter(None, [table(summaries, agent.name), scenario_table(outcomes)]))
    print(f"Driven in {time.monotonic() - started:.0f} s:\n{text}", flush=True)
    files = evidence.write_results({"facts": facts, "summaries": summaries, "scenarios": outcomes}, text)
    records = [{"index": n, **record["leaderboard"]} for n, record in enumerate(driven) if "leaderboard" in record]
    if records:
        files.append(write_results(evidence.folder / "simulation_results.json", results(records, len(drives))))
    for file in files:
        print(file)
    return 0


def _choose(arguments: argparse.Namespace) -> list[Any]:
    """The suite's scenarios that the flags ask for."""
    from rllib_integration.suites.definitions import find_suite

    scenarios = find_suite(arguments.suite)
    for flag, name in (("tasks", "task"), ("splits", "split"), ("weathers", "weather")):
        wanted = getattr(arguments, flag)
        there = dict.fromkeys(getattr(scenario, name) for scenario in scenarios)
        for word in wanted:
            if word not in there:
                raise ConfigError(f"--{flag} {word}: {arguments.suite} has {', '.join(there)}.")
        if wanted:
            scenarios = [scenario for scenario in scenarios if getattr(scenario, name) in wanted]
    if arguments.routes is not None:
        scenarios = [scenario for scenario in scenarios if scenario.number < arguments.routes]
    if not scenarios:
        raise ConfigError(f"No route of {arguments.suite} is left by --tasks, --splits, --weathers and --routes.")
    return scenarios


def _document(arguments: argparse.Namespace) -> Record:
    """The configuration that the policy was trained with, or one with a server alone."""
    file = arguments.config
    if file is None and arguments.policy in shipped_policies():
        file = arguments.policy
    if file is None and arguments.policy not in ("rule", "random"):
        file = _config_beside(Path(arguments.policy).expanduser())
    if file is not None:
        return load_config(find_configuration(str(file)), arguments.overrides)
    core = {"timestep": 0.05, "ticks_per_step": 4, "timeout": 60.0, "enable_rendering": False}
    document: Record = {"env_config": {"carla": core, "experiment": {}}}
    for override in arguments.overrides:
        document = apply_override(document, override)
    return {**document, "env_config": resolve_env_config(document["env_config"])}


def _config_beside(policy: Path) -> Path:
    for folder in (policy, policy.parent):
        if (folder / "config.yaml").is_file():
            return folder / "config.yaml"
    raise ConfigError(f"There is no config.yaml in {policy} or beside it: say with --config how it was trained.")
