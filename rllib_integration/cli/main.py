"""The console script `carla-rllib`: one command a subject.

A further command is a module beside these, with `SUMMARY`, `EXAMPLES`, `add_arguments(parser)` and
`run(arguments) -> int`, and an entry in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import rllib_integration
from rllib_integration.cli import (
    benchmark,
    configs,
    drive,
    evaluate,
    leaderboard,
    profile,
    report,
    situations,
    train,
    tune,
    view,
)
from rllib_integration.cli.flags import use_current_folder
from rllib_integration.config.merging import nearest


class Command(NamedTuple):
    """A command.

    Attributes:
        summary: One line for the list of commands.
        examples: Printed below its help.
        add_arguments: Adds its arguments to a parser.
        run: Takes what was parsed; returns the exit status.
    """

    summary: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "train": Command(train.SUMMARY, train.EXAMPLES, train.add_arguments, train.run),
    "drive": Command(drive.SUMMARY, drive.EXAMPLES, drive.add_arguments, drive.run),
    "evaluate": Command(evaluate.SUMMARY, evaluate.EXAMPLES, evaluate.add_arguments, evaluate.run),
    "benchmark": Command(benchmark.SUMMARY, benchmark.EXAMPLES, benchmark.add_arguments, benchmark.run),
    "tune": Command(tune.SUMMARY, tune.EXAMPLES, tune.add_arguments, tune.run),
    "view": Command(view.SUMMARY, view.EXAMPLES, view.add_arguments, view.run),
    "profile": Command(profile.SUMMARY, profile.EXAMPLES, profile.add_arguments, profile.run),
    "situations": Command(situations.SUMMARY, situations.EXAMPLES, situations.add_arguments, situations.run),
    "leaderboard": Command(leaderboard.SUMMARY, leaderboard.EXAMPLES, leaderboard.add_arguments, leaderboard.run),
    "report": Command(report.SUMMARY, report.EXAMPLES, report.add_arguments, report.run),
    "configs": Command(configs.SUMMARY, configs.EXAMPLES, configs.add_arguments, configs.run),
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="carla-rllib",
        description="Train driving policies in CARLA with RLlib, let them drive, and test how well they do.",
        epilog="carla-rllib COMMAND --help explains a command. Begin with: carla-rllib train quickstart",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {rllib_integration.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        below = commands.add_parser(
            name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            epilog=command.examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(below)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: The command line behind the program's name; this process's own if None.

    Returns:
        The exit status.
    """
    use_current_folder()
    given = list(sys.argv[1:] if words is None else words)
    parser = make_parser()
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        near = nearest(given[0], COMMANDS)
        hint = f"; did you mean {near}?" if near else f"; there are {', '.join(COMMANDS)}."
        parser.error(f"There is no command '{given[0]}'{hint}")
    arguments = parser.parse_args(given)
    return COMMANDS[arguments.command].run(arguments)
