"""What can be done ahead is done while no client is there."""

from __future__ import annotations

import socket
import threading

import msgpack
import pytest

from rllib_integration.embedded.rpc.server import Server
from rllib_integration.embedded.world.clock import Clock
from rllib_integration.embedded.world.simulation import Simulation

_TIMEOUT = 20.0


@pytest.fixture
def server():
    simulation = Simulation()
    server = Server(simulation, "127.0.0.1", 0, 0, Clock())
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
        server.loop.stop()
        with socket.create_connection(("127.0.0.1", server.port)):
            thread.join(_TIMEOUT)
    assert not thread.is_alive()
