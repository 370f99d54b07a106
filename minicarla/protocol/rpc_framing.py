"""MessagePack-RPC as CARLA's client speaks it: objects back to back on a TCP stream, with no length prefix.

A request is `[0, id, method, [metadata, *arguments]]`, where the metadata `[is_async]` says whether the client
waits for the answer. An answer is `[1, id, error, result]`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgpack
import numpy as np

from minicarla.protocol.values import PackValue

_NOTHING = object()

REQUEST = 0
RESPONSE = 1

MAX_MESSAGE_BYTES = 64 * 2**20
"""Largest request: an OpenDRIVE text, or a batch for tens of thousands of actors."""
MAX_ELEMENTS = 2**22
"""Largest array announced by one header; a lying header then costs no more than 32 MiB of address space."""
MAX_COST = 512 * 2**20
"""[B] that one request may take in memory: what is a byte on the wire, such as an empty list, takes up to 240 there."""


_UINT8 = 0xCC
"""Announces a number of one byte."""

_MANY_BYTES = 2**16
"""A message of so many is unpacked without the collector of garbage."""


def _costs() -> bytes:
    """[B] that each byte may take in memory: as the first one of a value, or as a small number in a list."""
    costs = np.full(256, 8, np.uint8)
    costs[0xC4:0xE0] = 72  # numbers, texts and bytes with their sizes
    costs[_UINT8] = 8  # Python has one object for each of these numbers
    costs[0xA0:0xC0] = 72  # short texts
    costs[0xE0:] = 40  # negative numbers
    costs[0x90:0xA0] = costs[0xDC:0xDE] = 88  # arrays
    costs[0x80:0x90] = costs[0xDE:0xE0] = 240  # tables
    return costs.tobytes()


_COSTS = _costs()


def _cost(data: bytes) -> int:
    """[B] that these bytes may take in memory."""
    costs = np.frombuffer(data.translate(_COSTS), np.uint8)
    announces = np.frombuffer(data, np.uint8) == _UINT8
    if not announces.any():
        return int(costs.sum(dtype=np.int64))
    for place in (np.flatnonzero(announces[1:] & announces[:-1]) + 1).tolist():
        announces[place] = not announces[place - 1]  # else it is the number that the byte before announces
    return int((costs[1:] * ~announces[:-1]).sum(dtype=np.int64)) + int(costs[0])


class FramingError(ValueError):
    """The bytes are no MessagePack-RPC request; the connection cannot be used any longer."""


class Request(NamedTuple):
    """One remote call as it came in."""

    message_id: int
    method: str
    arguments: list[Any]
    is_async: bool


class RequestDecoder:
    """Cuts a byte stream into requests.

    Attributes:
        cost: [B] that the request which is still incomplete takes in memory, at most.

    Raises:
        FramingError: from `feed` or the iteration, when the stream holds anything but requests.
    """

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            max_buffer_size=2 * MAX_MESSAGE_BYTES,
            max_array_len=MAX_ELEMENTS,
            max_map_len=MAX_ELEMENTS,
            max_str_len=MAX_MESSAGE_BYTES,
            max_bin_len=MAX_MESSAGE_BYTES,
            max_ext_len=0,
        )
        self._fed = 0
        self._completed = 0
        self._uncounted = b""
        self.cost = 0

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._fed += len(data)
        # The unpacker's own limit does not count what it has already taken apart.
        if self._fed - self._completed > MAX_MESSAGE_BYTES:
            raise FramingError(f"a request is larger than {MAX_MESSAGE_BYTES >> 20} MiB")
        self._unpacker.feed(data)
        self._uncounted = data

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests completed so far."""
        try:
            for message in self._unpacker if self._fed - self._completed < _MANY_BYTES else self._unpack_much():
                self._completed = self._unpacker.tell()
                yield _as_request(message)
            if self._fed != self._completed or self.cost:
                self._count()
        except FramingError:
            raise
        except (ValueError, TypeError, OverflowError, MemoryError, RecursionError, msgpack.UnpackException) as error:
            raise FramingError(f"not MessagePack: {error}") from error

    def _unpack_much(self) -> Iterator[object]:
        """Yield the messages that are complete.

        Lists by the thousand, none of which is garbage, would set the collector to work over and over.
        """
        while True:
            collects = gc.isenabled()
            gc.disable()
            try:
                message = next(self._unpacker, _NOTHING)
            finally:
                if collects:
                    gc.enable()
            if message is _NOTHING:
                return
            yield message

    def _count(self) -> None:
        incomplete = self._fed - self._completed
        if incomplete <= len(self._uncounted):
            self.cost = 0
        if incomplete:
            self.cost += _cost(self._uncounted[-incomplete:])
            self._uncounted = b""
            if self.cost > MAX_COST:
                raise FramingError(f"a request takes more than {MAX_COST >> 20} MiB of memory")


def _as_request(message: Any) -> Request:
    try:
        kind, message_id, method, parameters = message
        if kind == REQUEST and type(method) is str and type(message_id) is int and type(parameters) is list:
            metadata = parameters[0]
            return Request(message_id, method, parameters[1:], type(metadata) is list and metadata[0] is True)
    except (TypeError, ValueError, IndexError):
        pass
    raise FramingError("expected [0, id, method, [[is_async], ...]]")


_packer = msgpack.Packer(use_bin_type=True, unicode_errors="surrogateescape")
pack = _packer.pack


def encode_value(message_id: int, value: PackValue) -> bytes:
    """The answer of a call that returns `value`."""
    return pack([RESPONSE, message_id, None, [[1, value]]])


def encode_void(message_id: int) -> bytes:
    """The answer of a call that succeeded and returns nothing."""
    return pack([RESPONSE, message_id, None, [[False]]])


def encode_bare(message_id: int, result: PackValue) -> bytes:
    """An answer whose result has no envelope of its own (batches have one per command)."""
    return pack([RESPONSE, message_id, None, result])


def encode_failure(message_id: int, message: str, returns_value: bool) -> bytes:
    """The answer of a call that failed; the client raises RuntimeError(message)."""
    return pack([RESPONSE, message_id, None, [[0, [message]]] if returns_value else [[True, [message]]]])


def encode_unknown_method(message_id: int, method: str, argument_count: int) -> bytes:
    """The answer to a call of a method that does not exist, worded as CARLA's own RPC library does."""
    text = f"rpclib: server could not find function '{method:.100}' with argument count {argument_count}."
    return pack([RESPONSE, message_id, text, None])
