"""Defect: a client that spawns and ticks in one call keeps its own threads from seeing the frame.

`apply_batch_sync(commands, True)` keeps Python's lock until the client has seen the frame. Its threads that have a
sensor's message wait for that lock; if all do, none is left to see the frame, and the call ends by its time-out. In a
row of such calls the threads have no time to finish in between. So clients hear of such a frame before its sensors'
messages, and of these when the row is over.

A message of an earlier tick that a thread takes up just when the call begins cannot be called back: the lock is taken
before the server hears of the call, and nothing that is sent then is read.

Sign: a tick outside of such a call, or `REST` without any call. Test: `tests/minicarla/test_rpc_batch.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.deferrals import Deferrals, Wait
from minicarla.rpc.quirks.quirk import Quirk
from minicarla.rpc.session import Client

REST = 50e-3
"""[s] without a call, after which a row of batches is over."""

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
