"""Checks of stream bodies before they leave: one that the client cannot decode ends the client's process."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgpack

from minicarla.protocol.shapes import are_numbers, is_actor, is_number
from minicarla.protocol.stream_framing import StreamType

_IMAGE_HEADER = struct.Struct("<IIf")
_LIDAR_HEADER = struct.Struct("<fI")
_DVS_EVENT_SIZE = 13
_RADAR_DETECTION_SIZE = 16
_CAM_SIZE, _CUSTOM_V2X_SIZE = 464, 136
_CAM_LISTS = (slice(376, 408), slice(432, 464))
"""Counts and pointers of the lists in a message, which the client would follow."""


class MalformedBodyError(ValueError):
    """A stream body does not have the layout of its type."""


def _check_image(body: bytes, pixel_size: int) -> None:
    width, height, _ = _IMAGE_HEADER.unpack_from(body)
    expected = _IMAGE_HEADER.size + width * height * pixel_size
    if len(body) != expected:
        raise MalformedBodyError(f"an image of {width} x {height} pixels needs {expected} bytes, not {len(body)}")


def _check_events(body: bytes) -> None:
    _IMAGE_HEADER.unpack_from(body)
    if (len(body) - _IMAGE_HEADER.size) % _DVS_EVENT_SIZE:
        raise MalformedBodyError(f"{len(body)} bytes are no whole number of DVS events")


def _check_lidar(body: bytes, point_size: int) -> None:
    _, channels = _LIDAR_HEADER.unpack_from(body)
    counts = struct.unpack_from(f"<{channels}I", body, _LIDAR_HEADER.size)
    expected = _LIDAR_HEADER.size + 4 * channels + point_size * sum(counts)
    if len(body) != expected:
        raise MalformedBodyError(f"a lidar sweep of {sum(counts)} points needs {expected} bytes, not {len(body)}")


def _check_radar(body: bytes) -> None:
    if len(body) % _RADAR_DETECTION_SIZE:
        raise MalformedBodyError(f"{len(body)} bytes are no whole number of radar detections")


def _check_cam(body: bytes) -> None:
    if len(body) % _CAM_SIZE:
        raise MalformedBodyError(f"{len(body)} bytes are no whole number of V2X messages")
    for start in range(0, len(body), _CAM_SIZE):
        if any(any(body[start : start + _CAM_SIZE][part]) for part in _CAM_LISTS):
            raise MalformedBodyError("a V2X message has a list in it")


def _check_custom_v2x(body: bytes) -> None:
    if len(body) % _CUSTOM_V2X_SIZE:
        raise MalformedBodyError(f"{len(body)} bytes are no whole number of custom V2X messages")
    for start in range(0, len(body), _CUSTOM_V2X_SIZE):
        text, zero, _ = body[start + 32 : start + _CUSTOM_V2X_SIZE - 4].partition(b"\0")
        if not zero:
            raise MalformedBodyError("a custom V2X message has no end")
        text.decode()


def _check_packed(body: bytes, fits: Callable[[list[object]], bool]) -> None:
    value = msgpack.unpackb(body, strict_map_key=False)
    if not (isinstance(value, list) and fits(value)):
        raise MalformedBodyError(f"unexpected values in {value!r:.200}")


_CHECKS: dict[int, Callable[[bytes], None]] = {
    StreamType.COLLISION: lambda body: _check_packed(
        body, lambda v: len(v) == 3 and is_actor(v[0]) and is_actor(v[1]) and are_numbers(v[2], 3)
    ),
    StreamType.DEPTH_CAMERA: lambda body: _check_image(body, 4),
    StreamType.NORMALS_CAMERA: lambda body: _check_image(body, 4),
    StreamType.DVS_CAMERA: _check_events,
    StreamType.GNSS: lambda body: _check_packed(body, lambda v: are_numbers(v, 3)),
    StreamType.IMU: lambda body: _check_packed(
        body, lambda v: len(v) == 3 and are_numbers(v[0], 3) and are_numbers(v[1], 3) and is_number(v[2])
    ),
    StreamType.OBSTACLE: lambda body: _check_packed(
        body, lambda v: len(v) == 3 and is_actor(v[0]) and is_actor(v[1]) and is_number(v[2])
    ),
    StreamType.OPTICAL_FLOW_CAMERA: lambda body: _check_image(body, 8),
    StreamType.RADAR: _check_radar,
    StreamType.SEMANTIC_LIDAR: lambda body: _check_lidar(body, 24),
    StreamType.LIDAR: lambda body: _check_lidar(body, 16),
    StreamType.RGB_CAMERA: lambda body: _check_image(body, 4),
    StreamType.SEMANTIC_CAMERA: lambda body: _check_image(body, 4),
    StreamType.INSTANCE_CAMERA: lambda body: _check_image(body, 4),
    StreamType.COSMOS_CAMERA: lambda body: _check_image(body, 4),
    StreamType.V2X: _check_cam,
    StreamType.CUSTOM_V2X: _check_custom_v2x,
}


def check_body(stream_type: int, body: bytes) -> None:
    """Check that a client can decode a body.

    Raises:
        MalformedBodyError: It cannot.
    """
    check = _CHECKS.get(stream_type)
    if check is None:
        raise MalformedBodyError(f"there is no body for stream type {stream_type}")
    try:
        check(body)
    except (struct.error, TypeError, ValueError, msgpack.UnpackException) as error:
        raise MalformedBodyError(str(error)) from error
