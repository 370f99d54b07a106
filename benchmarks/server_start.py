"""How long servers take to come and to go.

    python benchmarks/server_start.py [--kind embedded] [--at-once 8] [--repeats 3] [--cold]

Prints, for the kind of server chosen: seconds from `start()` to the first answer, as a ratio to a Python
interpreter that only imports numpy and numba; seconds until so many workers, started in the same moment, all
have a server; and milliseconds from a worker's SIGKILL until nothing of its server is left. With `--cold` it first
times a start of the embedded server that finds no compiled kernels, on the cores it may use.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from rllib_integration.servers import create_server
from rllib_integration.servers.cleanup import await_ends

_ROOT = Path(__file__).resolve().parents[1]
_WORKER = """
import sys
sys.path.insert(0, sys.argv[2])
from rllib_integration.servers import create_server
server = create_server({"server": {"kind": sys.argv[1], "start_timeout": 600}})
print("up", flush=True)
sys.stdin.readline()
server.start()
print(server.port, server.supervisor_pid, flush=True)
sys.stdin.readline()
"""


def seconds_of(action: Callable[[], object]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def start_seconds(kind: str) -> float:
    server = create_server({"server": {"kind": kind, "start_timeout": 600}})
    try:
        return seconds_of(server.start)
    finally:
        server.stop()


def cold_seconds() -> float:
    """A start with an empty folder for kernels, which compiles them all."""
    before = os.environ.get("NUMBA_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = folder
        try:
            return start_seconds("embedded")
        finally:
            del os.environ["NUMBA_CACHE_DIR"]
            if before is not None:
                os.environ["NUMBA_CACHE_DIR"] = before


def import_seconds() -> float:
    return seconds_of(lambda: subprocess.run([sys.executable, "-c", "import numpy, numba"], check=True))


def answer_of(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def workers_at_once(kind: str, number: int) -> tuple[float, list[float]]:
    """Seconds until every worker has a server, and milliseconds that each takes to vanish when killed."""
    command = [sys.executable, "-c", _WORKER, kind, str(_ROOT)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(number)
    ]
    try:
        for worker in workers:
            answer_of(worker)
        before = time.perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        answers = [answer_of(worker).split() for worker in workers]
        seconds = time.perf_counter() - before
        ports = {int(port) for port, _ in answers}
        assert len(ports) == number, f"{number} workers got only {len(ports)} servers"
        return seconds, [kill_milliseconds(worker, int(answer[1])) for worker, answer in zip(workers, answers)]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def kill_milliseconds(worker: subprocess.Popen, supervisor: int) -> float:
    tree = [psutil.Process(supervisor), *psutil.Process(supervisor).children(recursive=True)]
    before = time.perf_counter()
    worker.kill()
    left = await_ends(tree, 10.0)
    assert not left, f"left after 10 s: {left}"
    return 1000 * (time.perf_counter() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", default="embedded")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="time a start that compiles everything, too")
    options = parser.parse_args()
    if options.cold:
        cores = len(os.sched_getaffinity(0))
        print(f"embedded server compiled and ready after {cold_seconds():.1f} s on {cores} cores", flush=True)
    alone = statistics.median(start_seconds(options.kind) for _ in range(options.repeats))
    imports = statistics.median(import_seconds() for _ in range(options.repeats))
    print(f"{options.kind} server ready after {alone:.2f} s; ratio to importing numpy and numba: {alone / imports:.2f}")
    together, endings = workers_at_once(options.kind, options.at_once)
    print(
        f"{options.at_once} workers in the same moment: {options.at_once} servers after {together:.2f} s; "
        f"ratio to one alone: {together / alone:.2f}"
    )
    print(
        f"nothing left of a killed worker's server after {statistics.median(endings):.0f} ms "
        f"(worst {max(endings):.0f} ms of {len(endings)})"
    )


if __name__ == "__main__":
    main()
