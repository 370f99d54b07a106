"""Ports for what the tests start themselves, leased as the library leases its own.

A port that was merely free a moment ago may be the source of somebody's outgoing connection by the time a server has
started and wants it.
"""

from __future__ import annotations

from rllib_integration.servers import PortLease, lease_port_block, lease_traffic_manager_port

_leases: list[PortLease] = []
"""Kept until this process ends: a client whose server is gone goes on trying that server's ports."""


def free_port() -> int:
    """A TCP port of loopback that nobody uses and no other test gets."""
    return _keep(lease_traffic_manager_port())


def free_port_pair() -> int:
    """Such a port, whose successor is another one."""
    return _keep(lease_port_block())


def _keep(lease: PortLease) -> int:
    _leases.append(lease)
    return lease.first
