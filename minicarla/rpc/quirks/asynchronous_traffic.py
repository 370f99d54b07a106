"""Answers some calls of a client with an asynchronous Traffic Manager after the next frame, as CARLA does.

Such a Traffic Manager asks for the settings over and over until it sees a new frame, which would keep both sides busy
for nothing. Answered after a frame, it rests in between.

The client knows a vehicle to be gone as soon as `destroy_actor` is answered, and a thread that works on it at that
moment ends the client. So that answer goes out when the frame without the vehicle is out and the thread rests. A thread
drops a vehicle that it is given before that one's first frame, so spawns are answered after it. A busy client may hear
of the spawn before it takes that frame in: the answer waits for a cycle of the thread, if this is seen to follow the
frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from minicarla.protocol.rpc_server import RpcConnection

LONGEST_WAIT = 0.2
"""[s] after which an answer goes out whatever happens."""
LONGEST_WAIT_FOR_CYCLE = 0.5
"""[s] after which a spawn is answered although the thread that follows the frames has not run a cycle."""
LONGEST_CYCLE = 0.1
"""[s] of work on one frame; a thread that takes longer does other things, such as reading the map."""
GRACE = 500e-6
"""[s] for a client to take in a frame."""

_END = "destroy_actor"
_SPAWN = "a spawn"
_REST = "get_episode_settings"


class _Held:
    """An answer that waits."""

    __slots__ = ("answer", "connection", "first_frame", "follows", "method", "since")

    def __init__(self, connection: RpcConnection, method: str, answer: bytes) -> None:
        self.since = time.monotonic()
        self.first_frame: float | None = None
        self.follows = False
        self.connection = connection
        self.method = method
        self.answer = answer


class FrameGate:
    """Keeps answers until the world's next frame.

    Args:
        has_traffic_manager: Tells whether a connection's client runs a Traffic Manager.
        cycle_begun_at: When the Traffic Manager of a connection's client began its newest cycle.
    """

    def __init__(
        self, has_traffic_manager: Callable[[RpcConnection], bool], cycle_begun_at: Callable[[RpcConnection], float]
    ) -> None:
        self._has_traffic_manager = has_traffic_manager
        self._cycle_begun_at = cycle_begun_at
        self._held: list[_Held] = []
        self._awake: dict[RpcConnection, float] = {}
        self._last_frame = 0.0

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold_spawn(self, connection: RpcConnection, answer: bytes) -> None:
        """Keep an answer until the actors that it tells of have had a frame."""
        self._held.append(_Held(connection, _SPAWN, answer))

    def hold(self, connection: RpcConnection, method: str, answer: bytes) -> bool:
        """Keep an answer for later; False if it is to be sent now."""
        if (method != _REST and method != _END) or not self._has_traffic_manager(connection):
            return False
        if method == _REST:
            self._awake.pop(connection, None)
        self._held.append(_Held(connection, method, answer))
        return True

    def frame_is_out(self) -> None:
        """All subscribers were sent a frame."""
        self._last_frame = time.monotonic()
        for held in self._held:
            if held.method == _SPAWN and held.first_frame is None:
                held.first_frame = self._last_frame
                held.follows = self._rests(held.connection) or held.connection in self._awake

    def answer_due(self, now: float) -> None:
        """Send the answers that need wait no longer; ends of actors first, while the threads rest."""
        self._awake = {connection: since for connection, since in self._awake.items() if now < since + LONGEST_CYCLE}
        due = [held for held in self._held if now >= self._due(held)]
        self._held = [held for held in self._held if held not in due]
        for held in sorted(due, key=lambda held: held.method != _END):
            if held.method == _REST:
                self._awake[held.connection] = now
            held.connection.write(held.answer)

    def answer_all(self) -> None:
        """Send everything: from now on the world ticks when a client says so."""
        held, self._held = self._held, []
        self._awake.clear()
        for one in held:
            one.connection.write(one.answer)

    def _due(self, held: _Held) -> float:
        latest = held.since + LONGEST_WAIT
        if held.since >= self._last_frame:
            return latest
        if held.follows and held.first_frame is not None:
            has_run = self._cycle_begun_at(held.connection) > held.first_frame and self._rests(held.connection)
            return held.first_frame + GRACE if has_run else held.since + LONGEST_WAIT_FOR_CYCLE
        due = self._last_frame + GRACE
        if held.method == _END:
            due = max(due, self._awake.get(held.connection, 0.0) + LONGEST_CYCLE)
        return min(due, latest)

    def _rests(self, connection: RpcConnection) -> bool:
        """Whether a thread of the client waits for the next frame."""
        return any(held.method == _REST and held.connection is connection for held in self._held)

    def next_due(self) -> float | None:
        """When to look again, None if nothing waits."""
        return min((self._due(held) for held in self._held), default=None)
