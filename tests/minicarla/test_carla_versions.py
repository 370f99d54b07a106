"""What the server says to clients of each version of CARLA, byte for byte; no client takes part."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest

from minicarla.command_line import UsageError, parse_arguments
from minicarla.protocol import version
from minicarla.protocol.version import V0_9_15, V0_9_16, ProtocolVersion, VersionError, version_named
from tests.conftest import EmbeddedServer
from tests.minicarla.raw_client import RawClient
from tests.patience import PATIENCE

_WORLD_STREAM = struct.pack("<I", 1)
_ORIGIN = [[0.0, 0.0, 30.0], [0.0, 0.0, 0.0]]
_BESIDE = [[0.0, 5000.0, 30.0], [0.0, 0.0, 0.0]]
_TYPES_OF_A_CAR = {"sticky_control": 0, "number_of_wheels": 1, "role_name": 3, "color": 4}
"""Attributes and the places of their types behind the first type."""


class Stream:
    """A subscription to a stream."""

    def __init__(self, port: int, stream_id: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.sendall(stream_id)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def message(self) -> bytes:
        """The next message, with its header of 48 bytes."""
        (length,) = struct.unpack("<I", self._read(4))
        return self._read(length)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            assert part, "the server closed the stream"
            data += part
        return data


class Session:
    """A synchronous world on a server that speaks one version."""

    def __init__(self, server: EmbeddedServer, spoken: ProtocolVersion) -> None:
        self.version = spoken
        self.rpc = RawClient(server.address)
        self.streaming_port = struct.unpack("<IH", self.ask("get_episode_info")[1][0][:6])[1]
        settings = self.ask("get_episode_settings")
        self.ask("set_episode_settings", [True, settings[1], [True, 0.05], *settings[3:]])

    def ask(self, method: str, *arguments: Any) -> Any:
        """The value that a call returns, None from one without."""
        _, _, error, result = self.rpc.call(method, *arguments)
        assert error is None, error
        ((tag, *value),) = result  # a call without value tells with False that it did not fail, others with 1
        assert tag is False or (tag == 1 and tag is not True), value
        return value[0] if value else None

    def world(self) -> Stream:
        return Stream(self.streaming_port, _WORLD_STREAM)

    def definition(self, name: str) -> list[Any]:
        """A blueprint as the library has it."""
        (found,) = [one for one in self.ask("get_actor_definitions") if one[1] == name]
        return found

    def description(self, name: str) -> list[Any]:
        """What a client sends to spawn an actor."""
        uid, _, _, attributes = self.definition(name)
        return [uid, name, [[attribute, kind, default] for attribute, kind, default, *_ in attributes]]


@pytest.fixture(scope="module", params=[V0_9_15, V0_9_16], ids=lambda spoken: spoken.name)
def session(request: pytest.FixtureRequest, start_server: Callable[..., EmbeddedServer]) -> Iterator[Session]:
    server = start_server(f"--carla-version={request.param.name}")
    session = Session(server, request.param)
    yield session
    session.rpc.close()
    server.stop()


def test_the_server_names_its_version(session: Session) -> None:
    assert session.ask("version") == session.version.name


def test_world_messages_are_told_by_their_type(session: Session) -> None:
    expected = {"0.9.15": 16, "0.9.16": 17}[session.version.name]
    with session.world() as world:
        first = world.message()
        session.ask("tick_cue")
        assert [struct.unpack_from("<Q", message)[0] for message in (first, world.message())] == [expected] * 2


def test_attribute_types_are_numbered_from_the_same_number_everywhere(session: Session) -> None:
    first = {"0.9.15": 0, "0.9.16": 1}[session.version.name]
    expected = {name: first + place for name, place in _TYPES_OF_A_CAR.items()}
    actor = session.ask("spawn_actor", session.description("vehicle.tesla.model3"), _ORIGIN)
    asked = session.ask("get_actors_by_id", [actor[0]])[0]
    session.ask("destroy_actor", actor[0])
    for attributes in (session.definition("vehicle.tesla.model3")[3], actor[2][2], asked[2][2]):
        assert {name: kind for name, kind, *_ in attributes if name in expected} == expected


def test_bodies_of_collisions_number_attribute_types_alike(session: Session) -> None:
    first = {"0.9.15": 0, "0.9.16": 1}[session.version.name]
    (x, y, z), rotation = session.ask("get_map_info")[1][0]
    car = session.ask("spawn_actor", session.description("vehicle.tesla.model3"), [[x, y, z], rotation])[0]
    sensor = session.ask(
        "spawn_actor_with_parent", session.description("sensor.other.collision"), [[0.0] * 3, [0.0] * 3], car, 0
    )
    above = [[x, y, z + 3.0], rotation]
    session.ask("tick_cue")
    (token,) = session.ask("get_sensor_token", struct.unpack("<I", sensor[5][:4])[0])
    with Stream(session.streaming_port, token[:4]) as collisions:
        other = session.ask("spawn_actor", session.description("vehicle.tesla.model3"), above)[0]
        for _ in range(40):
            session.ask("tick_cue")
        me, it, _ = msgpack.unpackb(collisions.message()[48:])
    for actor in (me, it):
        types = {name: kind for name, kind, _ in actor[2][2]}
        assert {types[name] - place for name, place in _TYPES_OF_A_CAR.items()} == {first}
    assert {me[0], it[0]} == {car, other}
    for number in (sensor[0], car, other):
        session.ask("destroy_actor", number)


@pytest.mark.parametrize("place", [[], [200, ""]], ids=["four members", "six members"])
def test_a_batch_spawns_with_and_without_a_socket(session: Session, place: list[Any]) -> None:
    spawn = [[0, [session.description("vehicle.tesla.model3"), _ORIGIN, [False], *place, [[[15, [0, False]]]]]]]
    _, _, error, ((answer,),) = session.rpc.call("apply_batch", [spawn], False)
    assert (error, answer[0]) == (None, 1), answer
    assert session.ask("destroy_actor", answer[1])


def test_sensors_that_the_client_cannot_read_are_not_offered(session: Session) -> None:
    offered = {one[1] for one in session.ask("get_actor_definitions")}
    assert ("sensor.camera.cosmos_visualization" in offered) == (session.version is V0_9_16)
    assert {"sensor.camera.rgb", "sensor.other.gnss"} <= offered


def test_the_latitude_falls_or_rises_along_y(session: Session) -> None:
    readings = []
    for place in (_ORIGIN, _BESIDE):
        sensor = session.ask("spawn_actor", session.description("sensor.other.gnss"), place)
        with Stream(session.streaming_port, sensor[5][:4]) as stream:
            session.ask("tick_cue")
            readings.append(msgpack.unpackb(stream.message()[48:])[0])
        session.ask("destroy_actor", sensor[0])
    assert (readings[1] < readings[0]) == (session.version is V0_9_15)
    assert abs(readings[1] - readings[0]) == pytest.approx(0.0449, abs=1e-4)


def test_a_world_stream_goes_on_after_a_load(session: Session) -> None:
    with session.world() as world:
        before = struct.unpack_from("<Q", world.message(), 48)[0]
        session.ask("load_new_episode", "", False, 65535)
        session.ask("tick_cue")
        assert struct.unpack_from("<Q", world.message(), 48)[0] > before


@pytest.mark.parametrize("name", ["0.9.15", "0.9.15-21-gabcdef-dirty"])
def test_builds_of_a_release_are_alike(name: str) -> None:
    assert version_named(name) is V0_9_15


@pytest.mark.parametrize("name", ["0.9.14", "0.10.0", "0.9.155", "0.9.15.1", "newest", ""])
def test_other_versions_are_refused(name: str) -> None:
    with pytest.raises(VersionError, match=r"the versions are 0\.9\.15 and 0\.9\.16"):
        version_named(name)
    with pytest.raises(UsageError, match=r"the versions are 0\.9\.15 and 0\.9\.16"):
        parse_arguments([f"--carla-version={name}"])


def test_without_a_client_the_newest_version_is_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "carla", None)
    assert version.version_of_client() is V0_9_16
