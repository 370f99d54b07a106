"""Trained policies: where they lie, and how they are loaded, with and without RLlib."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Action
from rllib_integration.config.merging import ConfigError
from rllib_integration.driving.policy_files import DESCRIPTION_FILE, SB3_MODEL_FILE, WEIGHTS_FILE
from rllib_integration.processes.ray_setup import prepare_for_ray, quiet_ray
from rllib_integration.run_folder import (
    MANIFEST,
    best_checkpoint,
    find_damage,
    find_latest_checkpoint,
    newest_whole_checkpoint,
)


class DrivingPolicy(Protocol):
    """What drives: an action for each observation, and what it expects of it."""

    def act(self, observation: NDArray[np.generic]) -> tuple[Action, float]:
        """The action and the return that is expected of it, NaN where the policy tells none."""


@dataclass(frozen=True)
class FoundPolicy:
    """A policy on disk.

    Attributes:
        path: A checkpoint's folder, or the `weights.pth` in it.
        choice: Why it was taken, where a run's folder held several; else empty.
    """

    path: Path
    choice: str = ""

    def __str__(self) -> str:
        return f"{self.path}{f', {self.choice}' if self.choice else ''}"


def find_policy(given: str | Path) -> FoundPolicy:
    """The policy that a path means.

    Args:
        given: A checkpoint, its weights, or a run's folder, of which the best checkpoint is taken, else the newest.

    Raises:
        ConfigError: There is none.
    """
    path = Path(given).expanduser()
    if not path.exists():
        raise ConfigError(f"There is no checkpoint {path}.")
    is_run = not path.resolve().name.startswith("checkpoint_") and not (path / WEIGHTS_FILE).is_file()
    path = path.resolve()
    if not path.is_dir() or not is_run:
        return FoundPolicy(path)
    best = best_checkpoint(path)
    if best is not None:
        checkpoint, score = best
        told = "" if score is None else f": mean return {score:.2f}"
        return _undamaged(checkpoint, "the best of the run", told)
    newest = find_latest_checkpoint(path)
    if newest is None:
        raise ConfigError(f"There is no checkpoint in {path}; give a checkpoint_... folder or a run's folder.")
    return _undamaged(Path(newest), "the newest of the run")


def _undamaged(checkpoint: Path, choice: str, told: str = "") -> FoundPolicy:
    """A checkpoint that was chosen out of several, once it is known that its files are as they were saved.

    Raises:
        ConfigError: They are not; the message names the newest whole one.
    """
    damage = find_damage(checkpoint)
    if damage is None:
        return FoundPolicy(checkpoint, choice + told)
    if not (checkpoint / MANIFEST).exists():
        return FoundPolicy(checkpoint, f"{choice}{told}, although {damage}")
    whole = newest_whole_checkpoint(checkpoint.parent)
    advice = f"The newest whole one is {whole}; name that." if whole else "None of the run is whole."
    raise ConfigError(f"{checkpoint}, {choice}, is damaged: {damage}. {advice}")


def load_policy(path: str | Path, device: str | None = None, with_rllib: bool | None = None) -> DrivingPolicy:
    """Load a policy that drives greedily.

    Args:
        path: A checkpoint's folder, or its `weights.pth`.
        device: For torch, such as "cpu" or "cuda:0"; None is CUDA where there is one. RLlib's networks use the CPU.
        with_rllib: Use RLlib's own network and connectors; None does so where the checkpoint can't do without.

    Raises:
        ConfigError: It is no checkpoint, or what made it can't be imported.
        InferenceModelError: Its weights are damaged, or don't belong to its network.
    """
    import torch

    torch.set_num_threads(1)  # one picture at a time: more threads only wait for each other
    folder = Path(path)
    if (folder / SB3_MODEL_FILE).is_file():
        from rllib_integration.driving.sb3_policy import SB3Policy

        return SB3Policy(folder)
    if with_rllib is None:
        with_rllib = folder.is_dir() and not (folder / DESCRIPTION_FILE).is_file()
    if not with_rllib:
        from rllib_integration.driving.torch_policy import GreedyPolicy

        return GreedyPolicy(folder, device)
    prepare_for_ray()
    from rllib_integration.driving.rllib_policy import RLlibPolicy

    quiet_ray()
    return RLlibPolicy(folder)
