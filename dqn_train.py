#!/usr/bin/env python3
"""Train: python3 dqn_train.py dqn_example/dqn_quickstart.yaml --name dqn"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.cli import train
from rllib_integration.cli.flags import use_current_folder

EXPERIMENT = "dqn_example.dqn_experiment:DQNExperiment"
"""For configurations that leave it to the script, as those of the original integration do."""


def main() -> int:
    """Train as the command line says."""
    use_current_folder()
    parser = argparse.ArgumentParser(
        description="Train a policy; the same as carla-rllib train.",
        epilog=__doc__,
    )
    train.add_arguments(parser, name="dqn_example")
    return train.run(parser.parse_args(), experiment=EXPERIMENT)


if __name__ == "__main__":
    sys.exit(main())
