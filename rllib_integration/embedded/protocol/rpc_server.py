"""The RPC port: connections that carry requests, in order, to one handler."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from rllib_integration.embedded.protocol.connection import Connection, Listener
from rllib_integration.embedded.protocol.event_loop import EventLoop
from rllib_integration.embedded.protocol.rpc_framing import FramingError, Request, RequestDecoder

logger = logging.getLogger(__name__)

RequestHandler = Callable[["RpcConnection", Request], None]

_MAX_UNREAD_ANSWERS = 8 * 2**20


class RpcConnection(Connection):
    """A client's RPC connection. While its answers pile up unread, no more of its requests are read.

    Attributes:
        at_close: Called when the connection ends.
    """

    def __init__(self, loop: EventLoop, sock: socket.socket, server: RpcServer) -> None:
        self._server = server
        self._decoder = RequestDecoder()
        self.at_close: list[Callable[[], None]] = []
        super().__init__(loop, sock)

    def on_data(self, data: bytes) -> None:
        """Hand every complete request to the handler; close on anything that is no request."""
        try:
            self._decoder.feed(data)
            for request in self._decoder:
                self._server.handle(self, request)
                if self.closed:
                    return
        except FramingError as error:
            logger.warning("closing the connection of %s: %s", self.peer, error)
            self.close()

    def make_room(self, size: int) -> None:
        """Stop reading from a client that does not read its answers, until it did."""
        if self.queued_bytes + size > _MAX_UNREAD_ANSWERS:
            self.read_on(False)

    def on_close(self) -> None:
        """Forget the connection."""
        for action in self.at_close:
            action()
        self._server.connections.discard(self)


class RpcServer:
    """Listens for CARLA clients."""

    def __init__(self, loop: EventLoop, host: str, port: int, handle: RequestHandler) -> None:
        self._loop = loop
        self.handle = handle
        self.connections: set[RpcConnection] = set()
        self.listener = Listener(loop, host, port, self._accept)

    def _accept(self, sock: socket.socket) -> None:
        self.connections.add(RpcConnection(self._loop, sock, self))

    def close(self) -> None:
        """Close the listener and every connection."""
        self.listener.close()
        for connection in list(self.connections):
            connection.close()
