"""Non-blocking TCP connections with bounded output queues, and the listeners that accept them."""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections import deque
from collections.abc import Callable

from minicarla.protocol.event_loop import HUNG_UP, READABLE, WRITABLE, EventLoop

logger = logging.getLogger(__name__)

UNREAD_OUTPUT = "unread output"
"""Why a peer is not read that does not read what it was sent; over once it has."""

_READ_SIZE = 1 << 16
_BACKLOG = 256
_ACCEPT_PAUSE = 0.2


class Connection:
    """A client's socket. What cannot be sent at once waits in `outbox` and never blocks the server."""

    def __init__(self, loop: EventLoop, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = loop
        self._socket = sock
        self._descriptor = sock.fileno()
        self._outbox: deque[memoryview] = deque()
        self._head_is_partial = False
        self._reading_waits_for: set[str] = set()
        self.queued_bytes = 0
        self.closed = False
        self.peer = "{}:{}".format(*sock.getpeername()[:2])
        loop.watch(self._descriptor, READABLE, self._on_ready)

    def on_data(self, data: bytes) -> None:
        """Handle received bytes."""
        raise NotImplementedError

    def on_close(self) -> None:
        """Handle the end of the connection."""

    def make_room(self, size: int) -> None:
        """Called before `size` bytes are queued; may drop queued messages with `drop_oldest`."""

    def count_queued(self, more: int) -> None:
        """Note that so many more bytes wait to be sent."""
        self.queued_bytes += more

    def has_input(self) -> bool:
        """Whether the peer has sent something that is about to be read."""
        if self.closed or self._reading_waits_for:
            return False
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:  # nothing, or a broken connection
            return False

    def has_hung_up(self) -> bool:
        """Whether the peer has closed the connection, be it unheard of yet."""
        try:
            return self.closed or not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def write(self, message: bytes | memoryview, body: bytes | memoryview | None = None) -> None:
        """Send one message, the part `body` after the part `message`.

        The buffers may be reused as soon as this returns.
        """
        if self.closed:
            return
        sent = 0
        if not self._outbox:
            try:
                sent = self._socket.send(message) if body is None else self._socket.sendmsg((message, body))
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
        size = len(message) + (0 if body is None else len(body))
        if sent < size:
            self._enqueue(bytes(message) if body is None else b"".join((message, body)), sent)

    def _enqueue(self, message: bytes, sent: int) -> None:
        rest = memoryview(message)[sent:]
        self.make_room(len(rest))
        if not self._outbox:
            self._head_is_partial = sent > 0
        self._outbox.append(rest)
        self.count_queued(len(rest))
        self._update_interest()

    def drop_oldest(self) -> bool:
        """Forget the oldest queued message of which nothing was sent yet; False when there is none."""
        index = 1 if self._head_is_partial else 0
        if len(self._outbox) <= index:
            return False
        self.count_queued(-len(self._outbox[index]))
        del self._outbox[index]
        return True

    def stop_reading(self, reason: str) -> None:
        """Read nothing more from the peer until `read_on` is called for the same reason."""
        self._reading_waits_for.add(reason)
        self._update_interest()

    def read_on(self, reason: str) -> None:
        """Take back `stop_reading`; `UNREAD_OUTPUT` whenever everything was sent."""
        self._reading_waits_for.discard(reason)
        if not self.closed:
            self._update_interest()

    def _update_interest(self) -> None:
        self._loop.change(
            self._descriptor, (0 if self._reading_waits_for else READABLE) | (WRITABLE if self._outbox else 0)
        )

    def _on_ready(self, events: int) -> None:
        if events & WRITABLE:
            self._flush()
            if events == WRITABLE:
                return
        if self.closed or (self._reading_waits_for and not events & HUNG_UP):
            return
        try:
            data = self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.on_data(data)
        else:
            self.close()

    def _flush(self) -> None:
        try:
            while self._outbox:
                head = self._outbox[0]
                sent = self._socket.send(head)
                self.count_queued(-sent)
                if sent < len(head):
                    self._outbox[0] = head[sent:]
                    self._head_is_partial = True
                    return
                self._outbox.popleft()
                self._head_is_partial = False
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self.read_on(UNREAD_OUTPUT)

    def close(self) -> None:
        """Close the socket and forget all queued output. Safe to call twice."""
        if self.closed:
            return
        self.closed = True
        self._loop.forget(self._descriptor)
        self._socket.close()
        self._outbox.clear()
        self.count_queued(-self.queued_bytes)
        self.on_close()


def bind_port(host: str, port: int) -> socket.socket:
    """A port that is taken, but not open yet: clients are refused. 0: any free one.

    Raises:
        OSError: if it cannot be bound.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def open_port(bound: socket.socket) -> socket.socket:
    """Opens what `bind_port` returned: from now on clients are queued until a `Listener` accepts them.

    Raises:
        OSError: another program has bound the port, too, and opened it earlier.
    """
    bound.listen(_BACKLOG)
    return bound


class Listener:
    """Accepts connections on one port.

    Args:
        loop: Tells of them.
        port: What `bind_port` returned; it is closed with the listener. Open it before the loop runs.
        accept: Takes every connection.

    Attributes:
        port: Its number.
    """

    def __init__(self, loop: EventLoop, port: socket.socket, accept: Callable[[socket.socket], object]) -> None:
        self._loop = loop
        self._accept = accept
        self._paused_until: float | None = None
        self._socket = port
        self.port: int = self._socket.getsockname()[1]
        loop.watch(self._socket.fileno(), READABLE, self._on_ready)

    def _on_ready(self, _events: int) -> None:
        try:
            sock, _ = self._socket.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                # The pending connection stays ready for ever: look again a little later.
                logger.error("no more connections can be accepted: %s", error)
                self._loop.change(self._socket.fileno(), 0)
                self._paused_until = time.monotonic() + _ACCEPT_PAUSE
            return
        try:
            self._accept(sock)
        except OSError:
            sock.close()

    @property
    def paused(self) -> bool:
        """Whether no connections are accepted for the moment."""
        return self._paused_until is not None

    def resume_when_due(self) -> float | None:
        """Listen again after a pause; returns when to call next, None if not paused."""
        if self._paused_until is not None and time.monotonic() >= self._paused_until:
            self._paused_until = None
            self._loop.change(self._socket.fileno(), READABLE)
        return self._paused_until

    def close(self) -> None:
        """Stop listening."""
        self._loop.forget(self._socket.fileno())
        self._socket.close()
