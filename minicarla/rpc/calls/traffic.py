"""Calls about traffic lights and about the registry of Traffic Managers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.protocol.values import PackValue
from minicarla.rpc.registry import RemoteError, value, void
from minicarla.world.actors import LIGHT_KIND, Actor
from minicarla.world.traffic_lights import RED, UNKNOWN

if TYPE_CHECKING:
    from minicarla.rpc.server import Server


def find_light(server: Server, actor_id: int) -> Actor:
    """The traffic light of an id."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if actor.kind != LIGHT_KIND:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, not a traffic light")
    return actor


@value
def is_traffic_manager_running(server: Server, port: int) -> bool:
    """Whether a Traffic Manager is registered at a port."""
    return server.traffic_managers.ask(values.integer(port, "port"), server.client)


@value
def get_traffic_manager_running(server: Server, port: int) -> list[PackValue]:
    """Host and port of a registered Traffic Manager."""
    return list(server.traffic_managers.find(values.integer(port, "port")))


@value
def add_traffic_manager_running(server: Server, address: tuple[str, int]) -> bool:
    """Register a Traffic Manager of the calling client."""
    return server.register_traffic_manager(address)


@void
def destroy_traffic_manager(server: Server, port: int) -> None:
    """Forget a Traffic Manager."""
    server.traffic_managers.remove(values.integer(port, "port"))


@void
def set_traffic_light_state(server: Server, actor_id: int, state: int) -> None:
    """Show a state until the light's phase changes next."""
    if state not in range(RED, UNKNOWN + 1):
        raise values.MalformedValueError(f"a traffic light's state must be 0 to 4, not {state!r:.60}")
    server.simulation.episode.lights.set_state(find_light(server, actor_id).row, state)


@void
def set_traffic_light_green_time(server: Server, actor_id: int, seconds: float) -> None:
    """Change how long a light is green, in seconds."""
    row = find_light(server, actor_id).row
    server.simulation.episode.lights.set_green_time(row, values.number(seconds, "green time"))


@void
def set_traffic_light_yellow_time(server: Server, actor_id: int, seconds: float) -> None:
    """Change how long a light is yellow, in seconds."""
    row = find_light(server, actor_id).row
    server.simulation.episode.lights.set_yellow_time(row, values.number(seconds, "yellow time"))


@void
def set_traffic_light_red_time(server: Server, actor_id: int, seconds: float) -> None:
    """Change how long a light is red, in seconds."""
    row = find_light(server, actor_id).row
    server.simulation.episode.lights.set_red_time(row, values.number(seconds, "red time"))


@void
def freeze_traffic_light(server: Server, actor_id: int, frozen: bool) -> None:
    """Stop, or go on with, the cycle of a light's group."""
    server.simulation.episode.lights.freeze(find_light(server, actor_id).row, bool(frozen))


@void
def freeze_all_traffic_lights(server: Server, frozen: bool) -> None:
    """Stop, or go on with, all cycles."""
    server.simulation.episode.lights.freeze_all(bool(frozen))


@void
def reset_traffic_light_group(server: Server, actor_id: int) -> None:
    """Begin the cycle of a light's group anew."""
    server.simulation.episode.lights.reset_group(find_light(server, actor_id).row)


@void
def reset_all_traffic_lights(server: Server) -> None:
    """Begin all cycles anew."""
    server.simulation.episode.lights.reset_all()


@value
def get_group_traffic_lights(server: Server, actor_id: int) -> list[int]:
    """Ids of the lights that switch together with one, itself included."""
    episode = server.simulation.episode
    return [episode.light_actors[row].id for row in episode.lights.group_rows(find_light(server, actor_id).row)]


@value
def get_light_boxes(server: Server, actor_id: int) -> list[PackValue]:
    """World bounding boxes of a light's lamp heads."""
    signal = find_light(server, actor_id).signal
    assert signal is not None
    boxes = signal.light_boxes.tolist()
    return [
        [[x, y, z], [depth, width, height], [0.0, math.degrees(yaw), 0.0], actor_id]
        for x, y, z, yaw, depth, width, height in boxes
    ]
