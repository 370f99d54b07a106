"""Defect: a client that loads a world reads what it has thrown away, and ends.

Once `load_new_episode` is answered, the client throws its episode and its world stream away and builds new ones from
`get_episode_info`. World messages that arrive on the old stream in between, and a Traffic Manager's thread that looks
at the world in between, read what is already gone. CARLA itself is busy loading meanwhile: it sends no messages and
answers no thread. So it is here: the world rests until the client has closed its old world stream and opened the new
one, and its threads' calls wait until it asks for its new world.

Signs: both streams, the thread's own call (or its rest), and `get_sensor_token`, the last call of the rebuilding.
Test: `tests/minicarla/test_rpc_loading.py`.
"""

from __future__ import annotations

import time

from minicarla.protocol.rpc_framing import Request
from minicarla.protocol.stream_server import StreamConnection
from minicarla.rpc.deferrals import NOT_YET, Deferrals, Wait
from minicarla.rpc.quirks.quirk import Answered, Quirk
from minicarla.rpc.session import Client

_LOAD = "load_new_episode"
_INFO = "get_episode_info"
_LAST = "get_sensor_token"
_REBUILDING = frozenset({"version", _INFO, _LAST, _LOAD})


class WorldLoading(Quirk):
    """Holds ticks and requests around loads.

    Args:
        deferrals: What waits.
        clients: All clients.
        is_needed: Whether clients of the server's version subscribe to the world anew after a load.

    Attributes:
        is_resting: Whether the world does not tick, for a client that has just loaded it.
    """

    def __init__(self, deferrals: Deferrals, clients: list[Client], is_needed: bool) -> None:
        self._deferrals = deferrals
        self._clients = clients
        self._is_needed = is_needed
        self._loads = 0

    @property
    def is_resting(self) -> bool:
        """Whether the world does not tick, for a client that has just loaded it."""
        return self._loads > 0

    def before(self, client: Client, request: Request) -> Wait | None:
        """Ticks wait while the world rests, calls of threads while their client rebuilds."""
        if self._loads and request.method == "tick_cue":
            return Wait(lambda: NOT_YET if self._loads else 0.0, "it subscribed to its new world")
        if not client.rebuilds or request.method in _REBUILDING:
            return None
        client.threads_at_rest += 1

        def ended(_expired: bool) -> None:
            client.threads_at_rest -= 1
            client.rebuilds = False

        return Wait(lambda: NOT_YET if client.rebuilds else 0.0, "it asked for its new world", ended)

    def observe(self, client: Client, method: str) -> None:
        """Note how far a client is with its new world."""
        if method == _INFO:
            client.asked_for_world = time.monotonic()
        elif method == _LAST:
            client.rebuilds = False

    def after(self, client: Client, answered: Answered) -> Wait | None:
        """A load is answered when no thread of the client looks at the old world."""
        cycles = client.traffic
        if not self._is_needed or answered.method != _LOAD or cycles is None:
            return None
        client.rebuilds = True

        def due() -> float:
            if client.threads_at_rest >= len(cycles.addresses):
                return 0.0
            return NOT_YET if cycles.is_running else cycles.settled_at

        return Wait(due, "its Traffic Manager rests")

    def loaded(self, client: Client) -> None:
        """A client has loaded a world: let it rest until that client has gone over to it."""
        old = client.world_stream
        if not self._is_needed or old is None:
            return
        client.world_stream = None
        self._loads += 1

        def due() -> float:
            return 0.0 if client.closed or (client.world_stream is not None and old.closed) else NOT_YET

        def ended(_expired: bool) -> None:
            self._loads -= 1

        self._deferrals.add(client, lambda: None, Wait(due, "it has left its old world stream", ended))

    def subscribed(self, stream: StreamConnection) -> None:
        """Somebody subscribed to the world: a client on the same machine that was about to."""
        host = stream.peer.rsplit(":", 1)[0]
        asking = [client for client in self._clients if client.asked_for_world and client.host == host]
        if asking:
            newest = max(asking, key=lambda client: client.asked_for_world)
            newest.world_stream, newest.asked_for_world = stream, 0.0
