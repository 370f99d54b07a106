"""No stream body leaves that the client could not decode."""

from __future__ import annotations

import struct

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rllib_integration.embedded.protocol.body_checks import MalformedBodyError, check_body
from rllib_integration.embedded.protocol.stream_framing import StreamType

_ACTOR = [1, 0, [1, "vehicle.x", []], [[0, 0, 0], [1, 1, 1], [0, 0, 0], 1], b"\x0e", b""]
_GOOD = {
    StreamType.RGB_CAMERA: struct.pack("<IIf", 2, 3, 90.0) + bytes(24),
    StreamType.OPTICAL_FLOW_CAMERA: struct.pack("<IIf", 2, 3, 90.0) + bytes(48),
    StreamType.DVS_CAMERA: struct.pack("<IIf", 2, 3, 90.0) + bytes(26),
    StreamType.LIDAR: struct.pack("<fI2I", 0.5, 2, 1, 2) + bytes(48),
    StreamType.SEMANTIC_LIDAR: struct.pack("<fI2I", 0.5, 2, 1, 0) + bytes(24),
    StreamType.RADAR: bytes(32),
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


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(_GOOD)), st.binary(max_size=64))
def test_random_bytes_are_refused_or_decodable(stream_type, body):
    try:
        check_body(stream_type, body)
    except MalformedBodyError:
        return
    assert stream_type in _GOOD


def test_streams_that_the_server_does_not_have_have_no_bodies():
    with pytest.raises(MalformedBodyError):
        check_body(20, b"")
