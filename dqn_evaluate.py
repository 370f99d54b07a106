#!/usr/bin/env python3
"""Test policies: python3 dqn_evaluate.py CONFIG RUN_OR_CHECKPOINT... --episodes 50"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.cli import evaluate
from rllib_integration.cli.flags import use_current_folder

EXPERIMENT = "dqn_example.dqn_experiment:DQNExperiment"
"""For configurations that leave it to the script, as those of the original integration do."""


def main() -> int:
    """Test as the command line says."""
    use_current_folder()
    parser = argparse.ArgumentParser(
        description="Test how well policies drive; the same as carla-rllib evaluate.",
        epilog=__doc__,
    )
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(), experiment=EXPERIMENT)


if __name__ == "__main__":
    sys.exit(main())
