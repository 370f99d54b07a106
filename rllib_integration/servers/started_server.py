"""What the kinds of server that are started on this machine share."""

from __future__ import annotations

import abc
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import psutil

from rllib_integration.config.server import ServerSettings
from rllib_integration.processes.health import Health, health_of
from rllib_integration.processes.supervised import SupervisedProcess
from rllib_integration.servers.carla_server import GRACE_SECONDS, LOOPBACK, CarlaServer
from rllib_integration.servers.errors import ServerSettingsError, ServerStartError
from rllib_integration.servers.placement import Slot, choose_gpu
from rllib_integration.servers.ports import PortLease, lease_port_block
from rllib_integration.servers.probe import is_listening
from rllib_integration.servers.starting import wait_until_ready

_PORT_ATTEMPTS = 5
_LOG_DAYS = 7

started_servers: weakref.WeakSet[StartedServer] = weakref.WeakSet()


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

    def stop(self, grace: float = GRACE_SECONDS) -> None:
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
        return sum(memory_of(process) for process in self.processes())

    def health(self) -> Health | None:
        return health_of(self.processes())

    def processes(self) -> list[psutil.Process]:
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
