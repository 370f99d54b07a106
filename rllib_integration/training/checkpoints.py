"""The checkpoints of a run: which one a start continues from, which are kept, and which one is best."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from rllib_integration.errors import IntegrationError
from rllib_integration.run_folder import (
    BEST_LINK,
    BEST_NOTE,
    best_checkpoint,
    checkpoint_name,
    checkpoints_in,
    find_damage,
    find_latest_checkpoint,
    newest_whole_checkpoint,
    replace_text,
    write_manifest,
)
from rllib_integration.telemetry.announcement import LIVE_FOLDER

PARTIAL_CHECKPOINT = ".checkpoint.partial"
_RECORDS = ("result.json", "progress.csv", "episodes.jsonl", "evaluation.jsonl")
_LOGS = ("native.log", "error.log", "tensorboard.log")
_MADE_AT_START = ("config.yaml", "run.json", *_LOGS, LIVE_FOLDER, PARTIAL_CHECKPOINT)
_SIGNS_OF_A_RUN = ("checkpoint_*", "events.out.tfevents.*", "params.json", *_RECORDS, *_MADE_AT_START)


class CheckpointError(IntegrationError, RuntimeError):
    """A run can't start, or can't continue, in its folder; the message is a sentence for the user."""


def get_checkpoint(
    name: str, directory: str | os.PathLike[str], restore: bool = False, overwrite: bool = False
) -> str | None:
    """Decide what happens to the run `name` of `directory` before it starts.

    A folder in which no iteration ended, left by a start that failed, is cleared and used again.

    Args:
        name: The run's name, a folder below `directory`.
        directory: Where runs are kept.
        restore: Continue its newest run.
        overwrite: Delete what is there.

    Returns:
        The newest checkpoint to continue from, None to start anew.

    Raises:
        CheckpointError: Both flags are given; the folder is in use and neither is; there is nothing to restore;
            or what should be overwritten does not look like a run.
    """
    if restore and overwrite:
        raise CheckpointError("--restore continues a run and --overwrite deletes it; give one of them, not both.")
    if name in ("", ".", "..") or Path(name).name != name:
        raise CheckpointError(f"The run's name is {name!r}, but it has to be a plain folder name, such as dqn_example.")
    run = Path(directory).expanduser() / name
    in_use = run.is_dir() and any(run.iterdir())
    if restore:
        return _newest_checkpoint(run, in_use)
    if in_use:
        _refuse_to_clear(run, overwrite)
        shutil.rmtree(run)
    return None


def _newest_checkpoint(run: Path, in_use: bool) -> str:
    checkpoint = find_latest_checkpoint(run) if in_use else None
    if checkpoint is None:
        way = _ways_out(run) if in_use and not _is_left_by_a_failed_start(run) else "leave --restore out to start anew"
        raise CheckpointError(f"There is no checkpoint in '{run}' to restore; {way}.")
    return checkpoint


def _refuse_to_clear(run: Path, overwrite: bool) -> None:
    if not overwrite and not _is_left_by_a_failed_start(run):
        raise CheckpointError(f"The run folder '{run}' is in use; {_ways_out(run)}.")
    if overwrite and not _looks_like_a_run(run):
        raise CheckpointError(
            f"'{run}' does not look like a training run, so --overwrite leaves it alone; choose another --name."
        )


def whole_checkpoint(newest: str | os.PathLike[str], named: str | None = None) -> Path:
    """The checkpoint that a run continues from, once its files are known to be as they were saved.

    Args:
        newest: The run's newest checkpoint.
        named: The checkpoint that the user asked for: the name of one beside the newest, or a path. It is taken
            even if it is damaged, with a line that says so.

    Raises:
        CheckpointError: The newest checkpoint is damaged, and the message names the newest whole one; or there is no
            checkpoint of the name.
    """
    checkpoint = Path(newest)
    if named is not None:
        return _named_checkpoint(checkpoint.parent, named)
    damage = find_damage(checkpoint)
    if damage is None:
        return checkpoint
    whole = newest_whole_checkpoint(checkpoint.parent)
    if whole is not None:
        advice = f"The newest whole one is {whole.name}; continue from it with --restore --checkpoint {whole.name}."
    else:
        advice = f"To restore it all the same: --restore --checkpoint {checkpoint.name}."
    raise CheckpointError(f"The newest checkpoint, {checkpoint}, is damaged: {damage}. {advice}")


def _named_checkpoint(run: Path, named: str) -> Path:
    for folder in (run / named, Path(named).expanduser()):
        if folder.is_dir():
            damage = find_damage(folder)
            if damage is not None:
                print(f"{folder} is restored because --checkpoint names it, although {damage}.", flush=True)
            return folder.resolve()
    there = ", ".join(path.name for path in checkpoints_in(run))
    raise CheckpointError(f"There is no checkpoint '{named}'; those in '{run}' are: {there}.")


def set_later_ones_aside(checkpoint: Path) -> list[Path]:
    """Rename the checkpoints after one that a run goes back to; otherwise the next restore would take them.

    Returns:
        Their new names.
    """
    later = checkpoints_in(checkpoint.parent)
    later = later[later.index(checkpoint) + 1 :] if checkpoint in later else []
    return [path.rename(path.with_name(f"set_aside_{path.name}")) for path in later]


def _is_left_by_a_failed_start(run: Path) -> bool:
    """Whether the folder holds only what a start writes before its first iteration has ended."""
    return all(
        path.name in _MADE_AT_START or path.name.startswith(("events.out.tfevents.", "lost_env_runner_"))
        for path in run.iterdir()
    )


def _looks_like_a_run(run: Path) -> bool:
    return any(any(run.glob(f"{below}{sign}")) for below in ("", "*/") for sign in _SIGNS_OF_A_RUN)


def _ways_out(run: Path) -> str:
    """What the user can do about a folder that is in use, of which none ends in a message that names another."""
    ways = ["choose another --name"]
    if _looks_like_a_run(run):
        ways.insert(0, "delete it with --overwrite")
    if find_latest_checkpoint(run) is not None:
        ways.insert(0, "continue it with --restore")
    return ", or ".join([", ".join(ways[:-1]), ways[-1]] if len(ways) > 1 else ways)


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
        known = best_checkpoint(folder)
        if known is not None:
            checkpoint, score = known
            self.best = checkpoint.name
            self.best_score = float("-inf") if score is None else score
            self._link_best()  # shared storage keeps no links
        if (folder / BEST_NOTE).exists() and (known is None or known[1] is None):
            print(f"{folder / BEST_NOTE} can't be read: from here on the best checkpoint is found anew.", flush=True)

    def save(self, iteration: int, write: Callable[[str], object], score: float | None = None) -> Path:
        """Save one; it appears whole or not at all, and replaces one of the same iteration.

        Args:
            iteration: Its number.
            write: Writes the state into the folder whose path it is given.
            score: The larger the better; None where nothing is known.

        Returns:
            Its folder.
        """
        target = self._folder / checkpoint_name(iteration)
        partial = self._folder / PARTIAL_CHECKPOINT
        shutil.rmtree(partial, ignore_errors=True)
        try:
            write(str(partial))
            write_manifest(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)  # a full disk has room for other things then
            raise
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
            replace_text(self._folder / BEST_NOTE, f"{name} {score:.3f}\n")
            self._link_best()

    def _link_best(self) -> None:
        link = self._folder / BEST_LINK
        with contextlib.suppress(OSError):  # a file system without links; the text says it, too
            link.unlink(missing_ok=True)
            link.symlink_to(str(self.best))

    def _remove_old(self) -> None:
        for old in checkpoints_in(self._folder)[: -self._keep]:
            if old.name != self.best:
                shutil.rmtree(old)
