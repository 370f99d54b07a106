"""Whatever arrives on its ports, the server goes on serving everybody else."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import carla
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicarla.rpc import server as _register_calls  # noqa: F401
from minicarla.rpc.calls.batch import COMMANDS
from minicarla.rpc.registry import REMOTE_CALLS
from tests.minicarla.raw_client import RawClient

_TIMEOUT = 60.0
# Loading towns again and again would make a slow test of a quick one.
_METHODS = sorted(set(REMOTE_CALLS) - {"load_new_episode", "copy_opendrive_to_file", "add_traffic_manager_running"})

_ROAD = (
    '<road id="1" length="{length}" junction="-1"><planView><geometry s="0" x="{x}" y="0" hdg="0" length="{length}">'
    '<line/></geometry></planView><lanes><laneSection s="0"><right><lane id="-1" type="driving">'
    '<width sOffset="0" a="{width}" b="0" c="0" d="0"/></lane></right></laneSection></lanes></road>'
)

_numbers = st.sampled_from([0, 1, -1, 2**31, 2**32, 2**63, -(2**63), 0.5, 1e308, float("nan"), float("inf")])
_scalars = st.none() | st.booleans() | _numbers | st.text(max_size=8) | st.binary(max_size=8)
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=5), max_leaves=12)


@pytest.fixture(scope="module")
def address(start_server):
    """A server of this module's own: what hypothesis does to its world must not meet other tests."""
    return start_server().address


@pytest.fixture(scope="module")
def witness(address):
    """Another client, which must not notice anything."""
    client = carla.Client(*address)
    client.set_timeout(_TIMEOUT)
    world = client.get_world()
    options = world.get_settings()
    options.synchronous_mode, options.fixed_delta_seconds = True, 0.05
    world.apply_settings(options)
    blueprints = world.get_blueprint_library()
    points = world.get_map().get_spawn_points()
    car = world.spawn_actor(blueprints.find("vehicle.tesla.model3"), points[0])
    world.spawn_actor(blueprints.find("walker.pedestrian.0001"), points[1])
    world.spawn_actor(blueprints.find("sensor.other.imu"), carla.Transform(), car)
    return client


def _is_alive(witness: carla.Client) -> bool:
    return witness.get_server_version() == "0.9.16"


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(_METHODS), st.lists(_values, max_size=6))
def test_every_call_answers_any_arguments(address, witness, method, arguments):
    client = RawClient(address)
    kind, number, error, result = client.call(method, *arguments)
    client.close()
    assert (kind, number) == (1, 1)
    assert (error is None) != (result is None)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(COMMANDS)), st.integers(0, 80), st.lists(_values, max_size=6))
def test_every_command_answers_any_arguments(address, witness, kind, actor_id, arguments):
    client = RawClient(address)
    _, _, error, result = client.call("apply_batch", [[[kind, [actor_id, *arguments]]]], False)
    client.close()
    assert error is None
    assert len(result) == 1


def test_the_world_still_ticks_and_holds_only_numbers(address, witness):
    world = witness.get_world()
    settings_now = world.get_settings()
    settings_now.synchronous_mode, settings_now.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings_now)
    for _ in range(5):
        world.tick()
    for state in world.get_snapshot():
        location = state.get_transform().location
        assert all(abs(value) < 1e10 for value in (location.x, location.y, location.z))


@pytest.mark.parametrize("seed", range(8))
def test_streams_of_damaged_requests_end_only_their_own_connection(address, witness, seed):
    chance = random.Random(seed)
    data = bytearray(
        b"".join(
            msgpack.packb([0, number, chance.choice(_METHODS), [[True], number, [1.0, 2.0, 3.0]]])
            for number in range(500)
        )
    )
    for _ in range(30):
        data[chance.randrange(len(data))] = chance.randrange(256)
    client = RawClient(address)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(bytes(data))
    client.close()
    assert _is_alive(witness)


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        b"\x92\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xdd\xff\xff\xff\xff",
        b"\x94\x00\x01\xa1x\x90",
        b"\x00" * 1000,
    ],
    ids=["reserved", "truncated", "http", "huge array", "no metadata", "numbers"],
)
def test_what_is_no_request_ends_the_connection_or_waits_for_more(address, witness, data):
    client = RawClient(address)
    client.send(data)
    client.close()
    assert _is_alive(witness)


def test_http_is_answered_by_closing(address, witness):
    client = RawClient(address)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert client.is_closed()


def test_an_unknown_method_is_named_in_the_error(address, witness):
    client = RawClient(address)
    _, _, error, result = client.call("fly_to_the_moon", 1)
    assert "fly_to_the_moon" in error
    assert result is None
    assert client.call("version")[3] == [[1, "0.9.16"]]
    client.close()


@pytest.mark.parametrize(("arguments", "given"), [((), 0), ((1, 2), 2)])
def test_too_few_or_too_many_arguments_are_counted_in_the_error(address, witness, arguments, given):
    with RawClient(address) as client:
        assert f"takes 1 arguments, {given} were given" in str(client.call("get_actors_by_id", *arguments))


