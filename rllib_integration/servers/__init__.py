"""How a CARLA server comes to life, is watched, replaced and ended."""

from __future__ import annotations

import os

from rllib_integration.annotations import Settings
from rllib_integration.config.server import ServerSettings
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


def chosen_kind(settings: ServerSettings) -> str:
    """The kind of server that the settings lead to: with `auto`, packaged where CARLA is installed, else embedded."""
    if settings.kind != "auto":
        return settings.kind
    return "packaged" if settings.carla_root or "CARLA_ROOT" in os.environ else "embedded"


def chooses_embedded(core_config: Settings) -> bool:
    """Whether no kind of server is configured, and the embedded one is taken for want of an installation."""
    settings = ServerSettings.from_core_config(core_config)
    return settings.kind == "auto" and chosen_kind(settings) == "embedded"


def create_server(core_config: Settings) -> CarlaServer:
    """The server that `env_config.carla` asks for, not started yet.

    Args:
        core_config: the `carla` section of the environment's configuration.

    Raises:
        ServerSettingsError: the section `server` can't be used.
    """
    settings = ServerSettings.from_core_config(core_config)
    return _KINDS[chosen_kind(settings)](settings)


def check_server(settings: ServerSettings) -> None:
    """Refuse what could not be started, as far as that shows before: an installation, a docker command.

    Raises:
        ServerSettingsError: It is not there.
    """
    _KINDS[chosen_kind(settings)](settings).check()


def create_pool(core_config: Settings) -> ServerPool:
    """The pool of one environment's servers, each as `create_server` makes it; none is started yet.

    Args:
        core_config: the `carla` section of the environment's configuration.

    Raises:
        ServerSettingsError: the section `server` can't be used.
    """
    return ServerPool(lambda: create_server(core_config))


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
    "chosen_kind",
    "create_pool",
    "create_server",
    "is_port_free",
    "kill_all_servers",
    "lease_port_block",
    "lease_traffic_manager_port",
]
