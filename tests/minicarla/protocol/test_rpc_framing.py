"""Requests survive every way of being cut, and nothing but requests is accepted."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicarla.protocol import rpc_framing
from minicarla.protocol.rpc_framing import (
    FramingError,
    RequestDecoder,
    encode_failure,
    encode_unknown_method,
    encode_value,
    encode_void,
)

_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=20)


def _request(message_id: int, method: str, arguments: list[object], is_async: bool = False) -> bytes:
    return msgpack.packb([0, message_id, method, [[is_async], *arguments]], unicode_errors="surrogatepass")


def test_a_request_comes_out_as_it_went_in():
    decoder = RequestDecoder()
    decoder.feed(_request(7, "spawn_actor", [1, "a", [2.0]]) + _request(8, "tick_cue", [], True))
    first, second = decoder
    assert (first.message_id, first.method, first.is_async) == (7, "spawn_actor", False)
    assert first.arguments == [1, "a", [2.0]]
    assert (second.method, second.is_async) == ("tick_cue", True)


@settings(max_examples=100)
@given(st.lists(_values, max_size=3), st.integers(1, 40))
def test_where_the_stream_is_cut_does_not_matter(arguments, size):
    data = _request(1, "first", arguments) + _request(2, "second", arguments)
    decoder, methods = RequestDecoder(), []
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
        methods += [request.method for request in decoder]
    assert methods == ["first", "second"]


@settings(max_examples=300)
@given(st.binary(max_size=200))
@example(b"\xdd\xff\xff\xff\xff" * 20)
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x91" * 5000)
@example(msgpack.packb([0, 1, "tick_cue", []]))
@example(msgpack.packb([0, 1, "tick_cue", 3]))
@example(msgpack.packb([1, 1, None, None]))
@example(msgpack.packb({"a": 1}))
@example(msgpack.packb([0, "id", "tick_cue", [[False]]]))
def test_any_bytes_give_requests_or_a_framing_error(data):
    decoder = RequestDecoder()
    methods = []
    with contextlib.suppress(FramingError):
        decoder.feed(data)
        methods += [request.method for request in decoder]
    assert all(isinstance(method, str) for method in methods)


def test_a_request_larger_than_the_limit_is_refused():
    decoder = RequestDecoder()
    head = b"\x94\x00\x01\xa1x\x92\x91\xc2"
    decoder.feed(head + b"\xdc\x00\x60" + b"")
    with pytest.raises(FramingError, match="64 MiB"):
        _feed_strings(decoder, 66)


def _feed_strings(decoder, count):
    for _ in range(count):
        decoder.feed(b"\xdb\x00\x10\x00\x00" + b"x" * 2**20)
        assert list(decoder) == []


def test_names_that_are_no_unicode_are_read_leniently():
    decoder = RequestDecoder()
    decoder.feed(b"\x94\x00\x01\xa2\xff\xfe\x91\x91\xc2")
    (request,) = decoder
    assert request.method.encode(errors="surrogateescape") == b"\xff\xfe"


def test_answers_have_the_envelopes_of_the_protocol():
    assert msgpack.unpackb(encode_value(3, "x")) == [1, 3, None, [[1, "x"]]]
    assert msgpack.unpackb(encode_void(3)) == [1, 3, None, [[False]]]
    assert msgpack.unpackb(encode_failure(3, "why", True)) == [1, 3, None, [[0, ["why"]]]]
    assert msgpack.unpackb(encode_failure(3, "why", False)) == [1, 3, None, [[True, ["why"]]]]
    unknown = msgpack.unpackb(encode_unknown_method(3, "x", 2))
    assert "server could not find function 'x' with argument count 2" in unknown[2]


@pytest.mark.parametrize(
    "byte", [b"\x90", b"\x80", b"\x91\x01", b"\x01", b"\xa2ab", b"\xd1\x7f\x00", b"\xa1\xcc\x90", b"\xcc\xcc\x90"]
)
def test_a_request_that_would_take_far_more_memory_than_bytes_is_refused_while_it_comes_in(monkeypatch, byte):
    limit = 2**20
    monkeypatch.setattr(rpc_framing, "MAX_COST", limit)
    decoder, began = RequestDecoder(), b"\x94\x00\x01\xa7version\x92\x91\xc2\xdd\x00\x0f\xff\xff"
    decoder.feed(began)
    assert not list(decoder)
    pieces = 0

    def feed_on():
        nonlocal pieces
        while pieces * len(byte) * 1000 <= limit // 8:
            pieces += 1
            decoder.feed(byte * 1000)
            assert not list(decoder)

    with pytest.raises(FramingError, match="memory"):
        feed_on()


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_the_pixels_of_a_picture_cost_no_more_than_their_lists(cut):
    pixels = [[value, 0xCC, 0xCC, 0x90] for value in range(128, 256)] * 20
    data = _request(1, "paint", [pixels, "end"])
    decoder = RequestDecoder()
    for first, last in ((0, 5000 + cut), (5000 + cut, len(data) - 1)):
        decoder.feed(data[first:last])
        assert not list(decoder)
    assert 100 < decoder.cost / len(pixels) < 150
    decoder.feed(data[-1:])
    assert [request.arguments[0] for request in decoder] == [pixels]


def test_a_complete_request_costs_nothing_any_longer():
    decoder, data = RequestDecoder(), _request(1, "first", ["x" * 1000]) + _request(2, "second", ["y" * 1000])
    decoder.feed(data[:500])
    assert not list(decoder)
    half = decoder.cost
    decoder.feed(data[500:1500])
    assert [request.method for request in decoder] == ["first"]
    assert 0 < half < 8000
    assert 0 < decoder.cost < 8000
    decoder.feed(data[1500:])
    assert [request.method for request in decoder] == ["second"]
    assert decoder.cost == 0
