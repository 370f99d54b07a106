"""Ticks of the world, and the frames that its subscribers are sent."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

from minicarla.protocol.rpc_server import RpcConnection
from minicarla.protocol.stream_framing import WORLD_STREAM_ID
from minicarla.protocol.stream_server import StreamConnection, StreamServer
from minicarla.rpc.rate_limited_log import Complaints
from minicarla.rpc.tick_extension import MOST_TICKS
from minicarla.rpc.world_stream import WorldStream
from minicarla.world.clock import Clock
from minicarla.world.simulation import LIGHTS_CHANGED, Simulation

logger = logging.getLogger(__name__)


class Ticking:
    """Advances the world and tells of it.

    Args:
        simulation: The world.
        clock: Its pace.
        streams: Its subscribers.
        complaints: Notes the ticks that fail.
    """

    def __init__(self, simulation: Simulation, clock: Clock, streams: StreamServer, complaints: Complaints) -> None:
        self._simulation = simulation
        self._clock = clock
        self._streams = streams
        self._complaints = complaints
        self._world_stream = WorldStream(simulation)
        # What subscribers of the world knew when they subscribed, by `Simulation.news_count`.
        self._informed: WeakKeyDictionary[StreamConnection, int] = WeakKeyDictionary()
        self._untold: RpcConnection | None = None  # whose tick has not been told to anybody yet
        self._untold_ticks = 0

    def warm_up(self) -> None:
        """Compile, or read from their cache, the kernels of a tick."""
        self._simulation.warm_up()
        self._world_stream.message()

    def tick(self, delta: float, sensors_last: bool = False) -> int:
        """Advance the world and tell all subscribers; returns the new frame.

        Args:
            delta: By so many seconds.
            sensors_last: Whether clients hear of the frame before what their sensors perceived in it.
        """
        if sensors_last:
            self._simulation.advance(delta)
            self._tell()
            self._simulation.sensors.capture(delta)
        else:
            self._simulation.tick(delta)
            self._tell()
        return self._simulation.episode.frame

    def tick_once(self, sensors_last: bool = False) -> int:
        """One tick of a synchronous world; returns the new frame."""
        return self.tick(self._clock.synchronous_delta(self._simulation.settings), sensors_last)

    def tick_untold(self, count: int, client: RpcConnection) -> None:
        """Ticks for which a client does not wait; told later, as its next one may be here already."""
        for _ in range(count):
            self._simulation.tick(self._clock.synchronous_delta(self._simulation.settings))
            self._untold = client
            self._untold_ticks += 1

    def tell_untold(self) -> None:
        """Tell of ticks that nobody has heard of."""
        if self._untold is not None:
            self._tell()

    def tell_if_due(self) -> None:
        """Likewise, unless more of them are about to come."""
        if self._untold is not None and (self._untold_ticks >= MOST_TICKS or not self._untold.has_input()):
            self._tell()

    def welcome(self, connection: StreamConnection) -> None:
        """Send a new subscriber the newest frame: a client of a synchronous world would know no actor before a tick.

        A client asks for the map and the lights after it has subscribed, so it needs no news of them. One that is sent
        news and dropped in the same moment ends its process: it looks for the lights by way of what is dropped.
        """
        connection.write(self._world_stream.message())
        self._informed[connection] = self._simulation.news_count

    def tell_of_lights(self) -> bool:
        """Let the next frame say that lights have changed; returns whether it would have anyway."""
        changed = LIGHTS_CHANGED in self._simulation.news
        self._simulation.add_news(LIGHTS_CHANGED)
        return changed

    def complain(self, error: Exception) -> None:
        """Log a tick that failed."""
        if self._complaints.log("tick", repr(error)):
            logger.error("a tick failed", exc_info=error)

    def _tell(self) -> None:
        """Send the newest frame to all subscribers."""
        self._untold, self._untold_ticks = None, 0
        news = self._simulation.take_news()
        if not news:
            self._streams.publish(WORLD_STREAM_ID, self._world_stream.message())
            return
        subscribers = self._streams.subscribers.get(WORLD_STREAM_ID, ())
        informed = [one for one in subscribers if self._informed.get(one) == self._simulation.news_count]
        self._send([one for one in subscribers if one not in informed], news)
        self._send(informed, frozenset())

    def _send(self, connections: list[StreamConnection], news: frozenset[str]) -> None:
        """Send the newest frame to some subscribers of the world."""
        if connections:
            message = self._world_stream.message(news)
            for connection in connections:
                connection.write(message)
