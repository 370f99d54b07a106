"""Loads towns: finds the OpenDRIVE text, derives everything else from it."""

from __future__ import annotations

import zlib
from pathlib import Path

from rllib_integration.embedded.physics.obstacles import build_obstacle_grid
from rllib_integration.embedded.town.lanes import ReferenceLines, sample_lanes
from rllib_integration.embedded.town.markings import crosswalk_polygons
from rllib_integration.embedded.town.minitown import minitown
from rllib_integration.embedded.town.opendrive import parse_opendrive
from rllib_integration.embedded.town.scenery import build_surroundings
from rllib_integration.embedded.town.signals import find_signals
from rllib_integration.embedded.town.sources import BUILT_IN_TOWN, read_opendrive, town_file_name, town_names
from rllib_integration.embedded.town.spawn_points import spawn_points
from rllib_integration.embedded.town.surface import build_surface, lane_quads
from rllib_integration.embedded.town.town import Town


def available_towns(folder: str | Path | None = None) -> list[str]:
    """CARLA's paths of all towns that can be loaded, such as "/Game/Carla/Maps/Town01"."""
    return [f"/Game/Carla/Maps/{name}" for name in town_names(folder)]


def load_town(name: str, folder: str | Path | None = None) -> Town:
    """Load a town by name.

    Args:
        name: "Town05", "Town05_Opt", "/Game/Carla/Maps/Town05", "Carla/Maps/Town05", ...
        folder: folder with `.xodr` files to look in first, or None.

    Raises:
        TownError: there is no such town, or its file can neither be found nor fetched.
    """
    plain = town_file_name(name)
    return build_town(plain, minitown() if plain == BUILT_IN_TOWN else read_opendrive(name, folder))


def build_town(name: str, opendrive: str) -> Town:
    """Make a town of an OpenDRIVE text.

    Raises:
        TownError: the text is no OpenDRIVE, or holds no road.
    """
    network = parse_opendrive(opendrive)
    lines = ReferenceLines(network)
    lanes = sample_lanes(network, lines)
    surface, gores = build_surface(lane_quads(lanes))
    signals, zones = find_signals(network, lines, lanes, surface)
    crosswalks = crosswalk_polygons(network, lines)
    seed = zlib.crc32(opendrive.encode("utf-8"))
    surroundings = build_surroundings(network, lanes, surface, gores, signals, zones, crosswalks, seed)
    return Town(
        name=name,
        map_name=f"Carla/Maps/{name}",
        opendrive=opendrive,
        spawn_points=spawn_points(network, lanes),
        surface=surface,
        obstacles=surroundings.obstacles,
        obstacle_grid=build_obstacle_grid(surroundings.obstacles),
        signals=signals,
        signal_zones=zones,
        crosswalks=crosswalks,
        geo_reference=network.geo_reference,
        scenery=surroundings.scenery,
        environment_objects=surroundings.objects,
        street_lights=surroundings.street_lights,
        make_navigation_mesh=lambda: ("", b""),
    )
