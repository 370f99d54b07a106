"""The RPC port: connections that carry requests, in order, to one handler."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from rllib_integration.embedded.protocol.connection import UNREAD_OUTPUT, Connection, Listener
from rllib_integration.embedded.protocol.event_loop import EventLoop
from rllib_integration.embedded.protocol.rpc_framing import FramingError, Request, RequestDecoder

logger = logging.getLogger(__name__)

RequestHandler = Callable[["RpcConnection", Request], None]

_BACKLOG = "backlog"
_REQUESTS_BETWEEN_LOOKS = 16
_TURN = 0.002
"""[s] after which a client that floods gives way to the others."""
_MAX_UNREAD_ANSWERS = 8 * 2**20


class RpcConnection(Connection):
    """A client's RPC connection. While its answers pile up unread, no more of its requests are read.

    Attributes:
        at_close: Called when the connection ends.
        last_call: Method of the request before the one that is being handled, None if nobody waited for its answer.
    """

    def __init__(self, loop: EventLoop, sock: socket.socket, server: RpcServer) -> None:
        self._server = server
        self._decoder = RequestDecoder()
        self.at_close: list[Callable[[], None]] = []
        self.last_call: str | None = None
        super().__init__(loop, sock)

    def on_data(self, data: bytes) -> None:
        """Hand every complete request to the handler; close on anything that is no request."""
        try:
            self._decoder.feed(data)
        except FramingError as error:
            self._refuse(error)
            return
        self._work()

    def _work(self) -> bool:
        """Handle the requests that are complete; False if the rest must wait for the next turn."""
        began, count = time.monotonic(), 0
        try:
            for request in self._decoder:
                self._server.handle(self, request)
                self.last_call = None if request.is_async else request.method
                if self.closed:
                    return True
                count += 1
                if count % _REQUESTS_BETWEEN_LOOKS == 0 and time.monotonic() - began > _TURN:
                    self.stop_reading(_BACKLOG)
                    self._server.backlog.append(self)
                    return False
        except FramingError as error:
            self._refuse(error)
        return True

    def work_on(self) -> None:
        """Take another turn at the requests that had to wait."""
        if not self.closed and self._work():
            self.read_on(_BACKLOG)

    def _refuse(self, error: FramingError) -> None:
        logger.warning("closing the connection of %s: %s", self.peer, error)
        self.close()

    def make_room(self, size: int) -> None:
        """Stop reading from a client that does not read its answers, until it did."""
        if self.queued_bytes + size > _MAX_UNREAD_ANSWERS:
            self.stop_reading(UNREAD_OUTPUT)

    def on_close(self) -> None:
        """Forget the connection."""
        for action in self.at_close:
            action()
        self._server.connections.discard(self)


class RpcServer:
    """Listens for CARLA clients.

    Attributes:
        connections: All of them.
        backlog: Those whose requests wait for another turn; see `work_off_backlog`.
    """

    def __init__(self, loop: EventLoop, host: str, port: int | socket.socket, handle: RequestHandler) -> None:
        self._loop = loop
        self.handle = handle
        self.connections: set[RpcConnection] = set()
        self.backlog: list[RpcConnection] = []
        self.listener = Listener(loop, host, port, self._accept)

    def _accept(self, sock: socket.socket) -> None:
        self.connections.add(RpcConnection(self._loop, sock, self))

    def work_off_backlog(self) -> None:
        """Give every client with waiting requests another turn."""
        waiting, self.backlog = self.backlog, []
        for connection in waiting:
            connection.work_on()

    def close(self) -> None:
        """Close the listener and every connection."""
        self.listener.close()
        for connection in list(self.connections):
            connection.close()
