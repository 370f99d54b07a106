"""The servers of one environment over its life: the present one, and the next when that fails or leaks."""

from __future__ import annotations

import ctypes
import logging
import statistics
import threading
import time
from collections.abc import Callable

import psutil

from rllib_integration.servers.bounded_calls import BoundedCalls
from rllib_integration.servers.carla_server import CarlaServer
from rllib_integration.servers.errors import (
    ServerDiedError,
    ServerError,
    ServerGaveUpError,
    ServerHangError,
    ServerSettingsError,
    ServerVersionError,
)
from rllib_integration.servers.placement import Slot, lease_core

logger = logging.getLogger(__name__)

_PROVEN_SECONDS = 60.0  # a server that worked so long ends a row of failures, though it fails in turn
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_JOIN_SECONDS = 30.0
_GIGABYTE = 1e9
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
_MEMORY_FOR_SPARES = 80.0  # [%] in use above which no spare is started unasked: servers may be dying of it


class ServerPool:
    """Has a running server ready whenever the environment asks, within a bounded number of failures.

    Typical use: `acquire` before an episode; `episode_began` when it has begun, the time to make a spare server ready;
    `failed` when a call through `calls` raised a `ServerError`, which ends that server and, without a spare, makes
    another ready in the background; `episode_ended` at an episode's end, where the restart policy may replace a
    server that has grown; `close` at last.

    Attributes:
        server: the present server, None while there is none.
        calls: makes calls to it; a new one for each server.

    Args:
        create: makes a server that has not been started.
    """

    def __init__(self, create: Callable[[], CarlaServer]) -> None:
        self.server: CarlaServer | None = None
        self.calls: BoundedCalls | None = None
        self._create = create
        self._settings = create().settings
        self._core: Slot | None = None
        self._next: _Preparation | None = None
        self._closed = threading.Event()
        self._failures = 0
        self._last_failure = ""  # not the error: its traceback would keep the lost server's client alive
        self._ready_since = 0.0
        self._episodes = 0
        self._failed_at: float | None = None
        self._holds_free_memory = False
        self._counts = {"started": 0, "died": 0, "hung": 0, "other_failures": 0, "planned_restarts": 0}
        self._recovery_seconds: list[float] = []

    def acquire(self) -> CarlaServer:
        """The present server if it runs, else another one, started now or in the background before.

        Raises:
            ServerGaveUpError: `max_failures` servers in a row failed.
            ServerSettingsError, ServerVersionError: another attempt would end alike.
        """
        if self.server is not None:
            if self.server.exit_status() is None:
                return self.server
            self.failed(ServerDiedError(self.server.exit_report()))
        failed_starts = 0
        while True:
            self._give_up_if_hopeless()
            preparation = self._next or _Preparation(self._create())
            self._next = None
            try:
                server = preparation.result()
            except (ServerSettingsError, ServerVersionError):
                raise
            except ServerError as error:
                self._note_failure(error, "other_failures")
                if not preparation.server.started_here:  # it has been waited for; who is to start it is not here
                    raise ServerGaveUpError(str(error)) from error
                allowed = self._settings.max_failures
                logger.warning("Failure %d in a row, of at most %d: %s", self._failures, allowed, str(error))
                if not isinstance(error, ServerDiedError):  # as a spare server does, after a start that went well
                    failed_starts += 1
                    self._pause(failed_starts)
                continue
            return self._adopt(server)

    def failed(self, error: ServerError) -> None:
        """Note that the present server is lost, end what is left of it, and prepare the next.

        Args:
            error: what showed it.
        """
        kind = {ServerDiedError: "died", ServerHangError: "hung"}.get(type(error), "other_failures")
        if time.monotonic() - self._ready_since > _PROVEN_SECONDS:
            self._failures = 0
        self._note_failure(error, kind)
        logger.warning("%s A new server takes its place.", str(error))
        self._dismiss(grace=0.0)
        if self._holds_free_memory:
            trim_memory()
        self._holds_free_memory = True  # as soon as the lost client has been let go of
        if self._failures < self._settings.max_failures:
            self._prepare()

    def episode_began(self) -> None:
        """Note that the environment is at work and waits for nothing: a spare server, if wanted, is started now."""
        if self._wants_spare():
            self._prepare()

    def episode_ended(self) -> bool:
        """Note a whole episode; replace the server if the restart policy says so.

        Returns:
            Whether the server was replaced: then `acquire` hands out another one.
        """
        self._failures = 0
        self._episodes += 1
        if self._holds_free_memory:
            trim_memory()
            self._holds_free_memory = False
        if self.server is None or not self._due(self.server):
            return False
        self._counts["planned_restarts"] += 1
        logger.info("The %s is replaced after %d episodes, as configured.", self.server.describe(), self._episodes)
        self._dismiss()
        self._prepare()
        return True

    def metrics(self) -> dict[str, float]:
        """Counts since the beginning, and seconds from noticing a loss to having the next server ready."""
        times = self._recovery_seconds or [0.0]
        seconds = {"recovery_seconds_median": statistics.median(times), "recovery_seconds_worst": max(times)}
        return {f"servers_{name}": float(count) for name, count in self._counts.items()} | seconds

    def close(self) -> None:
        """End the present server and the one in preparation. Calling it again does nothing."""
        self._closed.set()
        self._dismiss()
        if self._next is not None:
            self._next.abandon()
            self._next = None

    def _adopt(self, server: CarlaServer) -> CarlaServer:
        self.server = server
        if server.single_core and self._core is None:
            self._core = lease_core(self._settings.pin_to_core)
        core = self._core.index if self._core is not None else None
        self.calls = BoundedCalls(server, self._settings.timeout, core)
        self._counts["started"] += 1
        self._episodes = 0
        self._ready_since = time.monotonic()
        if self._failed_at is not None:
            self._recovery_seconds.append(self._ready_since - self._failed_at)
            self._failed_at = None
        return server

    def _dismiss(self, grace: float | None = None) -> None:
        server, calls = self.server, self.calls
        self.server = self.calls = None
        if server is not None:
            server.stop() if grace is None else server.stop(grace)
        if calls is not None:
            calls.close()
        if self._closed.is_set() and self._core is not None:
            self._core.release()
            self._core = None

    def _prepare(self) -> None:
        if self._next is not None and self._next.has_died():
            self._counts["other_failures"] += 1
            logger.warning("The spare server is lost. %s", self._next.server.exit_report())
            self._next.abandon()
            self._next = None
        if self._next is None:
            self._next = _Preparation(self._create())

    def _wants_spare(self) -> bool:
        if self._settings.spare != "auto" or self.server is None:
            return self._settings.spare is True
        lost = self._counts["died"] + self._counts["hung"]
        return self.server.light and lost > 0 and psutil.virtual_memory().percent < _MEMORY_FOR_SPARES

    def _due(self, server: CarlaServer) -> bool:
        settings = self._settings
        if 0 < settings.restart_every_episodes <= self._episodes:
            return True
        return 0 < settings.restart_above_gb * _GIGABYTE < server.memory()

    def _note_failure(self, error: ServerError, kind: str) -> None:
        self._counts[kind] += 1
        self._failures += 1
        self._last_failure = str(error)
        if self._failed_at is None:
            self._failed_at = time.monotonic()

    def _give_up_if_hopeless(self) -> None:
        if self._failures >= self._settings.max_failures:
            raise ServerGaveUpError(
                f"{self._failures} CARLA servers in a row failed, which env_config.carla.server.max_failures "
                f"allows no further. The last one: {self._last_failure}"
            )

    def _pause(self, failed_starts: int) -> None:
        """Wait before the next attempt, longer each time; what failed at once may need a moment to clear."""
        self._closed.wait(min(_FIRST_PAUSE * 2 ** (failed_starts - 1), _LONGEST_PAUSE))


