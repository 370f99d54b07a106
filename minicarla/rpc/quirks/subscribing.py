"""Defect: a client's `sensor.listen` returns before anybody listens.

It asks for the stream's token and returns; the connection to the stream follows in the background. A world that ticks
within microseconds would have sent the sensor's first messages before anybody heard them. So a client's tick waits for
the subscriptions that this client has begun; nobody else waits.

Sign: the connection to the stream. A client that has stopped to listen meanwhile makes none.
Test: `tests/minicarla/test_rpc_awaited_streams.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.deferrals import NOT_YET, PATIENCE, Wait
from minicarla.rpc.quirks.quirk import Quirk
from minicarla.rpc.session import Client

_SIGN = "it has subscribed to its sensors"


class Subscribing(Quirk):
    """Knows which client is about to subscribe to which streams.

    Args:
        clients: All clients.
        living: The streams of the sensors that there are.
        clock: As of `Deferrals`.
    """

    def __init__(
        self, clients: list[Client], living: Callable[[], Collection[int]], clock: Callable[[], float]
    ) -> None:
        self._clients = clients
        self._living = living
        self._clock = clock

    def announce(self, client: Client, stream_id: int) -> None:
        """A client asked for a stream's token."""
        if not self.awaits(client):
            client.subscribing_since = self._clock()
        client.subscriptions[stream_id] += 1

    def arrived(self, stream_id: int) -> None:
        """A client subscribed to a stream."""
        for client in self._clients:
            if stream_id in client.subscriptions:
                client.subscriptions[stream_id] -= 1
                if client.subscriptions[stream_id] == 0:
                    del client.subscriptions[stream_id]
                return

    def awaits(self, client: Client, stream_id: int | None = None) -> bool:
        """Whether a client's subscription is still on its way: to one stream, or to any."""
        if not client.subscriptions:
            return False
        if self._clock() >= client.subscribing_since + PATIENCE:
            client.subscriptions.clear()
            return False
        if stream_id is not None:
            return stream_id in client.subscriptions
        living = self._living()
        return any(number in living for number in client.subscriptions)

    def before(self, client: Client, request: Request) -> Wait | None:
        """A tick waits for its own client's subscriptions."""
        if not client.subscriptions or request.method != "tick_cue" or not self.awaits(client):
            return None
        return self.wait_for(client)

    def wait_for(self, client: Client, stream_id: int | None = None) -> Wait:
        """A wait for one subscription of a client, or for all."""
        return Wait(lambda: NOT_YET if self.awaits(client, stream_id) else 0.0, _SIGN)
