"""What the commands have in common: shared arguments, and the user's own folder on the path."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rllib_integration.errors import IntegrationError


def positive_int(text: str) -> int:
    """A whole number above 0, for argparse; 20_000 is one."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0.")
    return number


def names(text: str) -> tuple[str, ...]:
    """Names between commas, for argparse."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def add_configuration(parser: argparse.ArgumentParser, override: str) -> None:
    """The configuration, and the flag `--set`, whose values stand in `overrides`.

    Args:
        parser: Of the command.
        override: A setting and a value, for the help.
    """
    parser.add_argument(
        "configuration",
        metavar="CONFIG",
        help="YAML file, a run's folder, or a shipped configuration, such as quickstart (carla-rllib configs: all)",
    )
    add_overrides(parser, override)


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    """The flag `--set`, whose values stand in `overrides`.

    Args:
        parser: Of the command.
        example: A setting and a value, for the help.
    """
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE",
        help=f"override a setting, such as {example}; may be given several times",
    )  # fmt: skip


def add_output(parser: argparse.ArgumentParser, metavar: str, purpose: str, default: str | None = None) -> None:
    """The flag `--output`, a path.

    Args:
        parser: Of the command.
        metavar: What the path names, for the help.
        purpose: For the help, which adds the default.
        default: The path where the flag is missing; None leaves it to the command.
    """
    parser.add_argument(
        "-o", "--output", type=Path, metavar=metavar, default=Path(default) if default else None,
        help=purpose + (" (default: %(default)s)" if default else ""),
    )  # fmt: skip


def with_hyphens(arguments: Sequence[str]) -> list[str]:
    """A command line whose long flags may be written with underscores: --stop_duration is --stop-duration."""
    hyphenated = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        hyphenated.append(flag.replace("_", "-") + equals + value if flag.startswith("--") else argument)
    return hyphenated


class MissingPackageError(IntegrationError):
    """A command needs packages that are not installed."""


def require(*packages: str) -> None:
    """Check that packages of the extra `train` are installed.

    Raises:
        MissingPackageError: They are not.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingPackageError(
            f"This needs {' and '.join(missing)}, which the extra 'train' installs: "
            "pip install 'rllib-integration[train]', or in a clone: pip install -r requirements.txt"
        )


def use_current_folder() -> None:
    """Put the current folder on the path, as `python3 -m` does, so that a user's own modules are found in it.

    Ray's workers and the processes of driving tests get the path from this process.
    """
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
