"""The original integration's name of the trainer, which is the library's now."""

from __future__ import annotations

from rllib_integration.training.dqn.trainer import DQNTrainer as CustomDQNTrainer

__all__ = ["CustomDQNTrainer"]
