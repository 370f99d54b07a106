"""What every kind of CARLA server offers."""

from __future__ import annotations

import abc
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil

from rllib_integration.config.server import ServerSettings
from rllib_integration.processes.health import Health
from rllib_integration.servers.probe import ask_version

LOOPBACK = "127.0.0.1"
GRACE_SECONDS = 0.5
"""Seconds that a server may take to end by itself."""

_QUESTION_SECONDS = 2.0
_START_SECONDS = 120.0
_LOG_TAIL_BYTES = 32768
_LOG_LINE_LENGTH = 500


class CarlaServer(abc.ABC):
    """One CARLA server, of any kind.

    Attributes:
        kind: the word that selects it under `env_config.carla.server.kind`.
        host: where its RPC port is reached.
        port: its RPC port; 0 before `start` for kinds that choose one.
        log_path: file with its output, None if there is none.
        version: what it answered when asked for its version, None before `start`.
        single_core: whether it does its work on one thread, so that one core is enough for it.
        light: whether one more of it costs a machine little.
        started_here: whether `start` starts it; else it waits for one that is started elsewhere.
        queues_ticks: whether it takes further ticks before it has answered the first, also several as one batch,
            makes each of them, and tells with a frame how many events each sensor has sent.
    """

    kind: str
    host: str = LOOPBACK
    port: int = 0
    log_path: Path | None = None
    version: str | None = None
    single_core = False
    light = False
    started_here = True
    queues_ticks = False

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings

    def check(self) -> None:  # noqa: B027  most need nothing
        """Look for what `start` needs on this machine, without starting anything.

        Raises:
            ServerSettingsError: it is not there.
        """

    @abc.abstractmethod
    def start(self) -> None:
        """Make the server ready: on return a client has asked its version and got it.

        Raises:
            ServerStartError: it ended or did not answer in time; the message holds its exit status, the
                last lines of its log and the log's path.
        """

    @abc.abstractmethod
    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """End the server if it was started here, and return when it is gone. Calling it again does nothing.

        Args:
            grace: seconds that it may take to end by itself.
        """

    def prepare_town(self, town: str) -> None:  # noqa: B027  most have nothing to prepare
        """Do what the server would do unseen, and take long over, before a town can be loaded the first time.

        Args:
            town: as the server names it.
        """

    def note_actors(self, world: int, actors: Sequence[int]) -> None:  # noqa: B027  most end with their actors
        """Hear which actors are the environment's, should its process be killed.

        Args:
            world: `carla.World.id` of the world that they are in.
            actors: their ids.
        """

    def start_seconds(self) -> float:
        """Seconds from the start to the first answer."""
        return self.settings.start_timeout or _START_SECONDS

    def closed_seconds(self) -> float:
        """Seconds that nothing may listen at its port."""
        return self.start_seconds()

    @property
    def pid(self) -> int | None:
        """Process id of the server (of its launcher, where there is one); None when it does not run here."""
        return None

    def exit_status(self) -> int | None:
        """Exit status of a server that has ended, minus the signal that ended it; None while it runs."""
        return None

    def wait_for_exit(self, seconds: float) -> int | None:
        """Wait at most so long for the server's end; return what `exit_status` returns."""
        return None

    def answers(self, seconds: float = _QUESTION_SECONDS) -> bool:
        """Whether a new client gets the server's version in time, as it does while the server loads a town."""
        return self.exit_status() is None and ask_version(self.host, self.port, seconds) is not None

    def exit_event(self) -> int:
        """Descriptor that is readable when `exit_status` should be looked at; -1 if there is none."""
        return -1

    def processes(self) -> list[psutil.Process]:
        """The server's processes, launchers included; none where they can't be seen."""
        return []

    def memory(self) -> int:
        """Bytes of memory held by the server's processes; 0 where that can't be seen."""
        return 0

    def health(self) -> Health | None:
        """What the server's processes are doing; None where that can't be seen."""
        return None

    def doing_at_start(self) -> str:
        """What a server that does not answer yet says it is doing, such as "it loads Town05"; empty if it is silent."""
        return ""

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the server's log, without control characters."""
        if self.log_path is None or not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
        return "\n".join(printable(line)[:_LOG_LINE_LENGTH] for line in text.splitlines()[-lines:])

    def describe(self) -> str:
        """A phrase for messages, such as "embedded CARLA server at 127.0.0.1:20103 (log: ...)"."""
        log = f" (log: {self.log_path})" if self.log_path else ""
        return f"{self.kind} CARLA server at {self.host}:{self.port}{log}"

    def exit_report(self) -> str:
        """Sentences that say how the server ended, with the last lines of its log."""
        status = self.exit_status()
        how = "still runs" if status is None else f"ended with {status_phrase(status)}"
        tail = self.log_tail()
        last = f" Last lines of its log:\n{tail}" if tail else " Its log is empty." if self.log_path else ""
        return f"The {self.describe()} {how}.{last}"


def printable(text: str) -> str:
    """The text with every character that could upset a terminal replaced by a question mark."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)


def status_phrase(status: int) -> str:
    """`exit status 1`, or `signal 11 (SIGSEGV)` for a negative status."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"
