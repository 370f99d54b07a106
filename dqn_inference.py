#!/usr/bin/env python3
"""Drive without Ray: python3 dqn_inference.py CONFIG RUN_DIR --episodes 3"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.cli import drive
from rllib_integration.cli.flags import use_current_folder

EXPERIMENT = "dqn_example.dqn_experiment:DQNExperiment"
"""For configurations that leave it to the script, as those of the original integration do."""


def main() -> int:
    """Drive as the command line says."""
    use_current_folder()
    parser = argparse.ArgumentParser(
        description="Drive with a trained DQN policy; needs torch, but not Ray.",
        epilog=__doc__,
    )
    drive.add_arguments(parser)
    return drive.run(parser.parse_args(), with_rllib=False, experiment=EXPERIMENT)


if __name__ == "__main__":
    sys.exit(main())
