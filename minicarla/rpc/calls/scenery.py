"""Calls about what stands around: street lights, environment objects, bounding boxes, rays, textures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.state import PROP_KIND, VEHICLE_KIND, WALKER_KIND
from minicarla.protocol import values
from minicarla.protocol.values import PackValue, vector
from minicarla.rpc.registry import value, void
from minicarla.sensing import Mount
from minicarla.world.poses import write_rotation
from minicarla.world.simulation import LIGHTS_CHANGED
from minicarla.world.street_lights import Lamp

if TYPE_CHECKING:
    from minicarla.rpc.server import Server
    from minicarla.world.actors import Actor
    from minicarla.world.episode import Episode

LightState: TypeAlias = tuple[int, Sequence[float], float, int, Sequence[int], bool]
"""CARLA's LightState: id, location, intensity, group, colour (red, green, blue), whether it is on."""
Texture: TypeAlias = tuple[int, int, Sequence[Sequence[float]]]
"""CARLA's TextureColor and TextureFloatColor: width, height, and red, green, blue, alpha of each pixel."""

_ANY_LABEL = 255
_MAX_RAY_POINTS = 64
_PAST_SURFACE = 0.01
_GROUND, _STATIC = 0, 1
_DIFFUSE = 2
"""carla.MaterialParameter.Diffuse"""
_UNTEXTURED = "the texture is not drawn: objects here have colours, for which the mean of a diffuse texture is taken"
_BODIES = (VEHICLE_KIND, WALKER_KIND, PROP_KIND)


@value
def query_lights_state(server: Server, client: str) -> list[list[PackValue]]:
    """State of all street lights; nothing of them for a client that asks only because a frame made it."""
    if server.client.lights_are_sign:
        server.client.lights_are_sign = False
        return []
    return [
        [number, list(lamp.location), lamp.intensity, lamp.group, list(lamp.colour), lamp.on]
        for number, lamp in server.simulation.episode.street_lights.lamps.items()
    ]


@void
def update_lights_state(
    server: Server, client: str, lights: Sequence[LightState], discard_client: bool = False
) -> None:
    """Change street lights."""
    if not isinstance(lights, list):
        raise values.MalformedValueError("light states must be a list")
    street_lights = server.simulation.episode.street_lights
    for light in lights:
        try:
            number, location, intensity, group, colour, on = light
            red, green, blue = (int(part) & 0xFF for part in colour)
        except (TypeError, ValueError):
            raise values.MalformedValueError(f"a light state must be six values, not {light!r:.100}") from None
        lamp = Lamp(
            vector(location), values.number(intensity), values.integer(group) & 0xFF, (red, green, blue), on is True
        )
        street_lights.change(values.integer(number, "light id"), lamp)
    server.simulation.add_news(LIGHTS_CHANGED)


@void
def update_day_night_cycle(server: Server, client: str, active: bool) -> None:
    """Let the sun switch the street lights, or not."""
    server.simulation.episode.street_lights.cycle = bool(active)
    server.simulation.follow_sun()


def _objects(server: Server, label: PackValue) -> NDArray[np.void]:
    objects = server.simulation.level_objects
    wanted = values.integer(label, "label")
    return objects if wanted == _ANY_LABEL else objects[objects["label"] == wanted]


def _box(entry: np.void) -> list[PackValue]:
    location = [float(entry[axis]) for axis in "xyz"]
    extent = [float(entry[f"extent_{axis}"]) for axis in "xyz"]
    return [location, extent, [0.0, float(entry["yaw"]), 0.0], 0]


def _actor_box(episode: Episode, actor: Actor) -> list[PackValue]:
    row, matrix = episode.row(actor), np.empty(9)
    write_rotation(float(row["roll"]), float(row["pitch"]), float(row["yaw"]), matrix)
    location, rotation = episode.pose(actor)
    centre = np.asarray(location) + matrix.reshape(3, 3) @ np.asarray(actor.box[0])
    return [centre.tolist(), list(actor.box[1]), list(rotation), actor.id]


@value
def get_all_level_BBs(server: Server, label: int) -> list[list[PackValue]]:
    """World bounding boxes of all with a semantic tag: the town's objects, and vehicles, walkers and props."""
    episode = server.simulation.episode
    present: list[list[PackValue]] = [
        _actor_box(episode, actor)
        for actor in episode.actors.values()
        if actor.kind in _BODIES and (label == _ANY_LABEL or label in actor.tags)
    ]
    return [_box(entry) for entry in _objects(server, label)] + present


@value
def get_environment_objects(server: Server, label: int) -> list[list[PackValue]]:
    """The town's objects with a semantic tag."""
    found: list[list[PackValue]] = []
    for entry in _objects(server, label):
        box = _box(entry)
        pose = [[float(entry["x"]), float(entry["y"]), float(entry["z"] - entry["extent_z"])], box[2]]
        found.append([pose, box, int(entry["object_id"]), entry["name"].decode(), int(entry["label"])])
    return found


