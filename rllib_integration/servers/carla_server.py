"""What every kind of CARLA server offers, and what the kinds that are started here share."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import psutil

from rllib_integration.processes.health import Health, health_of
from rllib_integration.processes.supervised import SupervisedProcess
from rllib_integration.servers.errors import ServerSettingsError, ServerStartError
from rllib_integration.servers.placement import Slot, choose_gpu
from rllib_integration.servers.ports import PortLease, lease_port_block
from rllib_integration.servers.settings import ServerSettings
from rllib_integration.servers.starting import ask_version, is_listening, wait_until_ready

LOOPBACK = "127.0.0.1"
_GRACE_SECONDS = 0.5
_PORT_ATTEMPTS = 5
_QUESTION_SECONDS = 2.0
_LOG_DAYS = 7
_LOG_TAIL_BYTES = 32768
_LOG_LINE_LENGTH = 500

started_servers: weakref.WeakSet[StartedServer] = weakref.WeakSet()


class CarlaServer(abc.ABC):
    """One CARLA server, whoever runs it.

    Attributes:
        kind: the word that selects it under `env_config.carla.server.kind`.
        host: where its RPC port is reached.
        port: its RPC port; 0 before `start` for kinds that choose one.
        log_path: file with its output, None if there is none.
        version: what it answered when asked for its version, None before `start`.
        single_core: whether it does its work on one thread, so that one core is enough for it.
        light: whether one more of it costs a machine little.
        started_here: whether `start` starts it; else it waits for one that somebody else starts.
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

    @abc.abstractmethod
    def start(self) -> None:
        """Make the server ready: on return a client has asked its version and got it.

        Raises:
            ServerStartError: it ended or did not answer in time; the message holds its exit status, the
                last lines of its log and the log's path.
        """

    @abc.abstractmethod
    def stop(self, grace: float = _GRACE_SECONDS) -> None:
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


@dataclass(frozen=True)
class Command:
    """How a server is started.

    Attributes:
        arguments: program and arguments.
        environment: variables on top of the worker's.
        folder: working directory, None for the worker's.
        cleanup: command that ends what is not a child of the program, run after it has ended.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    cleanup: Sequence[str] = ()


class StartedServer(CarlaServer):
    """A server that runs as a program of this machine. A kind only says which: `command`.

    Attributes:
        renders: whether this kind uses a GPU.
        gpu: the one chosen for the running server, None to leave it to CARLA.
    """

    renders = True
    gpu: Slot | None = None
    _process: SupervisedProcess | None = None
    _lease: PortLease | None = None
    _last_status: int | None = None
    _stopped = False

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self._transition = threading.RLock()

    @abc.abstractmethod
    def command(self, ports: PortLease) -> Command:
        """The command that starts this server on the leased ports.

        Raises:
            ServerSettingsError: what the settings name does not exist.
        """

    def start(self) -> None:
        if self._process is not None:
            raise ServerStartError(f"The {self.describe()} has been started already; stop it first.")
        self._stopped = False
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            ports = lease_port_block()
            try:
                self._launch(ports)
                self.version = wait_until_ready(self)
                return
            except BaseException as error:
                # Nothing of ours listens any more, so who does took the port after the lease.
                self._release()
                taken = any(is_listening(LOOPBACK, port, 1.0) for port in ports.ports)
                clash = isinstance(error, ServerStartError) and taken and attempt < _PORT_ATTEMPTS
                if self._stopped or not clash:
                    raise

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        self._stopped = True
        self._release(grace)

    def exit_status(self) -> int | None:
        process = self._process  # another thread may be stopping it
        return process.status() if process is not None else self._last_status

    def wait_for_exit(self, seconds: float) -> int | None:
        process = self._process
        return process.wait(seconds) if process is not None else self._last_status

    def exit_event(self) -> int:
        process = self._process
        return process.fileno() if process is not None else -1

    def memory(self) -> int:
        return sum(memory_of(process) for process in self._processes())

    def health(self) -> Health | None:
        return health_of(self._processes())

    def _processes(self) -> list[psutil.Process]:
        """The server's processes, launchers included, the two supervisors left out."""
        process = self._process
        if process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            twins = psutil.Process(process.supervisor_pid).children()
            return [below for twin in twins for below in twin.children(recursive=True)]
        return []

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def supervisor_pid(self) -> int | None:
        """Process id below which everything of this server runs; None when it does not run."""
        return self._process.supervisor_pid if self._process is not None else None

    def _launch(self, ports: PortLease) -> None:
        with self._transition:
            self._lease = ports
            self.port = ports.first
            self._last_status = None
            if self._stopped:
                raise ServerStartError(f"The {self.kind} CARLA server was stopped while it was being started.")
            self.gpu = choose_gpu(self.settings.gpu) if self.renders else None
            command = self.command(ports)
            self.log_path = new_log_path(self.settings.log_folder, self.kind, self.port)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            log = os.open(self.log_path, flags, 0o600)
            try:
                self._process = SupervisedProcess(
                    command.arguments, log, command.environment, command.folder, command.cleanup
                )
            except OSError as error:
                raise ServerStartError(f"{command.arguments[0]} could not be started: {error}.") from error
            finally:
                os.close(log)
            started_servers.add(self)

    def _release(self, grace: float = 0.0) -> None:
        """End the process and give back what it had; another thread may do so while `start` waits."""
        with self._transition:
            if self._process is not None:
                self._process.stop(grace)
                self._last_status = self._process.status()
                self._process = None
            if self._lease is not None:
                self._lease.retire()
            if self.gpu is not None:
                self.gpu.release()
            self._lease = self.gpu = None
            started_servers.discard(self)


def memory_of(process: psutil.Process) -> int:
    """Resident bytes of a process; 0 if it has ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def new_log_path(folder: Path | None, kind: str, port: int) -> Path:
    """Path of a new log file; logs older than a week are removed on the way."""
    folder = folder or platformdirs.user_cache_path("rllib_integration") / "servers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServerSettingsError(
            f"The folder {folder} for the servers' logs can't be made: {error.strerror}. Set "
            "env_config.carla.server.log_folder to one that can be written to."
        ) from error
    oldest = time.time() - _LOG_DAYS * 86400
    for path in folder.glob("carla-*.log"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return folder / f"carla-{kind}-{port}-{stamp}-{os.getpid()}.log"
