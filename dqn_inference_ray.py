#!/usr/bin/env python3
"""Drive with a policy as RLlib runs it: python3 dqn_inference_ray.py CONFIG CHECKPOINT --episodes 3"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.driving import Policy, add_driving_arguments, resolve_checkpoint, run_driving


def main() -> int:
    """Read the command line and drive."""
    parser = argparse.ArgumentParser(description="Drive with a policy trained by RLlib, whichever the algorithm.")
    add_driving_arguments(parser)
    parser.add_argument("checkpoint", help="a checkpoint, or a run's folder (its newest checkpoint)")
    arguments = parser.parse_args()

    def load_policy() -> Policy:
        checkpoint = resolve_checkpoint(arguments.checkpoint)
        from rllib_integration.training.ray_session import prepare_process, quiet_ray

        prepare_process()
        import torch

        from rllib_integration.driving.rllib_policy import RLlibPolicy

        quiet_ray()
        torch.set_num_threads(1)  # one picture at a time: more threads only wait for each other
        return RLlibPolicy(checkpoint).compute_action

    return run_driving(arguments, load_policy)


if __name__ == "__main__":
    sys.exit(main())
