"""Bringing actors to life: rows, boxes, and the check that the place is free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from minicarla.physics.parameters import init_vehicle
from minicarla.physics.state import PROP_KIND, VEHICLE_KIND, WALKER_KIND
from minicarla.sensing.sensor import BOOLEAN_TEXTS
from minicarla.world.actors import FIXTURE_KIND, Actor, Attachment, Box
from minicarla.world.blueprints import Blueprint, BlueprintLibrary
from minicarla.world.episode import Episode
from minicarla.world.meshes import blueprint_shown
from minicarla.world.poses import Pose, first_obstacle, first_overlap
from minicarla.world.sensor_board import SensorBoard
from minicarla.world.traffic_lights import GREEN

WALKER_MASS = 70.0
"""[kg]"""
PROP_DENSITY = 150.0
"""[kg/m^3] of a prop's bounding box, which is mostly air."""

MAX_ACTORS = 20000
_MESH = "static.prop.mesh"
_SPAWN_MARGIN = 0.02


class SpawnError(ValueError):
    """An actor cannot be spawned; the text says why."""


def _kind_of(blueprint_id: str) -> int:
    if blueprint_id.startswith("vehicle."):
        return VEHICLE_KIND
    if blueprint_id.startswith("walker."):
        return WALKER_KIND
    if blueprint_id.startswith("static.prop."):
        return PROP_KIND
    return FIXTURE_KIND


def _look_of(blueprint: Blueprint, attributes: Mapping[str, str], library: BlueprintLibrary) -> Blueprint:
    """The blueprint that gives an actor its size, shape and semantic tag."""
    if blueprint.id != _MESH:
        return blueprint
    shown = blueprint_shown(attributes["mesh_path"], library)
    return blueprint if shown is None else library.find(shown)


def _box_of(blueprint: Blueprint, attributes: Mapping[str, str], look: Blueprint) -> Box:
    """Bounding box in the actor's own frame: a vehicle stands on its origin unless known better, a walker's is in its
    middle."""
    x, y, z = look.extent
    if blueprint.id == _MESH:
        scale = max(0.01, float(attributes["scale"]))
        x, y, z = x * scale, y * scale, z * scale
    if blueprint.id == "static.trigger.friction":
        # Unreal's centimetres.
        x, y, z = (float(attributes[f"extent_{axis}"]) / 100.0 for axis in "xyz")
        return (0.0, 0.0, 0.0), (x, y, z), (0.0, 0.0, 0.0)
    centre = (0.0, 0.0, 0.0 if blueprint.id.startswith("walker.") else z)
    if blueprint.centre is not None:
        centre = blueprint.centre
    return centre, (x, y, z), (0.0, 0.0, 0.0)


def is_free(episode: Episode, box: Box, pose: Pose, skip: Actor | None = None) -> bool:
    """Whether a body with this box touches nothing at this place."""
    (x, y, z), (_, yaw_degrees, _) = pose
    yaw = math.radians(yaw_degrees)
    c, s = math.cos(yaw), math.sin(yaw)
    cx, cy, cz = box[0]
    ex, ey, ez = (max(extent - _SPAWN_MARGIN, 0.01) for extent in box[1])
    x, y, z = x + c * cx - s * cy, y + s * cx + c * cy, z + cz
    for table in (episode.vehicles, episode.walkers, episode.props):
        own = skip.row if skip is not None and episode.table(skip) is table else -1
        if first_overlap(table.rows, x, y, z, yaw, ex, ey, ez, own) >= 0:
            return False
    town = episode.town
    return first_obstacle(town.obstacles, town.obstacle_grid, x, y, z, yaw, ex, ey, ez) < 0


class World(Protocol):
    """Where actors come to live; the simulation is one."""

    episode: Episode
    library: BlueprintLibrary
    sensors: SensorBoard

    def new_actor_id(self, wanted: int = 0, type_id: str = "") -> int:
        """A number no actor of this episode ever had."""


