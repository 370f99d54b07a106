#!/usr/bin/env python3
"""Train the race: python3 ppo_train.py ppo_example/configs/ppo_vlidar_config.yaml --name ppo_example"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.cli import train
from rllib_integration.cli.flags import use_current_folder, with_hyphens

EXPERIMENT = "ppo_example.ppo_experiment:PPOExperiment"
"""For configurations that leave it to the script."""


def main() -> int:
    """Train as the command line says."""
    use_current_folder()
    parser = argparse.ArgumentParser(
        description="Train the PPO example, racing in CARLA; the same as carla-rllib train.",
        epilog=__doc__,
    )
    train.add_arguments(parser, name="ppo_example")
    return train.run(parser.parse_args(with_hyphens(sys.argv[1:])), experiment=EXPERIMENT)


if __name__ == "__main__":
    sys.exit(main())
