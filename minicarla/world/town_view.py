"""A town with some of its objects hidden: map layers unloaded, environment objects disabled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.physics.obstacles import build_obstacle_grid
from minicarla.town import Town
from minicarla.town.town import ray_targets

Colour = tuple[int, int, int]
ALL_LAYERS = 0xFFFF

_STREET_LIGHTS = 0x80
_LABELS_OF_LAYER = {
    0x1: {labels.BUILDINGS},
    0x4: {labels.VEGETATION},  # foliage
    0x40: {labels.BICYCLE, labels.STATIC, labels.DYNAMIC, labels.OTHER},  # props
    0x100: {labels.WALLS, labels.FENCES, labels.GUARD_RAIL},
}


def hidden_by_layers(town: Town, layers: int) -> set[int]:
    """Ids of the environment objects that unloaded layers hide; only towns named "..._Opt" have layers, as in CARLA."""
    if layers & ALL_LAYERS == ALL_LAYERS or not town.name.endswith("_Opt"):
        return set()
    hidden = {label for bit, group in _LABELS_OF_LAYER.items() if not layers & bit for label in group}
    objects = town.environment_objects
    found = set(objects["object_id"][np.isin(objects["label"], list(hidden))].tolist())
    return found if layers & _STREET_LIGHTS else found | set(_street_lights(town).tolist())


def _street_lights(town: Town) -> NDArray[np.uint64]:
    """Ids of the poles that carry `Town.street_lights`, in the same order; others carry traffic lights and signs."""
    objects = town.environment_objects
    return np.asarray(objects["object_id"][np.char.startswith(objects["name"], b"StreetLight_")])


def missing_lamps(town: Town, hidden: set[int]) -> NDArray[np.bool_]:
    """Which of `Town.street_lights` give no light because their poles are hidden."""
    if not hidden:
        return np.zeros(len(town.street_lights), bool)
    return np.isin(_street_lights(town), np.array(sorted(hidden), np.uint64))


def without(town: Town, hidden: set[int]) -> Town:
    """The town without some environment objects: neither seen nor hit."""
    if not hidden:
        return town
    gone = np.array(sorted(hidden), np.uint64)
    obstacles = np.ascontiguousarray(town.obstacles[~np.isin(town.obstacles["object_id"], gone)])
    view = dataclasses.replace(
        town,
        obstacles=obstacles,
        obstacle_grid=build_obstacle_grid(obstacles),
        scenery=town.scenery.only(~np.isin(town.scenery.object_id, gone)),
    )
    objects = town.environment_objects
    vars(view)["ray_targets"] = ray_targets(obstacles, objects[~np.isin(objects["object_id"], gone)])
    return _with_what_is_known_of(town, view)


def painted(town: Town, colours: Mapping[int, Colour]) -> Town:
    """The town with some environment objects in one colour each.

    Args:
        town: The town.
        colours: Red, green, blue by object id.
    """
    if not colours:
        return town
    scenery = town.scenery
    colour = scenery.colour.copy()
    for number, paint in colours.items():
        colour[scenery.object_id == number] = paint
    view = dataclasses.replace(town, scenery=dataclasses.replace(scenery, colour=colour))
    vars(view)["ray_targets"] = town.ray_targets
    return _with_what_is_known_of(town, view)


def _with_what_is_known_of(town: Town, view: Town) -> Town:
    """Keep what was computed of a town for a view of it."""
    for name in ("carla_map", "_navigation_mesh"):
        if name in vars(town):
            vars(view)[name] = vars(town)[name]
    return view
