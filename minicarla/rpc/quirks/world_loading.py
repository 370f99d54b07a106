"""Keeps a client alive that loads a world.

Once `load_new_episode` is answered, the client throws its episode and its world stream away and builds new ones from
`get_episode_info`. World messages that arrive on the old stream in between, and a Traffic Manager thread that looks at
the world in between, read what is already gone and end the client. CARLA itself is busy loading meanwhile: it sends no
messages and answers no thread. So it is here: the world rests, and a Traffic Manager's requests are held, from the load
until the client has its new world stream.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from minicarla.protocol.rpc_framing import Request
from minicarla.protocol.rpc_server import RpcConnection

LONGEST_WAIT_FOR_THREAD = 0.05
"""[s] until the load is answered even though the thread asked for nothing (it sleeps, then, or is gone)."""
LONGEST_HOLD = 2.0
"""[s] until held requests are answered even though the client did not go on."""

CLOSING_TIME = 0.03
"""[s] in which a client closes its old world stream after it opened the new one."""
LONGEST_REST = 0.5
"""[s] until the world goes on even though the client subscribed to no world stream."""

_REBUILDING = frozenset({"version", "get_episode_info", "get_sensor_token", "load_new_episode"})
_REBUILT = "get_sensor_token"


class _Load(NamedTuple):
    """A load in progress on one connection."""

    began: float
    answer: bytes
    held: list[Request]


class LoadGuard:
    """Holds requests and answers around loads."""

    def __init__(self) -> None:
        self._loads: dict[RpcConnection, _Load] = {}
        self._unanswered: set[RpcConnection] = set()
        self._rest_until: float | None = None
        self._ticks: list[tuple[RpcConnection, int]] = []

    def rest(self) -> None:
        """A world was loaded: let it rest until `resume`."""
        self._rest_until = time.monotonic() + LONGEST_REST

    def resume(self) -> None:
        """A client subscribed to the world stream: the world goes on once the old stream is surely closed."""
        if self._rest_until is not None:
            self._rest_until = min(self._rest_until, time.monotonic() + CLOSING_TIME)

    def resting_until(self, now: float) -> float | None:
        """When the world goes on, None if it does not rest."""
        if self._rest_until is not None and now >= self._rest_until:
            self._rest_until = None
        return self._rest_until

    def delay_tick(self, connection: RpcConnection, message_id: int) -> bool:
        """Keep a tick until the world has rested; False if it may happen now."""
        if self._rest_until is None or self.resting_until(time.monotonic()) is None:
            return False
        self._ticks.append((connection, message_id))
        return True

    def rested_ticks(self, now: float) -> list[tuple[RpcConnection, int]]:
        """Take out the ticks that were kept, once the world has rested."""
        if not self._ticks or self.resting_until(now) is not None:
            return []
        ticks, self._ticks = self._ticks, []
        return [(connection, message_id) for connection, message_id in ticks if not connection.closed]

    def __bool__(self) -> bool:
        return bool(self._loads or self._ticks)

    def begin(self, connection: RpcConnection, answer: bytes) -> None:
        """A world was loaded; `answer` goes out as soon as the client can stand it."""
        self._loads[connection] = _Load(time.monotonic(), answer, [])
        self._unanswered.add(connection)

    def hold(self, connection: RpcConnection, request: Request) -> bool:
        """Keep a request of the Traffic Manager for later; False if it is not one, and to be answered now."""
        load = self._loads.get(connection)
        if load is None or request.method in _REBUILDING:
            return False
        load.held.append(request)
        self._answer(connection)
        return True

    def _answer(self, connection: RpcConnection) -> None:
        if connection in self._unanswered:
            self._unanswered.discard(connection)
            connection.write(self._loads[connection].answer)

    def released_by(self, connection: RpcConnection, request: Request) -> list[Request]:
        """The held requests, once `request` shows that the client has its new episode."""
        if connection not in self._loads or request.method != _REBUILT or connection in self._unanswered:
            return []
        return self._loads.pop(connection).held

    def due(self, now: float) -> list[tuple[RpcConnection, Request]]:
        """Answer loads, and return held requests, that have waited for too long."""
        overdue: list[tuple[RpcConnection, Request]] = []
        for connection, load in list(self._loads.items()):
            if connection.closed or now >= load.began + LONGEST_HOLD:
                self._unanswered.discard(connection)
                del self._loads[connection]
                overdue += [(connection, request) for request in load.held if not connection.closed]
            elif now >= load.began + LONGEST_WAIT_FOR_THREAD:
                self._answer(connection)
        return overdue

    def next_due(self) -> float | None:
        """When `due` should be called next."""
        moments = [
            load.began + (LONGEST_WAIT_FOR_THREAD if connection in self._unanswered else LONGEST_HOLD)
            for connection, load in self._loads.items()
        ]
        if self._ticks and self._rest_until is not None:
            moments.append(self._rest_until)
        return min(moments, default=None)
