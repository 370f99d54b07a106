"""Calls that change how bodies move: velocities, forces, impulses, and whether physics acts on them at all."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from minicarla.physics.parameters import rest_drivetrain
from minicarla.protocol import values
from minicarla.protocol.values import PackValue, vector
from minicarla.rpc.calls.vehicles import find_vehicle
from minicarla.rpc.registry import RemoteError, void
from minicarla.world.actors import Actor

if TYPE_CHECKING:
    from minicarla.rpc.server import Server


def _body(server: Server, actor_id: int) -> tuple[Actor, np.void]:
    episode = server.simulation.episode
    actor = episode.get(values.actor_id(actor_id))
    if not actor.has_body:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, which physics does not move")
    return actor, episode.row(actor)


def _add(row: np.void, name: str, amounts: Iterable[float]) -> None:
    for axis, amount in zip("xyz", amounts):
        row[f"{name}_{axis}"] += amount
    row["asleep"] = 0


def _radians(degrees: values.Vector) -> values.Vector:
    x, y, z = (math.radians(part) for part in degrees)
    return x, y, z


@void
def set_actor_target_velocity(server: Server, actor_id: int, velocity: PackValue) -> None:
    """Give a body a velocity in the world, m/s, from the next tick on."""
    _, row = _body(server, actor_id)
    row["target_vx"], row["target_vy"], row["target_vz"] = vector(velocity, "velocity")
    row["target_velocity"], row["asleep"] = 1, 0


@void
def set_actor_target_angular_velocity(server: Server, actor_id: int, velocity: PackValue) -> None:
    """Give a body an angular velocity in the world, degrees/s, from the next tick on."""
    _, row = _body(server, actor_id)
    row["target_wx"], row["target_wy"], row["target_wz"] = _radians(vector(velocity, "angular velocity"))
    row["target_angular_velocity"], row["asleep"] = 1, 0


@void
def enable_actor_constant_velocity(server: Server, actor_id: int, velocity: PackValue) -> None:
    """Keep a vehicle at a velocity in its own frame, m/s."""
    actor = find_vehicle(server, actor_id)
    row = server.simulation.episode.row(actor)
    row["constant_vx"], row["constant_vy"], row["constant_vz"] = vector(velocity, "velocity")
    row["constant_velocity"], row["asleep"] = 1, 0


@void
def disable_actor_constant_velocity(server: Server, actor_id: int) -> None:
    """Let a vehicle move freely again."""
    server.simulation.episode.row(find_vehicle(server, actor_id))["constant_velocity"] = 0


@void
def add_actor_impulse(server: Server, actor_id: int, impulse: PackValue) -> None:
    """Push a body at its centre of mass, N s in the world."""
    _add(_body(server, actor_id)[1], "impulse", vector(impulse, "impulse"))


@void
def add_actor_force(server: Server, actor_id: int, force: PackValue) -> None:
    """Push a body at its centre of mass during the next tick, N in the world."""
    _add(_body(server, actor_id)[1], "force", vector(force, "force"))


@void
def add_actor_angular_impulse(server: Server, actor_id: int, impulse: PackValue) -> None:
    """Turn a body at once; in degrees where SI has radians, as CARLA counts."""
    _add(_body(server, actor_id)[1], "angular_impulse", _radians(vector(impulse, "angular impulse")))


@void
def add_actor_torque(server: Server, actor_id: int, torque: PackValue) -> None:
    """Turn a body during the next tick; in degrees where SI has radians, as CARLA counts."""
    _add(_body(server, actor_id)[1], "torque", _radians(vector(torque, "torque")))


def _lever(row: np.void, place: PackValue) -> np.ndarray:
    """From a body's centre of mass to a place in the world; the centre of the box stands in where none is kept."""
    centre_name = "com" if "com_x" in (row.dtype.names or ()) else "box"
    own = [float(row[f"{centre_name}_{axis}"]) for axis in "xyz"]
    cosine, sine = math.cos(row["yaw"]), math.sin(row["yaw"])
    centre = (
        row["x"] + cosine * own[0] - sine * own[1],
        row["y"] + sine * own[0] + cosine * own[1],
        row["z"] + own[2],
    )
    return np.array(vector(place, "location")) - np.array(centre)


@void
def add_actor_impulse_at_location(server: Server, actor_id: int, impulse: PackValue, place: PackValue) -> None:
    """Push a body at a place in the world, N s."""
    _, row = _body(server, actor_id)
    push = vector(impulse, "impulse")
    turn = np.cross(_lever(row, place), push)
    _add(row, "impulse", push)
    _add(row, "angular_impulse", turn)


@void
def add_actor_force_at_location(server: Server, actor_id: int, force: PackValue, place: PackValue) -> None:
    """Push a body at a place in the world during the next tick, N."""
    _, row = _body(server, actor_id)
    push = vector(force, "force")
    turn = np.cross(_lever(row, place), push)
    _add(row, "force", push)
    _add(row, "torque", turn)


def _find_leniently(server: Server, method: str, actor_id: int) -> Actor | None:
    """An actor of any kind; None, and a line in the log, if it is gone.

    A Traffic Manager asks about vehicles that ended meanwhile, and an error would end its client.
    """
    actor = server.simulation.episode.actors.get(values.actor_id(actor_id))
    if actor is None:
        server.complaints.log(method, f"there is no actor with id {actor_id}")
    return actor


@void
def set_actor_simulate_physics(server: Server, actor_id: int, enabled: bool) -> None:
    """Let physics move a body, or only whoever places it."""
    actor = _find_leniently(server, "set_actor_simulate_physics", actor_id)
    if actor is None or not actor.has_body or actor.attachment is not None:
        return
    actor.wakes_with_physics = bool(enabled)
    if not actor.dormant:
        row = server.simulation.episode.row(actor)
        if actor.is_vehicle and enabled and not row["physics"]:
            rest_drivetrain(row)
        row["physics"], row["asleep"] = bool(enabled), 0
        if actor.is_walker and enabled:
            row["led"] = 0


@void
def set_actor_enable_gravity(server: Server, actor_id: int, enabled: bool) -> None:
    """Let a body fall, or not."""
    _, row = _body(server, actor_id)
    row["gravity"], row["asleep"] = bool(enabled), 0


def _is_led(actor: Actor) -> bool:
    return any(child.type_id == "controller.ai.walker" for child in actor.children)


@void
def set_actor_collisions(server: Server, actor_id: int, enabled: bool) -> None:
    """Let a body touch others, or not.

    A walker that an AI controller leads stays solid: the client asks for the contrary, but cars would drive through it.
    """
    actor = _find_leniently(server, "set_actor_collisions", actor_id)
    if actor is not None and actor.has_body and actor.attachment is None and not _is_led(actor):
        server.simulation.episode.row(actor)["collisions"] = bool(enabled)
