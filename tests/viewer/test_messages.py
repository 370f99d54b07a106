"""Messages are the same on both ends."""

from __future__ import annotations

import numpy as np
import pytest

from rllib_integration.telemetry.messages import Kind, MessageError, head_of, kind_of, pack, unpack


def test_a_message_comes_apart_as_it_was_packed():
    arrays: list[np.ndarray] = [
        np.arange(7, dtype=np.uint8),
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 4), np.int16),
        np.array([2**31], np.uint32),
    ]
    message = pack(Kind.FRAME, {"f": 3, "text": "größer"}, *arrays)
    assert (kind_of(message), head_of(message)["f"]) == (Kind.FRAME, 3)
    unpacked = unpack(message)
    assert unpacked.head["text"] == "größer"
    for array, expected in zip(unpacked.arrays, arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype


def test_arrays_begin_where_javascript_can_look_at_them():
    message = pack(Kind.STEP, {"x": "abc"}, np.ones(3, np.uint8), np.full(2, 7, np.uint32))
    assert len(message) % 4 == 0
    assert message[-8:] == b"\x07\0\0\0" * 2


@pytest.mark.parametrize("damaged", [b"", b"\x05\0\0\0\xff\0\0\0{}", b"\xff" * 40])
def test_what_is_no_message_is_refused(damaged):
    with pytest.raises(MessageError):
        unpack(damaged)
