"""Lets a client's tick wait for the subscriptions that it has begun.

`sensor.listen` asks for the stream's token and returns; the connection to the stream follows in the background. A world
that ticks within microseconds would have sent the sensor's first messages before anybody heard them.
"""

from __future__ import annotations

import time
from collections import Counter

from minicarla.protocol.rpc_server import RpcConnection

PATIENCE = 0.25
"""[s] for a connection to follow its token."""

Tick = tuple[RpcConnection, int]


class _Awaited:
    """The streams to which one client is about to subscribe, and until when that is believed."""

    def __init__(self, now: float) -> None:
        self.streams: Counter[int] = Counter()
        self.until = now + PATIENCE

    def is_over(self, now: float) -> bool:
        return not self.streams or now >= self.until


class AwaitedStreams:
    """Knows which client is about to subscribe to which streams, and keeps its ticks meanwhile; nobody else waits."""

    def __init__(self) -> None:
        self._awaited: dict[RpcConnection, _Awaited] = {}
        self._ticks: list[Tick] = []

    def __bool__(self) -> bool:
        return bool(self._ticks)

    def announce(self, connection: RpcConnection, stream_id: int) -> None:
        """A client asked for a stream's token."""
        now = time.monotonic()
        self._forget(now)
        self._awaited.setdefault(connection, _Awaited(now)).streams[stream_id] += 1

    def arrived(self, stream_id: int) -> None:
        """A client subscribed to a stream."""
        for awaited in self._awaited.values():
            if stream_id in awaited.streams:
                awaited.streams[stream_id] -= 1
                if awaited.streams[stream_id] == 0:
                    del awaited.streams[stream_id]
                return

    def awaits(self, connection: RpcConnection, stream_id: int) -> bool:
        """Whether a client's subscription to a stream is still on its way."""
        self._forget(time.monotonic())
        return connection in self._awaited and stream_id in self._awaited[connection].streams

    def until(self, connection: RpcConnection) -> float:
        """How long a client's subscriptions are awaited; 0 if none is."""
        return self._awaited[connection].until if connection in self._awaited else 0.0

    def delay_tick(self, connection: RpcConnection, message_id: int) -> bool:
        """Keep a tick until its client's subscriptions are there; False if it may happen now."""
        self._forget(time.monotonic())
        if connection not in self._awaited:
            return False
        self._ticks.append((connection, message_id))
        return True

    def _forget(self, now: float) -> None:
        """Whoever has not come until now did not want to: a token alone costs its client one wait, and no other's."""
        for connection in [key for key, awaited in self._awaited.items() if key.closed or awaited.is_over(now)]:
            del self._awaited[connection]

    def due_ticks(self, now: float) -> list[Tick]:
        """Take out the ticks that were kept and whose clients need not be awaited any longer."""
        self._forget(now)
        due = [tick for tick in self._ticks if tick[0] not in self._awaited]
        self._ticks = [tick for tick in self._ticks if tick[0] in self._awaited]
        return [tick for tick in due if not tick[0].closed]

    def next_due(self) -> float | None:
        """When to look again, None if nothing waits."""
        waits = (self._awaited.get(client) for client, _ in self._ticks)
        return min((wait.until if wait is not None and wait.streams else 0.0 for wait in waits), default=None)
