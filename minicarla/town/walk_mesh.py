"""The navigation mesh of a town as the server's own pedestrians walk on it: polygons, what lies beyond their edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.town.detour import ROAD_AREA, SIDEWALK_AREA, decode
from minicarla.town.lanes import Array
from minicarla.town.town import STOP_ZONE_BEYOND, Town

Integers = NDArray[np.int32]

_LIGHT_REACH, _SAME_LEVEL = 9.0, 3.0  # [m] from a crossing to the stop line of the light that holds the cars


class WalkMesh(NamedTuple):
    """All places where pedestrians walk: n convex polygons of up to 6 corners, with negative area in (x, y).

    Attributes:
        corner: float64 (n, 6, 3) [m].
        size: int32 (n,), corners of each polygon.
        beyond: int32 (n, 6), polygon beyond the edge that begins at a corner, or -1.
        area: int32 (n,), `detour.SIDEWALK_AREA`, `CROSSWALK_AREA` or `ROAD_AREA`.
        light: int32 (n,), row of the traffic light that holds the cars before a crossing, or -1.
        triangle: int32 (m, 2), polygon and number of the second corner of the triangles of its fan, for the sidewalks
            that hang together.
        share: float64 (m,), share of the area of all triangles up to each, itself included.
    """

    corner: Array
    size: Integers
    beyond: Integers
    area: Integers
    light: Integers
    triangle: Integers
    share: Array


def build_walk_mesh(town: Town) -> WalkMesh:
    """Read the navigation mesh of a town; without one there are no polygons."""
    mesh = decode(town.navigation_mesh()[1])
    corner = mesh.vertices[mesh.corners]
    triangle, share = _triangles(corner, mesh.size, mesh.beyond, mesh.area)
    light = _lights(town, corner, mesh.size, mesh.area)
    return WalkMesh(corner, mesh.size, mesh.beyond, mesh.area, light, triangle, share)


def _triangles(corner: Array, size: Integers, beyond: Integers, area: Integers) -> tuple[Integers, Array]:
    """Triangles of the largest part of the sidewalks that one need not leave for a road, and their shares."""
    part = _parts(beyond, area)
    kept = np.flatnonzero(area == SIDEWALK_AREA)
    if not len(kept):
        return np.zeros((0, 2), np.int32), np.zeros(0)
    kept = kept[part[kept] == np.bincount(part[kept]).argmax()]
    triangle = np.array([(row, k) for row in kept for k in range(1, size[row] - 1)], np.int32)
    row, k = triangle.T
    a, b = corner[row, k] - corner[row, 0], corner[row, k + 1] - corner[row, 0]
    area_of_two = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    return triangle, np.cumsum(area_of_two) / area_of_two.sum()


def _parts(beyond: Integers, area: Integers) -> Integers:
    """For each polygon the number of the part that can be walked without stepping on a road."""
    part = np.full(len(area), -1, np.int32)
    neighbours = beyond.tolist()
    off_road = (area != ROAD_AREA).tolist()
    for first in range(len(area)):
        ahead = [first] if part[first] < 0 else []
        while ahead:
            polygon = ahead.pop()
            if part[polygon] < 0:
                part[polygon] = first
                if off_road[polygon]:
                    ahead += [other for other in neighbours[polygon] if other >= 0 and off_road[other]]
    return part


def _lights(town: Town, corner: Array, size: Integers, area: Integers) -> Integers:
    """For each crossing the traffic light whose stop line is nearest, if it is near."""
    light = np.full(len(area), -1, np.int32)
    is_light = np.array([signal.is_traffic_light for signal in town.signals], bool)
    zones = town.signal_zones
    zones = zones[is_light[zones["signal"]]] if len(zones) else zones
    if not len(zones):
        return light
    ahead = zones["extent_x"] - STOP_ZONE_BEYOND
    lines = np.stack(
        [zones["x"] + np.cos(zones["yaw"]) * ahead, zones["y"] + np.sin(zones["yaw"]) * ahead, zones["z"]], axis=1
    )
    number = (np.cumsum(is_light) - 1)[zones["signal"]]
    for row in np.flatnonzero(area != SIDEWALK_AREA):
        ring = corner[row, : size[row]]
        places = np.concatenate([ring, 0.5 * (ring + np.roll(ring, 1, axis=0)), ring.mean(axis=0)[None]])
        apart = places[:, None] - lines[None]
        distance = np.hypot(apart[..., 0], apart[..., 1])
        distance[np.abs(apart[..., 2]) > _SAME_LEVEL] = np.inf
        nearest = int(distance.min(axis=0).argmin())
        if distance[:, nearest].min() < _LIGHT_REACH:
            light[row] = number[nearest]
    return light
