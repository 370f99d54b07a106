"""A server that somebody else runs: used, left running, and left as it was found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import carla
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.servers import BoundedCalls, ServerGaveUpError, ServerHangError, ServerPool, create_server
from rllib_integration.servers.errors import ServerStartError, ServerVersionError
from rllib_integration.servers.probe import client_version
from rllib_integration.traffic.handle import Traffic
from rllib_integration.traffic.plan import TrafficPlan
from tests.experiments import PoseExperiment
from tests.known import actors_of
from tests.patience import PATIENCE
from tests.ports import free_port_pair


@pytest.fixture
def section(embedded_server: tuple[str, int]) -> dict[str, Any]:
    host, port = embedded_server
    return {"kind": "external", "host": host, "port": port, "start_timeout": 30}


def test_it_is_used_without_a_process_of_ours_and_gets_its_settings_back(section: dict[str, Any]) -> None:
    server = create_server({"timeout": 20.0, "server": section})
    server.start()
    client = carla.Client(server.host, server.port)
    client.set_timeout(60.0)
    world = client.get_world()
    found = world.get_settings()
    changed = world.get_settings()
    changed.synchronous_mode, changed.fixed_delta_seconds = True, 0.02
    world.apply_settings(changed)
    assert server.pid is None
    assert server.exit_status() is None
    server.stop()
    server.stop()
    assert world.get_settings() == found
    assert client.get_server_version() == server.version


def test_a_server_of_another_version_is_refused_before_its_world_ends_this_process(
    start_server: Callable[..., Any],
) -> None:
    other = "0.9.16" if client_version().startswith("0.9.15") else "0.9.15"
    running = start_server(f"--carla-version={other}")
    section = {"kind": "external", "port": running.port, "start_timeout": PATIENCE}
    with pytest.raises(ServerVersionError, match=rf"is CARLA {other}, but the installed client is carla"):
        create_server({"server": section}).start()
    running.stop()


def test_a_port_at_which_nothing_listens_is_told_and_given_up_after_the_timeout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = create_server({"timeout": 1.0, "server": {"kind": "external", "port": free_port_pair()}})
    with pytest.raises(
        ServerStartError, match=r"no answer within \d+\.\d s \(nothing listens there yet .*start_timeout"
    ):
        server.start()
    assert "is not ready yet: nothing listens there yet" in capsys.readouterr().err


def test_its_town_and_the_actors_of_others_stay_also_when_it_hangs_for_a_while(
    start_server: Callable[..., Any],
) -> None:
    running = start_server()
    client = carla.Client(*running.address)
    client.set_timeout(60.0)
    world = client.get_world()
    settings = world.get_settings()
    settings.max_substeps = 7
    world.apply_settings(settings)
    found = world.get_settings()
    library = world.get_blueprint_library()
    theirs = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
    env = CarlaEnv(
        {
            "carla": {"timeout": 5.0, "server": {"kind": "external", "port": running.port}},
            "experiment": {"type": PoseExperiment, "town": "Minitown", "background_activity": {"n_vehicles": 2}},
        }
    )
    env.reset(seed=1)
    assert world.get_settings().synchronous_mode
    running.process.send_signal(signal.SIGSTOP)
    assert env.step(1)[4]["server_restarted"] is True
    running.process.send_signal(signal.SIGCONT)
    env.reset(seed=1)
    env.close()
    client.get_world().wait_for_tick()
    assert client.get_world().get_settings() == found
    assert [actor.id for actor in actors_of(client.get_world(), "vehicle.*")] == [theirs.id]


WORKER = """
import sys
from rllib_integration.carla_env import CarlaEnv

experiment = {"type": "tests.experiments:PoseExperiment", "town": "Minitown", "background_activity": {"n_vehicles": 2}}
env = CarlaEnv({"carla": {"server": {"kind": "external", "port": int(sys.argv[1])}}, "experiment": experiment})
env.reset(seed=1)
print("drives", flush=True)
while True:
    env.step(1)
"""


def test_a_killed_worker_leaves_it_as_it_was_found(section: dict[str, Any], carla_client: carla.Client) -> None:
    world = carla_client.get_world()
    settings = world.get_settings()
    settings.fixed_delta_seconds = 0.025
    world.apply_settings(settings)
    found = world.get_settings()
    theirs = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.audi.tt"), world.get_map().get_spawn_points()[0]
    )
    command = [sys.executable, "-c", WORKER, str(section["port"])]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        assert worker.stdout.readline() == "drives\n"
        assert len(world.get_actors().filter("vehicle.*")) == 4
        assert world.get_settings() != found
        os.killpg(worker.pid, signal.SIGKILL)
        worker.stderr.read()  # until the last process below it has gone, the one that tidies up included
    world.tick()
    assert world.get_settings() == found
    assert [actor.id for actor in actors_of(world, "vehicle.*")] == [theirs.id]
    theirs.destroy()


def plan(n_vehicles: int, n_walkers: int) -> TrafficPlan:
    return TrafficPlan(
        n_vehicles, n_walkers, hybrid=False, seed=1, keep_clear=(), manners={}, pedestrians_cross_factor=0.1
    )


def test_traffic_is_removed_from_it_when_its_worker_is_gone(
    section: dict[str, Any], carla_client: carla.Client
) -> None:
    traffic = Traffic(section["host"], section["port"], free_port_pair(), 20.0, outlives=PATIENCE)
    traffic.spawn(plan(n_vehicles=3, n_walkers=2))
    world = carla_client.get_world()
    world.tick()
    assert len(world.get_actors().filter("vehicle.*")) == 3
    traffic.helper.connection.close()
    assert traffic.helper.wait(PATIENCE) == 0
    world.tick()
    assert [actor.type_id for actor in actors_of(world) if "traffic" not in actor.type_id] == ["spectator"]


def test_traffic_that_cannot_be_removed_ends_all_the_same(start_server: Callable[..., Any]) -> None:
    running = start_server()
    traffic = Traffic(running.host, running.port, free_port_pair(), 20.0, outlives=0.5)
    traffic.spawn(plan(n_vehicles=1, n_walkers=0))
    running.process.send_signal(signal.SIGSTOP)
    traffic.helper.connection.close()
    assert traffic.helper.wait(PATIENCE) == -signal.SIGALRM
    running.process.kill()


def test_calls_to_it_are_bounded_though_its_process_cannot_be_watched(section: dict[str, Any]) -> None:
    server = create_server({"timeout": 20.0, "server": section})
    server.start()
    calls = BoundedCalls(server, 20.0)
    client = calls.call(carla.Client, server.host, server.port)
    assert calls.call(client.get_server_version) == server.version == client.get_client_version()
    calls.close()
    server.stop()


def test_one_that_does_not_come_back_is_given_up(start_server: Callable[..., Any]) -> None:
    running = start_server()
    section = {"kind": "external", "port": running.port, "max_failures": 2}
    pool = ServerPool(lambda: create_server({"timeout": 1.0, "server": section}))
    pool.acquire()
    section["start_timeout"] = 0.5
    running.process.kill()
    running.process.wait()
    pool.failed(ServerHangError("it does not answer"))
    with pytest.raises(ServerGaveUpError, match=rf"127\.0\.0\.1:{running.port} gave a client no answer"):
        pool.acquire()
    pool.close()
