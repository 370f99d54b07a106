"""The streaming port: every connection subscribes to one stream and then only receives."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from minicarla.protocol.connection import Connection, Listener
from minicarla.protocol.event_loop import EventLoop
from minicarla.protocol.stream_framing import decode_subscription

logger = logging.getLogger(__name__)

MAX_QUEUED_PER_SUBSCRIBER = 64 * 2**20
MAX_QUEUED_IN_ALL = 192 * 2**20


class StreamConnection(Connection):
    """A subscription. One that reads too slowly loses its oldest messages, and costs nobody else anything.

    Attributes:
        stream_id: What it subscribed to, None until it has said so.
        takes_nothing: Whether a message was dropped and none sent since: another one would cost the next.
    """

    def __init__(self, loop: EventLoop, sock: socket.socket, server: StreamServer) -> None:
        self._server = server
        self._opening = b""
        self._lossy = False
        self.stream_id: int | None = None
        self.takes_nothing = False
        super().__init__(loop, sock)

    def on_data(self, data: bytes) -> None:
        """Read the stream id, the only thing that a subscriber ever says."""
        if self.stream_id is None:
            self._opening += data
            if len(self._opening) >= 4:
                self.stream_id = decode_subscription(self._opening[:4])
                self._opening = b""
                self._server.subscribe(self, self.stream_id)

    def make_room(self, size: int) -> None:
        """Drop this subscriber's oldest messages for its own limit, the greediest subscriber's for that of all."""
        while self.queued_bytes + size > MAX_QUEUED_PER_SUBSCRIBER and self.drop_message():
            pass
        while self._server.queued_bytes + size > MAX_QUEUED_IN_ALL:
            greediest = self._server.greediest()
            if greediest.drop_message():
                continue
            if greediest is self:
                break
            # It has had only a part of its message: as long as it does not take the rest, it holds what others need.
            logger.warning("%s reads nothing of stream %s: its subscription ends", greediest.peer, greediest.stream_id)
            greediest.close()

    def count_queued(self, more: int) -> None:
        """Note it for all subscribers, too."""
        super().count_queued(more)
        self._server.queued_bytes += more
        if more < 0:
            self.takes_nothing = False

    def drop_message(self) -> bool:
        """Forget the oldest message that waits; False when there is none."""
        if not self.drop_oldest():
            return False
        self.takes_nothing = True
        if not self._lossy:
            self._lossy = True
            logger.warning("%s reads stream %s too slowly: its oldest messages are dropped", self.peer, self.stream_id)
        return True

    def on_close(self) -> None:
        """End the subscription."""
        self._server.unsubscribe(self)


class StreamServer:
    """Keeps who listens to which stream.

    Attributes:
        subscribers: Stream id to its connections; a stream without subscribers has no entry.
        queued_bytes: Bytes that wait for slow subscribers.
    """

    def __init__(
        self, loop: EventLoop, port: socket.socket, on_subscribe: Callable[[StreamConnection, int], None]
    ) -> None:
        self._loop = loop
        self._on_subscribe = on_subscribe
        self._connections: set[StreamConnection] = set()
        self.subscribers: dict[int, list[StreamConnection]] = {}
        self.queued_bytes = 0
        self.listener = Listener(loop, port, self._accept)

    def _accept(self, sock: socket.socket) -> None:
        self._connections.add(StreamConnection(self._loop, sock, self))

    def subscribe(self, connection: StreamConnection, stream_id: int) -> None:
        """Add a subscriber."""
        self.subscribers.setdefault(stream_id, []).append(connection)
        self._on_subscribe(connection, stream_id)

    def unsubscribe(self, connection: StreamConnection) -> None:
        """Remove a subscriber whose connection ended."""
        self._connections.discard(connection)
        if connection.stream_id is None:
            return
        listeners = self.subscribers.get(connection.stream_id)
        if listeners is not None and connection in listeners:
            listeners.remove(connection)
            if not listeners:
                del self.subscribers[connection.stream_id]

    def is_read(self, stream_id: int) -> bool:
        """Whether anybody subscribed to a stream takes what is sent on it."""
        return any(not connection.takes_nothing for connection in self.subscribers.get(stream_id, ()))

    def greediest(self) -> StreamConnection:
        """The subscriber for whom most waits."""
        return max(self._connections, key=lambda connection: connection.queued_bytes)

    def publish(
        self,
        stream_id: int,
        message: bytes | memoryview,
        body: bytes | memoryview | None = None,
        only_to_idle: bool = False,
    ) -> None:
        """Send one framed message to all subscribers of a stream.

        Args:
            stream_id: The stream.
            message: The message, or its first part.
            body: Its second part.
            only_to_idle: Whether subscribers to whom an older message is still on its way go without this one.
        """
        listeners = self.subscribers.get(stream_id)
        if listeners is None:
            return
        # A failing write removes its connection from the list.
        for connection in listeners if len(listeners) == 1 else tuple(listeners):
            if not (only_to_idle and connection.queued_bytes):
                connection.write(message, body)

    def close(self) -> None:
        """Close the listener and every connection."""
        self.listener.close()
        for connection in list(self._connections):
            connection.close()
