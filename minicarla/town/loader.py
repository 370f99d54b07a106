"""Loads towns: finds the OpenDRIVE text, derives everything else from it once, and keeps that in the cache."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicarla.labels import WALLS
from minicarla.physics.ground import Surface
from minicarla.physics.obstacles import build_obstacle_grid
from minicarla.town import cache
from minicarla.town.generation import GenerationParameters, widened
from minicarla.town.lanes import LaneTable, ReferenceLines, sample_lanes
from minicarla.town.markings import crosswalk_polygons
from minicarla.town.minitown import minitown
from minicarla.town.navigation import build_navigation
from minicarla.town.opendrive import MAX_DISTANCE, RoadNetwork, parse_opendrive
from minicarla.town.parking_lots import PARKING_LOTS
from minicarla.town.racetracks import racetrack
from minicarla.town.scenery import build_surroundings
from minicarla.town.signals import find_signals
from minicarla.town.sources import (
    BUILT_IN_TOWN,
    RACETRACKS,
    TownError,
    map_path,
    read_opendrive,
    town_file_name,
    town_names,
)
from minicarla.town.spawn_points import spawn_points
from minicarla.town.surface import build_surface, lane_quads
from minicarla.town.town import Scenery, Town


def available_towns(folder: str | Path | None = None) -> list[str]:
    """CARLA's paths of all towns that can be loaded, such as "/Game/Carla/Maps/Town01"."""
    return [f"/Game/{map_path(name)}" for name in town_names(folder)]


def load_town(name: str, folder: str | Path | None = None) -> Town:
    """Load a town by name.

    Args:
        name: "Town05", "Town05_Opt", "/Game/Carla/Maps/Town05", "Carla/Maps/Town05", ...
        folder: folder with `.xodr` files to look in first, or None.

    Raises:
        TownError: there is no such town, or its file can neither be found nor fetched.
    """
    return build_town(town_file_name(name), opendrive_of(name, folder))


def opendrive_of(name: str, folder: str | Path | None = None) -> str:
    """The OpenDRIVE text of a town, also of those made here; arguments and errors as of `load_town`."""
    plain = town_file_name(name)
    if plain in RACETRACKS:
        return racetrack(plain)
    return minitown() if plain == BUILT_IN_TOWN else read_opendrive(name, folder)


def build_town(name: str, opendrive: str, parameters: GenerationParameters | None = None) -> Town:
    """Make a town of an OpenDRIVE text.

    Args:
        name: what it is called.
        opendrive: the text.
        parameters: how to make a world of a bare text; None for a town of CARLA's.

    Raises:
        TownError: the text is no OpenDRIVE, or holds no road.
    """
    key = opendrive if parameters is None else f"{parameters}\n{opendrive}"
    path = cache.entry_path(name.removesuffix("_Opt"), key, ".npz")
    arrays = cache.load_arrays(path)
    roads = None
    if arrays is None:
        roads = _roads(opendrive, parameters)
        arrays = _derive(name.removesuffix("_Opt"), opendrive, roads, parameters)
        cache.save_arrays(path, arrays)
    town = _town(name, opendrive, arrays)
    if parameters is None or parameters.enable_pedestrian_navigation:
        maker = _NavigationMaker(name.removesuffix("_Opt"), opendrive, key, town.surface, town.crosswalks, roads)
        town.make_navigation_mesh = maker
    return town


_Roads = tuple[RoadNetwork, ReferenceLines, LaneTable]


def _roads(opendrive: str, parameters: GenerationParameters | None = None) -> _Roads:
    network = parse_opendrive(opendrive)
    lines = ReferenceLines(network)
    lanes = sample_lanes(network, lines, parameters.step) if parameters else sample_lanes(network, lines)
    edges = np.concatenate([lanes.inner, lanes.outer])
    size = float(np.ptp(edges, axis=0).max()) if np.isfinite(edges).all() else np.inf
    if size > MAX_DISTANCE:
        raise TownError(f"The roads reach over {size:g} m, allowed are {MAX_DISTANCE:g} m.")
    return network, lines, lanes


