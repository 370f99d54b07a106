"""What the command lines of training, inference and driving tests have in common."""

from __future__ import annotations

import argparse
import signal

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after Ctrl-C."""


def positive_int(text: str) -> int:
    """A whole number above 0, for argparse; 20_000 is one."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0.")
    return number


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """The flag `--set`, whose values stand in `overrides`.

    Args:
        parser: Of the program.
        example: A setting and a value, for the help.
    """
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help=f"override a setting, such as {example}; may be given several times",
    )  # fmt: skip
