"""Traffic around the hero, driven by CARLA's Traffic Manager in a process of its own.

The Traffic Manager lives inside the client library. If its server dies, one of its threads throws and ends the
whole process; it can lose a wake-up and wait for ever; and every Traffic Manager of a process runs at every
`world.tick()` of that process, whichever server was ticked. A training worker can afford none of that, so
vehicles and walkers belong to a small process beside it, which ticks the world while there is traffic. When
that process fails, it is replaced together with its server.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rllib_integration.annotations import Record
from rllib_integration.processes.supervised import await_readable
from rllib_integration.processes.supervisor import open_pidfd, wake_at_parents_end
from rllib_integration.servers import ServerError, ServerHangError

_START_SECONDS = 30.0  # importing carla on a busy machine, connecting
_SPARE_SECONDS = 1.0  # the process's own time-outs come first, with their messages
_PARENT_CHECK_MS = 1000  # only where there is no pidfd_open
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class TrafficError(ServerError):
    """The traffic's process failed; its server is replaced with it."""


class Traffic:
    """The worker's handle on the process that owns vehicles, walkers and the Traffic Manager.

    Args:
        host: The server's host.
        port: The server's RPC port.
        tm_port: Port of the Traffic Manager.
        timeout: Seconds that the server may take to answer.
        log_path: File that takes the process's output; None discards it.
        outlives: Seconds that the process may take, after its worker's end, to destroy what it has spawned; 0 where
            the server ends with the worker.

    Attributes:
        vehicles: Actor ids of the vehicles.
        walkers: Actor ids of the walkers.
        controllers: Actor ids of what makes them walk.

    Raises:
        TrafficError: The process could not be started.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tm_port: int,
        timeout: float,
        log_path: Path | None = None,
        outlives: float = 0.0,
    ) -> None:
        self.vehicles: list[int] = []
        self.walkers: list[int] = []
        self.controllers: list[int] = []
        self._timeout = timeout
        self._owner = os.getpid()
        self._buffer = b""
        self._ticks_under_way = 0
        self._frame = 0
        self._connection, theirs = socket.socketpair()
        self._connection.setblocking(False)
        arguments = [sys.executable, "-m", "rllib_integration.traffic.handle", str(theirs.fileno()), str(os.getpid())]
        arguments += [host, str(port), str(tm_port), str(timeout), str(outlives)]
        search_path = os.pathsep.join([str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        output = os.open(log_path or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": search_path},
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            self._connection.close()
            raise TrafficError(f"The traffic's process could not be started: {error}.") from error
        finally:
            theirs.close()
            os.close(output)
        try:
            self._receive(_START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def spawn(
        self,
        seed: int,
        n_vehicles: int,
        n_walkers: int,
        hybrid: bool,
        keep_clear: Sequence[tuple[float, float]] = (),
    ) -> list[str]:
        """Replace all traffic.

        Args:
            seed: Decides blueprints, places and the Traffic Manager's behaviour.
            n_vehicles: Vehicles on autopilot.
            n_walkers: Walkers on the town's sidewalks.
            hybrid: Move cars far from the hero without physics.
            keep_clear: Places (x, y in metres) without vehicles within 8 m.

        Returns:
            Sentences about what could not be had.
        """
        answer = self._ask(
            "spawn",
            max(60.0, self._timeout * 6),
            seed=seed,
            n_vehicles=n_vehicles,
            n_walkers=n_walkers,
            hybrid=hybrid,
            keep_clear=[list(place) for place in keep_clear],
        )
        self.vehicles, self.walkers = answer["vehicles"], answer["walkers"]
        self.controllers = answer["controllers"]
        return answer["notes"]

    def clear(self) -> None:
        """Destroy all vehicles and walkers."""
        if self.vehicles or self.walkers:
            self._ask("clear", self._timeout + _SPARE_SECONDS)
            self.vehicles, self.walkers, self.controllers = [], [], []

    def tick(self) -> int:
        """Tick the world and let the Traffic Manager decide; return the frame."""
        self.settle()
        self.begin_ticks(1)
        return self.settle()

    def begin_ticks(self, count: int) -> None:
        """Begin to tick so many times; `settle`, or the next command, waits for the end.

        A frame arrives at the worker before the Traffic Manager has decided what follows from it.
        """
        self._send("tick", count=count)
        self._ticks_under_way = count

    def settle(self) -> int:
        """Wait until the traffic's process has nothing left to do; return the last frame that it ticked."""
        if self._ticks_under_way:
            seconds = (self._timeout + _SPARE_SECONDS) * self._ticks_under_way
            self._ticks_under_way = 0
            self._frame = self._receive(seconds)["frame"]
        return self._frame

    def stop(self) -> None:
        """End the process; its actors go with the server or with `clear`. Twice is fine."""
        if self._owner != os.getpid():
            return
        self._connection.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _ask(self, command: str, seconds: float, **arguments: object) -> Record:
        self.settle()
        self._send(command, **arguments)
        return self._receive(seconds)

    def _send(self, command: str, **arguments: object) -> None:
        try:
            self._connection.send(f"{command} {json.dumps(arguments)}\n".encode())
        except OSError as error:
            raise TrafficError(self._exit_report()) from error

    def _receive(self, seconds: float) -> Record:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not await_readable(self._connection.fileno(), deadline - time.monotonic()):
                pid = self._process.pid
                raise ServerHangError(f"The traffic's process (pid {pid}) did not answer within {seconds:g} s.")
            try:
                received = self._connection.recv(65536)
            except OSError:
                received = b""
            if not received:
                raise TrafficError(self._exit_report())
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise TrafficError(f"The traffic's process failed: {answer['error']}")
        return answer

    def _exit_report(self) -> str:
        try:
            status: int | None = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            status = None
        return f"The traffic's process has ended with status {status}, as the Traffic Manager does with its server."