def _derive(name: str, opendrive: str, roads: _Roads, parameters: GenerationParameters | None) -> cache.Arrays:
    """Everything that a text gives, as arrays."""
    network, lines, lanes = roads
    paved = widened(lanes, parameters.additional_width) if parameters else lanes
    surface, gores = build_surface(lane_quads(paved), [lot.area for lot in PARKING_LOTS.get(name, ())])
    signals, zones = find_signals(network, lines, lanes, surface)
    crosswalks = crosswalk_polygons(network, lines)
    seed = zlib.crc32(opendrive.encode("utf-8"))
    surroundings = build_surroundings(
        network, lanes, surface, gores, signals, zones, crosswalks, seed, name, parameters
    )
    scenery, obstacles = surroundings.scenery, surroundings.obstacles
    # Beside walls, narrow lanes would have no spawn point that is free for the widest vehicle.
    in_the_way = obstacles[obstacles["label"] != WALLS]
    return {
        "spawn_points": spawn_points(network, lanes, in_the_way, name),
        "surface_frame": np.array([surface.origin_x, surface.origin_y, surface.cell]),
        "tile_first": surface.tile_first,
        "tile_next": surface.tile_next,
        "height": surface.height,
        "label": surface.label,
        "obstacles": obstacles,
        "signals": cache.pack_signals(signals),
        "signal_zones": zones,
        "crosswalk_corners": np.concatenate([np.zeros((0, 3)), *crosswalks]),
        "crosswalk_sizes": np.array([len(polygon) for polygon in crosswalks], np.int64),
        "geo_reference": np.array(network.geo_reference),
        "scenery_vertices": scenery.vertices,
        "scenery_triangles": scenery.triangles,
        "scenery_label": scenery.label,
        "scenery_colour": scenery.colour,
        "scenery_object_id": scenery.object_id,
        "scenery_markings": np.array([scenery.marking_start, scenery.marking_stop]),
        "scenery_chunk": scenery.chunk,
        "scenery_reach": scenery.reach,
        "environment_objects": surroundings.objects,
        "street_lights": surroundings.street_lights,
    }


def _town(name: str, opendrive: str, arrays: cache.Arrays) -> Town:
    origin_x, origin_y, cell = (float(value) for value in arrays["surface_frame"])
    latitude, longitude = (float(value) for value in arrays["geo_reference"])
    marking_start, marking_stop = (int(value) for value in arrays["scenery_markings"])
    crosswalks = _split(arrays["crosswalk_corners"], arrays["crosswalk_sizes"])
    surface = Surface(
        origin_x, origin_y, cell, arrays["tile_first"], arrays["tile_next"], arrays["height"], arrays["label"]
    )
    return Town(
        name=name,
        map_name=map_path(name),
        opendrive=opendrive,
        spawn_points=arrays["spawn_points"],
        surface=surface,
        obstacles=arrays["obstacles"],
        obstacle_grid=build_obstacle_grid(arrays["obstacles"]),
        signals=cache.unpack_signals(arrays["signals"]),
        signal_zones=arrays["signal_zones"],
        crosswalks=crosswalks,
        geo_reference=(latitude, longitude),
        scenery=Scenery(
            arrays["scenery_vertices"],
            arrays["scenery_triangles"],
            arrays["scenery_label"],
            arrays["scenery_colour"],
            arrays["scenery_object_id"],
            marking_start,
            marking_stop,
            arrays["scenery_chunk"],
            arrays["scenery_reach"],
        ),
        environment_objects=arrays["environment_objects"],
        street_lights=arrays["street_lights"],
    )


def _split(corners: NDArray[np.float64], sizes: NDArray[np.integer]) -> list[NDArray[np.float64]]:
    return [np.array(part) for part in np.split(corners, np.cumsum(sizes)[:-1])] if len(sizes) else []


@dataclass
class _NavigationMaker:
    """Makes or finds the navigation mesh of a town; `roads` are kept for it where they were just read."""

    name: str
    opendrive: str
    key: str
    surface: Surface
    crosswalks: list[NDArray[np.float64]]
    roads: _Roads | None

    def __call__(self) -> tuple[str, bytes]:
        roads, self.roads = self.roads, None
        path = cache.entry_path(self.name, self.key, ".nav")
        data = cache.load_bytes(path)
        if data is None:
            network, _, lanes = roads or _roads(self.opendrive)
            data = build_navigation(network, lanes, self.surface, self.crosswalks)
            cache.save_bytes(path, data)
        return (f"{self.name}-{zlib.crc32(data):08x}.bin", data) if data else ("", b"")
