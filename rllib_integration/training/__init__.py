"""Training runs: RLlib's algorithms, driven from a configuration file, and what a run leaves on disk."""

from __future__ import annotations

from rllib_integration.training.options import TrainingOptions
from rllib_integration.training.start import run_training

__all__ = ["TrainingOptions", "run_training"]
