"""The clock of an environment's world: it chooses what makes the ticks, and remembers those under way."""

from __future__ import annotations

from rllib_integration.connection import Connection
from rllib_integration.sensors import SensorInterface
from rllib_integration.servers import ServerDiedError
from rllib_integration.ticking.frame_watch import FrameWatch
from rllib_integration.ticking.tickers import (
    BundledTicker,
    PlainTicker,
    SensorData,
    TickedWorld,
    Ticker,
    TrafficTicker,
)
from rllib_integration.traffic.town_traffic import TownTraffic


class WorldClock:
    """Ticks the world that a connection has.

    Args:
        connection: The server, its client and the world.
        traffic: The traffic in it; while there is some, its process ticks.
        sensors: Whose data belong to the frame of a step.

    Attributes:
        sensors: Those. Another world has others.
        sensors_are_new: Set it where sensors were spawned: the next step waits until they listen.
    """

    def __init__(self, connection: Connection, traffic: TownTraffic, sensors: SensorInterface) -> None:
        self.sensors = sensors
        self.sensors_are_new = False
        self._connection = connection
        self._traffic = traffic
        self._frames: FrameWatch | None = None
        self._under_way: Ticker | None = None

    def begin(self, repeat: int) -> None:
        """Begin the ticks of a step, and return while the server works.

        Args:
            repeat: How many.

        Raises:
            ServerError: The server is lost.
        """
        ticker = self.ticker()
        ticker.begin(repeat)
        self._under_way = ticker

    def finish(self) -> tuple[int, SensorData]:
        """Wait for the ticks that have begun; return the last one's frame, and what the sensors saw of it.

        Raises:
            ServerError: The server died or hung.
            SensorTimeoutError: A sensor fell silent.
        """
        assert self._under_way is not None, "finish() without begin()"
        ticker, self._under_way = self._under_way, None
        result = ticker.finish()
        self.sensors_are_new = False
        return result

    @property
    def is_under_way(self) -> bool:
        """Whether a step has begun and is not finished."""
        return self._under_way is not None

    def tick(self) -> int:
        """Advance the world by one step without a look at the sensors; return the frame.

        Raises:
            ServerError: The server died or hung.
        """
        return self._connection.call(self.ticker().tick)

    def ticker(self) -> Ticker:
        """What ticks the world as it is now, for one step.

        Raises:
            ServerDiedError: There is no server.
        """
        connection, traffic, sensors = self._connection, self._traffic, self.sensors
        world, calls = connection.world, connection.pool.calls
        if world is None or calls is None:
            raise ServerDiedError("There is no CARLA server whose world could be ticked.")
        place = TickedWorld(world, calls, connection.settings.timeout, sensors, self.sensors_are_new)
        if traffic.process is not None:
            return TrafficTicker(place, self._watch(place), traffic.process, rests=traffic.has_manager)
        # Pictures of several ticks at once would take longer than the time allowed for one, and of ticks at once only
        # the last is told.
        all_matter = sensors.streams_between or sensors.hears_every_frame
        if all_matter or traffic.has_manager or not connection.server.queues_ticks or connection.client is None:
            return PlainTicker(place)
        return BundledTicker(place, self._watch(place), connection.client.apply_batch)

    def _watch(self, place: TickedWorld) -> FrameWatch:
        if self._frames is None or self._frames.stopped:
            self._frames = FrameWatch(place.world, place.calls.note_progress)
        return self._frames

    def forget_frames(self) -> None:
        """Receive frames no more, before another world takes the place of this one."""
        if self._frames is not None:
            self._frames.stop()
            self._frames = None

    def forget(self) -> None:
        """Let go of a world that is lost, and of the ticks under way."""
        self.forget_frames()
        self._under_way = None
