"""Port leases: nobody gets what another holds, and nobody's death leaves anything held."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from rllib_integration.servers import ports
from rllib_integration.servers.errors import PortLeaseError
from tests.known import present

_HOLDER = """
import os, random, sys
random.seed(1)
from rllib_integration.servers.ports import lease_port_block
leases = [lease_port_block() for _ in range(int(sys.argv[1]))]
if "fork" in sys.argv and os.fork() == 0:
    print(os.getpid(), file=sys.stderr, flush=True)
else:
    print(*[lease.first for lease in leases], flush=True)
sys.stdin.read()
"""


def holder(*words: str) -> subprocess.Popen[str]:
    """A process that leases so many blocks, says which, and keeps them until its input ends."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _HOLDER, *words]
    return subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> range:
    """Ten ports to draw from, in which collisions are certain."""
    candidates = range(28000, 28010)
    monkeypatch.setattr(ports, "_candidate_range", lambda count: range(candidates.start, candidates.stop - count + 1))
    return candidates


def test_fault_2_a_block_is_three_free_ports_in_a_row_outside_the_ephemeral_range() -> None:
    lease = ports.lease_port_block()
    assert len(lease.ports) == 3
    assert lease.first > 10000
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = map(int, file.read().split())
    assert not any(low <= port <= high for port in lease.ports)
    assert all(ports.is_port_free(port) for port in lease.ports)
    lease.release()


def test_fault_3_traffic_manager_ports_differ_from_each_other_and_from_the_servers() -> None:
    leases = [ports.lease_traffic_manager_port() for _ in range(20)] + [ports.lease_port_block() for _ in range(20)]
    taken = [port for lease in leases for port in lease.ports]
    assert len(taken) == len(set(taken)) == 20 + 3 * 20
    assert min(taken) > 10000  # CARLA's own are 2000-2002 and 8000
    for lease in leases:
        lease.release()


def test_leases_of_one_process_never_overlap(narrow: range) -> None:
    leases: list[ports.PortLease] = []

    def lease_all() -> None:
        while True:
            leases.append(ports.lease_port_block())

    with pytest.raises(PortLeaseError, match="consecutive free ports"):
        lease_all()
    taken = [port for lease in leases for port in lease.ports]
    assert len(leases) >= 2
    assert len(set(taken)) == len(taken)
    for lease in leases:
        lease.release()


def test_a_released_block_can_be_leased_again_and_releasing_twice_frees_nobody_elses(narrow: range) -> None:
    first = ports.lease_port_block()
    for _ in range(100):
        first.release()
        second = ports.lease_port_block()
        if second.first == first.first:
            break
        second.release()
    first.release()
    assert second.first == first.first
    assert not ports._LOCKS.try_lock(second.first, 3)
    second.release()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_anybody_has_is_not_free(address: str) -> None:
    with socket.socket() as owner:  # that it listens, too, would make no difference
        owner.bind((address, 0))
        assert not ports.is_port_free(owner.getsockname()[1])


def test_a_retired_block_is_not_leased_again_soon_but_in_the_end(narrow: range) -> None:
    retired = ports.lease_port_block()
    retired.retire()
    for _ in range(20):
        lease = ports.lease_port_block()
        assert not set(lease.ports) & set(retired.ports)
        lease.release()
    for _ in range(ports._RETIRED_LEASES):
        ports.PortLease(1, 1).retire()
    assert ports._LOCKS.try_lock(retired.first, 3)
    ports._LOCKS.unlock(retired.first, 3)


def test_fault_1_a_port_in_use_is_not_leased(narrow: range) -> None:
    with socket.create_server(("127.0.0.1", 28004)):
        firsts = set()
        for _ in range(30):
            lease = ports.lease_port_block()
            firsts.add(lease.first)
            assert 28004 not in lease.ports
            lease.release()
    assert len(firsts) > 1


def test_fault_2_equally_seeded_workers_draw_different_blocks() -> None:
    random.seed(7)
    first = ports.lease_port_block()
    random.seed(7)
    first.release()
    second = ports.lease_port_block()
    second.release()
    assert first.first != second.first


def test_fault_2_workers_that_lease_at_once_share_nothing() -> None:
    holders = [holder("20") for _ in range(4)]
    try:
        firsts = [int(word) for process in holders for word in present(process.stdout).readline().split()]
    finally:
        for process in holders:
            process.communicate()
    taken = [port for first in firsts for port in range(first, first + 3)]
    assert len(firsts) == 80
    assert len(set(taken)) == len(taken)


def test_a_lease_ends_with_a_killed_worker_although_its_forked_child_lives_on() -> None:
    process = holder("1", "fork")
    try:
        first, child = int(present(process.stdout).readline()), int(present(process.stderr).readline())
        assert not ports._LOCKS.try_lock(first, 3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert psutil.pid_exists(child)
        assert ports._LOCKS.try_lock(first, 3)
        ports._LOCKS.unlock(first, 3)
    finally:
        process.communicate()


def _try_in_fork(
    kept: ports.PortLease, given_back: ports.PortLease, results: multiprocessing.Queue, go: threading.Event
) -> None:
    kept.release()
    results.put([ports._LOCKS.try_lock(lease.first, 3) for lease in (kept, given_back)])
    go.wait()
    results.put([ports._LOCKS.try_lock(lease.first, 3) for lease in (kept, given_back)])


def test_a_forked_child_neither_holds_nor_frees_its_parents_lease() -> None:
    kept, given_back = ports.lease_port_block(), ports.lease_port_block()
    context = multiprocessing.get_context("fork")
    results, go = context.Queue(), context.Event()
    child = context.Process(target=_try_in_fork, args=(kept, given_back, results, go))
    child.start()
    assert results.get(timeout=60) == [False, False]
    given_back.release()
    go.set()
    assert results.get(timeout=60) == [False, True]
    child.join()
    kept.release()
