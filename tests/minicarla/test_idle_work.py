"""What can be done ahead is done while no client is there, or between the calls of one that has a camera."""

from __future__ import annotations

import contextlib
import socket
import threading

import msgpack
import pytest

from minicarla.protocol.connection import bind_port, open_port
from minicarla.rpc.server import Server
from minicarla.world.clock import Clock
from minicarla.world.settings import EpisodeSettings
from minicarla.world.simulation import Simulation
from minicarla.world.spawning import spawn

_TIMEOUT = 60.0


@pytest.fixture
def server():
    simulation = Simulation()
    server = Server(simulation, open_port(bind_port("127.0.0.1", 0)), open_port(bind_port("127.0.0.1", 0)), Clock())
    simulation.load("Minitown")
    return server


def test_idle_work_waits_for_clients_to_leave_and_survives_its_own_faults(server):
    first, second, fault = threading.Event(), threading.Event(), threading.Event()

    def fail() -> None:
        fault.set()
        raise RuntimeError("nothing to be done")

    server.idle_work = [fail, first.set]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert first.wait(_TIMEOUT)
        assert fault.is_set()
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(msgpack.packb([0, 1, "version", [[False]]]))
            assert client.recv(4096)
            server.idle_work.append(second.set)
            assert not second.wait(1.0)
        assert second.wait(_TIMEOUT)
    finally:
        end(server, thread)


@pytest.mark.parametrize("synchronous", [False, True])
def test_idle_work_is_done_between_the_calls_of_a_client_with_a_camera(server, synchronous):
    done = threading.Event()
    server.simulation.apply_settings(EpisodeSettings(synchronous_mode=synchronous))
    thread = threading.Thread(target=server.run)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        server.idle_work = [lambda: None, done.set]
        spawn_sensor(server, "sensor.camera.rgb")
        thread.start()
        client.sendall(msgpack.packb([0, 1, "version", [[False]]]))
        assert client.recv(4096)
        assert done.wait(_TIMEOUT)
        end(server, thread)


def test_a_camera_is_silent_until_it_is_ready_where_no_tick_waits_for_it(server):
    sent = []
    server.simulation.publisher.has_subscribers = lambda stream: True
    server.simulation.publisher.send = lambda stream, *message: sent.append(stream)
    sensor = spawn_sensor(server, "sensor.camera.depth")
    server.idle_work = [lambda: None]
    server.ticking.tick(0.05)
    assert sent == []
    server.simulation.apply_settings(EpisodeSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    server.ticking.tick(0.05)
    assert sent == [sensor.stream_id]


def end(server, thread):
    server.loop.stop()
    with contextlib.suppress(ConnectionError):  # it may have stopped already
        socket.create_connection(("127.0.0.1", server.port)).close()  # wakes it, if it sleeps
    thread.join(_TIMEOUT)
    assert not thread.is_alive()


def spawn_sensor(server, type_id):
    size = {"image_size_x": "16", "image_size_y": "16"} if "camera" in type_id else {}
    simulation = server.simulation
    return spawn(simulation, simulation.library.find(type_id), size, ((0.0, 0.0, 5.0), (0.0, 0.0, 0.0)))
