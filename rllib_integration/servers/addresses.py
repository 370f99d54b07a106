"""Servers that somebody else runs, of which each environment on this machine takes one for itself.

Two environments that tick one server disturb each other. So an address is one byte of a lock file, and an environment
holds the lock on the byte of its server. The kernel drops it with the process.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from rllib_integration.config.server import ServerSettings
from rllib_integration.servers.errors import ServerStartError
from rllib_integration.servers.ports import ByteLocks
from rllib_integration.servers.probe import speaks_rpc

_QUESTION_SECONDS = 1.0
_LOCKS = ByteLocks("servers.lock")


@dataclass(frozen=True)
class Address:
    """Where a server's RPC port is reached."""

    host: str
    port: int

    def release(self) -> None:
        """Leave the server to other environments. Calling it again does nothing."""
        _LOCKS.unlock(self._byte())

    def try_lease(self) -> bool:
        """Take the server for this process's environment; False if one on this machine has it."""
        return _LOCKS.try_lock(self._byte())

    def answers(self) -> bool:
        """Whether a CARLA server answers there now."""
        try:
            return speaks_rpc(self.host, self.port, _QUESTION_SECONDS)
        except (OSError, ValueError):
            return False

    def _byte(self) -> int:
        digest = hashlib.sha256(f"{self.host}:{self.port}".encode()).digest()
        return int.from_bytes(digest[:7], "big")


def find_addresses(named: Sequence[str]) -> list[Address]:
    """The servers behind some names, each once.

    Args:
        named: As "carla-1:2000". A name that stands for several machines, as a scaled service of Docker Compose does,
            is that many servers. One that is not known yet stays as it is.
    """
    found: dict[Address, None] = {}
    for name in named:
        host, _, port = name.rpartition(":")
        try:
            answers = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            found[Address(host, int(port))] = None
            continue
        found.update((Address(str(place[0]), int(port)), None) for *_, place in sorted(answers))
    return list(found)


def lease_address(named: Sequence[str]) -> Address:
    """Take a server that no other environment on this machine has, if possible one that answers now.

    Args:
        named: As for `find_addresses`.

    Raises:
        ServerStartError: Every one of them is taken.
    """
    addresses = find_addresses(named)
    for address in sorted(addresses, key=lambda address: not address.answers()):
        if address.try_lease():
            return address
    raise ServerStartError(
        f"Each of the {len(addresses)} servers of env_config.carla.server.addresses ({', '.join(named)}) has an "
        "environment on this machine already, and an environment needs a server of its own. Name more servers, "
        "train with fewer environments, or close environments that are no longer used."
    )


def count_servers(settings: ServerSettings) -> int | None:
    """How many servers, and so environments, these settings allow on one machine; None where each starts its own."""
    if settings.chosen_kind != "external":
        return None
    return len(find_addresses(settings.addresses)) or 1
