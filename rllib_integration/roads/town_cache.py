"""What is worked out once about a town, kept in the user's cache folder and shared by all workers.

Entries are named after the town's OpenDRIVE text, so towns of one name but different roads never mix, and are
written beside their place first and moved there: a reader sees a whole entry or none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import carla
import platformdirs

logger = logging.getLogger(__name__)
Value = TypeVar("Value")

TOWNS_REMEMBERED = 4
"""Towns whose entries a process keeps in memory; environments of one process may drive in different towns."""


def cache_folder() -> Path:
    """The user's cache folder of this library."""
    return Path(platformdirs.user_cache_dir("rllib_integration"))


def entry_path(kind: str, version: int, carla_map: carla.Map, folder: Path | None = None) -> Path:
    """Where the entry of a town is kept.

    Args:
        kind: What the entry is; a folder of its own.
        version: Of the code that makes it: another version, another entry.
        carla_map: The town.
        folder: Cache folder; `cache_folder` by default.
    """
    key = hashlib.sha256(f"{version}\n{carla_map.to_opendrive()}".encode()).hexdigest()[:32]
    return (folder or cache_folder()) / kind / key


def write_entry(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new folder, then move it to `path`. A failure costs the entry, not the run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=path.parent))
    except OSError as error:
        logger.warning("Nothing can be kept in %s: %s", path.parent, error)
        return
    try:
        write(draft)
        os.replace(draft, path)
    except OSError as error:
        if not path.exists():  # else another worker was quicker
            logger.warning("%s could not be written: %s", path, error)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@dataclass(frozen=True)
class _Remembered(Generic[Value]):
    """A value and the town that it belongs to."""

    text: str
    folder: Path | None
    value: Value


class TownMemory(Generic[Value]):
    """What a process has at hand about the towns that it drove in last.

    A `carla.Map` that was seen before is recognised as such, another of the same OpenDRIVE text by the text.
    """

    def __init__(self) -> None:
        self._towns: list[_Remembered[Value]] = []
        self._maps: weakref.WeakKeyDictionary[carla.Map, _Remembered[Value]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, carla_map: carla.Map, make: Callable[[], Value], folder: Path | None = None) -> Value:
        """The value of a town, made now if it is not known; another thread that wants one waits meanwhile.

        Args:
            carla_map: The town.
            make: Makes the value.
            folder: Cache folder that the value comes out of: another folder, another value.
        """
        with self._lock:
            town = self._maps.get(carla_map)
            if town is None or town.folder != folder:
                town = self._maps[carla_map] = self._find(carla_map.to_opendrive(), make, folder)
            return town.value

    def _find(self, text: str, make: Callable[[], Value], folder: Path | None) -> _Remembered[Value]:
        for town in self._towns:
            if town.text == text and town.folder == folder:
                return town
        town = _Remembered(text, folder, make())
        self._towns = [*self._towns[1 - TOWNS_REMEMBERED :], town]
        return town
