"""What can go wrong with a CARLA server, as one family of exceptions.

All but `ServerSettingsError` derive from `ServerError`, so that an environment can treat "the simulator is gone" as one
case, whatever the reason. A message is always a sentence that says what happened and what to do next.
"""

from __future__ import annotations

from rllib_integration.config.server import ServerSettingsError
from rllib_integration.errors import IntegrationError

__all__ = [
    "PortLeaseError",
    "ServerDiedError",
    "ServerError",
    "ServerGaveUpError",
    "ServerHangError",
    "ServerSettingsError",
    "ServerStartError",
    "ServerVersionError",
]


class ServerError(IntegrationError, RuntimeError):
    """A CARLA server can't be used; the base of every error of this package."""


class PortLeaseError(ServerError):
    """No free block of ports could be leased on this machine."""


class ServerStartError(ServerError):
    """A server exited, or did not answer in time, before it was ready."""


class ServerVersionError(ServerStartError):
    """The server speaks another version of CARLA's protocol than the installed client."""


class ServerDiedError(ServerError):
    """A running server's process has ended."""


class ServerHangError(ServerError):
    """A server, or the client library, did not answer within the time allowed."""


class ServerGaveUpError(ServerError):
    """Several servers in a row failed; starting one more would be hope, not repair."""
