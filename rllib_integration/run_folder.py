"""A run's folder as all its readers see it: its checkpoints, which of them is best, and whether one is whole.

`training.run_log` describes the other files. Nothing here needs Ray or torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from rllib_integration.annotations import Record

MANIFEST = "manifest.json"
BEST_NOTE = "best_checkpoint.txt"
BEST_LINK = "best"
RUN_FILE = "run.json"
_CHECKPOINT = re.compile(r"checkpoint_(\d+)$")
_CHUNK = 1 << 20  # bytes read at once


def checkpoint_name(iteration: int) -> str:
    """The folder's name of an iteration's checkpoint, such as checkpoint_000012."""
    return f"checkpoint_{iteration:06d}"


def checkpoints_in(run: Path) -> list[Path]:
    """The checkpoints of one run, oldest first. Empty folders, left by an interrupted copy, don't count."""
    found = [path for path in run.glob("checkpoint_*") if _number(path) >= 0 and path.is_dir() and any(path.iterdir())]
    return sorted(found, key=_number)


def find_latest_checkpoint(directory: str | os.PathLike[str]) -> str | None:
    """The newest checkpoint of the newest run below a directory.

    A run is a folder with `checkpoint_<number>` folders in it. The newest run is the one that was written to
    last; its newest checkpoint has the largest number.

    Args:
        directory: A run's folder, or a folder of runs.

    Returns:
        Its absolute path, or None if there is no checkpoint.
    """
    runs = {
        folder: checkpoints_in(folder) for folder in _folders_with_checkpoints(Path(directory).expanduser().resolve())
    }
    runs = {folder: checkpoints for folder, checkpoints in runs.items() if checkpoints}
    if not runs:
        return None
    newest = max(runs.values(), key=lambda checkpoints: max(_modified(path) for path in checkpoints))
    return str(newest[-1])


def _folders_with_checkpoints(directory: Path) -> Iterator[Path]:
    for folder, names, _ in os.walk(directory):
        checkpoints = [name for name in names if _CHECKPOINT.match(name)]
        if checkpoints:
            yield Path(folder)
        names[:] = [name for name in names if name not in checkpoints]


def _number(checkpoint: Path) -> int:
    match = _CHECKPOINT.match(checkpoint.name)
    return int(match.group(1)) if match else -1


def _modified(checkpoint: Path) -> int:
    return max(path.stat().st_mtime_ns for path in [checkpoint, *checkpoint.iterdir()])


def best_checkpoint(run: Path) -> tuple[Path, float | None] | None:
    """The checkpoint of a run that scored highest, and its score; None where no score is known.

    `best_checkpoint.txt` tells both. If that file is empty or broken, the link `best` still tells the checkpoint.
    """
    for name, score in (_read_best_note(run / BEST_NOTE), _read_best_link(run / BEST_LINK)):
        if name and (run / name).is_dir():
            return run / name, score
    return None


def _read_best_note(note: Path) -> tuple[str | None, float | None]:
    try:
        name, score = note.read_text(encoding="utf-8").split()
        return (name, float(score)) if _CHECKPOINT.fullmatch(name) else (None, None)
    except (OSError, ValueError):  # it is missing, or was cut off when a disk was full
        return None, None


def _read_best_link(link: Path) -> tuple[str | None, float | None]:
    try:
        return os.path.basename(os.readlink(link)), None
    except OSError:  # it is missing, or the file system has no links
        return None, None


def read_starts(file: Path) -> list[Record] | None:
    """What `run.json` says of each start of a run; none where there is no such file, None where it is broken."""
    try:
        starts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:  # it was cut off when a disk was full, or is no text
        return None
    return starts if isinstance(starts, list) and all(isinstance(start, dict) for start in starts) else None


def write_manifest(checkpoint: Path) -> None:
    """List a checkpoint's files with sizes and hashes in `manifest.json`, by which `find_damage` judges it."""
    files = {
        path.relative_to(checkpoint).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    replace_text(checkpoint / MANIFEST, json.dumps({"files": files}, indent=1))


def find_damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, as the end of a sentence; None if all of its files are whole.

    A checkpoint without a manifest was saved by version 0.1 or copied in part: that can't be told apart.
    """
    try:
        files = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["files"]
        expected = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in files.items()}
    except FileNotFoundError:
        return f"it has no {MANIFEST}, so its copy was cut off or version 0.1 saved it"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST} can't be read"
    for name, (size, digest) in expected.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        found = file.stat().st_size
        if found != size:
            return f"{name} has {found:,} bytes instead of {size:,}"
        if _sha256(file) != digest:
            return f"{name} is not what was saved (its hash differs)"
    return None


def newest_whole_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run whose files are all as they were saved."""
    return next((path for path in reversed(checkpoints_in(run)) if find_damage(path) is None), None)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def replace_text(file: Path, text: str) -> None:
    """Write a text file that appears whole or not at all, also when the disk is full or the process is killed."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as content:
            content.write(text)
            content.flush()
            os.fsync(content.fileno())
        partial.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
