"""`carla-rllib profile`: where the time of a configuration's decisions goes, as a table and a flame graph."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rllib_integration.annotations import Settings
from rllib_integration.cli.configurations import find_configuration, name_of
from rllib_integration.cli.flags import add_configuration, add_output, positive_int, require
from rllib_integration.config.merging import ConfigError
from rllib_integration.config_file import load_config
from rllib_integration.failures import exit_status_of
from rllib_integration.processes.ray_setup import prepare_for_ray

if TYPE_CHECKING:
    from rllib_integration.carla_env import CarlaEnv
    from rllib_integration.profiling.decisions import Cost, Profile

SUMMARY = "tell where the time of an experiment's decisions goes, as a table and a flame graph"
EXAMPLES = """examples:
  carla-rllib profile traffic
  carla-rllib profile my.yaml --decisions 2000 --rllib
  carla-rllib profile my.yaml --set env_config.experiment.background_activity.n_vehicles=0

Open the flame graph at https://www.speedscope.app; the page sends it nowhere."""

_COLUMNS = 34, 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_configuration(parser, "env_config.experiment.town=Town03")
    parser.add_argument("--decisions", type=positive_int, default=500, metavar="N", help="default: %(default)s")
    parser.add_argument("--warm-up", type=positive_int, default=50, metavar="N", help="before; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of episodes and actions (default: %(default)s)")
    parser.add_argument("--rllib", action="store_true", help="sample with RLlib's env runner and the untrained policy")
    add_output(parser, "FILE", "flame graph (default: NAME.speedscope.json)")


def run(arguments: argparse.Namespace) -> int:
    """Drive with random actions, print the table and write the flame graph.

    Returns:
        The exit status: 0, 130 after Ctrl-C, 1 after an error of which a sentence was printed.
    """
    return exit_status_of(lambda: _profile(arguments))


def _profile(arguments: argparse.Namespace) -> int:
    configuration = find_configuration(arguments.configuration)
    document = load_config(configuration, arguments.overrides)
    output = arguments.output or Path(f"{name_of(configuration)}.speedscope.json")
    _check(document, output, arguments.rllib)
    from rllib_integration.profiling.decisions import profile
    from rllib_integration.profiling.stacks import write_flame_graph

    with _driven(document, arguments) as (env, drive):
        found = profile(env, drive, arguments.decisions, arguments.warm_up)
        core = env.config["carla"]
    print(table(found, core["ticks_per_step"], core["timestep"]), flush=True)
    write_flame_graph(output, found.stacks, f"carla-rllib profile {name_of(configuration)}")
    print(f"Flame graph, for https://www.speedscope.app: {output}", flush=True)
    return 0


def _check(document: Settings, output: Path, rllib: bool) -> None:
    """Refuse what can't be profiled, before a server is started."""
    from rllib_integration.training.sb3_config import asks_for_sb3

    if document["env_config"].get("agents"):
        raise ConfigError("Several agents in one world can't be profiled: take agents out of env_config.")
    if not output.parent.is_dir():
        raise ConfigError(f"There is no folder {output.parent} for {output.name}.")
    if rllib:
        require("ray", "torch")
        if "algorithm" not in document or asks_for_sb3(document):
            raise ConfigError("--rllib needs a configuration with one of RLlib's algorithms.")


@contextlib.contextmanager
def _driven(document: Settings, arguments: argparse.Namespace) -> Iterator[tuple[CarlaEnv, Callable[[int], int]]]:
    """The environment, and what makes a number of decisions in it."""
    if arguments.rllib:
        prepare_for_ray()
        from rllib_integration.profiling.runner import env_runner

        with env_runner(document) as driven:
            yield driven
        return
    from rllib_integration.carla_env import CarlaEnv
    from rllib_integration.profiling.decisions import random_driver

    env = CarlaEnv(document["env_config"])
    try:
        yield env, random_driver(env, arguments.seed)
    finally:
        env.close()


def table(found: Profile, ticks: int, timestep: float) -> str:
    """What people read."""
    decisions = found.decisions
    lines = [
        f"{decisions.count} decisions of {ticks} ticks of {timestep:g} s; times in ms",
        "",
        _row("", "elapsed", "processor"),
        *_rows("a decision", decisions),
    ]
    lines += _rows(f"a reset (of {found.resets.count})", found.resets)
    lines += ["", f"What the client does in a decision ({found.looks} looks):"]
    each = 1e3 * decisions.seconds / max(decisions.count, 1)
    lines += [_row(f"  {name}", f"{share * each:.3f}", f"{100.0 * share:.1f} %") for name, share in found.doing.items()]
    return "\n".join(lines)


def _rows(name: str, cost: Cost) -> list[str]:
    each = 1e3 / max(cost.count, 1)
    rows = [_row(name, f"{cost.seconds * each:.3f}", f"{sum(cost.processor.values()) * each:.3f}")]
    return rows + [_row(f"  {process}", "", f"{spent * each:.3f}") for process, spent in cost.processor.items()]


def _row(name: str, *cells: str) -> str:
    wide, narrow = _COLUMNS
    return f"{name:<{wide}}" + "".join(f"{cell:>{narrow}}" for cell in cells)
