"""The registry by which clients find each other's Traffic Managers."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary


class _Entry(NamedTuple):
    host: str
    owner: object


class TrafficManagers:
    """Traffic Managers by port. They run in client processes; the server only knows where."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._wanted: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._entries)

    def ask(self, port: int, asker: object) -> bool:
        """Whether one is registered at a port; if none is, the asker starts one there next."""
        if port not in self._entries:
            self._wanted[asker] = port
        return port in self._entries

    def wanted_by(self, asker: object) -> int:
        """The port that a client last asked for and found free, 0 if it never did."""
        return self._wanted.get(asker, 0)

    def is_of(self, port: int, owner: object) -> bool:
        """Whether the one at a port was registered by `owner`."""
        entry = self._entries.get(port)
        return entry is not None and entry.owner is owner

    def find(self, port: int) -> tuple[str, int]:
        """Host and port of a registered one, ("", 0) if there is none."""
        entry = self._entries.get(port)
        return ("", 0) if entry is None else (entry.host, port)

    def add(self, host: str, port: int, owner: object) -> bool:
        """Register one of a client, whose connection is `owner`; False if the port is taken."""
        if port in self._entries:
            return False
        self._entries[port] = _Entry(host, owner)
        return True

    def remove(self, port: int) -> None:
        """Forget one."""
        self._entries.pop(port, None)
