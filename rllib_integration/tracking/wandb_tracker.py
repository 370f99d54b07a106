"""Runs in Weights & Biases; with WANDB_MODE=offline in a folder, for a later `wandb sync`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rllib_integration.tracking.tracker import RunDescription, TrackingError

if TYPE_CHECKING:
    import wandb

PROJECT = "rllib_integration"
_PICTURES, _FILMS = (".png", ".jpg"), (".mp4", ".gif")


class WandbTracker:
    """A run in Weights & Biases.

    Args:
        project: Its project.

    Raises:
        TrackingError: wandb is not installed.
    """

    name = "Weights & Biases"

    def __init__(self, project: str = PROJECT) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise TrackingError(
                "--wandb needs wandb, which the extra 'wandb' installs: pip install 'rllib-integration[wandb]'."
            )
        self._project = project
        self._run: wandb.Run | None = None

    def start(self, run: RunDescription) -> str:
        """Begin a run, or continue it."""
        import wandb

        self._run = wandb.init(
            project=self._project,
            name=run.name,
            dir=str(run.folder),
            config={**run.parameters, "tags": dict(run.tags)},
            id=run.run_id,
            resume="allow" if run.run_id is not None else None,
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        return str(self._run.id)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record an iteration."""
        assert self._run is not None
        self._run.log(dict(metrics), step=step)

    def add_file(self, file: Path, folder: str) -> None:
        """Keep a file or a folder with the run; pictures and films are shown."""
        import wandb

        assert self._run is not None
        if file.suffix in _PICTURES:
            self._run.log({file.stem: wandb.Image(str(file))})
        elif file.suffix in _FILMS:
            self._run.log({file.stem: wandb.Video(str(file))})
        elif file.is_dir():
            artifact = wandb.Artifact(f"{self._run.id}-{folder or file.name}", type="checkpoint")
            artifact.add_dir(str(file))
            self._run.log_artifact(artifact)
        else:
            self._run.save(str(file), base_path=str(file.parent), policy="now")

    def finish(self, status: str) -> None:
        """End the run."""
        assert self._run is not None
        self._run.finish(exit_code=0 if status == "FINISHED" else 1)
