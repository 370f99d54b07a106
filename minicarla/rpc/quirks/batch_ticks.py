"""Keeps what sensors perceive back while a client spawns and ticks, batch after batch.

`apply_batch_sync(commands, True)` keeps Python's lock until the client has seen the frame. Its threads that have a
sensor's message wait for that lock; if all do, none is left to see the frame. In a row of such calls the threads have
no time to finish in between, so they hear of the sensors when the row is over.
"""

from __future__ import annotations

from collections.abc import Callable

REST = 10e-3
"""[s] without a call, after which a row of batches is over."""
LONGEST_WAIT = 0.25
"""[s] after which the messages go out whatever the client does."""

Send = Callable[[int, bytes, bytes], None]


class HeldMessages:
    """Messages of sensors that wait.

    Args:
        send: Sends a message on a stream: its id, header and body.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[tuple[int, bytes, bytes]] = []
        self._since: float | None = None
        self._last_call = 0.0

    def __bool__(self) -> bool:
        return self._since is not None

    def begin(self, now: float) -> None:
        """Keep messages from now on, or go on to do so."""
        if self._since is None:
            self._since = now
        self._last_call = now

    def called(self, now: float) -> None:
        """A client called; it may be about to send its next batch."""
        self._last_call = now

    def keep(self, stream_id: int, header: bytes, body: bytes | memoryview) -> None:
        """Keep a message; its body may be overwritten afterwards."""
        self._messages.append((stream_id, header, bytes(body)))

    def next_due(self) -> float | None:
        """When to look again, None if nothing is kept."""
        return None if self._since is None else min(self._last_call + REST, self._since + LONGEST_WAIT)

    def send_due(self, now: float) -> None:
        """Send everything if it is time."""
        due = self.next_due()
        if due is not None and now >= due:
            self.end()

    def end(self) -> None:
        """Send everything."""
        messages, self._messages, self._since = self._messages, [], None
        for message in messages:
            self._send(*message)