def main(arguments: Sequence[str]) -> None:
    """Serve one worker until it hangs up."""
    descriptor, parent = int(arguments[0]), int(arguments[1])
    host, port, tm_port, timeout = arguments[2], int(arguments[3]), int(arguments[4]), float(arguments[5])
    outlives = float(arguments[6])
    connection = socket.socket(fileno=descriptor)
    wake_at_parents_end()
    threading.Thread(target=_end_with, args=(connection, parent, outlives), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the worker's to handle

    from rllib_integration.traffic.worker import TrafficActors

    commands = connection.makefile("rb")
    try:
        actors = TrafficActors(host, port, tm_port, timeout)
        with contextlib.suppress(ConnectionError):  # the worker is gone
            _answer(connection, {})
            for line in commands:
                command, _, rest = line.decode().strip().partition(" ")
                _answer(connection, getattr(actors, command)(**json.loads(rest or "{}")))
        if outlives:
            # Here, too: no other thread runs while the client waits for a server with Python's lock in its hand.
            signal.setitimer(signal.ITIMER_REAL, outlives)
            actors.clear()
    except (RuntimeError, ValueError) as error:
        _answer(connection, {"error": str(error)})
    # Not through the client's destructors: with a dead server they never return.
    os._exit(0)


def _answer(connection: socket.socket, answer: Record) -> None:
    connection.sendall(json.dumps(answer).encode() + b"\n")


def _end_with(connection: socket.socket, parent: int, outlives: float) -> None:
    """End this process, whatever its other threads wait for, so many seconds after the worker hung up or was gone."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    parents_end = open_pidfd(parent)
    if parents_end >= 0:
        poll.register(parents_end, select.POLLIN)
    while os.getppid() == parent and not poll.poll(None if parents_end >= 0 else _PARENT_CHECK_MS):
        pass
    if not outlives:
        os.kill(os.getpid(), signal.SIGKILL)
    # So `main` hears of it, too, where somebody else still holds the worker's end. It may be stuck: hence the alarm.
    connection.shutdown(socket.SHUT_RD)
    signal.setitimer(signal.ITIMER_REAL, outlives)


if __name__ == "__main__":
    main(sys.argv[1:])
