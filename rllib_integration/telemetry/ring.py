"""A memory-mapped ring of records: one process writes, others read, and neither ever waits.

The writer overwrites the oldest records when the ring is full; a reader that was too slow goes on at the newest one.
Readers say how long, and how closely, they watch, so that a writer knows what nobody wants to hear.

File: a head of `HEAD_SIZE` bytes, then `size` bytes of records, each `u32 length` and a msgpack map, which may run on
from the end of the file to its beginning. All numbers are little-endian.

    offset  0  u32  magic
            4  u32  version
            8  u64  size of the ring, bytes
           16  u64  bytes ever written; the writer raises it when a record is complete
           24  f64  watched until, seconds of the system's monotonic clock
           32  f64  watched closely until, same clock
           40  f64  pace: seconds of simulation for each second of life; 0 as fast as it goes
           48  f64  pace holds until, same clock
           64  u64  bytes ever written or being written; raised before a record is begun
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

import msgpack

from rllib_integration.annotations import Record
from rllib_integration.errors import IntegrationError

HEAD_SIZE = 4096
DEFAULT_SIZE = 4 << 20
_MAGIC = 0x474E4952  # "RING"
_VERSION = 1
_INTRODUCTION = struct.Struct("<IIQ")
_COUNT = struct.Struct("<Q")
_SECONDS = struct.Struct("<d")
_LENGTH = struct.Struct("<I")
_WRITTEN, _WATCHED, _CLOSELY, _PACE, _PACE_UNTIL, _BEGUN = 16, 24, 32, 40, 48, 64


class RingError(IntegrationError, RuntimeError):
    """A file is no ring that this version can read."""


class RingWriter:
    """The writing end. The file is made, and replaced if it exists.

    Args:
        path: Of the file; its folder exists.
        size: Bytes kept for records. They take no room on the disk before they are written.
    """

    def __init__(self, path: Path, size: int = DEFAULT_SIZE) -> None:
        self.path = path
        self._size = size
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(descriptor, HEAD_SIZE + size)
            self._map = mmap.mmap(descriptor, HEAD_SIZE + size)
        finally:
            os.close(descriptor)
        self._written = 0
        _INTRODUCTION.pack_into(self._map, 0, _MAGIC, _VERSION, size)

    def is_watched(self) -> bool:
        """Whether a reader wants to hear anything at all."""
        return bool(_SECONDS.unpack_from(self._map, _WATCHED)[0] > time.monotonic())

    def is_watched_closely(self) -> bool:
        """Whether a reader wants every step and picture."""
        return bool(_SECONDS.unpack_from(self._map, _CLOSELY)[0] > time.monotonic())

    def pace(self) -> float:
        """Seconds of simulation that a reader wants for each second of life; 0 for as fast as it goes."""
        if _SECONDS.unpack_from(self._map, _PACE_UNTIL)[0] < time.monotonic():
            return 0.0
        return float(_SECONDS.unpack_from(self._map, _PACE)[0])

    def write(self, record: Record) -> bool:
        """Append a record; False if it is larger than half of the ring, and left out."""
        body = msgpack.packb(record)
        block = _LENGTH.pack(len(body)) + body
        if len(block) > self._size // 2:
            return False
        begin = self._written % self._size
        first = min(len(block), self._size - begin)
        _COUNT.pack_into(self._map, _BEGUN, self._written + len(block))
        self._map[HEAD_SIZE + begin : HEAD_SIZE + begin + first] = block[:first]
        self._map[HEAD_SIZE : HEAD_SIZE + len(block) - first] = block[first:]
        self._written += len(block)
        _COUNT.pack_into(self._map, _WRITTEN, self._written)
        return True

    def close(self) -> None:
        """Remove the file. Twice is fine; readers keep what they have mapped."""
        self.path.unlink(missing_ok=True)
        self._map.close()


class RingReader:
    """A reading end.

    Args:
        path: Of the file.
        from_start: Begin with the oldest record of a ring that has not been filled yet, not with the next one.

    Raises:
        RingError: The file is no ring of this version.
        OSError: It can't be opened.
    """

    def __init__(self, path: Path, *, from_start: bool = False) -> None:
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size < HEAD_SIZE:
                raise RingError(f"{path} is too short for a ring.")
            self._map = mmap.mmap(file.fileno(), 0)
        magic, version, self._size = _INTRODUCTION.unpack_from(self._map, 0)
        if (magic, version) != (_MAGIC, _VERSION) or len(self._map) != HEAD_SIZE + self._size:
            self._map.close()
            raise RingError(f"{path} was not written by this version of rllib_integration.")
        written = self._count_written()
        self._read = 0 if from_start and written <= self._size else written
        self.missed = 0

    def _count_written(self) -> int:
        return int(_COUNT.unpack_from(self._map, _WRITTEN)[0])

    def watch(self, seconds: float, closely: bool) -> None:
        """Ask the writer to tell what it does for so many seconds."""
        until = time.monotonic() + seconds
        _SECONDS.pack_into(self._map, _WATCHED, until)
        if closely:
            _SECONDS.pack_into(self._map, _CLOSELY, until)

    def ask_pace(self, factor: float, seconds: float) -> None:
        """Ask for a pace (see `RingWriter.pace`) that holds for so many seconds."""
        _SECONDS.pack_into(self._map, _PACE, factor)
        _SECONDS.pack_into(self._map, _PACE_UNTIL, time.monotonic() + seconds)

    def read(self) -> list[Record]:
        """The records written since the last call; `missed` counts the bytes that were overwritten before."""
        records: list[Record] = []
        while (written := self._count_written()) > self._read:
            block = self._copy(self._read, written) if written - self._read <= self._size else b""
            (begun,) = _COUNT.unpack_from(self._map, _BEGUN)
            if begun - self._read > self._size:  # the writer has overtaken us, perhaps while we were copying
                self._skip_to_the_newest()
                break
            records += self._unpack(block)
        return records

    def _copy(self, begin: int, end: int) -> bytes:
        """The bytes of the ring from one count of written bytes to another."""
        first, last = begin % self._size, (end - 1) % self._size + 1
        if first < last:
            return bytes(self._map[HEAD_SIZE + first : HEAD_SIZE + last])
        return bytes(self._map[HEAD_SIZE + first :]) + bytes(self._map[HEAD_SIZE : HEAD_SIZE + last])

    def _skip_to_the_newest(self) -> None:
        written = self._count_written()
        self.missed += written - self._read
        self._read = written

    def _unpack(self, block: bytes) -> list[Record]:
        records, at = [], 0
        while at < len(block):
            (length,) = _LENGTH.unpack_from(block, at)
            at += _LENGTH.size
            records.append(msgpack.unpackb(block[at : at + length]))
            at += length
        self._read += at
        return records

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
