"""Training runs: RLlib's algorithms, driven from a configuration file, and what a run leaves on disk."""

from __future__ import annotations

from rllib_integration.training.run import AlgorithmParts, ExampleClasses, run_training

__all__ = ["AlgorithmParts", "ExampleClasses", "run_training"]
