"""Shapes that clients draw with CARLA's `world.debug`, for the page.

A CARLA server draws these into its own window only. The embedded server keeps them, and returns them by a call of its
own (`docs/tick_extension.md`), which CARLA's client does not have. This module makes the call on its own connection:
one MessagePack-RPC request at a time, without blocking.
"""

from __future__ import annotations

import itertools
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

import carla
import msgpack
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record
from rllib_integration.telemetry.messages import Kind, pack

logger = logging.getLogger(__name__)

LAYER = "world.debug"
_TEXT_LAYER = "world.debug texts"
_CALL = "minicarla_drawn_shapes"
_REQUEST, _RESPONSE = 0, 1
_ONE_FRAME = 0.1  # [s] for which a shape of one frame is shown
_PIXELS_A_METRE = 100.0  # of CARLA's points, whose size does not depend on the distance
_SECONDS = 1.0
_MOST_BYTES = 16 << 20
_BARBS = ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


class DebugFeed:
    """Requests the shapes of one embedded server; other servers have none.

    Args:
        host: Host of the server.
        port: Its RPC port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._connection: socket.socket | None = socket.create_connection((host, port), _SECONDS)
        self._connection.setblocking(False)
        self._unpacker = msgpack.Unpacker(max_buffer_size=_MOST_BYTES)
        self._numbers = itertools.count(1)
        self._last = 0
        self._waits = False
        self._has_begun = False

    @property
    def sockets(self) -> list[socket.socket]:
        """The socket to wait for, readable when a response has arrived; empty if none is expected."""
        return [self._connection] if self._connection is not None and self._waits else []

    def ask(self) -> None:
        """Request new shapes, unless a response is still pending."""
        if self._connection is None or self._waits:
            return
        request = msgpack.packb([_REQUEST, next(self._numbers), _CALL, [[False], self._last]])
        try:
            self._connection.sendall(request)
            self._waits = True
        except OSError as error:
            self._give_up(f"{error}")

    def read(self) -> list[bytes]:
        """The messages of a response that has arrived."""
        if self._connection is None:
            return []
        try:
            received = self._connection.recv(1 << 18)
            if not received:
                raise ConnectionError("the server has closed the connection")
            self._unpacker.feed(received)
            return [message for answer in self._unpacker for message in self._take(answer)]
        except BlockingIOError:
            return []
        except (OSError, ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
            self._give_up(f"{error}")
            return []

    def _take(self, answer: Any) -> Iterator[bytes]:
        kind, _, failure, result = answer
        if kind != _RESPONSE or failure is not None or result[0][0] != 1:
            self._give_up("this is not an embedded server")
            return
        self._waits = False
        if not self._has_begun:
            self._has_begun = True
            for layer in (LAYER, _TEXT_LAYER):
                yield _clear(layer, None)  # shapes of an earlier connection
        for number, *shape in result[0][1]:
            self._last = number
            yield shape_message(*shape)

    def _give_up(self, reason: str) -> None:
        logger.info("The shapes of world.debug are not shown: %s.", reason)
        self.close()

    def close(self) -> None:
        """Close the connection. Twice is fine."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def shape_message(
    elapsed: float, name: str, figures: Sequence[float], text: str, colour: Sequence[int], life: float
) -> bytes:
    """A shape, or the removal of all shapes, as a painter's message; the arguments are those of the server."""
    if name == "clear":
        return _clear(_TEXT_LAYER if text == "texts" else LAYER, elapsed)
    head: Record = {
        "shape": {"point": "points", "text": "text"}.get(name, "lines"),
        "layer": _TEXT_LAYER if name == "text" else LAYER,
        "life": None if life < 0.0 else max(life, _ONE_FRAME),
        "colour": "#{:02x}{:02x}{:02x}".format(*colour),
        "t": round(elapsed, 4),
        "at": time.time(),
        "size": 1.0 if name == "text" else figures[-1],
        "lengths": [],
    }
    if name == "text":
        return pack(Kind.PAINT, {**head, "text": text}, _places(figures))
    if name == "point":
        return pack(Kind.PAINT, {**head, "pixels": _PIXELS_A_METRE * figures[3]}, _places(figures[:3]))
    if name == "box":
        lines = _edges(np.array(figures[:9]))
    elif name == "arrow":
        head["size"] = figures[6]
        lines = _arrow(np.array(figures[:3]), np.array(figures[3:6]), figures[7])
    else:
        lines = [_places(figures[:6])]
    return pack(Kind.PAINT, {**head, "lengths": [len(line) for line in lines]}, np.concatenate(lines))


def _clear(layer: str, elapsed: float | None) -> bytes:
    return pack(Kind.PAINT, {"shape": "clear", "layer": layer, "t": elapsed, "at": time.time()})


def _places(figures: Sequence[float]) -> NDArray[np.float32]:
    return np.array(figures, np.float32).reshape(-1, 3)


def _arrow(begin: NDArray[np.float64], end: NDArray[np.float64], size: float) -> list[NDArray[np.float32]]:
    """The shaft, and four strokes at its tip (m)."""
    along = end - begin
    along /= max(float(np.linalg.norm(along)), 1e-6)
    sideways = np.cross(along, (0.0, 0.0, 1.0))
    norm = float(np.linalg.norm(sideways))
    sideways = sideways / norm if norm > 1e-6 else np.array((0.0, 1.0, 0.0))
    up = np.cross(sideways, along)
    barbs = [np.stack([end, end - size * (along - 0.5 * (u * sideways + v * up))]) for u, v in _BARBS]
    return [line.astype(np.float32) for line in (np.stack([begin, end]), *barbs)]


def _edges(figures: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """The twelve edges of a box: centre, half sides (m), pitch, yaw, roll (degrees)."""
    centre, half_sides = figures[:3], figures[3:6]
    rotation = carla.Rotation(*(float(angle) for angle in figures[6:9]))
    turn = np.array(carla.Transform(carla.Location(), rotation).get_matrix())[:3, :3]
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    corners = centre + (signs * half_sides) @ turn.T
    pairs = [(a, b) for a in range(8) for b in range(a + 1, 8) if np.count_nonzero(signs[a] != signs[b]) == 1]
    return [corners[[a, b]].astype(np.float32) for a, b in pairs]
