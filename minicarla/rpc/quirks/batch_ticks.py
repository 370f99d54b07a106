"""Defect: a client that spawns and ticks in one call keeps its own threads from seeing the frame.

`apply_batch_sync(commands, True)` keeps Python's lock until the client has seen the frame. Its threads that have a
sensor's message wait for that lock; if all do, none is left to see the frame, and the call ends by its time-out. In a
row of such calls the threads have no time to finish in between. So clients hear of such a frame before its sensors'
messages, and of these when the row is over.

A message of an earlier tick that a thread takes up just when the call begins cannot be called back: the lock is taken
before the server hears of the call, and nothing that is sent then is read. But a tick that is answered with a frame
which the client knows is waited for no longer. So the answer to a client with sensors waits until it has read the new
frame. Where it does not, the call ends by an old one, the lock is free, and the new frame is read a moment later.

Signs: of a row's end, a tick outside of such a call, or `REST` without any call; of a frame that was read, an empty
queue of the client's socket, as far as it is on this machine. Test: `tests/minicarla/test_rpc_batch.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from minicarla.protocol.rpc_framing import Request
from minicarla.protocol.stream_server import StreamConnection
from minicarla.rpc.deferrals import PATIENCE, Deferrals, Wait
from minicarla.rpc.quirks.quirk import Quirk
from minicarla.rpc.session import Client

logger = logging.getLogger(__name__)

REST = 50e-3
"""[s] without a call, after which a row of batches is over."""
KNOWN_FRAME = 0
"""A frame that every client knows, as it is none later than its newest."""
_FIRST_LOOK = 30e-6
"""[s] after a frame, when a client that has a processor may have read it."""
_BETWEEN_LOOKS = 0.25
"""Of the time that has passed, until the next look."""

Send = Callable[[int, bytes, bytes], None]


class BatchTicks(Quirk):
    """Keeps messages of sensors back.

    Args:
        deferrals: What waits.
        send: Sends a message on a stream: its id, header and body.

    Attributes:
        is_keeping: Whether messages are kept.
    """

    def __init__(self, deferrals: Deferrals, send: Send) -> None:
        self._deferrals = deferrals
        self._send = send
        self._messages: list[tuple[int, bytes, bytes]] = []
        self._last_call = 0.0
        self.is_keeping = False

    def before(self, client: Client, request: Request) -> Wait | None:
        """A client calls: it may be about to send its next batch."""
        if self.is_keeping:
            self._last_call = time.monotonic()
        if request.method == "tick_cue":
            client.ticks_for_batch = client.connection.last_call == "apply_batch"
        return None

    def begin(self, client: Client) -> None:
        """Keep messages from now on, or go on to do so."""
        self._last_call = time.monotonic()
        if not self.is_keeping:
            self.is_keeping = True
            wait = Wait(lambda: self._last_call + REST if self.is_keeping else 0.0, "", lambda _: self.end())
            self._deferrals.add(client, lambda: None, wait)

    def keep(self, stream_id: int, header: bytes, body: bytes | memoryview) -> None:
        """Keep a message; its body may be overwritten afterwards."""
        self._messages.append((stream_id, header, bytes(body)))

    def end(self) -> None:
        """Send everything."""
        messages, self._messages, self.is_keeping = self._messages, [], False
        for message in messages:
            self._send(*message)

    def answer(self, client: Client, frame: int, answer: Callable[[int], object]) -> None:
        """Answer a tick with its frame once the client has read it, or else with `KNOWN_FRAME`."""
        reading = _Reading(client.world_stream if client.streams else None)

        def conclude() -> None:
            if reading.goes_on:
                peer = client.connection.peer
                logger.warning("%s did not read frame %d within %g s: its tick ends before", peer, frame, PATIENCE)
            answer(KNOWN_FRAME if reading.goes_on else frame)

        if reading.goes_on:
            self._deferrals.add(client, conclude, Wait(reading.next_look, ""))
        else:
            conclude()


class _Reading:
    """Looks whether a client has read what it was sent; nothing tells the server when it does.

    Attributes:
        goes_on: Whether it had not when it was looked for last.
    """

    def __init__(self, stream: StreamConnection | None) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._next_look = self._began + _FIRST_LOOK
        self.goes_on = self._has_unread()

    def _has_unread(self) -> bool:
        return self._stream is not None and self._stream.unread() > 0

    def next_look(self) -> float:
        """When to look next; 0 once everything was read."""
        now = time.monotonic()
        if self.goes_on and now >= self._next_look:
            self.goes_on = self._has_unread()
            self._next_look = now + max(_FIRST_LOOK, _BETWEEN_LOOKS * (now - self._began))
        return self._next_look if self.goes_on else 0.0
