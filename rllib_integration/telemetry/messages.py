"""Messages of one form for the socket, for files and between processes: a small JSON head, then arrays.

    u8 kind, u8 0, u16 0, u32 size of the head, the head as JSON, padded to 4 bytes, then every array, each padded to 4

The head's `arrays` lists the type (`|u1`, `<i2`, `<i4`, `<u4`, `<f4`) and the shape of every array.
"""

from __future__ import annotations

import enum
import json
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record, Settings
from rllib_integration.errors import IntegrationError

_INTRODUCTION = struct.Struct("<BBHI")
_ALIGNMENT = 4
_TYPES = ("|u1", "<i2", "<i4", "<u4", "<f4")


class Kind(enum.IntEnum):
    """What a message is about."""

    HELLO = 1  # what can be watched, and what the viewer allows
    WORLD = 2  # another world is shown: town, host, version; all that was known is forgotten
    SIGNALS = 3  # traffic lights, their stop lines, and signs
    ACTORS = 4  # descriptions of actors that appear
    FRAME = 5  # where all actors are
    SENSORS = 6  # what can be listened to
    EPISODE = 7  # an environment's episode begins
    STEP = 8  # a decision of an environment
    PICTURE = 9  # an encoded picture
    POINTS = 10  # places measured by a lidar or radar
    EVENT = 11  # something happened to the hero
    PAINT = 12  # shapes that somebody draws
    STATE = 13  # whether the world can be reached
    TILES = 14  # all environments in brief
    TOWN = 15  # the mesh of a town
    WEATHER = 16
    REPLAY = 17  # begins a recorded episode: what it is and how it ended
    RUN = 18  # files of runs have changed


class Message(NamedTuple):
    """An unpacked message."""

    kind: Kind
    head: Record
    arrays: list[NDArray[np.generic]]


class MessageError(IntegrationError, ValueError):
    """Bytes are no message."""


def pack(kind: Kind, head: Settings, *arrays: NDArray[np.generic]) -> bytes:
    """The bytes of a message.

    Args:
        kind: What it is about.
        head: Anything that JSON holds; `arrays` is added.
        arrays: Of types that JavaScript has views for; others must be converted before.
    """
    if arrays:
        head = {**head, "arrays": [[array.dtype.str, list(array.shape)] for array in arrays]}
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    parts = [_INTRODUCTION.pack(kind, 0, 0, len(text)), text, b"\0" * (-len(text) % _ALIGNMENT)]
    for array in arrays:
        assert array.dtype.str in _TYPES, array.dtype
        body = np.ascontiguousarray(array).tobytes()
        parts += [body, b"\0" * (-len(body) % _ALIGNMENT)]
    return b"".join(parts)


def kind_of(message: bytes) -> Kind:
    """The kind of a packed message."""
    return Kind(message[0])


def head_of(message: bytes) -> Record:
    """The head of a packed message."""
    _, _, _, size = _INTRODUCTION.unpack_from(message, 0)
    head: Record = json.loads(message[_INTRODUCTION.size : _INTRODUCTION.size + size])
    return head


def unpack(message: bytes) -> Message:
    """Take a message apart.

    Raises:
        MessageError: The bytes are no message.
    """
    try:
        kind, _, _, size = _INTRODUCTION.unpack_from(message, 0)
        if _INTRODUCTION.size + size > len(message):
            raise MessageError(f"A message of {len(message)} bytes ends inside its head.")
        head = head_of(message)
        at = _INTRODUCTION.size + size + -size % _ALIGNMENT
        arrays = []
        for name, shape in head.get("arrays", ()):
            if name not in _TYPES:
                raise MessageError(
                    f"A message has an array of the type {name!r}, which is none of {', '.join(_TYPES)}."
                )
            count = int(np.prod(shape))
            array = np.frombuffer(message, name, count, at).reshape(shape)
            at += array.nbytes + -array.nbytes % _ALIGNMENT
            arrays.append(array)
        return Message(Kind(kind), head, arrays)
    except (struct.error, ValueError, TypeError) as error:
        raise MessageError(f"{len(message)} bytes are no message: {error}") from error
