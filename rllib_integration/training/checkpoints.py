"""The checkpoints of a run: which are kept, and which one is the best."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

PARTIAL_CHECKPOINT = ".checkpoint.partial"
BEST_CHECKPOINT = "best_checkpoint.txt"
BEST_LINK = "best"


class CheckpointKeeper:
    """Saves `checkpoint_<iteration>` folders, and removes those that are neither new nor best.

    The best one is also called `best`, a link beside them; `best_checkpoint.txt` has its name and score.

    Args:
        folder: The run's folder.
        keep: Number of newest checkpoints that are kept, beside the best one.

    Attributes:
        best: Name of the best one, None while no score is known.
        best_score: Its score.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self.best: str | None = None
        self.best_score = float("-inf")
        note = folder / BEST_CHECKPOINT
        if note.is_file():
            name, score = note.read_text(encoding="utf-8").split()
            self.best, self.best_score = name, float(score)
            self._link_best()  # shared storage keeps no links

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
        if score is not None and score >= self.best_score:
            self.best, self.best_score = name, score
            (self._folder / BEST_CHECKPOINT).write_text(f"{name} {score:.3f}\n", encoding="utf-8")
            self._link_best()

    def _link_best(self) -> None:
        link = self._folder / BEST_LINK
        with contextlib.suppress(OSError):  # a file system without links; the text says it, too
            link.unlink(missing_ok=True)
            link.symlink_to(str(self.best))

    def _remove_old(self) -> None:
        checkpoints = sorted(self._folder.glob("checkpoint_*"))
        for old in checkpoints[: -self._keep]:
            if old.name != self.best:
                shutil.rmtree(old)
