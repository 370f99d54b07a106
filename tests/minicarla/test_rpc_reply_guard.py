"""What the threads of a client ask for never ends that client."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import numpy as np
import pytest

from minicarla.physics.state import GRAVITY
from minicarla.protocol.layouts import MESSAGE_HEADER, VEHICLE_RECORD
from minicarla.protocol.values import PackValue
from minicarla.rpc.quirks.fatal_answers import MalformedReplyError, ReplyGuard
from minicarla.rpc.registry import Returns
from minicarla.rpc.world_stream import WorldStream
from minicarla.world.simulation import Simulation
from minicarla.world.spawning import spawn
from tests.conftest import EmbeddedServer
from tests.minicarla.client_program import run_synchronous_client
from tests.ports import free_port_pair

_ERRORS = (
    "get_episode_settings,get_weather_parameters,get_vehicle_light_states,get_actor_bounding_box,"
    "set_actor_simulate_physics,query_lights_state"
)
_VALUES = (
    "get_weather_parameters,get_vehicle_light_states,get_actor_bounding_box,apply_batch,"
    "query_lights_state,get_episode_settings"
)
_DRIVE = """
manager = client.get_trafficmanager(int(sys.argv[2]))
manager.set_synchronous_mode(True)
manager.set_hybrid_physics_mode(True)
blueprints, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
hero = blueprints.find("vehicle.audi.tt")
hero.set_attribute("role_name", "hero")
world.spawn_actor(hero, points[9])
for place in range(5):
    car = world.spawn_actor(blueprints.find("vehicle.tesla.model3"), points[place])
    car.set_autopilot(True, int(sys.argv[2]))
    manager.update_vehicle_lights(car, True)
for tick in range(80):
    world.tick()
    if tick == 30:
        world.spawn_actor(blueprints.find("vehicle.tesla.model3"), points[6]).set_autopilot(True, int(sys.argv[2]))
        weather = world.get_weather()
        weather.sun_altitude_angle = -20.0
        world.set_weather(weather)
    if tick == 60:
        car.destroy()
print("went on", flush=True)
os._exit(0)  # without asking anything more
"""


@pytest.mark.parametrize(
    ("how", "calls", "ends_by"),
    [
        ("unguarded: error", "get_weather_parameters", -signal.SIGABRT),
        ("error", _ERRORS, 0),
        ("garbage", _VALUES, 0),
    ],
)
def test_a_client_with_a_traffic_manager_outlives_calls_that_fail(tmp_path: Path, how: str, calls: str, ends_by: int):
    program = ("tests.minicarla.sabotaged_server", how, calls)
    server = EmbeddedServer(tmp_path / "log", program=program)
    try:
        client = run_synchronous_client(_DRIVE, server.port, free_port_pair())
    finally:
        server.stop()
    assert client.returncode == ends_by, client.stderr
    assert ("went on" in client.stdout) == (ends_by == 0)


_BOX = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], 7]
_SETTINGS: list[PackValue] = [True, False, [True, 0.05], True, 0.01, 10, 0.0, False, 3000.0, 2000.0, True]


@pytest.mark.parametrize(
    ("method", "good", "bad"),
    [
        ("get_actor_bounding_box", _BOX, [[*_BOX[:2], [0.0, 0.0], 7], [*_BOX[:3], -1], _BOX[:3], None]),
        ("get_episode_settings", _SETTINGS, [_SETTINGS[:10], [1, *_SETTINGS[1:]], [True, False, None, *_SETTINGS[3:]]]),
        ("get_weather_parameters", [0.5] * 14, [[0.5] * 13, [float("nan")] * 14, ["0.5"] * 14]),
        ("get_vehicle_light_states", [[1, 0], [2**32 - 1, 3]], [[[1]], [[1, -1]], [[1, 2**32]], {}]),
        ("apply_batch", [[[1, 5]], [[0, ["gone"]]]], [[[1, 5]], [[[0, "gone"]]], [[[2, 5]]], [[[1, None]]]]),
        ("query_lights_state", [[1, [0.0] * 3, 1.0, 2, [1, 2, 3], True]], [[[1, [0.0] * 3, 1.0, 2, [1, 2], True]], 0]),
    ],
)
def test_answers_that_a_client_cannot_decode_are_noticed(method: str, good: PackValue, bad: list[PackValue]):
    guard = ReplyGuard()
    guard.check(method, good)
    for value in bad:
        with pytest.raises(MalformedReplyError):
            guard.check(method, value)


def test_settings_are_answered_as_they_last_were_and_other_clients_are_told_of_the_error():
    guard = ReplyGuard()
    guard.check("get_episode_settings", _SETTINGS)
    assert guard.instead_of_failure("get_episode_settings", has_traffic_manager=True) == (Returns.VALUE, _SETTINGS)
    assert guard.instead_of_failure("get_episode_settings", has_traffic_manager=False) is None
    assert guard.instead_of_failure("spawn_actor", has_traffic_manager=True) is None


def test_a_body_whose_pose_is_no_number_is_shown_where_it_was():
    simulation = Simulation()
    simulation.load("Minitown")
    pose = ((0.0, 0.0, 30.0), (0.0, 0.0, 0.0))
    car = spawn(simulation, simulation.library.find("vehicle.audi.tt"), {}, pose)
    simulation.episode.step(0.05, 0.01, 10, GRAVITY)
    stream = WorldStream(simulation)
    stream.message()
    for field, value in (("x", math.nan), ("yaw", math.inf), ("vz", 1e300)):
        row = simulation.episode.vehicles.rows[car.row]
        kept = row[field]
        row[field] = value
        records = np.frombuffer(stream.message()[MESSAGE_HEADER.itemsize :], VEHICLE_RECORD)
        record = records[records["id"] == car.id][0]
        assert record["z"] == pytest.approx(30.0, abs=0.1)
        assert all(np.isfinite(record[name]) for name in ("x", "yaw", "vz"))
        row[field] = kept
