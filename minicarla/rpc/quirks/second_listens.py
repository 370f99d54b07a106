"""Refuses a client's second `listen` to a sensor.

CARLA's client keeps one subscription to a stream. It lets go of a second one while that is being made, uses its memory
all the same and ends its process. Whoever listens again without having stopped is told so instead.
"""

from __future__ import annotations

from weakref import WeakSet

from minicarla.protocol.rpc_framing import Request
from minicarla.protocol.rpc_server import RpcConnection
from minicarla.protocol.stream_server import StreamServer
from minicarla.rpc.quirks.subscribing import AwaitedStreams

TOKEN_CALL = "get_sensor_token"
"""What a client calls before it subscribes."""


class SecondListens:
    """Knows which clients have listened to which sensors.

    It judges only where there is no doubt: of clients on this machine, where a connection that was closed before a call
    is known to be when the call comes, and of sensors to which one client alone has listened.
    """

    def __init__(self, streams: StreamServer, awaited: AwaitedStreams) -> None:
        self._streams, self._awaited = streams, awaited
        self._listeners: dict[int, WeakSet[RpcConnection]] = {}
        self._held: list[tuple[RpcConnection, Request, int]] = []

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, connection: RpcConnection, request: Request) -> bool:
        """Keep a call for a token while the same client's subscription to the same stream is still on its way.

        One of a client at a time: a client that waits for its answers makes no more.
        """
        stream_id = request.arguments[0] if request.arguments else None
        if type(stream_id) is not int or not self._awaited.awaits(connection, stream_id):
            return False
        if any(one is connection for one, *_ in self._held):
            return False
        self._held.append((connection, request, stream_id))
        return True

    def due(self) -> list[tuple[RpcConnection, Request]]:
        """Take out the calls that can be answered now."""
        held, self._held = self._held, []
        ready = []
        for connection, request, stream_id in held:
            if connection.closed:
                continue
            if self._awaited.awaits(connection, stream_id):
                self._held.append((connection, request, stream_id))
            else:
                ready.append((connection, request))
        return ready

    def next_due(self) -> float | None:
        """When to look again, None if nothing is held."""
        return min((self._awaited.until(connection) for connection, *_ in self._held), default=None)

    def is_one(self, connection: RpcConnection, stream_id: int) -> bool:
        """Whether a client that calls for a stream's token listens to it already."""
        listeners = self._listeners.get(stream_id, ())
        return (
            connection.peer.startswith("127.")
            and connection in listeners
            and all(one is connection or one.closed for one in listeners)
            and any(not one.has_hung_up() for one in self._streams.subscribers.get(stream_id, ()))
        )

    def note(self, connection: RpcConnection, stream_id: int, streams: set[int]) -> None:
        """A client is about to listen to one of the living sensors' streams."""
        self._listeners = {number: who for number, who in self._listeners.items() if number in streams}
        self._listeners.setdefault(stream_id, WeakSet()).add(connection)
