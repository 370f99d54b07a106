"""Whatever happens to the worker, its servers are gone, and nobody else's are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rllib_integration.processes.supervised import SUPERVISOR
from rllib_integration.servers import kill_all_servers
from rllib_integration.servers.cleanup import await_ends
from tests.known import present
from tests.patience import PATIENCE
from tests.servers.conftest import ServerFactory
from tests.servers.stand_ins import ANSWERING, below, make_install, supervisor_of

_WORKER = """
import os, signal, sys
from rllib_integration.servers import create_server
server = create_server({"server": {"kind": "packaged", "carla_root": sys.argv[1], "log_folder": sys.argv[2]}})
server.start()
print(server.supervisor_pid, server.port, flush=True)
if sys.argv[3] == "raise":
    sys.stdin.readline()
    raise RuntimeError("the worker's own failure")
if sys.argv[3] == "exit":
    sys.stdin.readline()
    os._exit(3)
sys.stdin.read()
"""


class Worker:
    """A process that has started a server and waits."""

    def __init__(self, tmp_path: Path, behaviour: str, ending: str = "wait", setup: str = "") -> None:
        install = make_install(tmp_path / behaviour, behaviour, [*ANSWERING, "--children", "2"])
        arguments = [sys.executable, "-c", f"{setup}\n{_WORKER}", str(install), str(tmp_path), ending]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            arguments, text=True, start_new_session=True, stdin=pipe, stdout=pipe, stderr=pipe
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.supervisor, self.port = map(int, line.split())
        self.tree = below(self.supervisor)


@pytest.fixture
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path, *getattr(request, "param", ("works",)))
    yield made
    made.process.kill()
    made.process.communicate()
    assert await_ends(made.tree, PATIENCE) == []


@pytest.mark.parametrize("worker", [("works",), ("forks",)], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_fault_5_a_signal_to_the_worker_ends_its_server_and_all_below_it(
    worker: Worker, number: signal.Signals
) -> None:
    # Supervisor and its twin, the server, two children of the server in sessions of their own.
    assert len(worker.tree) >= 5
    worker.process.send_signal(number)
    assert await_ends(worker.tree, PATIENCE) == []


@pytest.mark.parametrize("worker", [("works", "raise"), ("works", "exit")], indirect=True)
def test_a_worker_that_raises_or_leaves_takes_its_server_with_it(worker: Worker) -> None:
    present(worker.process.stdin).write("\n")
    present(worker.process.stdin).flush()
    assert await_ends(worker.tree, PATIENCE) == []


@pytest.mark.parametrize("worker", [("works",), ("forks",)], indirect=True)
@pytest.mark.parametrize("victim", ["outer", "inner"])
def test_killing_either_supervisor_ends_the_server_as_ray_does_with_a_workers_children(
    worker: Worker, victim: str
) -> None:
    outer = psutil.Process(worker.supervisor)
    target = outer if victim == "outer" else outer.children()[0]
    target.kill()
    assert await_ends(worker.tree, PATIENCE) == []
    assert worker.process.poll() is None


def test_killing_the_workers_whole_process_group_ends_its_server(worker: Worker) -> None:
    os.killpg(worker.process.pid, signal.SIGKILL)
    assert await_ends(worker.tree, PATIENCE) == []


def test_the_same_holds_on_a_kernel_that_cannot_watch_processes(tmp_path: Path) -> None:
    old = tmp_path / "supervisor.py"
    old.write_text(f"import os, runpy\ndel os.pidfd_open\nrunpy.run_path({str(SUPERVISOR)!r}, run_name='__main__')\n")
    use_it = f"import pathlib\nprocess.SUPERVISOR = pathlib.Path({str(old)!r})"
    setup = f"from rllib_integration.processes import supervised as process\n{use_it}"
    for victim in ("worker", "outer"):
        worker = Worker(tmp_path, "works", setup=setup)
        try:
            (worker.process if victim == "worker" else psutil.Process(worker.supervisor)).kill()
            assert await_ends(worker.tree, PATIENCE) == [], victim
        finally:
            worker.process.kill()
            worker.process.communicate()


def test_a_killed_workers_server_ends_though_it_and_its_supervisors_are_stopped(worker: Worker) -> None:
    for process in worker.tree:
        process.suspend()
    worker.process.kill()
    assert await_ends(worker.tree, PATIENCE) == []


def test_a_server_outlives_the_thread_that_started_it(new_server: ServerFactory) -> None:
    server = new_server()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert server.wait_for_exit(0.3) is None
    assert server.pid is not None


def test_a_frozen_server_is_ended_too(new_server: ServerFactory) -> None:
    server = new_server(extra_arguments=["--freeze-after", "2"])
    server.start()
    tree = below(supervisor_of(server))
    server.stop()
    assert await_ends(tree, PATIENCE) == []


@pytest.mark.parametrize("stopped", ["all", "outer", "inner"])
def test_a_server_whose_supervisors_are_stopped_too_is_ended_with_them(new_server: ServerFactory, stopped: str) -> None:
    server = new_server(extra_arguments=["--children", "2"])
    server.start()
    tree = below(supervisor_of(server))
    outer = psutil.Process(supervisor_of(server))
    for process in {"all": tree, "outer": [outer], "inner": outer.children()}[stopped]:
        process.suspend()
    server.stop()
    assert await_ends(tree, PATIENCE) == []


def test_a_stop_in_a_forked_child_leaves_the_parents_server_alone(new_server: ServerFactory) -> None:
    server = new_server()
    server.start()
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert server.wait_for_exit(0.3) is None
    assert server.pid is not None


def test_fault_4_kill_all_servers_ends_this_process_trees_servers_and_no_other(
    new_server: ServerFactory, worker: Worker, tmp_path: Path
) -> None:
    stranger = subprocess.Popen([*ANSWERING, "-carla-rpc-port=0", "CarlaUE4-Linux-Shipping"], stdout=subprocess.DEVNULL)
    own = new_server()
    own.start()
    ours = [*below(supervisor_of(own)), *worker.tree]
    try:
        assert kill_all_servers() == 2
        assert await_ends(ours, 0.0) == []
        assert stranger.poll() is None
        assert worker.process.poll() is None
        assert kill_all_servers() == 0
    finally:
        stranger.kill()
        stranger.wait()


def test_fault_4_kill_all_servers_leaves_a_parallel_runs_servers_alone(worker: Worker, tmp_path: Path) -> None:
    program = "from rllib_integration.servers import kill_all_servers; print(kill_all_servers())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "0\n"
    assert len(await_ends(worker.tree, 0.0)) == len(worker.tree)
