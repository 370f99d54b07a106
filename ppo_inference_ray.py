#!/usr/bin/env python3
"""Drive: python3 ppo_inference_ray.py ppo_example/configs/ppo_vlidar_config.yaml --checkpoint RUN --episodes 3"""

from __future__ import annotations

import argparse
import sys

from ppo_train import EXPERIMENT
from rllib_integration.cli import drive
from rllib_integration.cli.flags import use_current_folder, with_hyphens


def main() -> int:
    """Drive as the command line says."""
    use_current_folder()
    parser = argparse.ArgumentParser(
        description="Race with a policy of any of RLlib's algorithms; the same as carla-rllib drive.",
        epilog=__doc__,
    )
    drive.add_arguments(parser)
    parser.add_argument("--checkpoint", metavar="POLICY", help="the same as POLICY")
    arguments = parser.parse_args(with_hyphens(sys.argv[1:]))
    arguments.policy = arguments.policy or arguments.checkpoint
    return drive.run(arguments, experiment=EXPERIMENT)


if __name__ == "__main__":
    sys.exit(main())
