"""Calls about sensors and their streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rllib_integration.embedded.protocol import values
from rllib_integration.embedded.rpc.registry import value

if TYPE_CHECKING:
    from rllib_integration.embedded.rpc.server import Server


@value
def get_sensor_token(server: Server, stream_id: int) -> list[bytes]:
    """The token of a stream."""
    number = values.integer(stream_id, "stream id")
    return [server.token(number & 0xFFFFFFFF)]