def spawn(
    simulation: World,
    blueprint: Blueprint,
    given: Mapping[str, str],
    pose: Pose,
    parent: Actor | None = None,
    attachment_type: int = 0,
    check_free: bool = True,
    wanted_id: int = 0,
) -> Actor:
    """Bring an actor to life.

    Args:
        simulation: Where it shall live.
        blueprint: What it is.
        given: Attribute values; what is missing takes its default.
        pose: World pose, or the pose relative to `parent`.
        parent: Actor to attach it to.
        attachment_type: See `actors.Attachment`.
        check_free: Whether the place must be free.
        wanted_id: Id that it gets if that is free.

    Raises:
        SpawnError: The place is taken, or this sort of actor cannot be simulated here.
        BlueprintError: An attribute does not fit the blueprint.
        SensorError: A sensor cannot honour an attribute.
    """
    episode = simulation.episode
    if len(episode.actors) >= MAX_ACTORS:
        raise SpawnError(f"Spawn failed because the world already holds {MAX_ACTORS} actors")
    attributes = blueprint.checked(given)
    kind = _kind_of(blueprint.id)
    look = _look_of(blueprint, attributes, simulation.library)
    box = _box_of(blueprint, attributes, look)
    # As in CARLA, props are put wherever they are asked for: on each other, in a wall.
    if check_free and parent is None and kind in (VEHICLE_KIND, WALKER_KIND) and not is_free(episode, box, pose):
        raise SpawnError("Spawn failed because of collision at spawn position")
    actor = Actor(
        id=0,
        type_id=blueprint.id,
        kind=kind,
        attributes=attributes,
        definition=blueprint.uid,
        attribute_types={a.name: int(a.type) for a in blueprint.attributes},
        looks=look.id if look is not blueprint else "",
        box=box,
        tags=bytes([look.semantic_tag]) if look.semantic_tag else b"",
    )
    if blueprint.id.startswith("sensor."):
        simulation.sensors.prepare(actor)
    actor.id = simulation.new_actor_id(wanted_id, blueprint.id)
    row = episode.add(actor)
    assert row is not None
    _fill_row(actor, row, blueprint, pose)
    if kind == VEHICLE_KIND:
        actor.sticky = BOOLEAN_TEXTS[attributes["sticky_control"].strip().lower()]
        episode.has_loose_controls |= not actor.sticky
        _fill_status(episode, actor, blueprint)
    if parent is not None:
        actor.attachment = Attachment(parent, pose[0], pose[1], attachment_type)
        if actor.has_body:
            # What hangs on something is carried, not pushed, and does not touch its carrier.
            row["physics"] = row["collisions"] = 0
        episode.attach(actor)
    if actor.stream_id:
        simulation.sensors.add(actor)
    return actor


def _fill_row(actor: Actor, row: np.void, blueprint: Blueprint, pose: Pose) -> None:
    row["x"], row["y"], row["z"] = pose[0]
    row["pitch"], row["yaw"], row["roll"] = (math.radians(angle) for angle in pose[1])
    if actor.has_body:
        (bx, by, bz), (ex, ey, ez), _ = actor.box
        row["box_x"], row["box_y"], row["box_z"] = bx, by, bz
        row["extent_x"], row["extent_y"], row["extent_z"] = ex, ey, ez
    if actor.kind == VEHICLE_KIND:
        init_vehicle(row, blueprint.id, blueprint.base)
    elif actor.has_body:
        row["gravity"] = row["collisions"] = 1
        row["physics"] = int(actor.kind == WALKER_KIND)
        if actor.kind == WALKER_KIND:
            row["mortal"] = not BOOLEAN_TEXTS[actor.attributes["is_invincible"].strip().lower()]
        row["mass"] = WALKER_MASS if actor.kind == WALKER_KIND else _prop_mass(actor)
        if blueprint.id == _MESH and float(actor.attributes["mass"]) > 0.0:
            row["physics"] = 1


def _prop_mass(actor: Actor) -> float:
    given = float(actor.attributes.get("mass", 0.0))
    x, y, z = actor.box[1]
    return given if given > 0.0 else max(0.5, PROP_DENSITY * 8.0 * x * y * z)


def _fill_status(episode: Episode, actor: Actor, blueprint: Blueprint) -> None:
    status = episode.vehicles.companion[actor.row]
    # CARLA's vehicles carry 30 km/h until they pass the first speed sign.
    status["speed_limit"] = 30.0
    status["light_state"] = GREEN