def trim_memory() -> None:
    """Return freed memory to the operating system.

    Every client has threads of its own, and glibc keeps for a thread what it has freed; a worker that loses many
    servers would seem to leak some 5 MB with each. Other C libraries have no such function and no such habit.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)


class _Preparation:
    """A server being started in the background, which then waits for being asked for."""

    def __init__(self, server: CarlaServer) -> None:
        self.server = server
        self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._start, name="carla-server-start", daemon=True)
        self._thread.start()

    def result(self) -> CarlaServer:
        """Wait for the start, which is bounded by `start_timeout`; return the server or raise what became of it."""
        try:
            self._thread.join()
        except BaseException:  # Ctrl-C while waiting: this server will not be asked for again
            self.abandon()
            raise
        if self._error is not None:
            raise self._error
        if self.server.exit_status() is not None:
            self.server.stop(grace=0.0)
            raise ServerDiedError(self.server.exit_report())
        return self.server

    def has_died(self) -> bool:
        """Whether the server came up, and has ended since."""
        return not self._thread.is_alive() and self._error is None and self.server.exit_status() is not None

    def abandon(self) -> None:
        """End the server, started or not."""
        self._abandoned = True
        self.server.stop(grace=0.0)
        self._thread.join(_JOIN_SECONDS)

    def _start(self) -> None:
        try:
            self.server.start()
        except BaseException as error:  # it is raised where the result is asked for
            self._error = error
        if self._abandoned:
            self.server.stop(grace=0.0)
