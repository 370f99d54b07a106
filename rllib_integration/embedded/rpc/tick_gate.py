"""Holds ticks back while a client's Traffic Manager could miss its wake-up.

In synchronous mode the client wakes its Traffic Manager thread by a condition variable without holding the lock, so
that a wake-up is lost, and the client hangs for ever, if the thread is just about to sleep. The thread ends every cycle
with `apply_batch` and `get_episode_settings`, and then sleeps. So a tick is answered only after the settings that
follow the last batch have been answered, plus a short grace in which the thread falls asleep.
"""

from __future__ import annotations

import time

from rllib_integration.embedded.protocol.rpc_server import RpcConnection

GRACE = 200e-6
"""[s] for the thread to fall asleep after its last answer."""
LONGEST_WAIT = 4e-3
"""[s] after which a tick is answered whatever the thread does."""

Waiting = tuple[RpcConnection, int]


class _Cycle:
    """How far one connection's Traffic Manager is in its cycle."""

    __slots__ = ("began", "ended", "owes_settings")

    def __init__(self) -> None:
        self.began = False
        self.owes_settings = False
        self.ended = 0.0


class TickGate:
    """Decides when the ticks that clients ask for may happen."""

    def __init__(self) -> None:
        self._cycles: dict[RpcConnection, _Cycle] = {}
        self.waiting: list[tuple[float, float, Waiting]] = []

    def register(self, connection: RpcConnection) -> None:
        """A Traffic Manager was started on this connection."""
        self._cycles.setdefault(connection, _Cycle())

    def has_traffic_manager(self, connection: RpcConnection) -> bool:
        """Whether a Traffic Manager was started on this connection."""
        return connection in self._cycles

    def observe(self, connection: RpcConnection, method: str) -> None:
        """Follow the cycle of a registered connection's Traffic Manager."""
        if not self._cycles:
            return
        cycle = self._cycles.get(connection)
        if cycle is None:
            return
        if method == "get_vehicle_light_states":
            cycle.began = True
        elif method == "apply_batch":
            # Batches of the user's own thread are not part of the cycle.
            if cycle.began:
                cycle.began, cycle.owes_settings = False, True
        elif method == "get_episode_settings" and cycle.owes_settings:
            cycle.owes_settings = False
            cycle.ended = time.monotonic()

    def must_wait(self, connection: RpcConnection, message_id: int) -> bool:
        """Whether a tick has to wait; if so, `release` returns it later."""
        if not self._cycles:
            return False
        self._forget_closed()
        now = time.monotonic()
        if not self._is_busy(now):
            return False
        self.waiting.append((now, now + LONGEST_WAIT, (connection, message_id)))
        return True

    def _forget_closed(self) -> None:
        for connection in [connection for connection in self._cycles if connection.closed]:
            del self._cycles[connection]

    def _is_busy(self, now: float) -> bool:
        return any(cycle.owes_settings or now < cycle.ended + GRACE for cycle in self._cycles.values())

    def release(self, now: float) -> list[Waiting]:
        """Take out the ticks that may happen now."""
        if not self.waiting:
            return []
        busy = self._is_busy(now)
        free = [entry for _, latest, entry in self.waiting if not busy or now >= latest]
        self.waiting = [item for item in self.waiting if busy and now < item[1]]
        return [entry for entry in free if not entry[0].closed]

    def next_release(self) -> float | None:
        """When `release` should be called next, None if nothing waits."""
        if not self.waiting:
            return None
        latest = min(item[1] for item in self.waiting)
        if any(cycle.owes_settings for cycle in self._cycles.values()):
            return latest
        return min(latest, max(cycle.ended for cycle in self._cycles.values()) + GRACE)
