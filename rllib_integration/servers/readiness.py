"""Waiting until a server answers: a client asked its version and got it."""

from __future__ import annotations

import re
import select
import socket
import time
from typing import TYPE_CHECKING

import carla

from rllib_integration.servers.errors import ServerStartError, ServerVersionError

if TYPE_CHECKING:
    from rllib_integration.servers.base import CarlaServer

_FIRST_WAIT = 0.005
_LONGEST_WAIT = 0.25
_QUESTION_SECONDS = 2.0


def wait_until_ready(server: CarlaServer) -> str:
    """Wait until `server` answers a client; return its version.

    Between attempts it waits on the server's end, so that a crash is noticed at once; the waits grow from
    5 ms to 250 ms. A client is only made once something listens, since a `carla.Client` does not retry.

    Raises:
        ServerStartError: the server ended, or `settings.start_timeout` seconds have passed.
        ServerVersionError: its version is not the client's.
    """
    seconds = server.settings.start_timeout
    deadline = time.monotonic() + seconds
    wait = _FIRST_WAIT
    while True:
        if server.exit_status() is not None:
            raise ServerStartError(server.obituary())
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise ServerStartError(
                f"The {server.describe()} gave a client no answer within {seconds:g} s. {_advice(server)}"
            )
        if is_listening(server.host, server.port, min(remaining, 1.0)):
            version = ask_version(server.host, server.port, min(remaining, _QUESTION_SECONDS))
            if version is not None:
                check_version(server, version)
                return version
        event = server.exit_event()
        select.select([event] if event >= 0 else [], [], [], min(wait, max(0.0, remaining)))
        wait = min(2 * wait, _LONGEST_WAIT)


def is_listening(host: str, port: int, seconds: float) -> bool:
    """Whether a TCP connection to the port is accepted."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False


def ask_version(host: str, port: int, seconds: float) -> str | None:
    """The server's version, or None if a client got no answer within so many seconds."""
    client = carla.Client(host, port, 1)
    client.set_timeout(seconds)
    try:
        return str(client.get_server_version())
    except RuntimeError:
        return None


def check_version(server: CarlaServer, version: str) -> None:
    """Refuse a server whose release number is not the client's; builds of one release may differ.

    Raises:
        ServerVersionError: they differ and `settings.ignore_version` is not set.
    """
    ours = carla.Client(server.host, server.port, 1).get_client_version()
    if server.settings.ignore_version or _release(ours) == _release(version):
        return
    raise ServerVersionError(
        f"The {server.describe()} is CARLA {version}, but the installed client is carla {ours}, and their "
        f"protocols differ. Use CARLA {_release(ours)}, or install carla=={_release(version)}, or set "
        "env_config.carla.server.ignore_version to true to try anyway."
    )


def _release(version: str) -> str:
    match = re.match(r"\d+(\.\d+)*", version)
    return match.group(0) if match else version


def _advice(server: CarlaServer) -> str:
    tail = server.log_tail()
    if server.log_path is None:
        return "Check that it runs there and that env_config.carla.server names its host and RPC port."
    last = f"Last lines of its log:\n{tail}" if tail else "Its log is empty."
    return f"Raise env_config.carla.server.start_timeout if it only needs longer. {last}"
