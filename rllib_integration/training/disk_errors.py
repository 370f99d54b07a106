"""What is said where a run can't be written: which folder it is about, and what of the run is left."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from rllib_integration.errors import IntegrationError
from rllib_integration.run_folder import newest_whole_checkpoint

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_NO_ROOM = 1 << 16  # bytes; torch names no reason when it can't write


class DiskError(IntegrationError, OSError):
    """A folder can't be written to; the message is a sentence for the user."""


def check_writable(folder: Path) -> None:
    """Refuse a folder that can't be made, or can't be written to.

    Raises:
        DiskError: It is such a folder.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise DiskError(f"{folder} can't be a folder: {there} is a file. Choose another --directory or --name.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise DiskError(f"The folder {there} can't be written to. Choose another --directory.")


def as_disk_error(error: BaseException, folder: Path) -> DiskError | None:
    """What an exception means for a run, if it means that its folder can't be written to; None if not.

    Args:
        error: What has ended the run.
        folder: The run's folder.
    """
    for cause in _chain(error):
        if not isinstance(cause, OSError):
            continue
        if cause.errno in _FULL:
            return DiskError(f"The disk of {cause.filename or folder} is full. {_what_is_left(folder)}")
        if cause.errno in _REFUSED and Path(str(cause.filename)).is_relative_to(folder):
            return DiskError(f"{cause.filename} can't be written: {cause.strerror}. {_what_is_left(folder)}")
    if folder.is_dir() and shutil.disk_usage(folder).free < _NO_ROOM:
        return DiskError(f"The disk of {folder} is full. {_what_is_left(folder)}")
    return None


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _what_is_left(folder: Path) -> str:
    whole = newest_whole_checkpoint(folder) if folder.is_dir() else None
    if whole is None:
        return "No checkpoint of the run was saved."
    return f"The newest whole checkpoint is {whole}; --restore goes on from it."
