"""The checkpoints of a run: which are kept, and which one is the best."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

PARTIAL_CHECKPOINT = ".checkpoint.partial"
BEST_CHECKPOINT = "best_checkpoint.txt"


class CheckpointKeeper:
    """Saves `checkpoint_<iteration>` folders, and removes those that are neither new nor best.

    Args:
        folder: The run's folder.
        keep: Number of newest checkpoints that are kept, beside the best one.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self._best: str | None = None
        self._best_score = float("-inf")
        note = folder / BEST_CHECKPOINT
        if note.is_file():
            name, score = note.read_text(encoding="utf-8").split()
            self._best, self._best_score = name, float(score)

    def save(self, iteration: int, write: Callable[[str], object], score: float | None = None) -> Path:
        """Save one; it appears whole or not at all, and replaces one of the same iteration.

        Args:
            iteration: Its number.
            write: Writes the state into the folder whose path it is given.
            score: The larger the better; None where nothing is known.
        """
        target = self._folder / f"checkpoint_{iteration:06d}"
        partial = self._folder / PARTIAL_CHECKPOINT
        shutil.rmtree(partial, ignore_errors=True)
        write(str(partial))
        if target.exists():
            replaced = self._folder / f"{PARTIAL_CHECKPOINT}.replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            target.rename(replaced)
            partial.rename(target)
            shutil.rmtree(replaced)
        else:
            partial.rename(target)
        self._note_score(target.name, score)
        self._remove_old()
        return target

    def _note_score(self, name: str, score: float | None) -> None:
        if score is not None and score >= self._best_score:
            self._best, self._best_score = name, score
            (self._folder / BEST_CHECKPOINT).write_text(f"{name} {score:.3f}\n", encoding="utf-8")

    def _remove_old(self) -> None:
        checkpoints = sorted(self._folder.glob("checkpoint_*"))
        for old in checkpoints[: -self._keep]:
            if old.name != self._best:
                shutil.rmtree(old)
