"""Calls through a calls end: with a result, with the server's death, or with the time allowed."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import carla
import psutil
import pytest

from rllib_integration.servers import BoundedCalls, CarlaServer, ServerDiedError, ServerHangError
from rllib_integration.servers import bounded_calls as calls_module
from tests.known import present
from tests.patience import PATIENCE
from tests.servers.conftest import ServerFactory

LONG = 600.0


@pytest.fixture
def server(new_server: ServerFactory) -> CarlaServer:
    made = new_server()
    made.start()
    return made


@pytest.fixture
def calls(server: CarlaServer) -> Iterator[BoundedCalls]:
    made = BoundedCalls(server, LONG)
    yield made
    made.close()


def server_process(server: CarlaServer) -> psutil.Process:
    """The server proper, below its launcher script."""
    return psutil.Process(server.pid).children()[0]


def open_descriptors() -> set[tuple[str, str]]:
    """This process's descriptors, each with what it refers to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def test_a_call_returns_its_result(server: CarlaServer, calls: BoundedCalls) -> None:
    client = calls.call(carla.Client, server.host, server.port)
    assert calls.call(client.get_server_version) == "0.9.16"


def test_a_calls_own_error_is_raised_where_it_was_made(calls: BoundedCalls) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        calls.call(int, "seven")
    assert calls.call(int, "7") == 7


def test_a_death_during_a_call_is_noticed_at_once(server: CarlaServer, calls: BoundedCalls) -> None:
    never = threading.Event()
    threading.Timer(0.1, server_process(server).kill).start()
    with pytest.raises(ServerDiedError, match="ended with exit status 137"):
        calls.call(never.wait, LONG)
    never.set()


def test_a_death_between_calls_is_noticed_before_the_next(server: CarlaServer, calls: BoundedCalls) -> None:
    server_process(server).kill()
    server.wait_for_exit(PATIENCE)
    with pytest.raises(ServerDiedError):
        calls.call(os.getpid)


def test_a_frozen_server_is_noticed_within_the_time_allowed(server: CarlaServer, calls: BoundedCalls) -> None:
    client = calls.call(carla.Client, server.host, server.port)
    client.set_timeout(LONG)
    server_process(server).send_signal(signal.SIGSTOP)
    before = time.monotonic()
    with pytest.raises(ServerHangError, match=r"get_server_version got no answer from .* within \d+\.\d s"):
        calls.call(client.get_server_version, timeout=0.3)
    assert time.monotonic() - before < LONG / 10
    with pytest.raises(ServerHangError, match="get_server_version got no answer"):  # the first loss, not a second wait
        calls.call(os.getpid)
    # Released before the calls is closed: the client's thread gets its answer and ends.
    server_process(server).send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("act", "symptom"),
    [("freeze", r"a process of it was stopped \(SIGSTOP"), ("lock", "it neither works nor answers a new client")],
)
def test_a_server_that_does_nothing_is_noticed_long_before_its_bound(
    act: str, symptom: str, new_server: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "_QUESTION_SECONDS", 0.3)
    server = new_server(hang_after=0.3, extra_arguments=[f"--{act}-after", "3"])
    server.start()  # which asks twice
    calls = BoundedCalls(server, LONG)
    client = calls.call(carla.Client, server.host, server.port)
    assert calls.call(client.get_server_version) == "0.9.16"
    never = threading.Event()
    before = time.monotonic()
    with pytest.raises(ServerHangError, match=symptom):
        calls.call(never.wait, LONG)
    assert time.monotonic() - before < LONG / 10
    never.set()
    calls.close()


def test_a_server_that_only_works_is_waited_for_until_the_bound(new_server: ServerFactory) -> None:
    server = new_server(hang_after=0.1, extra_arguments=["--spin-after", "3"])
    server.start()
    calls = BoundedCalls(server, LONG)
    client = calls.call(carla.Client, server.host, server.port)
    calls.call(client.get_server_version)
    never = threading.Event()
    with pytest.raises(ServerHangError, match=r"within \d+\.\d s\.$"):
        calls.call(never.wait, LONG, timeout=2.0)
    never.set()
    calls.close()


