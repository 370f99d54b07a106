"""Defect: a client that spawns and ticks in one call keeps its own threads from seeing the frame.

`apply_batch_sync(commands, True)` keeps Python's lock until the client has taken in the frame. Its threads that have a
sensor's message wait for that lock; if all do, none is left for the frame, and the call ends by its time-out. In a row
of such calls the threads have no time to finish in between. So clients hear of such a frame before its sensors'
messages, and of these when the row is over.

A message of an earlier tick that a thread takes up just when the call begins cannot be called back: the lock is taken
before the server hears of the call. But a tick that is answered with a frame which the client knows is waited for no
longer. So the answer to a client with sensors waits until it has taken in the new frame. Where it does not, the call
ends by an old frame, the lock is free, and the new frame is taken in a moment later.

Signs: of a row's end, a tick outside of such a call, or `REST` without any call; of a frame that was taken in, a call
for the lights, which the thread makes right after it if the frame says that lights have changed. It needs no lock.
Test: `tests/minicarla/test_rpc_batch.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.deferrals import NOT_YET, Deferrals, Wait
from minicarla.rpc.quirks.quirk import Quirk
from minicarla.rpc.session import Client

REST = 50e-3
"""[s] without a call, after which a row of batches is over."""
KNOWN_FRAME = 0
"""A frame that every client knows: none is older."""
_LIGHTS = "query_lights_state"
_NEW_EPISODE = "get_episode_info"

Send = Callable[[int, bytes, bytes], None]


class BatchTicks(Quirk):
    """Keeps messages of sensors back, and answers until their clients have the frame.

    Args:
        deferrals: What waits.
        send: Sends a message on a stream: its id, header and body.
        tell_of_lights: Makes the next frame say that lights have changed; returns whether it would have anyway.

    Attributes:
        is_keeping: Whether messages are kept.
    """

    def __init__(self, deferrals: Deferrals, send: Send, tell_of_lights: Callable[[], bool]) -> None:
        self._deferrals = deferrals
        self._send = send
        self._tell_of_lights = tell_of_lights
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

    def observe(self, client: Client, method: str) -> None:
        """A client that asks for the lights may do so because of a frame."""
        if method == _LIGHTS:
            client.lights_asked += 1
        elif method == _NEW_EPISODE:
            client.lights_are_sign = False

    def begin(self, client: Client, changes_actors: bool) -> None:
        """The client's tick under way is about to be carried out."""
        if client.ticks_for_batch and (changes_actors or self.is_keeping):
            self._keep_on(client)
        elif self.is_keeping:
            self.end()
        if self._awaits_sign(client):
            client.lights_are_sign = not self._tell_of_lights()

    def _keep_on(self, client: Client) -> None:
        """Keep messages from now on, or go on to do so."""
        self._last_call = time.monotonic()
        if not self.is_keeping:
            self.is_keeping = True
            wait = Wait(lambda: self._last_call + REST if self.is_keeping else 0.0, "", lambda _: self.end())
            self._deferrals.add(client, lambda: None, wait)

    @staticmethod
    def _awaits_sign(client: Client) -> bool:
        """Whether a callback of a client may keep it from taking in the frame of its tick, and a sign can come."""
        return client.ticks_for_batch and bool(client.streams) and client.lights_asked > 0

    def answer(self, client: Client, frame: int, answer: Callable[[int], object]) -> None:
        """Answer a tick with its frame as soon as the client will see it, or else with `KNOWN_FRAME`."""
        if not self._awaits_sign(client):
            answer(frame)
            return
        asked = client.lights_asked

        def conclude() -> None:
            answer(frame if client.lights_asked > asked else KNOWN_FRAME)

        wait = Wait(lambda: 0.0 if client.lights_asked > asked else NOT_YET, "it has taken in the frame of its batch")
        self._deferrals.add(client, conclude, wait)

    def keep(self, stream_id: int, header: bytes, body: bytes | memoryview) -> None:
        """Keep a message; its body may be overwritten afterwards."""
        self._messages.append((stream_id, header, bytes(body)))

    def end(self) -> None:
        """Send everything."""
        messages, self._messages, self.is_keeping = self._messages, [], False
        for message in messages:
            self._send(*message)
