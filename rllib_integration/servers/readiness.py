"""Waiting until a server answers: a client asked its version and got it."""

from __future__ import annotations

import logging
import re
import select
import socket
import time
from typing import TYPE_CHECKING

import carla
import msgpack

from rllib_integration.servers.errors import ServerStartError, ServerVersionError

if TYPE_CHECKING:
    from rllib_integration.servers.base import CarlaServer

logger = logging.getLogger(__name__)

_FIRST_WAIT = 0.005
_LONGEST_WAIT = 0.25
_QUESTION_SECONDS = 2.0
_SILENT_SECONDS = 10.0  # after which whoever waits is told what for
_QUESTION = msgpack.packb([0, 0, "version", [[False]]])  # request, its number, function, what the client sends with all


def wait_until_ready(server: CarlaServer) -> str:
    """Wait until `server` answers a client; return its version.

    Between attempts it waits on the server's end, so that a crash is noticed at once; the waits grow from
    5 ms to 250 ms. A client is only made once something answers as a CARLA server does: a `carla.Client` does not
    retry, and an answer in another protocol ends its process.

    Raises:
        ServerStartError: the server ended, `settings.start_timeout` seconds have passed, or what listens there is
            another kind of server.
        ServerVersionError: its version is not the client's.
    """
    begin = time.monotonic()
    seconds = server.settings.start_timeout
    wait, told = _FIRST_WAIT, False
    while True:
        if server.exit_status() is not None:
            raise ServerStartError(server.obituary())
        version, reason = _try_to_ask(server, min(seconds, _QUESTION_SECONDS))
        if version is not None:
            check_version(server, version)
            return version
        waited = time.monotonic() - begin
        if waited >= seconds:
            raise ServerStartError(
                f"The {server.describe()} gave a client no answer within {seconds:g} s ({reason}). {_advice(server)}"
            )
        if waited > _SILENT_SECONDS and not told:
            logger.warning("Still waiting for the %s: %s.", server.describe(), reason)
            told = True
        event = server.exit_event()
        select.select([event] if event >= 0 else [], [], [], min(wait, seconds - waited))
        wait = min(2 * wait, _LONGEST_WAIT)


def _try_to_ask(server: CarlaServer, seconds: float) -> tuple[str | None, str]:
    """The version, or None with the reason why there is none yet."""
    try:
        answers = speaks_rpc(server.host, server.port, seconds)
    except ValueError as error:
        raise ServerStartError(f"What listens at {server.host}:{server.port} is no CARLA server: {error}") from None
    except OSError as error:
        return None, str(error)
    version = ask_version(server.host, server.port, seconds) if answers else None
    return version, "something listens there, but does not answer"


def is_listening(host: str, port: int, seconds: float) -> bool:
    """Whether a TCP connection to the port is accepted."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False


def speaks_rpc(host: str, port: int, seconds: float) -> bool:
    """Whether what listens there answers a question as a CARLA server does; False if it stays silent.

    Raises:
        OSError: nothing listens there.
        ValueError: the answer is of another protocol.
    """
    unpacker = msgpack.Unpacker(raw=True)
    received = b""
    answer: object = None
    with socket.create_connection((host, port), timeout=seconds) as connection:
        try:
            connection.sendall(_QUESTION)
            while answer is None and (part := connection.recv(4096)):
                received += part
                unpacker.feed(part)
                answer = next(unpacker, None)
        except (TimeoutError, ConnectionError):
            if not received:
                return False
        except (msgpack.UnpackException, ValueError):
            answer = None
    if received and not (isinstance(answer, list) and len(answer) == 4 and answer[0] == 1):
        raise ValueError(f"asked for its version, it answered {received[:60]!r}.")
    return bool(received)


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
