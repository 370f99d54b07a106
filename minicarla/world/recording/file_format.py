"""Recordings of episodes: files of frames that are whole up to their last complete frame, whatever happens.

A file is a sequence of MessagePack objects: one header, then one list a frame:
`[frame, seconds, platform_seconds, events, vehicles, walkers, props, lights, spectator]`. Events are lists that begin
with their kind, the four after them raw rows of `VEHICLE_FRAME`, `BODY_FRAME` (twice) and `LIGHT_FRAME`; the spectator
is a location in metres and a rotation in degrees.
"""

from __future__ import annotations

import datetime
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgpack
import numpy as np
from numpy.typing import NDArray

from minicarla.protocol.values import Transform, transform

FORMAT = 5
"""Of these files; others are not read."""
_MAX_OBJECT_BYTES = 256 * 2**20

_BODY = [
    ("id", "<u4"),
    ("x", "<f4"),
    ("y", "<f4"),
    ("z", "<f4"),
    ("roll", "<f4"),
    ("pitch", "<f4"),
    ("yaw", "<f4"),
    ("vx", "<f4"),
    ("vy", "<f4"),
    ("vz", "<f4"),
    ("wx", "<f4"),
    ("wy", "<f4"),
    ("wz", "<f4"),
]
BODY_FRAME = np.dtype(_BODY)
VEHICLE_FRAME = np.dtype(
    [
        *_BODY,
        ("throttle", "<f4"),
        ("steer", "<f4"),
        ("brake", "<f4"),
        ("hand_brake", "u1"),
        ("reverse", "u1"),
        ("gear", "<i4"),
        ("lamps", "<u4"),
        ("doors", "u1"),  # a bit for each open one
        ("wheels", "<f4", (2,)),  # steering angles of the front ones, radians
    ]
)
LIGHT_FRAME = np.dtype([("id", "<u4"), ("state", "u1"), ("frozen", "u1"), ("elapsed", "<f4")])

CREATE, DESTROY, COLLIDE, LAMP, BONES = "create", "destroy", "collide", "lamp", "bones"


Event: TypeAlias = list[Any]
"""What happened: its kind, then what the kind brings along, as `recorder` writes it."""


class RecordingError(ValueError):
    """A recording cannot be written or read; the text says why."""


class Header(NamedTuple):
    """What a recording is of, and whether CARLA's additional data was asked for."""

    map_name: str
    date: str
    additional: bool


class Frame(NamedTuple):
    """One recorded tick; `seconds` are simulated ones, `platform_seconds` real ones, both since recording began."""

    frame: int
    seconds: float
    platform_seconds: float
    events: list[Event]
    vehicles: NDArray[np.void]
    walkers: NDArray[np.void]
    props: NDArray[np.void]
    lights: NDArray[np.void]
    spectator: Transform


def path_of(folder: Path, name: str) -> Path:
    """Where a recording lies: always in the server's own folder, whatever path a client names.

    Raises:
        RecordingError: The name has no file name in it, or there is something of that name that is no plain file: a
            link would lead out of the folder, and a pipe would be waited for.
    """
    file_name = name.replace("\\", "/").rsplit("/", 1)[-1]
    if not file_name.strip(". ") or "\0" in file_name or len(file_name.encode(errors="replace")) > 200:
        raise RecordingError(f"'{name:.100}' is no file name for a recording")
    path = folder / file_name
    try:
        kind = path.lstat().st_mode
    except (OSError, ValueError):  # there is none, or the file system takes no such name, as opening it will tell
        return path
    if not stat.S_ISREG(kind):
        raise RecordingError(f"'{file_name}' in the folder of the recordings is no plain file: choose another name")
    return path


class RecordingWriter:
    """Appends frames to a new recording.

    Raises:
        RecordingError: The file cannot be written.
    """

    def __init__(self, path: Path, map_name: str, additional: bool) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a buffer of its own: what a full disk did not take would be tried again when the file is closed.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise RecordingError(f"cannot write {path}: {error.strerror}") from error
        date = datetime.datetime.now().strftime("%x %X")
        try:
            self._write({"format": FORMAT, "map": map_name, "date": date, "additional": additional})
        except RecordingError:
            self._file.close()
            raise

    def _write(self, entry: object) -> None:
        left = memoryview(msgpack.packb(entry))
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise RecordingError(f"cannot go on recording: {error.strerror}") from error

    def append(self, frame: Frame) -> None:
        """Write one frame."""
        head = [frame.frame, frame.seconds, frame.platform_seconds, frame.events]
        arrays = (frame.vehicles, frame.walkers, frame.props, frame.lights)
        self._write([*head, *(array.tobytes() for array in arrays), frame.spectator])

    def close(self) -> None:
        """End the recording."""
        self._file.close()


def read_recording(path: Path) -> tuple[Header, Iterator[Frame]]:
    """Header and frames of a recording; frames are read as they are asked for.

    Raises:
        RecordingError: There is no such file, or it is no recording.
    """
    if not path.is_file():
        raise RecordingError(f"File {path.name} not found on server")
    entries = _read_entries(path)
    header = next(entries, None)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RecordingError(f"File {path.name} is not a recording of this server")
    return Header(str(header.get("map")), str(header.get("date")), header.get("additional") is True), _frames(entries)


def _read_entries(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(file, strict_map_key=False, max_buffer_size=_MAX_OBJECT_BYTES)
        while True:
            try:
                yield unpacker.unpack()
            except (msgpack.OutOfData, ValueError, msgpack.UnpackException):
                # The end, or what a crash left of the last frame.
                return


def _frames(entries: Iterator[Any]) -> Iterator[Frame]:
    for entry in entries:
        try:
            number, seconds, platform_seconds, events, vehicles, walkers, props, lights, spectator = entry
            yield Frame(
                int(number),
                float(seconds),
                float(platform_seconds),
                list(events),
                np.frombuffer(vehicles, VEHICLE_FRAME),
                np.frombuffer(walkers, BODY_FRAME),
                np.frombuffer(props, BODY_FRAME),
                np.frombuffer(lights, LIGHT_FRAME),
                transform(spectator),
            )
        except (TypeError, ValueError):
            return
