"""Calls about walkers: controls and bones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rllib_integration.embedded.protocol import values
from rllib_integration.embedded.protocol.values import number, vector
from rllib_integration.embedded.rpc.registry import RemoteError, void
from rllib_integration.embedded.world.actors import Actor

if TYPE_CHECKING:
    from rllib_integration.embedded.rpc.server import Server

_FASTEST = 20.0
"""[m/s]"""


def find_walker(server: Server, actor_id: Any) -> Actor:
    """The walker of an id."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if not actor.is_walker:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, not a walker")
    return actor


def walker_row(server: Server, actor_id: Any) -> np.void:
    """The state of the walker of an id, writable."""
    return server.simulation.episode.walkers.rows[find_walker(server, actor_id).row]


def set_control(server: Server, actor_id: Any, control: Any) -> None:
    """Take over direction, speed and jump."""
    row = walker_row(server, actor_id)
    if not isinstance(control, list) or len(control) != 3:
        raise values.MalformedValueError("a walker control must be a direction, a speed and a jump")
    direction = vector(control[0], "direction")
    row["speed"] = values.clamp(number(control[1], "speed"), 0.0, _FASTEST)
    row["direction_x"], row["direction_y"], row["direction_z"] = direction
    row["jump"] = control[2] is True


@void
def apply_control_to_walker(server: Server, actor_id: int, control: Any) -> None:
    """Take over direction, speed and jump."""
    set_control(server, actor_id, control)


def set_state(server: Server, actor_id: Any, transform: Any, speed: Any) -> None:
    """Put a walker where its navigation, which runs in a client, wants it: `transform` is at its feet."""
    actor = find_walker(server, actor_id)
    location, rotation = values.transform(transform)
    episode = server.simulation.episode
    row = episode.walkers.rows[actor.row]
    x, y, z = location
    episode.place(actor, (x, y, z + float(row["extent_z"])), rotation)
    row["speed"] = values.clamp(number(speed, "speed"), 0.0, _FASTEST)
