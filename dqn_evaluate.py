#!/usr/bin/env python3
"""Test how well DQN policies drive: python3 dqn_evaluate.py CONFIG RUN_OR_CHECKPOINT... --episodes 50"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from rllib_integration.process_guard import run_guarded


class GreedyPolicy:
    """The action of the highest Q-value.

    Args:
        checkpoint: A folder with a network and its description.
    """

    def __init__(self, checkpoint: str) -> None:
        import torch

        from dqn_example.dqn_inference_model import load_inference_model

        torch.set_num_threads(1)  # the other processors have episodes of their own
        self._model = load_inference_model(checkpoint, "cpu")

    def act(self, observation: np.ndarray) -> tuple[Any, float]:
        """The best action and its Q-value."""
        values = self._model.compute_values(observation)
        best = int(values.argmax())
        return best, float(values[best])


def main() -> int:
    """Read the command line and drive."""
    from rllib_integration.driving.trial_command import add_test_arguments, run_drive_test

    parser = argparse.ArgumentParser(
        description="Drive greedily from many starts and tell distances, time off the lane and how it ended."
    )
    add_test_arguments(parser)
    arguments = parser.parse_args()
    return run_guarded(lambda: run_drive_test(arguments, GreedyPolicy))


if __name__ == "__main__":
    sys.exit(main())
