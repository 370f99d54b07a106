"""The RPC port: connections that carry requests, in order, to one handler."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from minicarla.protocol.connection import UNREAD_OUTPUT, Connection, Listener
from minicarla.protocol.event_loop import EventLoop
from minicarla.protocol.rpc_framing import FramingError, Request, RequestDecoder

logger = logging.getLogger(__name__)

RequestHandler = Callable[[Request], None]

_BACKLOG = "backlog"
_PAUSE = "pause"
_REQUESTS_BETWEEN_LOOKS = 16
_TURN = 0.002
"""[s] after which a client that floods gives way to the others."""
_MAX_UNREAD_ANSWERS = 8 * 2**20
MAX_INCOMPLETE = 2**30
"""[B] that the incomplete requests of all clients may take in memory."""


class RpcConnection(Connection):
    """A client's RPC connection. While its answers pile up unread, no more of its requests are read.

    Attributes:
        at_close: Called when the connection ends.
        cost: [B] that its incomplete request takes in memory, at most.
        last_call: Method of the request before the one that is being handled, None if nobody waited for its answer.
    """

    def __init__(self, loop: EventLoop, sock: socket.socket, server: RpcServer) -> None:
        self._server = server
        self._is_interrupted = False
        self._is_paused = False
        self._decoder = RequestDecoder()
        self.at_close: list[Callable[[], None]] = []
        self.cost = 0
        self.last_call: str | None = None
        super().__init__(loop, sock)
        self._handle = server.greet(self)

    def on_data(self, data: bytes) -> None:
        """Hand every complete request to the handler; close on anything that is no request."""
        try:
            self._decoder.feed(data)
        except FramingError as error:
            self._refuse(error)
            return
        self._work()
        if self._decoder.cost != self.cost and not self.closed:
            self._server.incomplete += self._decoder.cost - self.cost
            self.cost = self._decoder.cost
            self._server.relieve()

    def _work(self) -> bool:
        """Handle the requests that are complete; False if the rest must wait for the next turn."""
        if self._is_paused:
            return False
        began, count = time.monotonic(), 0
        try:
            for request in self._decoder:
                self._handle(request)
                self.last_call = None if request.is_async else request.method
                if self.closed:
                    return True
                if self._is_paused:
                    return False
                if self.queued_bytes > _MAX_UNREAD_ANSWERS:
                    self._is_interrupted = True
                    return False
                count += 1
                if count % _REQUESTS_BETWEEN_LOOKS == 0 and time.monotonic() - began > _TURN:
                    self._wait_for_turn()
                    return False
        except FramingError as error:
            self._refuse(error)
        return True

    def pause(self) -> None:
        """Handle no more requests: the one that is being handled takes long. `go_on` takes it back."""
        self._is_paused = True
        if not self.closed:
            self.stop_reading(_PAUSE)

    def go_on(self) -> None:
        """Handle the requests that came meanwhile, too."""
        if self._is_paused:
            self._is_paused = False
            if not self.closed:
                self.read_on(_PAUSE)
                self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        self.stop_reading(_BACKLOG)
        self._server.backlog.append(self)

    def read_on(self, reason: str) -> None:
        """Go on with the requests that waited for their client to read its answers, too."""
        super().read_on(reason)
        if reason == UNREAD_OUTPUT and self._is_interrupted and not self.closed:
            self._is_interrupted = False
            self._wait_for_turn()

    def work_on(self) -> None:
        """Take another turn at the requests that had to wait."""
        if not self.closed and self._work():
            self.read_on(_BACKLOG)

    def _refuse(self, error: FramingError) -> None:
        self.end(str(error))

    def end(self, reason: str) -> None:
        """Close the connection, and say why."""
        logger.warning("closing the connection of %s: %s", self.peer, reason)
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
        self._server.incomplete -= self.cost
        self.cost = 0


class RpcServer:
    """Listens for CARLA clients.

    Args:
        loop: Tells of them.
        port: Where.
        greet: Called with each new connection; returns what handles its requests.

    Attributes:
        connections: All of them.
        backlog: Those whose requests wait for another turn; see `work_off_backlog`.
        incomplete: [B] that all their incomplete requests take in memory, at most.
    """

    def __init__(self, loop: EventLoop, port: socket.socket, greet: Callable[[RpcConnection], RequestHandler]) -> None:
        self._loop = loop
        self.greet = greet
        self.connections: set[RpcConnection] = set()
        self.backlog: list[RpcConnection] = []
        self.incomplete = 0
        self.listener = Listener(loop, port, self._accept)

    def _accept(self, sock: socket.socket) -> None:
        self.connections.add(RpcConnection(self._loop, sock, self))

    def relieve(self) -> None:
        """End the greediest clients for as long as incomplete requests take too much memory."""
        while self.incomplete > MAX_INCOMPLETE:
            greediest = max(self.connections, key=lambda connection: connection.cost)
            greediest.end(
                f"incomplete requests take more than {MAX_INCOMPLETE >> 20} MiB of memory, most of it this one"
            )

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
