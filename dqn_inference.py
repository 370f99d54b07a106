#!/usr/bin/env python3
"""Drive with a trained DQN policy, without Ray: python3 dqn_inference.py CONFIG WEIGHTS --episodes 3"""

from __future__ import annotations

import argparse
import sys

from rllib_integration.driving import Policy, add_driving_arguments, resolve_checkpoint, run_driving


def main() -> int:
    """Read the command line and drive."""
    parser = argparse.ArgumentParser(description="Drive with a trained DQN policy; needs torch, but not Ray.")
    add_driving_arguments(parser)
    parser.add_argument("weights", help="a checkpoint, its weights.pth, or a run's folder (its newest checkpoint)")
    parser.add_argument("-d", "--device", help="such as cpu or cuda:0 (default: CUDA where there is one)")
    arguments = parser.parse_args()

    def load_policy() -> Policy:
        import torch

        from dqn_example.dqn_inference_model import load_inference_model

        torch.set_num_threads(1)  # one picture at a time: more threads only wait for each other
        return load_inference_model(resolve_checkpoint(arguments.weights), arguments.device).compute_action

    return run_driving(arguments, load_policy)


if __name__ == "__main__":
    sys.exit(main())
