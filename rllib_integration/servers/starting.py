"""Waiting until a server answers: a client asked its version and got it."""

from __future__ import annotations

import re
import sys
import time

from rllib_integration.processes.health import Health
from rllib_integration.processes.supervised import await_readable
from rllib_integration.servers.carla_server import CarlaServer
from rllib_integration.servers.errors import ServerStartError, ServerVersionError
from rllib_integration.servers.probe import ask_version, client_version, release, speaks_rpc

_FIRST_WAIT = 0.005
_LONGEST_WAIT = 0.25
_QUESTION_SECONDS = 2.0
_TOLD_AFTER = 5.0  # [s] after which the user is told what the server does
_TOLD_AGAIN = 10.0  # [s] between two lines of the same
_NUMBER = re.compile(r"[0-9.]+")
_SILENT_SECONDS = 20.0  # after which a line tells that the server says nothing; CARLA itself is silent for long
_LONGEST_STARTS = 5  # times start_timeout, for a server that is seen to work
_NOTHING_LISTENS = "nothing listens there yet"
_AWAITS_ANOTHER = "it waits for another server"
_LOOK_SECONDS = 20.0  # between two looks whether it is


def wait_until_ready(server: CarlaServer) -> str:
    """Wait until `server` answers a client; return its version.

    Between attempts it waits on the server's end, so that a crash is noticed at once; the waits grow from
    5 ms to 250 ms. A client is only made once something answers as a CARLA server does: a `carla.Client` does not
    retry, and an answer in another protocol ends its process.

    A server that says what it is doing, and does it, gets up to five times `start_seconds`. On a machine with much
    to do, the first start compiles for minutes.

    Raises:
        ServerStartError: the server ended, its `start_seconds` have passed, or what listens there is
            another kind of server.
        ServerVersionError: its version is not the client's.
    """
    patience = _Patience(server)
    wait = _FIRST_WAIT
    while True:
        if server.exit_status() is not None:
            raise ServerStartError(server.exit_report())
        version, reason = _try_to_ask(server, min(patience.seconds, _QUESTION_SECONDS))
        if version is not None:
            check_version(server, version)
            return version
        remaining = patience.remaining(reason)
        await_readable(server.exit_event(), min(wait, remaining))
        wait = min(2 * wait, _LONGEST_WAIT)


class _Patience:
    """How long a server is still waited for, and what the user is told meanwhile."""

    def __init__(self, server: CarlaServer) -> None:
        self.seconds = server.start_seconds()
        self._server = server
        self._begin = time.monotonic()
        self._limit = self._begin + self.seconds
        self._closed_seconds = server.closed_seconds()
        self._health: Health | None = None
        self._look_at = self._begin + server.settings.hang_after
        self._was_stopped = False
        self._told = ""
        self._tell_again_at = self._begin

    def remaining(self, reason: str) -> float:
        """Seconds until the server is given up.

        Args:
            reason: why it is not ready, if it does not say itself what it is doing.

        Raises:
            ServerStartError: they have passed, or a process of the server has been stopped.
        """
        now, server = time.monotonic(), self._server
        doing = server.doing_at_start()
        if now >= self._look_at:
            self._look_at = now + server.settings.hang_after
            self._refuse_if_stopped()
        is_closed = not doing and reason.startswith(_NOTHING_LISTENS)
        limit = min(self._limit, self._begin + self._closed_seconds) if is_closed else self._limit
        if now >= limit:
            if not (doing and now < self._begin + _LONGEST_STARTS * self.seconds and self._is_active(doing)):
                raise ServerStartError(
                    f"The {server.describe()} gave a client no answer within {now - self._begin:.1f} s "
                    f"({doing or reason}). {_advice(server)}"
                )
            self._limit = limit = now + min(self.seconds, _LOOK_SECONDS)
        self._tell(now, doing or (self._told or reason), self._silence(bool(doing), is_closed))
        return limit - now

    def _tell(self, now: float, news: str, silence: float) -> None:
        """Print what the server does: at once where it does something else, and every few seconds."""
        is_other = _NUMBER.sub("", news) != _NUMBER.sub("", self._told)
        if now - self._begin <= silence or not (is_other or now >= self._tell_again_at):
            return
        server = self._server
        which, since = server.describe(), ""
        if self._told:
            which = f"{server.kind} CARLA server at {server.host}:{server.port}"
            since = f", after {now - self._begin:.0f} s"
        self._told, self._tell_again_at = news, now + _TOLD_AGAIN
        print(f"The {which} is not ready yet: {news}{since}.", file=sys.stderr, flush=True)

    def _silence(self, has_said: bool, is_closed: bool) -> float:
        """Seconds before the user is told: few where the end is near."""
        if is_closed:
            return min(_SILENT_SECONDS, self._closed_seconds / 4)
        return _TOLD_AFTER if has_said else _SILENT_SECONDS

    def _refuse_if_stopped(self) -> None:
        health, server = self._server.health(), self._server
        was_stopped, self._was_stopped = self._was_stopped, health is not None and health.stopped
        if was_stopped and self._was_stopped:
            raise ServerStartError(
                f"The {server.describe()} will never be ready: a process of it was stopped (SIGSTOP, or a debugger)."
            )

    def _is_active(self, doing: str) -> bool:
        """Whether the server has worked since the last look, or waits for one that does its work."""
        before, self._health = self._health, self._server.health()
        if doing.startswith(_AWAITS_ANOTHER):  # whose end, too, would end the waiting
            return True
        return self._health is not None and (before is None or self._health.work_since(before))


def _try_to_ask(server: CarlaServer, seconds: float) -> tuple[str | None, str]:
    """The version, or None with the reason why there is none yet."""
    try:
        answers = speaks_rpc(server.host, server.port, seconds)
    except ValueError as error:
        raise ServerStartError(f"What listens at {server.host}:{server.port} is no CARLA server: {error}") from None
    except OSError as error:
        return None, f"{_NOTHING_LISTENS} ({error.strerror or error})"
    version = ask_version(server.host, server.port, seconds) if answers else None
    return version, "a client that asks for its version gets no answer"


def check_version(server: CarlaServer, version: str) -> None:
    """Refuse a server whose release number is not the client's; builds of one release may differ.

    Raises:
        ServerVersionError: they differ and `settings.ignore_version` is not set.
    """
    ours = client_version()
    if server.settings.ignore_version or release(ours) == release(version):
        return
    raise ServerVersionError(
        f"The {server.describe()} is CARLA {version}, but the installed client is carla {ours}, and their "
        f"protocols differ so much that a world's first message can end this process. Use CARLA {release(ours)}, or "
        f"install carla=={release(version)}, or set env_config.carla.server.ignore_version to true to try anyway."
    )


def _advice(server: CarlaServer) -> str:
    tail = server.log_tail()
    if server.log_path is None:
        return (
            "Check that it runs there and that env_config.carla.server names its host and RPC port; if it only needs "
            "longer, raise env_config.carla.server.start_timeout."
        )
    last = f"Last lines of its log:\n{tail}" if tail else "Its log is empty."
    return f"Raise env_config.carla.server.start_timeout if it only needs longer. {last}"
