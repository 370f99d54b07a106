"""Calls about walkers: controls and bones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.protocol.values import PackValue, number, pack_transform, vector
from minicarla.rpc.registry import RemoteError, value, void
from minicarla.world.actors import Actor

if TYPE_CHECKING:
    from minicarla.rpc.server import Server

_FASTEST = 20.0
"""[m/s]"""


def find_walker(server: Server, actor_id: int) -> Actor:
    """The walker of an id."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if not actor.is_walker:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, not a walker")
    return actor


def set_control(server: Server, actor_id: int, control: PackValue) -> None:
    """Take over direction, speed and jump."""
    walker = find_walker(server, actor_id)
    row = server.simulation.episode.walkers.rows[walker.row]
    if row["stagger"] == math.inf:
        return
    if not isinstance(control, list) or len(control) != 3:
        raise values.MalformedValueError("a walker control must be a direction, a speed and a jump")
    direction = vector(control[0], "direction")
    row["speed"] = values.clamp(number(control[1], "speed"), 0.0, _FASTEST)
    row["direction_x"], row["direction_y"], row["direction_z"] = direction
    row["jump"] = control[2] is True


@void
def apply_control_to_walker(server: Server, actor_id: int, control: PackValue) -> None:
    """Take over direction, speed and jump."""
    set_control(server, actor_id, control)


def set_state(server: Server, actor_id: int, transform: PackValue, speed: PackValue) -> None:
    """Put a walker where its navigation, which runs in a client, wants it: `transform` is at its feet.

    One that was knocked over lies, gets up and walks there.
    """
    actor = find_walker(server, actor_id)
    location, rotation = values.transform(transform)
    episode = server.simulation.episode
    row = episode.walkers.rows[actor.row]
    x, y, z = location
    row["guide_x"], row["guide_y"] = x, y
    if row["stagger"] > 0.0 or row["astray"] > 0.0:
        return
    row["led"], row["pitch"], row["fall"], row["fallen"] = 1, 0.0, 0.0, 0.0
    episode.place(actor, (x, y, z + float(row["extent_z"])), rotation)
    row["speed"] = values.clamp(number(speed, "speed"), 0.0, _FASTEST)


@value
def get_bones_transform(server: Server, actor_id: int) -> list[PackValue]:
    """Name, world pose, pose in the walker's frame and pose beside the parent bone of every bone."""
    bones = server.simulation.episode.skeletons.walker_bones(find_walker(server, actor_id))
    return [[[name, *(pack_transform(*pose) for pose in poses)] for name, *poses in bones]]


@void
def set_bones_transform(server: Server, actor_id: int, bones: tuple[Sequence[tuple[str, PackValue]]]) -> None:
    """Pose some bones; seen as far as `blend_pose` says."""
    walker = find_walker(server, actor_id)
    try:
        (pairs,) = bones
        poses = {values.text(name, "a bone's name"): values.transform(pose) for name, pose in pairs}
    except (TypeError, ValueError) as error:
        raise values.MalformedValueError(f"bones must be pairs of name and transform: {error}") from None
    server.simulation.episode.skeletons.pose_walker(walker, poses)


@void
def blend_pose(server: Server, actor_id: int, share: float) -> None:
    """Mix the given pose (1) with the walker's own (0)."""
    walker = find_walker(server, actor_id)
    server.simulation.episode.skeletons.blend(walker, values.clamp(number(share, "blend"), 0.0, 1.0))


@void
def get_pose_from_animation(server: Server, actor_id: int) -> None:
    """Start posing from how the walker stands now."""
    server.simulation.episode.skeletons.pose_from_animation(find_walker(server, actor_id))


@void
def set_actor_dead(server: Server, actor_id: int) -> None:
    """End a walker's life: it falls and takes no more controls. A vehicle stops."""
    episode = server.simulation.episode
    actor = episode.get(values.actor_id(actor_id))
    if actor.is_walker:
        row = episode.walkers.rows[actor.row]
        row["speed"], row["stagger"], row["fall"] = 0.0, math.inf, row["fall"] or 1.0
    elif actor.is_vehicle:
        episode.vehicles.controls[actor.row] = (0.0, 0.0, 1.0, True, False, False, 0, 0)
