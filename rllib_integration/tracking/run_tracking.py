"""Sends a training run's records to its trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rllib_integration.annotations import Settings
from rllib_integration.tracking.mlflow_tracker import MlflowTracker
from rllib_integration.tracking.tracker import RunDescription, Tracker, TrackingThread, flat_tree
from rllib_integration.tracking.wandb_tracker import WandbTracker

FILE = "tracking.json"
"""File in a run's folder with the trackers' ids of the run, for continuing it."""
_AT_THE_START = ("config.yaml", "run.json")
_AT_THE_END = ("report.png", "progress.csv", "evaluation.jsonl")


def make_trackers(mlflow_uri: str | None, use_wandb: bool) -> list[Tracker]:
    """The trackers that a command line asks for, checked.

    Raises:
        TrackingError: One is not installed, or no server answers at its address.
    """
    trackers: list[Tracker] = []
    if mlflow_uri is not None:
        trackers.append(MlflowTracker(mlflow_uri))
    if use_wandb:
        trackers.append(WandbTracker())
    return trackers


class RunTracking:
    """Sends a run's records to trackers, if there are any.

    Args:
        trackers: From `make_trackers`.
        folder: The run's folder, with the files of `RunLog.describe`.
        document: The configuration.
        is_restored: Whether the run is continued.
    """

    def __init__(self, trackers: Sequence[Tracker], folder: Path, document: Settings, is_restored: bool) -> None:
        self._folder = folder
        file = folder / FILE
        self._numbers: dict[str, str] = {}
        if is_restored and file.is_file():
            self._numbers = json.loads(file.read_text(encoding="utf-8"))
        starts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        tags = {name: str(value) for name, value in flat_tree(starts[-1]).items()}
        self._threads = [self._begin(tracker, document, tags) for tracker in trackers]
        for thread in self._threads:
            for name in _AT_THE_START:
                thread.add_file(folder / name)

    def _begin(self, tracker: Tracker, document: Settings, tags: Mapping[str, str]) -> TrackingThread:
        run = RunDescription(self._folder.name, self._folder, document, tags, self._numbers.get(tracker.name))
        return TrackingThread(tracker, run, on_started=lambda number: self._keep_number(tracker.name, number))

    def _keep_number(self, tracker: str, number: str) -> None:
        self._numbers = {**self._numbers, tracker: number}
        (self._folder / FILE).write_text(json.dumps(self._numbers), encoding="utf-8")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record an iteration's figures, at an environment step."""
        for thread in self._threads:
            thread.log(metrics, step)

    def finish(self, status: str, checkpoints: Sequence[Path] = ()) -> None:
        """End the run: keep its checkpoints, records, pictures and films."""
        films = [*self._folder.glob("**/*.mp4"), *(self._folder / "pictures").glob("*.png")]
        for thread in self._threads:
            for checkpoint in checkpoints:
                thread.add_file(checkpoint, f"checkpoints/{checkpoint.name}")
            for file in [*(self._folder / name for name in _AT_THE_END), *films]:
                thread.add_file(file)
            thread.finish(status)
