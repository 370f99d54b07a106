"""Recorded episodes: files of messages that the viewer's page plays without any server.

A file is gzip of `u32 length` and a message (`messages`), padded to 4 bytes, again and again: what the episode is and
how it ended (`Kind.REPLAY`), the town's mesh (`Kind.TOWN`), what is there, then frames, steps and pictures in order.
"""

from __future__ import annotations

import gzip
import itertools
import os
import re
import struct
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

import platformdirs

from rllib_integration.annotations import Record, Settings
from rllib_integration.telemetry.messages import Kind, MessageError, head_of, kind_of, pack
from rllib_integration.telemetry.town_mesh import read_town
from rllib_integration.telemetry.watched import WatchedWorld
from rllib_integration.telemetry.world_frames import WorldFrames

REPLAYS_FOLDER = "replays"
"""Name, inside a run's folder, of the folder with its recorded episodes."""

SUFFIX = ".replay"
MOST_KEPT = 100
"""Recorded episodes of a folder, beyond which the oldest of those that recorded themselves are removed."""

WAY_POINTS = 240
"""Places kept of an episode's way, for its tile: one in 20 m of a drive of 5 km."""

_LENGTH = struct.Struct("<I")
_BY_ITSELF = "auto"
_MOST_BYTES = 64 << 20
_HEAD_BYTES = 1 << 16
_numbers = itertools.count(1)


def write_replay(folder: Path, about: Settings, messages: Iterable[bytes], by_itself: bool = False) -> Path:
    """Write an episode, whole or not at all.

    Args:
        folder: Is made.
        about: What it is and how it ended; `label` names it.
        messages: Of the episode, its introduction first.
        by_itself: Whether nobody asked for just this one, so that it may be removed when there are many.

    Returns:
        Its path.

    Raises:
        OSError: It can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", str(about.get("label") or "episode"))[:60].strip("._")
    kind = f"-{_BY_ITSELF}" if by_itself else ""
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{next(_numbers)}-{name}{kind}{SUFFIX}"
    draft = path.with_name(f".{path.name}")
    try:
        with draft.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=5, mtime=0) as file:
            for message in itertools.chain([pack(Kind.REPLAY, about)], messages):
                file.write(_LENGTH.pack(len(message)) + message + b"\0" * (-len(message) % 4))
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    if by_itself:
        _forget_oldest(folder)
    return path


def default_replays() -> Path:
    """Where episodes are kept that belong to no run: a folder of the user's."""
    return Path(platformdirs.user_data_dir("rllib_integration")) / REPLAYS_FOLDER


def replays_beside(live_folder: str | None) -> Path:
    """Where a run keeps its episodes, from the folder in which its environments announce themselves."""
    return Path(live_folder).parent / REPLAYS_FOLDER if live_folder else default_replays()


def _forget_oldest(folder: Path) -> None:
    recorded = sorted(folder.glob(f"*-{_BY_ITSELF}{SUFFIX}"))
    for path in recorded[:-MOST_KEPT]:
        path.unlink(missing_ok=True)


def read_about(path: Path) -> Record | None:
    """What a recorded episode is and how it ended; None where the file can't be read."""
    try:
        with gzip.open(path) as file:
            begin = file.read(_LENGTH.size)
            (length,) = _LENGTH.unpack(begin)
            if length > _HEAD_BYTES:
                return None
            message = file.read(length)
        return head_of(message) if kind_of(message) == Kind.REPLAY else None
    except (OSError, EOFError, struct.error, ValueError, IndexError, zlib.error, MessageError):
        return None


def town_message(mesh: bytes) -> bytes:
    """A town's mesh inside a recorded episode.

    Args:
        mesh: Compressed, as `town_mesh` keeps it.
    """
    body = zlib.decompress(mesh)
    assert kind_of(body) == Kind.TOWN, "a town's mesh is a message of its own"
    return body


class EpisodeRecorder:
    """Records an environment's episode from inside: its frames at every decision, and what its reporter tells.

    Args:
        core: The world, at the beginning of the episode.
        folder: Where the episode is written.
        about: What the episode is.
    """

    def __init__(self, core: WatchedWorld, folder: Path, about: Settings) -> None:
        self._folder = folder
        self._about = dict(about)
        mesh = read_town(core.world, core.map)
        self._frames = WorldFrames(core.world)
        self._frames.followed = core.hero.id
        self._bytes = 0
        self._way: list[list[float]] = []
        self.is_full = False
        head = {"town": mesh.name, "key": mesh.key, "host": "", "port": 0, "version": ""}
        weather = core.world.get_weather()
        figures = {
            name: round(value, 3)
            for name in dir(weather)
            if not name.startswith("_") and isinstance(value := getattr(weather, name), float)
        }
        self._about |= {"town": mesh.name, "key": mesh.key}
        self._messages: list[bytes] = [
            town_message(mesh.body),
            pack(Kind.WORLD, head),
            pack(Kind.WEATHER, {"weather": figures}),
        ]

    def add(self, core: WatchedWorld, messages: Iterable[bytes] = ()) -> None:
        """Record the newest frame, if the server is still there, and what else is told; beyond the bound nothing."""
        if self.is_full:
            return
        frame: list[bytes] = []
        if core.world is not None:
            pose = core.hero.get_transform().location
            self._way.append([round(pose.x, 1), round(pose.y, 1)])
            frame = self._frames.read(core.world.get_snapshot()).messages
        for message in [*frame, *messages]:
            self._messages.append(message)
            self._bytes += len(message)
        self.is_full = self._bytes > _MOST_BYTES

    def save(self, **facts: object) -> Path:
        """Write the episode.

        Args:
            facts: How it ended.

        Raises:
            OSError: It can't be written.
        """
        way = self._way[:: max(1, len(self._way) // WAY_POINTS)]
        about = {**self._about, **facts, "way": way, "full": self.is_full}
        return write_replay(self._folder, about, self._messages, by_itself=True)
