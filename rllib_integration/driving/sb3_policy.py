"""A policy out of a checkpoint that Stable-Baselines3 has saved."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

from rllib_integration.annotations import Action
from rllib_integration.config.merging import ConfigError, read_yaml
from rllib_integration.driving.policy_files import SB3_MODEL_FILE as MODEL_FILE

_PREFIX = "SB3-"  # before the names of its algorithms in configurations


class SB3Policy:
    """Chooses actions greedily.

    The file holds pickled objects beside the weights: load none of strangers.

    Args:
        checkpoint: A checkpoint's folder.
        algorithm: Such as SB3-SAC; None where the configuration of the run stands beside the checkpoint.

    Raises:
        ConfigError: The folder holds no model, or Stable-Baselines3 is not installed.
    """

    def __init__(self, checkpoint: Path, algorithm: type | None = None) -> None:
        file = checkpoint / MODEL_FILE
        if not zipfile.is_zipfile(file):
            raise ConfigError(f"{checkpoint} is not a checkpoint of Stable-Baselines3: it has no {MODEL_FILE}.")
        kind: Any = algorithm or _algorithm_of(checkpoint)
        self._model: Any = kind.load(file, device="cpu")

    def act(self, observation: object) -> tuple[Action, float]:
        """The greedy action for one observation, and NaN: what is expected of it is not told."""
        return self.compute_action(observation), math.nan

    def compute_action(self, observation: object) -> Action:
        """The greedy action for one observation."""
        action, _ = self._model.predict(observation, deterministic=True)
        return action.item() if action.ndim == 0 else action


def _algorithm_of(checkpoint: Path) -> type:
    """The class of the algorithm that made a checkpoint, from the configuration of its run."""
    name = str(read_yaml(checkpoint.parent / "config.yaml").get("algorithm", ""))
    try:
        import stable_baselines3
    except ImportError:
        raise ConfigError(
            "This policy needs Stable-Baselines3, which the extra 'sb3' installs: pip install stable-baselines3"
        ) from None
    found = getattr(stable_baselines3, name.removeprefix(_PREFIX), None)
    if not (name.startswith(_PREFIX) and isinstance(found, type)):
        raise ConfigError(f"{checkpoint.parent / 'config.yaml'} names the algorithm {name!r}, not one such as SB3-SAC.")
    return found
