"""A server that somebody else runs: never started, never ended, and left with the settings it had."""

from __future__ import annotations

import contextlib

import carla

from rllib_integration.servers.base import CarlaServer
from rllib_integration.servers.readiness import is_listening, wait_until_ready
from rllib_integration.servers.settings import ServerSettings


class ExternalServer(CarlaServer):
    """The server at `host` and `port`. Its end can't be seen, only that it no longer answers."""

    kind = "external"
    started_here = False

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.host = settings.host
        self.port = settings.port
        self._found: carla.WorldSettings | None = None

    def start(self) -> None:
        self.version = wait_until_ready(self)
        self._found = self._client().get_world().get_settings()

    def stop(self, grace: float = 0.0) -> None:
        """Give the server back the world settings that `start` found, if it still answers."""
        found, self._found = self._found, None
        if found is None or not is_listening(self.host, self.port, 1.0):
            return
        with contextlib.suppress(RuntimeError):  # it stopped answering: there is nobody to give them back to
            self._client().get_world().apply_settings(found)

    def _client(self) -> carla.Client:
        client = carla.Client(self.host, self.port, 1)
        client.set_timeout(self.settings.timeout)
        return client
