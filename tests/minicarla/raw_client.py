"""A client that does what the real one never would."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import msgpack

_TIMEOUT = 60.0


class RawClient:
    """Speaks MessagePack-RPC without any of the real client's care."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=_TIMEOUT)
        self._unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def answer(self) -> list[Any]:
        """The next answer."""
        while True:
            for message in self._unpacker:
                return message
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._unpacker.feed(data)

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """Send a request and wait for its answer."""
        self.send(msgpack.packb([0, 1, method, [[False], *arguments]], unicode_errors="surrogateescape"))
        return self.answer()

    def is_closed(self) -> bool:
        """Whether the server closes the connection, perhaps after some last bytes."""
        with contextlib.suppress(ConnectionResetError):
            while self._socket.recv(1 << 16):
                pass
        return True

    def close(self) -> None:
        """End."""
        self._socket.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