def test_the_time_allowed_counts_from_the_last_progress(calls: BoundedCalls) -> None:
    never, parts = threading.Event(), []

    def work_in_parts_then_hang() -> None:
        for part in range(12):
            never.wait(0.25)
            parts.append(part)
            calls.note_progress()
        never.wait(LONG)

    with pytest.raises(ServerHangError):
        calls.call(work_in_parts_then_hang, timeout=2.0)
    never.set()
    assert len(parts) == 12


def test_a_long_call_is_waited_for_while_the_server_answers(server: CarlaServer) -> None:
    calls = BoundedCalls(server, 0.1)  # after which it asks
    enough = threading.Event()
    threading.Timer(1.2, enough.set).start()
    assert calls.call(enough.wait, LONG, timeout=LONG)
    calls.close()


def test_the_clients_own_time_out_is_a_hang_too(server: CarlaServer, calls: BoundedCalls) -> None:
    client = calls.call(carla.Client, server.host, server.port)
    client.set_timeout(0.2)
    server_process(server).send_signal(signal.SIGSTOP)
    with pytest.raises(ServerHangError, match="time-out of 200ms"):
        calls.call(client.get_server_version)


def test_a_client_library_that_never_answers_again_is_a_hang(calls: BoundedCalls) -> None:
    for_ever = threading.Lock()
    for_ever.acquire()
    with pytest.raises(ServerHangError):
        calls.call(for_ever.acquire, timeout=0.1)
    for_ever.release()


class Client:
    """Stands for a lost client with all that hangs on it."""

    def fail(self, answer: threading.Event) -> None:
        answer.wait()
        raise RuntimeError("time-out of 100ms while waiting for the simulator")


@pytest.mark.parametrize("seconds", [LONG, 0.1], ids=["raises", "is given up and raises later"])
def test_a_lost_client_is_let_go_of_without_the_collector(server: CarlaServer, seconds: float) -> None:
    calls, client, answer = BoundedCalls(server, LONG), Client(), threading.Event()
    alive = weakref.ref(client)
    gc.disable()
    try:
        if seconds == LONG:
            answer.set()
        with contextlib.suppress(ServerHangError):
            calls.call(client.fail, answer, timeout=seconds)
        answer.set()
        calls.close()
        calls._client_thread.join()
        del client
        assert alive() is None
    finally:
        gc.enable()


def test_server_and_client_thread_share_the_core_they_are_given(new_server: ServerFactory) -> None:
    server = new_server()
    server.start()
    core = max(os.sched_getaffinity(0))
    calls = BoundedCalls(server, LONG, core)
    assert calls.call(os.sched_getaffinity, 0) == {core}
    assert os.sched_getaffinity(present(server.pid)) == {core}
    assert os.sched_getaffinity(0) != {core} or os.cpu_count() == 1
    calls.close()


def test_closing_leaves_no_thread_and_no_descriptor(server: CarlaServer) -> None:
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    for _ in range(3):
        calls = BoundedCalls(server, LONG)
        calls.call(os.getpid)
        calls.close()
        calls.close()
    assert set(threading.enumerate()) <= threads
    assert open_descriptors() <= descriptors  # clients of earlier tests may be closing theirs


LEAVES_A_CALL_BEHIND = """
import sys, time
from rllib_integration.servers import ServerHangError, create_server
from rllib_integration.servers.bounded_calls import BoundedCalls

server = create_server({"server": {"kind": "external", "host": sys.argv[1], "port": int(sys.argv[2])}})
calls = BoundedCalls(server, 0.1)
try:
    calls.call(lambda: (time.sleep(1.0), print("came back")), timeout=0.1)
except ServerHangError:
    calls.close()
"""


def test_the_interpreter_waits_for_a_call_left_behind(server: CarlaServer) -> None:
    command = [sys.executable, "-c", LEAVES_A_CALL_BEHIND, server.host, str(server.port)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip()) == (0, "came back"), ended.stderr
