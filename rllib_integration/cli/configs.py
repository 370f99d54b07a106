"""`carla-rllib configs`: the shipped configurations, and the text of one of them."""

from __future__ import annotations

import argparse
from pathlib import Path

from rllib_integration.cli.configurations import find_configuration, shipped_configurations, shipped_policies
from rllib_integration.errors import IntegrationError
from rllib_integration.failures import report_failure

SUMMARY = "list the shipped configurations, or print one"
EXAMPLES = """examples:
  carla-rllib configs
  carla-rllib configs quickstart > my.yaml               to begin with a copy"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("configuration", nargs="?", metavar="NAME", help="print this one")


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or a configuration's text.

    Returns:
        The exit status: 0, or 1 after an error of which a sentence was printed.
    """
    try:
        if arguments.configuration is not None:
            print(find_configuration(arguments.configuration).read_text(encoding="utf-8"), end="")
            return 0
        shipped, policies = shipped_configurations(), shipped_policies()
    except (IntegrationError, OSError) as error:
        return report_failure(error)
    wide = max(map(len, shipped), default=0)
    for name, file in shipped.items():
        trained = " (a trained policy is shipped)" if name in policies else ""
        print(f"{name:<{wide}}  {_first_comment(file)}{trained}")
    for folder in sorted({file.parent for file in shipped.values()}):
        print(f"Their files are in {folder}")
    return 0


def _first_comment(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
