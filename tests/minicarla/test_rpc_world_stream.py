"""Whom the world's frames tell of a new map and of changed lights.

The client library asks for the lights as soon as a frame tells it to, from a thread of its own by way of the client:
one that is dropped at that moment ends its process. So nobody is told what it asks for anyway, or what did not happen.
"""

from __future__ import annotations

import socket
import struct

import pytest

from minicarla.protocol.layouts import FLAG_LIGHT_UPDATE_PENDING, FLAG_MAP_CHANGED
from tests.minicarla.raw_client import RawClient
from tests.patience import PATIENCE

_LENGTH = struct.Struct("<I")
_FLAGS = struct.Struct("<I")
_FLAGS_OFFSET = 80
_ALL_LAYERS = 0xFFFF
_NOON, _NIGHT = 75.0, -80.0


class _Frames:
    """A subscription to the world's stream."""

    def __init__(self, host: str, client: RawClient) -> None:
        ((_, (token,)),) = client.call("get_sensor_token", 1)[3]
        stream, port = struct.unpack_from("<IH", token)
        self._socket = socket.create_connection((host, port), timeout=PATIENCE)
        self._socket.sendall(_LENGTH.pack(stream))
        self.flags()  # the state at once, so that the subscription is there

    def flags(self, frames: int = 1) -> int:
        """What the next frames tell."""
        told = 0
        for _ in range(frames):
            payload = self._read(*_LENGTH.unpack(self._read(_LENGTH.size)))
            told |= _FLAGS.unpack_from(payload, _FLAGS_OFFSET)[0]
        return told

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._socket.recv(size - len(data))
        return data

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def client(embedded_server):
    with RawClient(embedded_server) as raw:
        raw.call("load_new_episode", "Minitown", True, _ALL_LAYERS)
        yield raw


@pytest.fixture
def subscribe(embedded_server, client):
    made = []

    def subscription():
        made.append(_Frames(embedded_server[0], client))
        return made[-1]

    yield subscription
    for one in made:
        one.close()


def test_who_comes_after_a_load_is_not_told_of_it(client, subscribe):
    before = subscribe()
    assert before.flags(3) == 0
    client.call("load_new_episode", "", True, _ALL_LAYERS)
    after = subscribe()
    assert before.flags(4) == FLAG_MAP_CHANGED
    assert after.flags(4) == 0


def test_only_weather_that_switches_the_lamps_tells_of_the_lights(client, subscribe):
    frames = subscribe()
    weather = list(client.call("get_weather_parameters")[3][0][1])
    for altitude, told in ((_NOON, 0), (_NIGHT, FLAG_LIGHT_UPDATE_PENDING), (_NIGHT, 0), (_NOON, 2)):
        weather[5] = altitude
        client.call("set_weather_parameters", weather)
        assert frames.flags(3) == told
