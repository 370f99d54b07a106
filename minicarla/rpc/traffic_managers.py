"""The registry by which clients find each other's Traffic Managers."""

from __future__ import annotations

from typing import NamedTuple

from minicarla.rpc.session import Client
from minicarla.rpc.traffic_cycles import TrafficCycles


class _Entry(NamedTuple):
    host: str
    owner: Client


class TrafficManagers:
    """Traffic Managers by port. They run in client processes; the server only knows where.

    Attributes:
        owners: All clients that run any.
    """

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self.owners: list[Client] = []

    def ask(self, port: int, asker: Client) -> bool:
        """Whether one is registered at a port; if none is, the asker starts one there next."""
        if port not in self._entries:
            asker.wanted_port = port
        return port in self._entries

    def find(self, port: int) -> tuple[str, int]:
        """Host and port of a registered one, ("", 0) if there is none."""
        entry = self._entries.get(port)
        return ("", 0) if entry is None else (entry.host, port)

    def add(self, port: int, owner: Client) -> bool:
        """Register one of a client; False if the port is taken.

        The client names an address of its network card, at which it does not always listen; the one that it calls from
        reaches it.
        """
        if port in self._entries:
            return False
        self._entries[port] = _Entry(owner.host, owner)
        if owner.traffic is None:
            owner.traffic = TrafficCycles()
            self.owners.append(owner)
        owner.traffic.add(owner.host, port)
        return True

    def remove(self, port: int) -> None:
        """Forget one."""
        entry = self._entries.pop(port, None)
        if entry is None or entry.owner.traffic is None:
            return
        entry.owner.traffic.addresses.pop(port, None)
        if not entry.owner.traffic.addresses:
            entry.owner.traffic = None
            self.owners.remove(entry.owner)

    def remove_all_of(self, owner: Client) -> None:
        """Forget those of a client that is gone; by now another one may have a port that it had."""
        for port in [port for port, entry in self._entries.items() if entry.owner is owner]:
            self.remove(port)
