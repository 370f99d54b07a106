"""Defect: a client that listens to a sensor twice uses memory that it has let go of, and ends.

CARLA's client keeps one subscription to a stream. It lets go of a second one while that is being made and uses it all
the same. A client that listens again without having stopped is told so instead.

It is judged only where there is no doubt: of clients on this machine, where a connection that was closed before a call
is known to be when the call comes, and of sensors to which one client alone has listened.

Sign: the connection to the stream: before it has come, the client's next call for the same token waits.
Test: `tests/minicarla/test_rpc_second_listens.py`.
"""

from __future__ import annotations

from minicarla.protocol.rpc_framing import Request
from minicarla.protocol.stream_server import StreamServer
from minicarla.rpc.deferrals import Deferrals, Wait
from minicarla.rpc.quirks.quirk import Quirk
from minicarla.rpc.quirks.subscribing import Subscribing
from minicarla.rpc.session import Client

TOKEN_CALL = "get_sensor_token"
"""What a client calls before it subscribes."""


class SecondListens(Quirk):
    """Knows which clients have listened to which sensors.

    Args:
        streams: Who listens now.
        subscribing: Who is about to.
        deferrals: What waits.
        clients: All clients.
    """

    def __init__(
        self, streams: StreamServer, subscribing: Subscribing, deferrals: Deferrals, clients: list[Client]
    ) -> None:
        self._streams = streams
        self._subscribing = subscribing
        self._deferrals = deferrals
        self._clients = clients

    def before(self, client: Client, request: Request) -> Wait | None:
        """A call for a token waits while the same client's subscription to the same stream is still on its way.

        One of a client at a time: a client that waits for its answers makes no more.
        """
        if request.method != TOKEN_CALL or not client.subscriptions:
            return None
        stream_id = request.arguments[0] if request.arguments else None
        if type(stream_id) is not int or not self._subscribing.awaits(client, stream_id):
            return None
        return None if self._deferrals.awaits(client) else self._subscribing.wait_for(client, stream_id)

    def is_one(self, client: Client, stream_id: int) -> bool:
        """Whether a client that calls for a stream's token listens to it already."""
        return (
            client.connection.peer.startswith("127.")
            and stream_id in client.streams
            and all(one is client or stream_id not in one.streams for one in self._clients)
            and any(not one.has_hung_up() for one in self._streams.subscribers.get(stream_id, ()))
        )

    def note(self, client: Client, stream_id: int, living: set[int]) -> None:
        """A client is about to listen to one of the living sensors' streams."""
        client.streams &= living
        client.streams.add(stream_id)