@void
def enable_environment_objects(server: Server, ids: PackValue, enabled: bool) -> None:
    """Show or hide objects of the town."""
    if not isinstance(ids, list):
        raise values.MalformedValueError("environment object ids must be a list")
    server.simulation.show_objects({values.integer(number, "object id") for number in ids}, bool(enabled))


@value
def get_names_of_all_objects(server: Server) -> list[str]:
    """Names of the town's objects, the vehicles and the props."""
    present = [actor.object_name for actor in server.simulation.episode.actors.values()]
    town = [name.decode() for name in server.simulation.level_objects["name"].tolist()]
    return town + [name for name in present if name]


@void
def apply_color_texture_to_objects(server: Server, names: PackValue, material: int, texture: Texture) -> None:
    """Paint objects in the mean colour of a texture with bytes."""
    _paint(server, "apply_color_texture_to_objects", names, material, texture, 1.0)


@void
def apply_float_color_texture_to_objects(server: Server, names: PackValue, material: int, texture: Texture) -> None:
    """Paint objects in the mean colour of a texture with shares of 1."""
    _paint(server, "apply_float_color_texture_to_objects", names, material, texture, 255.0)


def _paint(server: Server, method: str, names: PackValue, material: PackValue, texture: Texture, scale: float) -> None:
    """Objects here have a colour and no texture: of a diffuse one its mean is shown, of others nothing."""
    if not isinstance(names, list):
        raise values.MalformedValueError("names of objects must be a list")
    wanted = {values.text(name, "an object's name") for name in names}
    try:
        _, _, pixels = texture
        if not set(map(len, pixels)) <= {4}:
            raise ValueError
        channels = np.fromiter(itertools.chain.from_iterable(pixels), np.float64, 4 * len(pixels))
    except (TypeError, ValueError):
        raise values.MalformedValueError("a texture must be a width, a height and pixels of four values") from None
    if values.integer(material, "material") != _DIFFUSE:
        server.complaints.log(method, _UNTEXTURED)
    elif len(channels):
        channels[~np.isfinite(channels)] = 0.0
        mean = (channels.reshape(-1, 4).mean(axis=0)[:3] * scale).clip(0.0, 255.0).round().astype(int).tolist()
        if not server.simulation.paint(wanted, tuple(mean)):
            server.complaints.log(method, f"no object is named {sorted(wanted)!r:.200}; see get_names_of_all_objects")


def _first_hit(
    server: Server, start: NDArray[np.float64], direction: NDArray[np.float64], reach: float
) -> tuple[float, int] | None:
    """Distance in metres and semantic tag of the first thing that a ray meets."""
    # Compiling the rays takes seconds on a cold start, and few clients ask for them.
    from minicarla.sensing.scan import cast_from

    view = server.simulation.sensors.view(0.0)
    mount = Mount(start, np.eye(3), np.zeros(3), -1, -1, 0)
    hits, boxes = cast_from(view, mount, direction[None], reach, see_parent=True)
    kind, target = int(hits.kind[0]), int(hits.target[0])
    if kind < 0:
        return None
    if kind == _GROUND:
        label = target
    elif kind == _STATIC:
        label = int(view.town.ray_targets.boxes[target]["label"])
    else:
        label = int(boxes[target]["label"])
    return float(hits.distance[0]), label


@value
def project_point(server: Server, location: PackValue, direction: PackValue, distance: float) -> list[PackValue]:
    """The first thing met from a location along a direction."""
    start = np.array(vector(location, "location"))
    along = np.array(vector(direction, "direction"))
    length = float(np.linalg.norm(along))
    reach = values.number(distance, "search distance")
    hit = _first_hit(server, start, along / length, reach) if length > 0.0 and reach > 0.0 else None
    if hit is None:
        return [False, [start.tolist(), 0]]
    return [True, [(start + along / length * hit[0]).tolist(), hit[1]]]


@value
def cast_ray(server: Server, start: PackValue, end: PackValue) -> list[list[PackValue]]:
    """Everything met on the way between two locations, nearest first."""
    position = np.array(vector(start, "start"))
    way = np.array(vector(end, "end")) - position
    left = float(np.linalg.norm(way))
    if left == 0.0:
        return []
    direction = way / left
    points: list[list[PackValue]] = []
    while left > 0.0 and len(points) < _MAX_RAY_POINTS:
        hit = _first_hit(server, position, direction, left)
        if hit is None or not math.isfinite(hit[0]):
            break
        position = position + direction * hit[0]
        points.append([position.tolist(), hit[1]])
        position = position + direction * _PAST_SURFACE
        left -= hit[0] + _PAST_SURFACE
    return points
