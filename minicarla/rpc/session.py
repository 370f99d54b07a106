"""What the server knows of one client."""

from __future__ import annotations

from collections import Counter

from minicarla.protocol.rpc_server import RpcConnection
from minicarla.protocol.stream_server import StreamConnection
from minicarla.rpc.traffic_cycles import TrafficCycles


class Client:
    """A client, by its RPC connection.

    Args:
        connection: The connection.

    Attributes:
        connection: The connection.
        traffic: The cycles of its Traffic Managers; None while it runs none.
        wanted_port: Port at which it last looked for a Traffic Manager and found none, 0 if it never did.
        threads_at_rest: How many of its calls for the settings wait for a frame.
        is_awake: Whether one of these was answered, and nothing shows that the thread has finished its work since.
        drives_what_ends: Whether its Traffic Managers may still drive the vehicle that it is about to end.
        rebuilds: Whether it has loaded a world and has not asked for its new one yet.
        subscriptions: Streams of sensors to which it is about to subscribe, and how often.
        subscribing_since: When the first of these was announced.
        streams: Sensors' streams to which it has listened.
        asked_for_world: When it asked for the world's stream, 0 once it has subscribed.
        world_stream: Its newest subscription to the world, as far as that is known.
        ticks_for_batch: Whether its tick under way may belong to `apply_batch_sync(commands, True)`.
        lights_asked: How often it has asked for the lights.
        lights_are_sign: Whether it will do so only because a frame makes it, which shows that it has taken that one in.
    """

    __slots__ = (
        "asked_for_world",
        "connection",
        "drives_what_ends",
        "is_awake",
        "lights_are_sign",
        "lights_asked",
        "rebuilds",
        "streams",
        "subscribing_since",
        "subscriptions",
        "threads_at_rest",
        "ticks_for_batch",
        "traffic",
        "wanted_port",
        "world_stream",
    )

    def __init__(self, connection: RpcConnection) -> None:
        self.connection = connection
        self.traffic: TrafficCycles | None = None
        self.wanted_port = 0
        self.threads_at_rest = 0
        self.is_awake = False
        self.drives_what_ends = False
        self.rebuilds = False
        self.subscriptions: Counter[int] = Counter()
        self.subscribing_since = 0.0
        self.streams: set[int] = set()
        self.asked_for_world = 0.0
        self.world_stream: StreamConnection | None = None
        self.ticks_for_batch = False
        self.lights_asked = 0
        self.lights_are_sign = False

    @property
    def closed(self) -> bool:
        """Whether its connection has ended."""
        return self.connection.closed

    @property
    def host(self) -> str:
        """The address that it calls from."""
        return self.connection.peer.rsplit(":", 1)[0]

    def write(self, message: bytes) -> None:
        """Send an answer."""
        self.connection.write(message)
