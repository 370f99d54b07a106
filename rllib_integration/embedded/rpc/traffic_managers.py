"""The registry by which clients find each other's Traffic Managers."""

from __future__ import annotations


class TrafficManagers:
    """Traffic Managers by port. They run in client processes; the server only knows where."""

    def __init__(self) -> None:
        self._hosts: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def is_running(self, port: int) -> bool:
        """Whether one is registered at a port."""
        return port in self._hosts

    def find(self, port: int) -> tuple[str, int]:
        """Host and port of a registered one, ("", 0) if there is none."""
        host = self._hosts.get(port)
        return ("", 0) if host is None else (host, port)

    def add(self, host: str, port: int) -> bool:
        """Register one; False if the port is taken."""
        if port in self._hosts:
            return False
        self._hosts[port] = host
        return True

    def remove(self, port: int) -> None:
        """Forget one."""
        self._hosts.pop(port, None)
