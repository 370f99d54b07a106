"""Calls about traffic lights and about the registry of Traffic Managers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rllib_integration.embedded.protocol import values
from rllib_integration.embedded.rpc.registry import RemoteError, value, void
from rllib_integration.embedded.world.actors import LIGHT_KIND, Actor

if TYPE_CHECKING:
    from rllib_integration.embedded.rpc.server import Server


def find_light(server: Server, actor_id: Any) -> Actor:
    """The traffic light of an id."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if actor.kind != LIGHT_KIND:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, not a traffic light")
    return actor


@value
def is_traffic_manager_running(server: Server, port: int) -> bool:
    """Whether a Traffic Manager is registered at a port."""
    return server.traffic_managers.is_running(values.integer(port, "port"))


@value
def get_traffic_manager_running(server: Server, port: int) -> list[Any]:
    """Host and port of a registered Traffic Manager."""
    return list(server.traffic_managers.find(values.integer(port, "port")))


@value
def add_traffic_manager_running(server: Server, address: Any) -> bool:
    """Register a Traffic Manager of the calling client."""
    return server.register_traffic_manager(address)


@void
def destroy_traffic_manager(server: Server, port: int) -> None:
    """Forget a Traffic Manager."""
    server.traffic_managers.remove(values.integer(port, "port"))
