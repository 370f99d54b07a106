"""`carla-rllib tune`: a search for settings that learn better."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
from pathlib import Path

from rllib_integration.cli.configurations import find_configuration, find_space
from rllib_integration.cli.flags import add_overrides, positive_int
from rllib_integration.config.merging import ConfigError
from rllib_integration.config_file import load_config
from rllib_integration.failures import exit_status_of
from rllib_integration.processes.guard import run_guarded
from rllib_integration.processes.ray_setup import prepare_for_ray, quiet_ray

SUMMARY = "search for settings that learn better, with Optuna, ASHA or population based training"
EXAMPLES = """examples:
  carla-rllib tune rl_example/configs/a2c.yaml --space rl_example/spaces/a2c.yaml --trials 8 --steps 10000
  carla-rllib tune rl_example/configs/ppo.yaml --space space.yaml --scheduler pbt --parallel 4
  carla-rllib train ~/ray_results/carla_rllib/search/best.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("configuration", help="YAML file, or the name of a shipped configuration")
    parser.add_argument(
        "--space",
        required=True,
        metavar="FILE",
        help="YAML file, or the name of a shipped one: which settings, and their values",
    )
    parser.add_argument(
        "-d", "--directory", default="~/ray_results/carla_rllib", metavar="DIR",
        help="folder of runs (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("-n", "--name", default="search", help="a folder in DIR (default: %(default)s)")
    parser.add_argument("--trials", type=positive_int, default=8, metavar="N", help="default: %(default)s")
    parser.add_argument("--parallel", type=positive_int, metavar="N", help="trials at a time (default: all that fit)")
    parser.add_argument(
        "--steps", type=positive_int, default=20_000, metavar="N", help="steps of a trial (default: %(default)s)"
    )
    parser.add_argument("--scheduler", choices=("asha", "pbt", "none"), default="asha", help="default: %(default)s")
    parser.add_argument(
        "--grace", type=positive_int, default=3, metavar="N",
        help="iterations before ASHA may end a trial, or PBT change it (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")
    parser.add_argument("--restore", action="store_true", help="go on with an interrupted search")
    parser.add_argument("--auto", action="store_true", help="join the running Ray cluster")
    add_overrides(parser, "env_runners.num_env_runners=0")


def run(arguments: argparse.Namespace) -> int:
    """Search as the arguments say.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """
    interrupted = "Interrupted; --restore goes on from here."
    return run_guarded(lambda: exit_status_of(lambda: _search(arguments), interrupted))


def _search(arguments: argparse.Namespace) -> int:
    prepare_for_ray(arguments.auto)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # else Tune prints tables of its own
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # else Tune takes a Ctrl-C for a search that has ended
    from rllib_integration.training.ray_session import ray_session
    from rllib_integration.tuning.space import read_space

    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("carla-rllib tune needs Optuna: pip install optuna")
    document = load_config(find_configuration(arguments.configuration), arguments.overrides)
    space = read_space(find_space(arguments.space))
    folder = Path(arguments.directory).expanduser().resolve() / arguments.name
    if not arguments.restore and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is in use: give another --name, or --restore to go on with that search.")
    _check_space(document, space)
    from rllib_integration.tuning.search import SearchOptions, ranked, run_search, show_score, show_values, write_search

    options = SearchOptions(
        folder=folder,
        trials=arguments.trials,
        parallel=arguments.parallel,
        steps=arguments.steps,
        scheduler=arguments.scheduler,
        grace=arguments.grace,
        seed=arguments.seed,
        restore=arguments.restore,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(ray_session(arguments.auto))
        quiet_ray()
        print(f"Search folder: {folder}", flush=True)
        results = run_search(document, space, options, machine)
        files = write_search(folder, document, results)
    for place, row in enumerate(ranked(results)[:10], 1):
        print(
            f"{place:>3}. score {show_score(row['score']):>9} | {row['steps']:>8,} steps | {show_values(row['values'])}"
        )
    for file in files:
        print(file)
    return 0


def _check_space(document: dict, space: dict) -> None:
    """Try a value of each setting, so that a wrong path is told at once."""
    from rllib_integration.tuning.space import with_values

    first = with_values(document, {path: numbers[0] for path, (_, numbers) in space.items()})
    if str(first.get("algorithm", "")).startswith("SB3-"):
        from rllib_integration.training.sb3_config import read_sb3_document

        read_sb3_document(first)
        return
    from rllib_integration.training.rllib_config import read_document

    read_document(first)
