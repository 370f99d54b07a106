"""What sensors perceive, on its way to those that listen to them."""

from __future__ import annotations

from collections.abc import Callable

from minicarla.protocol.body_checks import MalformedBodyError, check_body
from minicarla.protocol.stream_framing import StreamType, encode_header
from minicarla.protocol.stream_server import StreamServer
from minicarla.rpc.quirks.batch_ticks import BatchTicks
from minicarla.rpc.rate_limited_log import Complaints
from minicarla.world.simulation import Simulation

_EVENTS = frozenset({StreamType.COLLISION, StreamType.OBSTACLE, StreamType.V2X, StreamType.CUSTOM_V2X})
"""What is sent when it happens, and of which nothing may be missed."""


class SensorMessages:
    """Sends them; it is the publisher of a simulation.

    Args:
        simulation: Where the sensors are.
        streams: Their subscribers.
        batch_ticks: Keeps messages back.
        complaints: Notes what cannot be sent.
        prepares_cameras: Tells whether what cameras need is being made ready between the calls of clients.
    """

    def __init__(
        self,
        simulation: Simulation,
        streams: StreamServer,
        batch_ticks: BatchTicks,
        complaints: Complaints,
        prepares_cameras: Callable[[], bool],
    ) -> None:
        self._simulation = simulation
        self._streams = streams
        self._batch_ticks = batch_ticks
        self._complaints = complaints
        self.prepares_cameras = prepares_cameras

    def has_subscribers(self, stream_id: int) -> bool:
        """Whether anybody listens to a stream, and not only clients that have stopped to read."""
        return self._streams.is_read(stream_id)

    def send(
        self,
        stream_id: int,
        stream_type: int,
        frame: int,
        time: float,
        pose: tuple[tuple[float, float, float], tuple[float, float, float]],
        body: bytes,
    ) -> bool:
        """Send one sensor message, unless it would end the client that reads it; whether it is sent."""
        try:
            check_body(stream_type, body)
        except MalformedBodyError as error:
            self._complaints.log(f"stream {stream_id}", f"a message of type {stream_type} is not sent: {error}")
            return False
        header = encode_header(stream_type, len(body), frame, time, *pose)
        if self._batch_ticks.is_keeping:
            self._batch_ticks.keep(stream_id, header, body)
            return True
        # As by CARLA: whoever reads slower than an asynchronous world goes on misses pictures rather than see old ones.
        may_miss = not self._simulation.settings.synchronous_mode and stream_type not in _EVENTS
        self._streams.publish(stream_id, header, body, only_to_idle=may_miss)
        return True
