"""The worker's handle on a supervised program: start it, hear of its end at once, end it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rllib_integration.processes.health import is_stopped
from rllib_integration.processes.supervisor import clean_up, descendants, is_supervisor, signal_all

SUPERVISOR = Path(__file__).with_name("supervisor.py")
_EXIT_SECONDS = 10.0  # how long the supervisor itself may take to leave after the program has


def await_readable(descriptor: int, seconds: float) -> bool:
    """Wait until there is something to read, or no writer is left; returns whether that came in time.

    Not by `select`, which refuses descriptors above 1023: a process with many environments has more.

    Args:
        descriptor: -1 for none, which only waits.
        seconds: how long to wait at most.
    """
    poller = select.poll()
    if descriptor >= 0:
        poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(math.ceil(max(0.0, seconds) * 1000)))


class SupervisedProcess:
    """A program below a supervisor that ends all of it when this process ends, however that happens.

    `fileno` makes the handle usable with `select`: it is readable when the program has ended (and, once,
    when it has been started). Methods may be called from any thread. In a forked child the handle is inert,
    since the program belongs to the parent.

    Args:
        arguments: the program and its arguments; no shell stands between.
        log: open file descriptor that takes its output.
        environment: variables set on top of this process's.
        folder: its working directory; none means this process's.
        cleanup: a command that the supervisor runs after the end, for what is not a child of the program.

    Raises:
        OSError: the supervisor could not be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: int,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        cleanup: Sequence[str] = (),
    ) -> None:
        self._owner = os.getpid()
        self._cleanup = list(cleanup)
        self._lock = threading.Lock()
        self._buffer = b""
        self._status: int | None = None
        self._pid: int | None = None
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        command = [sys.executable, "-I", "-S", str(SUPERVISOR), str(theirs.fileno()), str(self._owner)]
        try:
            self._supervisor = subprocess.Popen(
                [*command, json.dumps(self._cleanup), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                cwd=folder,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int | None:
        """Process id of the program (of the launcher, where there is one), once it has been started."""
        self.status()
        return self._pid

    @property
    def supervisor_pid(self) -> int:
        """Process id of the supervisor; the program and all of its children are below it."""
        return self._supervisor.pid

    def fileno(self) -> int:
        """Descriptor for `select`; -1 after `stop`."""
        return self._control.fileno()

    def status(self) -> int | None:
        """The exit status, minus the signal's number if a signal ended it, None while it runs."""
        with self._lock:
            self._receive()
            return self._status

    def wait(self, seconds: float) -> int | None:
        """Wait at most so long for the end; return what `status` returns."""
        deadline = time.monotonic() + seconds
        while self.status() is None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            if self.fileno() < 0:  # another thread has stopped it, which closed the socket
                break
            await_readable(self.fileno(), remaining)
        return self._status

    def stop(self, grace: float = 0.0) -> None:
        """End the program and everything below it; return when nothing of it is left.

        Args:
            grace: seconds between asking it to end (SIGTERM) and ending it (SIGKILL).
        """
        if self._owner != os.getpid():
            return
        if self.status() is None:
            with contextlib.suppress(OSError):
                self._control.send(b"stop %f\n" % grace)
            if self._supervisors_are_stopped() or self.wait(grace + _EXIT_SECONDS) is None:
                self._kill_all()
        try:
            self._supervisor.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill_all()
            self._supervisor.wait()
        with self._lock:
            self._control.close()

    def _supervisors_are_stopped(self) -> bool:
        """Whether one of the two can't act, as after SIGSTOP."""
        outer = self._supervisor.pid
        return any(map(is_stopped, [outer, *filter(is_supervisor, descendants(outer))]))

    def _kill_all(self) -> None:
        """End supervisors that do not act, the program and everything below them by SIGKILL; clean up in their place.

        All are listed before the first ends: the children of a process that has ended are no longer below it.
        """
        outer = self._supervisor.pid
        signal_all([*descendants(outer), outer], signal.SIGKILL)
        clean_up(self._cleanup)

    def _receive(self) -> None:
        """Read what the supervisor has sent. Its silent end means that it was killed, and the program with it."""
        while self._status is None and self._control.fileno() >= 0:
            try:
                received = self._control.recv(4096)
            except BlockingIOError:
                return
            except OSError:  # the supervisor is gone and so is the rest
                received = b""
            if not received:
                self._status = -9
                return
            *lines, self._buffer = (self._buffer + received).split(b"\n")
            for line in lines:
                message = json.loads(line)
                self._pid = message.get("pid", self._pid)
                self._status = message.get("status", self._status)
