"""Questions to what listens at a port: whether anything does, whether it is a CARLA server, and its version.

Also the version of the client that asks.
"""

from __future__ import annotations

import functools
import re
import socket

import carla
import msgpack

_QUESTION = msgpack.packb([0, 0, "version", [[False]]])  # request, number, function, the client's flag and arguments


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


@functools.cache
def client_version() -> str:
    """Version of the installed client, such as "0.9.16" or "0.9.16-21-gabcdef"."""
    # Its library knows; names of packages and folders do not. Nothing is sent to that port.
    return str(carla.Client("127.0.0.1", 1, 1).get_client_version())


def release(version: str) -> str:
    """The release that a build belongs to: "0.9.16" for "0.9.16-21-gabcdef"."""
    match = re.match(r"\d+(\.\d+)*", version)
    return match.group(0) if match else version
