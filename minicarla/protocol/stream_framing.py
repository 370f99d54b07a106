"""Streams: one TCP connection a subscription, length-prefixed messages, each with a 48-byte header."""

from __future__ import annotations

import enum
import socket
import struct

WORLD_STREAM_ID = 1

_LENGTH = struct.Struct("<I")
_HEADER = struct.Struct("<IQQd6f")
_TOKEN = struct.Struct("<IHBB16s")

_PROTOCOL_TCP = 1
_ADDRESS_NOT_SET = 0
_ADDRESS_IPV4 = 1

HEADER_SIZE = 48


class StreamType(enum.IntEnum):
    """What a sensor's messages hold; their first field. That of world messages differs, see `version`."""

    COLLISION = 0
    DEPTH_CAMERA = 1
    NORMALS_CAMERA = 2
    DVS_CAMERA = 3
    GNSS = 4
    IMU = 5
    LANE_INVASION = 6
    OBSTACLE = 7
    OPTICAL_FLOW_CAMERA = 8
    RADAR = 9
    SEMANTIC_LIDAR = 10
    LIDAR = 11
    RSS = 12
    RGB_CAMERA = 13
    SEMANTIC_CAMERA = 14
    INSTANCE_CAMERA = 15
    COSMOS_CAMERA = 16
    V2X = 20
    CUSTOM_V2X = 21


def encode_token(stream_id: int, port: int, host: str | None = None) -> bytes:
    """The 24 bytes from which a client learns where a stream is served.

    Args:
        stream_id: The stream.
        port: TCP port of the streaming listener.
        host: IPv4 address to connect to; None means the host of the client's RPC connection.
    """
    if host is None:
        return _TOKEN.pack(stream_id, port, _PROTOCOL_TCP, _ADDRESS_NOT_SET, b"")
    return _TOKEN.pack(stream_id, port, _PROTOCOL_TCP, _ADDRESS_IPV4, socket.inet_aton(host))


def encode_header(
    stream_type: int,
    body_size: int,
    frame: int,
    time: float,
    location: tuple[float, float, float],
    rotation: tuple[float, float, float],
) -> bytes:
    """Length prefix and header of one message.

    Args:
        stream_type: Value of `StreamType`.
        body_size: Bytes that follow this header.
        frame: Frame of the tick.
        time: Simulated seconds.
        location: Sensor position x, y, z in metres.
        rotation: Sensor pitch, yaw, roll in degrees.
    """
    return _HEADER.pack(HEADER_SIZE + body_size, stream_type, frame, time, *location, *rotation)


def decode_subscription(data: bytes) -> int:
    """The stream id of the four bytes that open a subscription."""
    return _LENGTH.unpack(data)[0]