def test_a_client_that_does_not_read_its_answers_is_not_read_any_longer(address, witness):
    client = RawClient(address)
    client._socket.settimeout(1.0)
    request = msgpack.packb([0, 1, "get_actor_definitions", [[False]]]) * 100
    with pytest.raises(TimeoutError):
        client.send(request * 2000)
    assert _is_alive(witness)
    client.close()


def test_subscriptions_to_streams_that_do_not_exist_just_stay_silent(address, witness):
    raw = RawClient(address)
    token = raw.call("get_sensor_token", 1)[3][0][1][0]
    raw.close()
    port = struct.unpack_from("<H", token, 4)[0]
    streams = [socket.create_connection((address[0], port), timeout=_TIMEOUT) for _ in range(20)]
    for number, stream in enumerate(streams):
        stream.sendall(struct.pack("<I", 1_000_000 + number) + b"garbage" * number)
    world = witness.get_world()
    world.tick()
    streams[0].settimeout(0.2)
    with pytest.raises(TimeoutError):
        streams[0].recv(1)
    for stream in streams:
        stream.close()
    assert _is_alive(witness)


def test_what_a_traffic_manager_asks_about_vehicles_that_are_gone_is_never_an_error(address, witness):
    world = witness.get_world()
    car = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[5]
    )
    extent, number = car.bounding_box.extent.x, car.id
    car.destroy()
    client = RawClient(address)
    box = client.call("get_actor_bounding_box", number)[3][0][1]
    assert box[1][0] == pytest.approx(extent)
    assert client.call("get_actor_bounding_box", 2**31)[3][0][0] == 1
    for method in ("set_actor_simulate_physics", "set_actor_collisions"):
        assert client.call(method, number, False)[3] == [[False]]
    client.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no xml",
        "<a/>",
        "<OpenDRIVE/>",
        "<OpenDRIVE><road id='1' length='x'/></OpenDRIVE>",
        "<OpenDRIVE" * 50,
        "\udcff",
        "a" * 2**23,
        "<a/>" * 2_000_001,
        "<OpenDRIVE>" + _ROAD.format(length=1e9, x=0, width=3.5) + "</OpenDRIVE>",
        "<OpenDRIVE>" + _ROAD.format(length=10, x=1e300, width=3.5) + "</OpenDRIVE>",
        "<OpenDRIVE>" + _ROAD.format(length=10, x=0, width=1e6) + "</OpenDRIVE>",
        "<OpenDRIVE>" + _ROAD.format(length=-1, x=0, width=3.5) + "</OpenDRIVE>",
    ],
    ids=["empty", "text", "other", "no roads", "no number", "unclosed", "no unicode", "long", "many tags",
         "long road", "far road", "wide road", "negative road"],
)  # fmt: skip
def test_a_text_that_is_no_road_network_is_refused_with_a_reason(address, witness, text):
    client = RawClient(address)
    parameters = [2.0, 50.0, 1.0, 0.6, True, True, True]
    _, _, error, result = client.call("copy_opendrive_to_file", text, parameters)
    client.close()
    assert error is None
    failed, reason = result[0]
    assert failed is True
    assert reason[0]
    assert "Error(" not in reason[0]


def test_what_other_clients_would_have_to_read_is_text_of_bounded_length(address, witness):
    with RawClient(address) as client:
        for value, reason in (("x" * 5000, "5000 characters"), ("\udcff", "UTF-8")):
            description = [0, "static.prop.barrel", [["role_name", 4, value]]]
            ((failed, (text,)),) = client.call("spawn_actor", description, [[0, 0, 400], [0, 0, 0]])[3]
            assert failed == 0
            assert reason in text
            assert len(text) < 300


def test_an_absurd_question_costs_one_answer_of_a_sensible_size(address, witness):
    with RawClient(address) as client:
        assert len(client.call("get_actors_by_id", [1] * 100_000)[3][0][1]) == 1
        assert "too large" in client.call("apply_batch", [[]] * (2**18 + 1), False)[3][0][1][0]
        for method, *rest in (("load_new_episode",), ("spawn_actor", [0, "x" * 2**20, []], [[0, 0, 0], [0, 0, 0]])):
            answer = client.call(method, *(rest or ["x" * 2**20]))
            assert len(msgpack.packb(answer)) < 2000
        assert len(client.call("x" * 2**20)[2]) < 300
        assert "65535" in str(client.call("add_traffic_manager_running", ["127.0.0.1", 10**12]))
        # So the client names its Traffic Manager on a machine without any route.
        assert client.call("add_traffic_manager_running", ["", 0])[3] == [[1, True]]
        client.call("enable_environment_objects", list(range(2**33, 2**33 + 1000)), False)


def test_a_long_chain_of_attached_actors_ends_with_its_first(address, witness):
    with RawClient(address) as client:
        description, pose = [0, "static.prop.barrel", []], [[0.0, 0.0, 400.0], [0.0, 0.0, 0.0]]
        first = last = client.call("spawn_actor", description, pose)[3][0][1][0]
        for _ in range(1100):
            empty = [0, "util.actor.empty", []]
            last = client.call("spawn_actor_with_parent", empty, [[0, 0, 1], [0, 0, 0]], last, 0, "")[3][0][1][0]
        assert client.call("destroy_actor", first)[3] == [[1, True]]
        assert client.call("get_actors_by_id", [first, last])[3] == [[1, []]]
