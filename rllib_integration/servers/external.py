"""A server that is run elsewhere: never started, never ended here, and left with the settings it had."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import carla

from rllib_integration.config.server import ServerSettings
from rllib_integration.servers.addresses import Address, lease_address
from rllib_integration.servers.carla_server import CarlaServer
from rllib_integration.servers.errors import ServerError
from rllib_integration.servers.external_cleanup import ExternalCleanup
from rllib_integration.servers.starting import wait_until_ready

_QUESTION_SECONDS = 1.0
# By host and port: the settings that each server had before the first of this process's environments came, also when
# it was lost and found again in between, with our settings by then; and who gives them back if this process is killed.
_found: dict[tuple[str, int], tuple[carla.WorldSettings, ExternalCleanup]] = {}


class ExternalServer(CarlaServer):
    """The server at `host` and `port`, or one of `addresses`. Its end can't be seen, only that it no longer answers."""

    kind = "external"
    started_here = False

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self.host = settings.host
        self.port = settings.port
        self._leased: Address | None = None

    def start(self) -> None:
        if self.settings.addresses and self._leased is None:
            self._leased = lease_address(self.settings.addresses)
            self.host, self.port = self._leased.host, self._leased.port
        try:
            self.version = wait_until_ready(self)
        except ServerError:
            self._release()
            raise
        address = self.host, self.port
        if address not in _found:
            settings = self._client().get_world().get_settings()
            _found[address] = settings, ExternalCleanup(*address, self.settings.timeout, settings)

    def closed_seconds(self) -> float:
        may_come_back = (self.host, self.port) in _found
        return self.start_seconds() if may_come_back else self.settings.start_timeout or self.settings.timeout

    def stop(self, grace: float = 0.0) -> None:
        """Give the server back the world settings that the first `start` found, if it still answers."""
        self._restore_settings()
        self._release()

    def _release(self) -> None:
        if self._leased is not None:
            self._leased.release()
            self._leased = None

    def _restore_settings(self) -> None:
        address = self.host, self.port
        if address not in _found or not self.answers(_QUESTION_SECONDS):
            return
        with contextlib.suppress(RuntimeError):  # it stopped answering: its settings can't be given back
            settings, caretaker = _found[address]
            self._client().get_world().apply_settings(settings)
            del _found[address]
            caretaker.dismiss()

    def note_actors(self, world: int, actors: Sequence[int]) -> None:
        if (found := _found.get((self.host, self.port))) is not None:
            found[1].note_actors(world, actors)

    def _client(self) -> carla.Client:
        client = carla.Client(self.host, self.port, 1)
        client.set_timeout(self.settings.timeout)
        return client
