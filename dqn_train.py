#!/usr/bin/env python3
"""Train the DQN example: python3 dqn_train.py dqn_example/dqn_quickstart.yaml --name dqn"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.process_guard import run_guarded
from rllib_integration.training import AlgorithmParts, ExampleClasses, run_training
from rllib_integration.training.options import add_training_arguments, options_from_arguments


def dqn_classes() -> ExampleClasses:
    """The example's network, training step and callbacks."""
    from dqn_example.dqn_callbacks import DQNCallbacks
    from dqn_example.dqn_trainer import DQNTrainer
    from rllib_integration.training.rl_modules import PictureDQNModule

    return ExampleClasses({"DQN": AlgorithmParts(DQNTrainer, PictureDQNModule)}, DQNCallbacks)


def main() -> int:
    """Read the command line and train under guard, so that no process outlives the command."""
    parser = argparse.ArgumentParser(description="Train the DQN example in CARLA.")
    add_training_arguments(parser, default_name="dqn_example")
    arguments = parser.parse_args()
    options = options_from_arguments(arguments)
    return run_guarded(lambda: run_training(arguments.configuration_file, options, dqn_classes))


if __name__ == "__main__":
    sys.exit(main())
