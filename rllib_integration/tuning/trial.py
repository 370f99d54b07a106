"""One trial of a search, which trains a configuration for some iterations."""

from __future__ import annotations

import os
from typing import Any

from ray import tune
from ray.tune.registry import register_env

from rllib_integration.annotations import Record, Settings
from rllib_integration.training.env_creator import make_env
from rllib_integration.training.env_runner import step_together
from rllib_integration.training.progress import mean_return
from rllib_integration.training.ray_session import log_folder_elsewhere
from rllib_integration.training.rllib_config import build_algorithm_config
from rllib_integration.training.sb3_config import asks_for_sb3, read_sb3_document
from rllib_integration.tuning.space import with_values

SCORE = "score"
NO_SCORE = -1e9
"""Score while no episode has ended."""


class Trial(tune.Trainable):
    """Trains a configuration with one set of values; its simulators end with it."""

    def setup(self, config: Record, document: Settings, max_steps: int) -> None:
        """Build the algorithm.

        Args:
            config: Values by the paths of their settings.
            document: The configuration.
            max_steps: Environment steps after which the trial is done.
        """
        import torch

        torch.set_num_threads(1)  # the other processors run other trials
        self._max_steps = max_steps
        self._trainer = build_trainer(with_values(document, config))

    def step(self) -> Record:
        """Train an iteration."""
        result = self._trainer.train()
        score = mean_return(result)
        steps = int(result["num_env_steps_sampled_lifetime"])
        return {SCORE: NO_SCORE if score is None else score, "steps": steps, "done": steps >= self._max_steps}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the algorithm."""
        self._trainer.save(os.path.join(checkpoint_dir, "algorithm"))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue from a checkpoint of this or another trial."""
        self._trainer.restore(os.path.join(checkpoint, "algorithm"))

    def cleanup(self) -> None:
        """End the simulators."""
        self._trainer.stop()


def build_trainer(document: Settings) -> Any:
    """The trainer of a configuration, with `train`, `save`, `restore` and `stop`.

    Raises:
        ConfigError: The configuration can't be used.
    """
    if asks_for_sb3(document):
        from rllib_integration.training.sb3_run import SB3Trainer

        return SB3Trainer(read_sb3_document(document))
    register_env("carla", make_env)
    config = build_algorithm_config(document, "carla")
    step_together(config, document.get("env_runners"))
    with log_folder_elsewhere():
        return config.build_algo()
