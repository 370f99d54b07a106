"""Calls about sensors and their streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.protocol.values import PackValue
from minicarla.rpc.registry import RemoteError, value, void
from minicarla.sensing.v2x import CustomV2xSensor

if TYPE_CHECKING:
    from minicarla.rpc.server import Server


@value
def get_sensor_token(server: Server, stream_id: int) -> list[bytes]:
    """The token of a stream, to which the client now subscribes."""
    number = values.integer(stream_id, "stream id") & 0xFFFFFFFF
    streams = server.simulation.sensors.stream_ids
    if number in streams:
        if server.second_listens.is_one(server.client, number):
            raise RemoteError(
                "this client listens to the sensor already, and CARLA's client ends its process when it listens twice; "
                "call stop() before another listen()"
            )
        server.second_listens.note(server.client, number, streams)
        server.subscribing.announce(server.client, number)
    return [server.token(number)]


@void
def set_ignored_vehicles(server: Server, actor_id: int, ids: PackValue) -> None:
    """Let the rays of a lidar, a radar or an obstacle detector pass through some vehicles."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if actor.sensor is None:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, not a sensor")
    if not isinstance(ids, list):
        raise values.MalformedValueError("vehicle ids must be a list")
    if not actor.sensor.sends_rays:
        raise RemoteError(f"{actor.type_id} sends no rays and cannot ignore vehicles")
    actor.sensor.ignored = frozenset(values.actor_id(number) for number in ids)


@void
def send(server: Server, actor_id: int, message: PackValue) -> None:
    """Send a text by a custom V2X sensor, with the next tick."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if not isinstance(actor.sensor, CustomV2xSensor):
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}; only sensor.other.v2x_custom sends messages")
    actor.sensor.send(values.text(message, "message"))
