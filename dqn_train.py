#!/usr/bin/env python3
"""Train the DQN example: python3 dqn_train.py dqn_example/dqn_quickstart.yaml --name dqn"""

from __future__ import annotations

import argparse
import sys
from functools import partial

from rllib_integration.process_guard import run_guarded


def train(arguments: argparse.Namespace) -> int:
    """Train in this process; what takes long to import is imported here, behind the process guard."""
    from rllib_integration.training import prepare_process

    prepare_process(arguments.auto)
    from dqn_example.dqn_callbacks import DQNCallbacks
    from dqn_example.dqn_trainer import DQNTrainer
    from rllib_integration.rl_modules import PictureDQNModule
    from rllib_integration.training import AlgorithmParts, options_from_arguments, run_training

    return run_training(
        arguments.configuration_file,
        options_from_arguments(arguments),
        parts={"DQN": AlgorithmParts(DQNTrainer, PictureDQNModule)},
        callbacks=DQNCallbacks,
    )


def main() -> int:
    """Read the command line and train under guard, so that no process outlives the command."""
    from rllib_integration.training import add_training_arguments

    parser = argparse.ArgumentParser(description="Train the DQN example in CARLA.")
    add_training_arguments(parser, default_name="dqn_example")
    return run_guarded(partial(train, parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
