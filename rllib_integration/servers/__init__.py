"""How a CARLA server comes to life, is watched, replaced and ended."""

from __future__ import annotations

from rllib_integration.annotations import Settings
from rllib_integration.config.server import ServerSettings
from rllib_integration.servers.addresses import count_servers
from rllib_integration.servers.bounded_calls import BoundedCalls
from rllib_integration.servers.carla_server import CarlaServer
from rllib_integration.servers.cleanup import kill_all_servers
from rllib_integration.servers.docker import DockerServer
from rllib_integration.servers.embedded import EmbeddedServer
from rllib_integration.servers.errors import (
    PortLeaseError,
    ServerDiedError,
    ServerError,
    ServerGaveUpError,
    ServerHangError,
    ServerSettingsError,
    ServerStartError,
    ServerVersionError,
)
from rllib_integration.servers.external import ExternalServer
from rllib_integration.servers.packaged import PackagedServer
from rllib_integration.servers.pool import ServerPool
from rllib_integration.servers.ports import PortLease, is_port_free, lease_port_block, lease_traffic_manager_port

_KINDS: dict[str, type[CarlaServer]] = {
    kind.kind: kind for kind in (EmbeddedServer, PackagedServer, DockerServer, ExternalServer)
}


EMBEDDED_CHOSEN = "CARLA_ROOT is not set: using the embedded CARLA server."


def create_server(core_config: Settings) -> CarlaServer:
    """The server that `env_config.carla` asks for, not started yet.

    Args:
        core_config: the `carla` section of the environment's configuration.

    Raises:
        ServerSettingsError: the section `server` can't be used.
    """
    return _server_of(ServerSettings.from_core_config(core_config))


def _server_of(settings: ServerSettings) -> CarlaServer:
    return _KINDS[settings.chosen_kind](settings)


def check_server(settings: ServerSettings) -> None:
    """Refuse what could not be started, as far as that shows before: an installation, a docker command.

    Raises:
        ServerSettingsError: It is not there.
    """
    _server_of(settings).check()


def create_pool(settings: ServerSettings) -> ServerPool:
    """The pool of one environment's servers, of the kind that the settings ask for; none is started yet."""
    return ServerPool(lambda: _server_of(settings))


__all__ = [
    "BoundedCalls",
    "CarlaServer",
    "PortLease",
    "PortLeaseError",
    "ServerDiedError",
    "ServerError",
    "ServerGaveUpError",
    "ServerHangError",
    "ServerPool",
    "ServerSettings",
    "ServerSettingsError",
    "ServerStartError",
    "ServerVersionError",
    "check_server",
    "count_servers",
    "create_pool",
    "create_server",
    "is_port_free",
    "kill_all_servers",
    "lease_port_block",
    "lease_traffic_manager_port",
]
