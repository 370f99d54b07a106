#!/usr/bin/env python3
"""Drive as RLlib does: python3 dqn_inference_ray.py CONFIG RUN_DIR --episodes 3"""

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
        description="Drive with a policy of any of RLlib's algorithms.",
        epilog=__doc__,
    )
    drive.add_arguments(parser)
    return drive.run(parser.parse_args(), with_rllib=True, experiment=EXPERIMENT)


if __name__ == "__main__":
    sys.exit(main())
