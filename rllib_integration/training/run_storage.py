"""Where runs are kept: a folder of this machine, or shared storage such as `s3://bucket/runs` through pyarrow.

A run is always written to a local folder first. For shared storage that folder is a working copy in the user's
cache, mirrored after every checkpoint, so that another machine can continue the run with `--restore`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from rllib_integration.errors import IntegrationError
from rllib_integration.telemetry.announcement import LIVE_FOLDER

COMPLETE = ".complete"
"""Written last into an uploaded checkpoint; one without it was cut off and is never fetched."""


class StorageError(IntegrationError, RuntimeError):
    """Shared storage can't be used; the message is a sentence for the user."""


class RunStorage:
    """The folder of one run, here and, if the directory is a URI, on shared storage.

    Args:
        directory: Folder of runs, or a URI that pyarrow understands (`s3://bucket/runs`, `gs://...`, `hdfs://...`).
        name: The run.

    Attributes:
        directory: The local folder of runs.
        folder: The run's local folder.
        uri: Where the run lies on shared storage, or None.

    Raises:
        StorageError: The URI's storage does not exist or may not be used.
    """

    def __init__(self, directory: str | Path, name: str) -> None:
        self._pushed: dict[str, tuple[int, int]] = {}
        self.uri: str | None = None
        if "://" not in str(directory):
            self.directory = Path(directory).expanduser().resolve()
            self.folder = self.directory / name
            return
        directory = str(directory).rstrip("/")
        self._remote, self._root = _filesystem(directory, name)
        self.uri = f"{directory.split('://')[0]}://{self._root}"
        digest = hashlib.sha1(directory.encode()).hexdigest()[:16]
        self.directory = Path(platformdirs.user_cache_dir("rllib_integration")) / "runs" / digest
        self.folder = self.directory / name

    def fetch(self) -> None:
        """Makes the local folder what shared storage holds; without a URI, nothing."""
        if self.uri is None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self._pushed.clear()
        try:
            files = self._remote_files()
            complete = {str(PurePosixPath(path).parent) for path in files if path.endswith(f"/{COMPLETE}")}
            for path in files:
                top = path.split("/")[0]
                if top.startswith("checkpoint_") and top not in complete:
                    continue
                local = self.folder / path
                local.parent.mkdir(parents=True, exist_ok=True)
                with self._remote.open_input_stream(f"{self._root}/{path}") as source, local.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                self._pushed[path] = _version(local)
        except OSError as error:
            raise StorageError(f"The run can't be fetched from {self.uri}: {_first_line(error)}.") from error

    def push(self) -> None:
        """Makes shared storage what the local folder holds: new and changed files, then the removal of old ones.

        Raises:
            StorageError: It failed; what is missing is sent with the next push.
        """
        if self.uri is None:
            return
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.parent.name != LIVE_FOLDER)
        local = {path.relative_to(self.folder).as_posix(): path for path in files}
        try:
            for name in sorted(local, key=lambda name: (not name.startswith("checkpoint_"), name)):
                self._send(name, local[name])
            for checkpoint in sorted(self.folder.glob("checkpoint_*")):
                marker = checkpoint / COMPLETE
                if not marker.exists():
                    marker.touch()
                    self._send(marker.relative_to(self.folder).as_posix(), marker)
            self._remove(name for name in list(self._pushed) if not (self.folder / name).exists())
        except OSError as error:
            raise StorageError(f"The run can't be saved to {self.uri}: {_first_line(error)}.") from error

    def clear(self) -> None:
        """Deletes the run on shared storage; the local folder is the caller's."""
        if self.uri is None:
            return
        try:
            if self._remote_files():
                self._remote.delete_dir(self._root)
        except OSError as error:
            raise StorageError(f"The earlier run at {self.uri} can't be deleted: {_first_line(error)}.") from error
        self._pushed.clear()

    def _remove(self, names: Iterable[str]) -> None:
        checkpoints = set()
        # A checkpoint's marker goes first, so that no machine fetches what is being removed.
        for name in sorted(names, key=lambda name: not name.endswith(COMPLETE)):
            self._remote.delete_file(f"{self._root}/{name}")
            del self._pushed[name]
            checkpoints.add(name.split("/")[0])
        for checkpoint in checkpoints:
            if checkpoint.startswith("checkpoint_") and not (self.folder / checkpoint).exists():
                self._remote.delete_dir(f"{self._root}/{checkpoint}")

    def _send(self, name: str, path: Path) -> None:
        version = _version(path)
        if self._pushed.get(name) == version:
            return
        with path.open("rb") as source, self._remote.open_output_stream(f"{self._root}/{name}") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        self._pushed[name] = version

    def _remote_files(self) -> list[str]:
        from pyarrow import fs

        selector = fs.FileSelector(self._root, recursive=True, allow_not_found=True)
        found = self._remote.get_file_info(selector)
        return sorted(info.path[len(self._root) + 1 :] for info in found if info.type == fs.FileType.File)


def _filesystem(directory: str, name: str) -> tuple[Any, str]:
    """pyarrow's file system of a URI, checked by looking, and the run's path in it."""
    import pyarrow
    from pyarrow import fs

    try:
        remote, root = fs.FileSystem.from_uri(directory)
        bucket = root.split("/")[0]
        if remote.type_name == "s3" and remote.get_file_info(bucket).type == fs.FileType.NotFound:
            raise StorageError(f"There is no bucket '{bucket}' for {directory}: make it first, or name another.")
    except (OSError, pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise StorageError(
            f"{directory} can't be used for runs: {_first_line(error)}. Give a folder, or a URI such as s3://bucket/runs."
        ) from error
    return remote, f"{root.rstrip('/')}/{name}"


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
