"""A process beside this one that runs a module of this library, and what the module sees of the process that owns it.

    helper = HelperProcess("package.module", ["argument"], called="The traffic's process")    here
    def main(arguments): owner = Owner.from_command_line(arguments)                            in the module

The two share a socket. A helper ends with its owner, whatever ends that: it watches the socket and the owner's process,
on a thread of its own, and ends itself. So it also ends where its other threads wait inside the client library.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rllib_integration.annotations import Record
from rllib_integration.errors import IntegrationError
from rllib_integration.processes.supervised import await_readable
from rllib_integration.processes.supervisor import open_pidfd, wake_at_parents_end

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_OWNER_CHECK_MS = 1000  # only where there is no pidfd_open
_REPORT_SECONDS = 1.0  # that a process whose socket has closed may take to end
_SEND_SECONDS = 10.0  # that a message may wait for room in the socket
# Forked before anything else: Ray ends the children of a worker with it, but not their children.
_DETACH = "import os; os.fork() and os._exit(0); "


class HelperError(IntegrationError, RuntimeError):
    """A helper could not be started, or has ended."""


class HelperSilentError(HelperError):
    """A helper did not answer in time."""


def package_environment() -> dict[str, str]:
    """The variables with which another Python finds the packages beside this file, installed or not."""
    search_path = [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search_path)}


class HelperProcess:
    """Runs a module of this library in a process of its own, which ends with this one.

    In a forked child the handle does nothing, since the process belongs to the parent.

    Args:
        module: Dotted name; its `main(arguments)` is called, and makes an `Owner` of the arguments.
        arguments: What `Owner.arguments` holds there.
        called: What sentences call it.
        log: File that takes its output; None discards it.
        detached: Make it no child of this process, so that it stays when all of these are ended. It then has to
            find the owner's end in `Owner.messages`.
        shows_errors: Let its stderr be this process's.

    Attributes:
        connection: This end of the shared socket.

    Raises:
        HelperError: It could not be started.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        called: str = "A helper process",
        log: Path | None = None,
        detached: bool = False,
        shows_errors: bool = False,
    ) -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(_SEND_SECONDS)
        self._called = called
        self._owner = os.getpid()
        self._buffer = b""
        self._detached = detached
        program = f"{_DETACH if detached else ''}import sys; from {module} import main; main(sys.argv[1:])"
        output = os.open(log or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        lives = open_pidfd(self._owner)
        descriptors = [theirs.fileno(), *([lives] if lives >= 0 else [])]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, str(theirs.fileno()), str(self._owner), str(lives), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=None if shows_errors else output,
                env=package_environment(),
                pass_fds=descriptors,
                start_new_session=detached,
            )
            if detached:
                self._process.wait()
        except OSError as error:
            self.connection.close()
            raise HelperError(f"{called} could not be started: {error}.") from error
        finally:
            theirs.close()
            os.close(output)
            if lives >= 0:
                os.close(lives)

    @property
    def pid(self) -> int:
        """Its process id; of a detached one that of the process that has started it."""
        return self._process.pid

    @property
    def is_ours(self) -> bool:
        """Whether it runs for this process, which has not hung up."""
        return self._owner == os.getpid() and self.connection.fileno() >= 0

    def tell(self, **message: object) -> None:
        """Send a message.

        Raises:
            HelperError: It has ended.
        """
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise HelperError(self.exit_report()) from error

    def hear(self, seconds: float) -> Record:
        """Wait for a message, at most so long.

        Raises:
            HelperSilentError: None came in time.
            HelperError: It has ended.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not await_readable(self.connection.fileno(), deadline - time.monotonic()):
                raise HelperSilentError(f"{self._called} (pid {self.pid}) did not answer within {seconds:g} s.")
            try:
                received = self.connection.recv(65536)
            except OSError:
                received = b""
            if not received:
                raise HelperError(self.exit_report())
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: Record = json.loads(line)
        return message

    def wait(self, seconds: float) -> int | None:
        """Wait for its end, at most so long; the exit status, minus the signal that ended it, or None."""
        try:
            return self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return None

    def exit_report(self) -> str:
        """A sentence about how it has ended."""
        if self._detached:
            return f"{self._called} has ended."
        status = self.wait(_REPORT_SECONDS)
        return f"{self._called} " + ("hung up." if status is None else f"has ended with status {status}.")

    def stop(self, grace: float = 0.0) -> None:
        """Hang up, and end it. Twice is fine.

        Args:
            grace: Seconds that it may take to end by itself once it finds that its owner has hung up.
        """
        if self._owner != os.getpid():
            return
        self.connection.close()
        if self.wait(grace) is None:
            self._process.kill()
            self._process.wait()


@dataclass
class Owner:
    """The process that has started this one as its helper.

    Attributes:
        connection: This end of the shared socket.
        pid: The owner's process id.
        lives: Descriptor that becomes readable when the owner ends; -1 where there is no such thing.
        arguments: The helper's own.
    """

    connection: socket.socket
    pid: int
    lives: int
    arguments: list[str]

    @classmethod
    def from_command_line(cls, arguments: Sequence[str]) -> Owner:
        """The owner that a helper's command line names; `sys.argv` without the program."""
        descriptor, pid, lives, *rest = arguments
        return cls(socket.socket(fileno=int(descriptor)), int(pid), int(lives), rest)

    def end_with_it(self, outlives: float = 0.0) -> None:
        """End this process when the owner hangs up or ends, whatever its other threads wait for.

        Args:
            outlives: Seconds that it may go on, so that its main thread can leave things tidy. The main thread finds
                that the owner has hung up, also where another process still holds the owner's end of the socket.
        """
        wake_at_parents_end()
        threading.Thread(target=self._end, args=(outlives,), daemon=True).start()

    def _end(self, outlives: float) -> None:
        self.wait_for_its_end()
        if not outlives:
            os.kill(os.getpid(), signal.SIGKILL)
        self.connection.shutdown(socket.SHUT_RD)
        signal.setitimer(signal.ITIMER_REAL, outlives)  # the main thread may be stuck

    def wait_for_its_end(self) -> None:
        """Return when the owner has hung up or ended. For a child of the owner."""
        poller = select.poll()
        poller.register(self.connection, select.POLLRDHUP)
        if self.lives >= 0:
            poller.register(self.lives, select.POLLIN)
        while os.getppid() == self.pid and not poller.poll(None if self.lives >= 0 else _OWNER_CHECK_MS):
            pass

    def tell(self, message: Record) -> None:
        """Send a message.

        Raises:
            ConnectionError: The owner is gone.
        """
        self.connection.sendall(json.dumps(message).encode() + b"\n")

    def messages(self) -> Iterator[Record]:
        """What the owner says, until it hangs up or ends."""
        received = b""
        poller = select.poll()
        for descriptor in filter(lambda one: one >= 0, (self.connection.fileno(), self.lives)):
            poller.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            if self.connection.fileno() not in ready:  # it is gone, though a child of it may keep the socket open
                return
            part = self.connection.recv(65536)
            if not part:
                return
            *lines, received = (received + part).split(b"\n")
            for line in lines:
                yield json.loads(line)
