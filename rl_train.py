#!/usr/bin/env python3
"""Train A2C, ACKTR, PPO or hindsight: python3 rl_train.py --config rl_example/configs/a2c.yaml"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.cli import train
from rllib_integration.cli.flags import use_current_folder


def main() -> int:
    """Train as the command line says."""
    use_current_folder()
    words = sys.argv[1:]
    for number, word in enumerate(words):  # the file may also stand behind --config
        if word == "--config" or word.startswith("--config="):
            words[number : number + 1] = word.split("=", 1)[1:]
            break
    parser = argparse.ArgumentParser(
        description="Train one of the Carla RL Project's algorithms; the same as carla-rllib train.",
        usage="%(prog)s [--config] CONFIG [options]",
        epilog=__doc__,
    )
    train.add_arguments(parser)
    return train.run(parser.parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
