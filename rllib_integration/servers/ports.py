"""Port leases: each server of a machine gets ports that no other worker is about to take.

Checking that a port is free and then using it is a race, and one that many workers starting together lose. A
lease closes it: every port is one byte of a lock file, and holding the port means holding the POSIX record
lock on that byte. The kernel drops such a lock with its process, however that ends, and a forked or spawned
child never inherits it, so that a server outliving its worker by a moment keeps no lease.

Ports are drawn from the operating system's entropy: workers that seeded their generators equally still draw
different ports.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from rllib_integration.servers.errors import PortLeaseError

SERVER_PORTS = 3  # CARLA listens on three in a row: RPC, streaming, secondary servers
# Ray gives its own workers 10002-19999, and the kernel hands out the ephemeral range to outgoing connections.
LOWEST_PORT = 20000
HIGHEST_PORT = 65535
_ATTEMPTS = 500
_RETIRED_LEASES = 16


@dataclass
class PortLease:
    """Consecutive TCP ports reserved for this process until `release`, or until the process ends.

    Attributes:
        first: the lowest port; for a server, its RPC port.
        count: how many ports follow, `first` included.
    """

    first: int
    count: int
    _held: bool = field(default=True, repr=False)

    @property
    def ports(self) -> range:
        """All ports of the lease."""
        return range(self.first, self.first + self.count)

    def release(self) -> None:
        """Give the ports back. Calling it again does nothing."""
        if self._held:
            self._held = False
            _LOCKS.unlock(self.first, self.count)

    def retire(self) -> None:
        """Give the ports back later, after this process has retired some more leases.

        A client whose server is gone tries its streams' old ports again until it is garbage. Another server there
        would feed it the frames of a world that it doesn't know, which ends its process.
        """
        if self._held:
            _RETIRED.append(self)
            if len(_RETIRED) > _RETIRED_LEASES:
                _RETIRED.popleft().release()


class ByteLocks:
    """Exclusive locks on the bytes of one file, owned by the calling process.

    POSIX record locks never conflict within a process, so what this process holds is also kept in a set; a
    forked child starts with an empty one, as it starts without the locks.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def try_lock(self, first: int, count: int = 1) -> bool:
        """Lock bytes `first` to `first + count - 1`; return whether all of them were free."""
        with self._guard:
            self._open()
            wanted = set(range(first, first + count))
            if wanted & self._held:
                return False
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
            except (BlockingIOError, PermissionError):  # fcntl may report a held lock as either
                return False
            self._held |= wanted
            return True

    def unlock(self, first: int, count: int = 1) -> None:
        """Free bytes that this process locked; bytes inherited from a parent are the parent's."""
        with self._guard:
            owned = set(range(first, first + count)) & self._held
            if owned:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, count, first)
                self._held -= owned

    def _forget(self) -> None:
        self._guard = threading.Lock()
        self._descriptor = -1
        self._held: set[int] = set()

    def _open(self) -> None:
        # Closing any descriptor of the file drops all of the process's locks, so it is opened once and kept.
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(lock_folder() / self._name, flags, 0o600)


def lock_folder() -> Path:
    """Folder of this user's lock files: local to the machine, the same for all of the user's processes.

    Not the home folder, which several machines may share, and not `$TMPDIR`, which batch systems set per job.
    """
    base = Path("/tmp") if os.access("/tmp", os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    folder = base / f"rllib_integration-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PortLeaseError(
            f"The folder {folder} holds this user's port leases but belongs to user id {folder.lstat().st_uid}. "
            "Remove it, or have its owner remove it."
        )
    return folder


_LOCKS = ByteLocks("ports.lock")
_RETIRED: deque[PortLease] = deque()
_ENTROPY = random.SystemRandom()


def lease_port_block() -> PortLease:
    """Lease a server's three consecutive ports: RPC, streaming and secondary.

    Raises:
        PortLeaseError: no free block was found.
    """
    return _lease(SERVER_PORTS)


def lease_traffic_manager_port() -> PortLease:
    """Lease one port for a Traffic Manager, which listens in the client's process.

    Raises:
        PortLeaseError: no free port was found.
    """
    return _lease(1)


def is_port_free(port: int) -> bool:
    """Whether a server could listen on `port` on loopback; one that has just ended may bar it for a minute."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _lease(count: int) -> PortLease:
    candidates = _candidate_range(count)
    for _ in range(_ATTEMPTS):
        first = _ENTROPY.choice(candidates)
        if not _LOCKS.try_lock(first, count):
            continue
        lease = PortLease(first, count)
        if all(is_port_free(port) for port in lease.ports):
            return lease
        lease.release()
    raise PortLeaseError(
        f"No {count} consecutive free ports were found between {candidates.start} and {candidates.stop + count} "
        f"in {_ATTEMPTS} attempts; end programs that listen there, or run fewer workers on this machine."
    )


def _candidate_range(count: int) -> range:
    """First ports to draw from: below the ephemeral range if there is room, else everything above ours."""
    try:
        ephemeral_start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral_start = HIGHEST_PORT
    end = min(ephemeral_start, HIGHEST_PORT)
    if end - LOWEST_PORT < 2000:
        end = HIGHEST_PORT
    return range(LOWEST_PORT, end - count)
