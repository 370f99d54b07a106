"""Everything of a town that cameras see and that vehicles can hit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicarla.labels import ROAD_LINES, WALLS
from minicarla.physics.ground import Surface
from minicarla.town.chunks import sort_into_chunks
from minicarla.town.furniture import Furniture
from minicarla.town.generation import GenerationParameters, widened
from minicarla.town.ground_mesh import add_gores, add_lanes, add_terrain
from minicarla.town.lanes import LaneTable
from minicarla.town.markings import COLOURS, crosswalk_stripes, lane_lines, stop_lines
from minicarla.town.mesh import Array, MeshBuilder
from minicarla.town.opendrive import RoadNetwork
from minicarla.town.parking_lots import PARKING_LOTS
from minicarla.town.town import Scenery, Signal


@dataclass
class Surroundings:
    """Scenery with what belongs to it: obstacles, environment objects, lamps of street lights (n, 3) [m]."""

    scenery: Scenery
    obstacles: NDArray[np.void]
    objects: NDArray[np.void]
    street_lights: Array


def build_surroundings(
    network: RoadNetwork,
    lanes: LaneTable,
    surface: Surface,
    gores: Array,
    signals: list[Signal],
    zones: NDArray[np.void],
    crosswalks: list[Array],
    seed: int,
    name: str,
    parameters: GenerationParameters | None = None,
) -> Surroundings:
    """Make the scenery of the town `name`; the same arguments give the same scenery.

    With `parameters` it is a world of a bare OpenDRIVE text.
    """
    mesh = MeshBuilder()
    marking_start = mesh.triangle_count
    for quads, colour in lane_lines(network, lanes):
        mesh.add_quads(quads, ROAD_LINES, colour)
    for quads in (crosswalk_stripes(crosswalks), stop_lines(signals, zones)):
        mesh.add_quads(quads, ROAD_LINES, COLOURS["white"])
    for lot in PARKING_LOTS.get(name, ()):
        mesh.add_quads(lot.lines(surface), ROAD_LINES, COLOURS["white"])
    marking_stop = mesh.triangle_count
    add_lanes(mesh, widened(lanes, parameters.additional_width) if parameters else lanes, surface)
    add_gores(mesh, gores)
    add_terrain(mesh, surface, seed)
    furniture = Furniture(mesh, surface, seed)
    furniture.add_signals(signals, lanes)
    furniture.add_run_ups(name)
    if parameters and parameters.wall_height > 0.0:
        furniture.add_walls(lanes, parameters.wall_height, parameters.max_road_length)
    furniture.add_roadside(lanes)
    scenery = sort_into_chunks(mesh.build(marking_start, marking_stop))
    if parameters and not parameters.enable_mesh_visibility:
        scenery = scenery.only((scenery.object_id > 0) & (scenery.label != WALLS))
    return Surroundings(
        scenery,
        furniture.obstacles(),
        furniture.objects(),
        np.array(furniture.street_lights).reshape(-1, 3),
    )
