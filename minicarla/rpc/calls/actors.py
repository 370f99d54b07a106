"""Calls about actors of any kind: spawn, destroy, move, push, ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from minicarla.protocol import values
from minicarla.protocol.values import PackedTransform, PackValue, Transform, actor_id, pack_box, pack_transform, vector
from minicarla.rpc.registry import RemoteError, value, void
from minicarla.world.actors import RIGID, SPRING_ARM_GHOST, Actor
from minicarla.world.skeletons import compose
from minicarla.world.spawning import spawn

if TYPE_CHECKING:
    from minicarla.rpc.server import Server

Description: TypeAlias = tuple[int, str, Sequence[tuple[str, int, str]]]
"""CARLA's ActorDescription: number and id of a blueprint, and name, type and text of each attribute."""

_NO_BOX = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@value
def get_actors_by_id(server: Server, ids: PackValue) -> list[PackValue]:
    """Descriptions of the living actors among some ids."""
    if not isinstance(ids, list):
        raise values.MalformedValueError("actor ids must be a list")
    actors = server.simulation.episode.actors
    wanted = dict.fromkeys(number for number in ids if type(number) is int)
    return [server.describe(actors[number]) for number in wanted if number in actors]


def spawn_described(
    server: Server,
    description: Description,
    transform: PackValue,
    parent: Actor | None = None,
    attachment: int = RIGID,
    socket: str = "",
) -> Actor:
    """Spawn what the client described, at the bone or socket of its parent if it names one."""
    try:
        _, type_id, attributes = description
        given = {values.text(name): values.text(text) for name, _, text in attributes}
        blueprint = server.simulation.library.find(values.text(type_id, "the blueprint's id"))
    except (TypeError, ValueError) as error:
        raise RemoteError(f"Spawn failed because of invalid actor description: {error}") from None
    # The client leaves the field uninitialised in batches.
    kind = attachment if attachment in range(RIGID, SPRING_ARM_GHOST + 1) else RIGID
    server.changes_traffic = True
    pose = values.transform(transform)
    if parent is not None and isinstance(socket, str) and socket:
        place = server.simulation.episode.skeletons.place(parent, socket)
        if place is None:
            # As in Unreal, it hangs on the parent itself.
            server.complaints.log("spawn_actor", f"{parent.type_id} has no bone or socket '{socket:.100}'")
        else:
            pose = compose(place, pose)
    return spawn(server.simulation, blueprint, given, pose, parent, kind)


@value
def spawn_actor(server: Server, description: Description, transform: PackValue) -> list[PackValue]:
    """Spawn an actor in the world."""
    return server.describe(spawn_described(server, description, transform))


@value
def spawn_actor_with_parent(
    server: Server,
    description: Description,
    transform: PackValue,
    parent: int,
    attachment: int = RIGID,
    socket: str = "",
) -> list[PackValue]:
    """Spawn an actor attached to another one."""
    owner = server.simulation.episode.actors.get(actor_id(parent))
    if owner is None:
        raise RemoteError("unable to attach actor: parent actor not found")
    return server.describe(spawn_described(server, description, transform, owner, attachment, socket))


@value
def destroy_actor(server: Server, number: int) -> bool:
    """End an actor; one that ended with its parent, as CARLA's do not, is taken for ended just now."""
    if actor_id(number) in server.simulation.ended_with_parent:
        server.simulation.ended_with_parent.discard(number)
    else:
        destroy(server, number)
    return True


def destroy(server: Server, number: PackValue) -> None:
    """End an actor and what is attached to it; refuses what belongs to the town."""
    actor = server.simulation.episode.actors.get(actor_id(number))
    if actor is None:
        raise RemoteError("unable to destroy actor: not found")
    if actor.definition == 0:
        raise RemoteError(f"unable to destroy actor: {actor.type_id} belongs to the town")
    server.simulation.destroy(actor)
    server.changes_traffic = True


@void
def set_actor_location(server: Server, number: int, location: PackValue) -> None:
    """Teleport, keeping the rotation."""
    episode = server.simulation.episode
    episode.place(episode.get(actor_id(number)), vector(location, "location"))


@void
def set_actor_transform(server: Server, number: int, transform: PackValue) -> None:
    """Teleport."""
    episode = server.simulation.episode
    episode.place(episode.get(actor_id(number)), *values.transform(transform))


@value
def get_actor_bounding_box(server: Server, number: int) -> list[PackValue]:
    """Bounding box in the actor's frame. Of any id: an error would end a client that runs a Traffic Manager."""
    actor = server.simulation.episode.actors.get(actor_id(number))
    if actor is not None:
        return pack_box(actor.box, number)
    grave = server.simulation.graves.get(number)
    return pack_box(grave.box if grave is not None else _NO_BOX, number)


@value
def get_actor_component_names(server: Server, number: int) -> list[str]:
    """Names of an actor's parts."""
    return server.simulation.episode.skeletons.component_names(server.simulation.episode.get(actor_id(number)))


@value
def get_actor_component_world_transform(server: Server, number: int, name: str) -> PackedTransform:
    """World pose of a part."""
    return pack_transform(*_component(server, number, name, True))


@value
def get_actor_component_relative_transform(server: Server, number: int, name: str) -> PackedTransform:
    """Pose of a part in the actor's frame."""
    return pack_transform(*_component(server, number, name, False))


def _component(server: Server, number: PackValue, name: str, in_world: bool) -> Transform:
    episode = server.simulation.episode
    actor = episode.get(actor_id(number))
    return episode.skeletons.component(actor, values.text(name, "the component's name"), in_world)


@value
def get_actor_bone_names(server: Server, number: int) -> list[str]:
    """Names of an actor's bones."""
    return server.simulation.episode.skeletons.bone_names(server.simulation.episode.get(actor_id(number)))


@value
def get_actor_bone_world_transforms(server: Server, number: int) -> list[PackedTransform]:
    """World poses of the bones."""
    return [pack_transform(*pose) for pose in _bones(server, number, True)]


@value
def get_actor_bone_relative_transforms(server: Server, number: int) -> list[PackedTransform]:
    """Poses of the bones in the actor's frame."""
    return [pack_transform(*pose) for pose in _bones(server, number, False)]


@value
def get_vehicle_bone_world_transforms(server: Server, number: int) -> list[PackedTransform]:
    """World poses of a vehicle's bones."""
    return [pack_transform(*pose) for pose in _bones(server, number, True)]


def _bones(server: Server, number: int, in_world: bool) -> list[Transform]:
    return server.simulation.episode.skeletons.bones(server.simulation.episode.get(actor_id(number)), in_world)


@value
def get_actor_socket_names(server: Server, number: int) -> list[str]:
    """Names of the places where something can be attached."""
    return server.simulation.episode.skeletons.socket_names(server.simulation.episode.get(actor_id(number)))


@value
def get_actor_socket_world_transforms(server: Server, number: int) -> list[PackedTransform]:
    """World poses of the sockets."""
    actor = server.simulation.episode.get(actor_id(number))
    return [pack_transform(*pose) for pose in server.simulation.episode.skeletons.sockets(actor, True)]


@value
def get_actor_socket_relative_transforms(server: Server, number: int) -> list[PackedTransform]:
    """Poses of the sockets in the actor's frame."""
    actor = server.simulation.episode.get(actor_id(number))
    return [pack_transform(*pose) for pose in server.simulation.episode.skeletons.sockets(actor, False)]
