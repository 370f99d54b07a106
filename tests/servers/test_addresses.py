"""Several servers that somebody else runs: each environment drives one of its own."""

from __future__ import annotations

import multiprocessing
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.servers import ServerGaveUpError, ServerSettings, count_servers
from rllib_integration.servers.addresses import Address, find_addresses, lease_address
from rllib_integration.servers.errors import ServerStartError
from tests.experiments import PoseExperiment
from tests.patience import PATIENCE
from tests.ports import free_port_pair


def environment(*ports: int) -> CarlaEnv:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return CarlaEnv(
        {
            "carla": {"timeout": 5.0, "server": {"addresses": addresses}},
            "experiment": {"type": PoseExperiment, "town": "Minitown"},
        }
    )


def port_of(env: CarlaEnv) -> int:
    server = env.core.connection.pool.server
    assert server is not None
    return server.port


def test_environments_share_no_server_and_leave_theirs_to_others(start_server: Callable[..., Any]) -> None:
    ports = [start_server().port for _ in range(2)]
    with closing(environment(*ports)) as first, closing(environment(*ports)) as second:
        first.reset(seed=1)
        second.reset(seed=2)
        assert sorted((port_of(first), port_of(second))) == sorted(ports)
        first.step(1)
        second.step(1)
        with closing(environment(*ports)) as third:
            with pytest.raises(ServerGaveUpError, match=r"Each of the 2 servers of .*addresses \(127\.0\.0\.1:"):
                third.reset(seed=3)
            left = port_of(first)
            first.close()
            third.reset(seed=3)
            assert port_of(third) == left


def test_a_lost_server_is_replaced_by_one_that_is_free(start_server: Callable[..., Any]) -> None:
    servers = {server.port: server for server in (start_server(), start_server())}
    with closing(environment(*servers)) as env:
        env.reset(seed=1)
        lost = port_of(env)
        servers[lost].process.send_signal(signal.SIGKILL)
        assert env.step(1)[4]["server_restarted"] is True
        env.reset(seed=1)
        assert port_of(env) != lost


def hold(named: list[str], results: Any) -> None:
    address = lease_address(named)
    results.send((address.host, address.port))
    results.recv()  # until it is killed


def test_a_killed_process_leaves_its_server_to_others() -> None:
    named = [f"127.0.0.1:{free_port_pair()}"]
    ours, theirs = multiprocessing.Pipe()
    holder = multiprocessing.get_context("spawn").Process(target=hold, args=(named, theirs))
    holder.start()
    theirs.close()
    assert ours.recv() == ("127.0.0.1", int(named[0].rpartition(":")[2]))
    with pytest.raises(ServerStartError, match="needs a server of its own"):
        lease_address(named)
    holder.kill()
    holder.join(PATIENCE)
    lease_address(named).release()


def test_a_name_of_several_machines_is_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(host: str, port: int, *_: object) -> list[tuple[Any, ...]]:
        if host == "unknown":
            raise socket.gaierror("Name or service not known")
        hosts = {"server": ["10.0.0.3", "10.0.0.2"]}.get(host, [host])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert find_addresses(["server:2000", "10.0.0.2:2000", "unknown:2000"]) == [
        Address("10.0.0.2", 2000),
        Address("10.0.0.3", 2000),
        Address("unknown", 2000),
    ]
    section = {"server": {"addresses": ["server:2000", "server:2004"]}}
    assert count_servers(ServerSettings.from_core_config(section)) == 4


def test_a_server_elsewhere_has_one_environment_and_servers_started_here_any_number() -> None:
    assert count_servers(ServerSettings.from_core_config({"server": "external"})) == 1
    assert count_servers(ServerSettings.from_core_config({"server": "embedded"})) is None
