"""`carla-rllib report`: learning curves of runs, as a picture and a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from rllib_integration.cli.flags import add_output
from rllib_integration.failures import report_failure
from rllib_integration.training.report import write_report

SUMMARY = "draw learning curves, how episodes ended, and where, as PNG and one HTML page"
EXAMPLES = """examples:
  carla-rllib report ~/ray_results/carla_rllib/quickstart
  carla-rllib report runs/seed0 runs/seed1 runs/seed2 --output curves

Runs that differ only in their seed and name are drawn as one curve with a band."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="folders of runs")
    add_output(parser, "NAME", "write NAME.png and NAME.html", "report")


def run(arguments: argparse.Namespace) -> int:
    """Write the report and print the names of its files.

    Returns:
        The exit status: 0, or 1 after an error of which a sentence was printed.
    """
    try:
        png, web = write_report(arguments.runs, arguments.output)
    except Exception as error:
        return report_failure(error)
    print(f"{png}\n{web}")
    return 0
