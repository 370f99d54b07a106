"""No stream body leaves that the client could not decode."""

from __future__ import annotations

import struct

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.protocol.body_checks import MalformedBodyError, check_body
from minicarla.protocol.stream_framing import StreamType
from minicarla.sensing import SENSORS

_ACTOR = [1, 0, [1, "vehicle.x", []], [[0, 0, 0], [1, 1, 1], [0, 0, 0], 1], b"\x0e", b""]
_GOOD = {
    StreamType.RGB_CAMERA: struct.pack("<IIf", 2, 3, 90.0) + bytes(24),
    StreamType.OPTICAL_FLOW_CAMERA: struct.pack("<IIf", 2, 3, 90.0) + bytes(48),
    StreamType.DVS_CAMERA: struct.pack("<IIf", 2, 3, 90.0) + bytes(26),
    StreamType.LIDAR: struct.pack("<fI2I", 0.5, 2, 1, 2) + bytes(48),
    StreamType.SEMANTIC_LIDAR: struct.pack("<fI2I", 0.5, 2, 1, 0) + bytes(24),
    StreamType.RADAR: bytes(32),
    StreamType.V2X: bytes(2 * 464),
    StreamType.CUSTOM_V2X: bytes(2 * 136),
    StreamType.GNSS: msgpack.packb([1.0, 2.0, 3.0]),
    StreamType.IMU: msgpack.packb([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 4.0]),
    StreamType.COLLISION: msgpack.packb([_ACTOR, _ACTOR, [1.0, 2.0, 3.0]]),
    StreamType.OBSTACLE: msgpack.packb([_ACTOR, _ACTOR, 1.0]),
}


@pytest.mark.parametrize("stream_type", _GOOD)
def test_bodies_of_the_right_layout_pass_and_with_a_byte_too_many_or_too_few_are_refused(stream_type):
    check_body(stream_type, _GOOD[stream_type])
    for body in (_GOOD[stream_type] + b"\x01", _GOOD[stream_type][:-1]):
        with pytest.raises(MalformedBodyError):
            check_body(stream_type, body)


_PIXELS = {StreamType.RGB_CAMERA: 4, StreamType.OPTICAL_FLOW_CAMERA: 8}
_POINTS = {StreamType.LIDAR: 16, StreamType.SEMANTIC_LIDAR: 24}
_RECORDS = {
    StreamType.RADAR: (0, 16),
    StreamType.DVS_CAMERA: (12, 13),
    StreamType.V2X: (0, 464),
    StreamType.CUSTOM_V2X: (0, 136),
}


def _client_reads_it_whole(stream_type: StreamType, body: bytes) -> bool:
    """Reads a body by the sizes that it tells itself; raises where the client would read beyond its end."""
    if stream_type in _PIXELS:
        width, height, _ = struct.unpack_from("<IIf", body)
        rest = struct.unpack_from(f"<{width * height * _PIXELS[stream_type]}B", body, 12)
        return len(rest) == len(body) - 12
    if stream_type in _POINTS:
        _, channels = struct.unpack_from("<fI", body)
        counts = struct.unpack_from(f"<{channels}I", body, 8)
        points = struct.unpack_from(f"<{sum(counts) * _POINTS[stream_type]}B", body, 8 + 4 * channels)
        return len(points) == len(body) - 8 - 4 * channels
    if stream_type in _RECORDS:
        head, size = _RECORDS[stream_type]
        return (len(body) - head) % size == 0
    return _is_like(_GOOD_VALUES[stream_type], msgpack.unpackb(body))


def _is_like(pattern: object, value: object) -> bool:
    """Whether a value has the structure and the types of another one; any number stands for any."""
    if isinstance(pattern, list):
        return isinstance(value, list) and len(value) == len(pattern) and all(map(_is_like, pattern, value))
    return type(value) in ((int, float) if isinstance(pattern, (int, float)) else (str, bytes))


_GOOD_VALUES = {
    stream_type: msgpack.unpackb(_GOOD[stream_type])
    for stream_type in (StreamType.GNSS, StreamType.IMU, StreamType.COLLISION, StreamType.OBSTACLE)
}


@settings(max_examples=400)
@given(st.sampled_from(sorted(_GOOD)), st.binary(max_size=64) | st.integers(0, 2**32), st.integers(0, 255))
def test_what_passes_can_be_decoded(stream_type, change, value):
    """Random bytes, and good bodies with one byte changed."""
    if isinstance(change, int):
        body = bytearray(_GOOD[stream_type])
        body[change % len(body)] = value
        change = bytes(body)
    try:
        check_body(stream_type, change)
    except MalformedBodyError:
        return
    assert _client_reads_it_whole(stream_type, change)


def test_every_stream_that_sensors_send_has_a_check():
    types = {sensor.stream_type for sensor in SENSORS.values()} - {StreamType.LANE_INVASION}
    for stream_type in types:
        with pytest.raises(MalformedBodyError):
            check_body(stream_type, b"\x01")


def test_streams_that_the_server_does_not_have_have_no_bodies():
    with pytest.raises(MalformedBodyError):
        check_body(18, b"")
