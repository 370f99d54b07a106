"""Traffic around the hero, driven by CARLA's Traffic Manager in a process of its own.

The Traffic Manager is part of the client library. If its server dies, one of its threads throws and ends the whole
process. It can lose a wake-up and wait for ever. Every Traffic Manager of a process runs at every `world.tick()` of
that process, whichever server is ticked. A helper process therefore owns vehicles and walkers, and ticks the world
while there is traffic. If it fails, it is replaced together with its server.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from rllib_integration.annotations import Record
from rllib_integration.processes.helper_process import HelperError, HelperProcess, HelperSilentError, Owner
from rllib_integration.servers import ServerError, ServerHangError
from rllib_integration.traffic.plan import TrafficPlan

_START_SECONDS = 30.0  # importing carla on a busy machine, connecting
_SPARE_SECONDS = 1.0  # so that the process's own time-outs come first, with their messages


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
        outlives: Seconds that the process may take, after its worker's end, to destroy its actors; 0 if the server ends
            with the worker.

    Attributes:
        vehicles: Actor ids of the vehicles.
        walkers: Actor ids of the walkers.
        controllers: Actor ids of the walkers' AI controllers.
        helper: The process.

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
        self._ticks_pending = 0
        self._frame = 0
        arguments = [host, str(port), str(tm_port), str(timeout), str(outlives)]
        with _failures_of_traffic():
            self.helper = HelperProcess(__name__, arguments, "The traffic's process", log_path)
        try:
            self._receive(_START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def spawn(self, plan: TrafficPlan) -> list[str]:
        """Replace all traffic.

        Args:
            plan: Numbers, manners and seed of the new.

        Returns:
            Sentences about vehicles and walkers that could not be spawned.
        """
        answer = self._ask("spawn", max(60.0, self._timeout * 6), **plan._asdict())
        self.vehicles, self.walkers = answer["vehicles"], answer["walkers"]
        self.controllers = answer["controllers"]
        return answer["notes"]

    def clear(self) -> None:
        """Destroy all vehicles and walkers."""
        if self.vehicles or self.walkers:
            self._ask("clear", self._timeout + _SPARE_SECONDS)
            self.vehicles, self.walkers, self.controllers = [], [], []

    def tick(self) -> int:
        """Tick the world and the Traffic Manager; return the frame."""
        self.settle()
        self.begin_ticks(1)
        return self.settle()

    def begin_ticks(self, count: int) -> None:
        """Start `count` ticks; `settle`, or the next command, waits for their end.

        A frame reaches the worker before the Traffic Manager has processed it.
        """
        self._send("tick", count=count)
        self._ticks_pending = count

    def settle(self) -> int:
        """Wait until the traffic's process is idle; return the last frame that it ticked."""
        if self._ticks_pending:
            seconds = (self._timeout + _SPARE_SECONDS) * self._ticks_pending
            self._ticks_pending = 0
            self._frame = self._receive(seconds)["frame"]
        return self._frame

    def stop(self) -> None:
        """End the process; its actors go with the server or with `clear`. Twice is fine."""
        self.helper.stop()

    def _ask(self, command: str, seconds: float, **arguments: object) -> Record:
        self.settle()
        self._send(command, **arguments)
        return self._receive(seconds)

    def _send(self, command: str, **arguments: object) -> None:
        with _failures_of_traffic():
            self.helper.tell(command=command, arguments=arguments)

    def _receive(self, seconds: float) -> Record:
        with _failures_of_traffic():
            answer = self.helper.hear(seconds)
        if "error" in answer:
            raise TrafficError(f"The traffic's process failed: {answer['error']}")
        return answer


@contextlib.contextmanager
def _failures_of_traffic() -> Iterator[None]:
    """Raise failures of the traffic's process as failures of the server."""
    try:
        yield
    except HelperSilentError as error:
        raise ServerHangError(str(error)) from error
    except HelperError as error:
        raise TrafficError(f"{error} A Traffic Manager ends with its server.") from error


def main(arguments: Sequence[str]) -> None:
    """Serve one worker until it hangs up."""
    owner = Owner.from_command_line(arguments)
    host, port, tm_port = owner.arguments[0], int(owner.arguments[1]), int(owner.arguments[2])
    timeout, outlives = float(owner.arguments[3]), float(owner.arguments[4])
    owner.end_with_it(outlives)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the worker's to handle

    from rllib_integration.traffic.worker import TrafficActors

    try:
        actors = TrafficActors(host, port, tm_port, timeout)
        with contextlib.suppress(ConnectionError):  # the worker is gone
            owner.tell({})
            for message in owner.messages():
                owner.tell(getattr(actors, message["command"])(**message["arguments"]))
        if outlives:
            # A timer signal: no other thread runs while the client waits for a server and holds the GIL.
            signal.setitimer(signal.ITIMER_REAL, outlives)
            actors.clear()
    except (RuntimeError, ValueError) as error:
        owner.tell({"error": str(error)})
    # Skip the client's destructors: with a dead server they never return.
    os._exit(0)
