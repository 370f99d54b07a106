"""Lets a tick wait for the subscriptions that a client has begun.

`sensor.listen` asks for the stream's token and returns; the connection to the stream follows in the background. A world
that ticks within microseconds would have sent the sensor's first messages before anybody heard them.
"""

from __future__ import annotations

import time
from collections import Counter

from rllib_integration.embedded.protocol.rpc_server import RpcConnection

PATIENCE = 0.25
"""[s] for a connection to follow its token."""

Tick = tuple[RpcConnection, int]


class AwaitedStreams:
    """Knows which streams are about to be subscribed to, and the ticks that wait for them."""

    def __init__(self) -> None:
        self._awaited: Counter[int] = Counter()
        self._until = 0.0
        self._ticks: list[Tick] = []

    def __bool__(self) -> bool:
        return bool(self._ticks)

    def announce(self, stream_id: int) -> None:
        """A client asked for a stream's token."""
        if not self._awaited:
            self._until = time.monotonic() + PATIENCE
        self._awaited[stream_id] += 1

    def arrived(self, stream_id: int) -> None:
        """A client subscribed to a stream."""
        self._awaited[stream_id] -= 1
        if self._awaited[stream_id] <= 0:
            del self._awaited[stream_id]

    def delay_tick(self, connection: RpcConnection, message_id: int) -> bool:
        """Keep a tick until the awaited subscriptions are there; False if it may happen now."""
        if not self._awaited or self._is_over(time.monotonic()):
            return False
        self._ticks.append((connection, message_id))
        return True

    def _is_over(self, now: float) -> bool:
        if now >= self._until:
            # Whoever has not come until now did not want to: a token alone costs a world nothing more.
            self._awaited.clear()
        return not self._awaited

    def due_ticks(self, now: float) -> list[Tick]:
        """Take out the ticks that were kept, once nobody is awaited."""
        if not self._ticks or not self._is_over(now):
            return []
        ticks, self._ticks = self._ticks, []
        return [(connection, message_id) for connection, message_id in ticks if not connection.closed]

    def next_due(self) -> float | None:
        """When to look again, None if nothing waits."""
        if not self._ticks:
            return None
        return self._until if self._awaited else time.monotonic()
