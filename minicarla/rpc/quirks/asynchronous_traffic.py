"""Defect: a client's asynchronous Traffic Manager asks for the settings in a loop, and drops vehicles given too early.

It asks until it sees a new frame, which would keep both sides busy for nothing. Answered after a frame, as by CARLA, it
rests in between. It drops a vehicle that it is given before that one's first frame, so spawns are answered after it. A
busy client may hear of the spawn before it takes that frame in: the answer waits for a cycle of the thread, if this is
seen to follow the frames.

Signs: the next frame, and the call for the settings that ends the cycle after it.
Test: `tests/minicarla/test_rpc_frame_gate.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from minicarla.rpc.deferrals import NOT_YET, Wait
from minicarla.rpc.quirks.quirk import Answered, Quirk
from minicarla.rpc.session import Client
from minicarla.rpc.traffic_cycles import GRACE

_REST = "get_episode_settings"


class _FirstFrame:
    """A spawn that waits: when its first frame was, and whether a thread of its client follows the frames."""

    def __init__(self) -> None:
        self.moment: float | None = None
        self.is_followed = False


class AsynchronousTraffic(Quirk):
    """Keeps answers until the world's next frame.

    Args:
        clients: All clients that run Traffic Managers.
        is_synchronous: Tells whether the world is.
        hurry: Makes the next frame come early.
    """

    def __init__(self, clients: list[Client], is_synchronous: Callable[[], bool], hurry: Callable[[], object]) -> None:
        self._clients = clients
        self._is_synchronous = is_synchronous
        self._hurry = hurry
        self._last_frame = 0.0
        self._spawns: list[tuple[Client, _FirstFrame]] = []

    def observe(self, client: Client, method: str) -> None:
        """A thread that asks for the settings has finished its cycle."""
        if method == _REST:
            client.is_awake = False

    def after(self, client: Client, answered: Answered) -> Wait | None:
        """The settings wait for a frame, a spawn for the first frame of its actor."""
        if answered.is_synchronous or not self._clients:
            return None
        if answered.method == _REST:
            return None if client.traffic is None else self._rest(client)
        if not answered.changes_traffic:
            return None
        self._hurry()
        return self._first_frame(client)

    def _rest(self, client: Client) -> Wait:
        asked = time.monotonic()
        client.threads_at_rest += 1

        def due() -> float:
            if self._is_synchronous():
                return 0.0
            is_told = self._last_frame > asked and not client.rebuilds
            return self._last_frame + GRACE if is_told else NOT_YET

        def ended(_expired: bool) -> None:
            client.threads_at_rest -= 1
            client.is_awake = not self._is_synchronous()

        return Wait(due, "the world has ticked", ended)

    def _first_frame(self, client: Client) -> Wait:
        first = _FirstFrame()
        self._spawns.append((client, first))

        def due() -> float:
            if self._is_synchronous():
                return 0.0
            if first.moment is None:
                return NOT_YET
            cycles = client.traffic
            if first.is_followed and cycles is not None:
                has_run = cycles.begun_at > first.moment and client.threads_at_rest
                return 0.0 if has_run else NOT_YET
            return first.moment + GRACE

        def ended(expired: bool) -> None:
            self._spawns.remove((client, first))
            if expired:
                client.is_awake = False

        return Wait(due, "its Traffic Manager has worked on a frame with the new actor", ended)

    def frame_is_out(self) -> None:
        """Note it for what waits for a frame."""
        self._last_frame = time.monotonic()
        for client, first in self._spawns:
            if first.moment is None:
                first.moment = self._last_frame
                first.is_followed = client.is_awake or client.threads_at_rest > 0
