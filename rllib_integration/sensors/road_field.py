"""How far it is from any place to the edge of the road: a grid of distances, and rays that march through it.

Edges are those of the driving lanes. Between lanes, and where lanes cross in a junction, there is none: the lanes
are drawn wider than they are, so that neighbours overlap, and the distance to the edge of the drawing is taken
less that growth. What a ray meets is therefore exact to some centimetres, where the bird view's picture, which has
the growth in it, is not. Roads above one another are told apart as in the bird view.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import NamedTuple

import carla
import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.roads.lanes import SampledLanes, town_lanes
from rllib_integration.roads.town_cache import TownMemory, entry_path, write_entry
from rllib_integration.sensors.bird_view.map_drawing import GROWTH, MapDrawing, draw_roads
from rllib_integration.sensors.bird_view.map_storeys import (
    BOTH,
    CELL,
    LOWER,
    UPPER,
    find_storeys,
    road_heights,
    storey_of_quads,
    tile_storeys,
)

logger = logging.getLogger(__name__)

FIELD_VERSION = 1
"""Part of the cache's key: raise it whenever the field changes."""

NODES = 4  # a metre
CELLS = 64  # along a tile's side; tiles share the nodes at their edges
SPAN = CELLS / NODES  # [m] side of a tile
FARTHEST = 2.5  # [m] from the edge that distances are told; larger ones are told as this
DOTS = 20  # a metre, of the drawing that distances are measured in
LARGE_TOWN_LENGTH = 200_000.0  # [m of lane] above which half as many dots do, and above twice of it a quarter
_PIECE = 0.25  # [m] of lane drawn as one straight piece
_POINTS = 10  # a metre, in which storeys are looked for, as for the bird view
_MILLIMETRE = 0.001
_TURN = 0.4  # [rad] of the drawings: an edge along a row of dots would be as uncertain as a dot is wide
_BEYOND = 0.2  # [dots] from a line of any other direction to the nearest dot behind it, on average
_OFF_ROAD = -1
_SHORTEST_STEP = 0.1  # [m] along a ray that grazes the edge
_SPARE = 2.0  # [tiles] around what rays reach that are kept at hand


class RoadField(NamedTuple):
    """Distances to the road's edge all over a town.

    Attributes:
        tiles: `int16 (n, 65, 65)` distance (mm) from each node to the edge, positive on the road; row = y.
        numbers: `int32 (2, rows, columns)` number of each tile as seen from above, and with upper roads taken away;
            -1 = no road near.
        storeys: `float32 (rows, columns)` height (m) between the two, NaN = they are the same.
        origin: `float64 (2,)` world x, y (m) of the first node of tile (0, 0).
    """

    tiles: NDArray[np.int16]
    numbers: NDArray[np.int32]
    storeys: NDArray[np.float32]
    origin: NDArray[np.float64]

    @classmethod
    def of_map(cls, carla_map: carla.Map, folder: Path | None = None) -> RoadField:
        """The field of a town, from this process, from the cache, or made now and cached.

        Args:
            carla_map: The town.
            folder: Cache folder; the user's own is the default.
        """
        return _FIELDS.get(carla_map, lambda: cls._load_or_make(carla_map, folder), folder)

    @classmethod
    def _load_or_make(cls, carla_map: carla.Map, folder: Path | None) -> RoadField:
        path = entry_path("road_field", FIELD_VERSION, carla_map, folder)
        if not path.exists():
            logger.info("Measuring the road edges of %s, once; they are kept in %s.", carla_map.name, path)
            field = cls.make(town_lanes(carla_map, folder))
            write_entry(path, field.save)
            if not path.exists():
                return field
        tiles = np.load(path / "tiles.npy", mmap_mode="r")
        return cls(np.asarray(tiles), *(np.load(path / f"{name}.npy") for name in cls._fields[1:]))

    def save(self, path: Path) -> None:
        """Write the arrays into an existing folder."""
        for name, array in self._asdict().items():
            np.save(path / f"{name}.npy", array)

    @classmethod
    def make(cls, lanes: SampledLanes) -> RoadField:
        """Measure the distances to the edges of a town's driving lanes."""
        drawing = draw_roads(lanes, _PIECE)
        length, dots = len(drawing.quads) * _PIECE, DOTS
        while length > LARGE_TOWN_LENGTH and dots > DOTS // 4:
            length, dots = length / 2.0, dots // 2
        corners = drawing.quads.reshape(-1, 2).astype(np.float64)
        origin = np.floor((corners.min(axis=0) - FARTHEST) / SPAN) * SPAN
        columns, rows = (np.ceil((corners.max(axis=0) + FARTHEST - origin) / SPAN)).astype(int)
        storey, between = _storeys(drawing, origin, (int(rows), int(columns)))
        numbers = np.full((2, rows, columns), _OFF_ROAD, np.int32)
        tiles: list[NDArray[np.int16]] = []
        near = _quads_near_tiles(drawing, origin, (int(rows), int(columns)))
        for (row, column), quads in near.items():
            parted = bool((storey[quads] != BOTH).any())
            if parted and math.isnan(between[row, column]):
                between[row, column] = np.nanmean(between[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2])
            for view, hidden in ((0, LOWER), (1, UPPER)):
                if view == 1 and not parted:
                    numbers[1, row, column] = numbers[0, row, column]
                    continue
                numbers[view, row, column] = len(tiles)
                shown = drawing.quads[quads[storey[quads] != hidden]]
                tiles.append(_measure(shown, origin + np.array([column, row]) * SPAN, dots))
        return cls(np.stack(tiles), numbers, between.astype(np.float32), origin)


_FIELDS: TownMemory[RoadField] = TownMemory()


def _storeys(
    drawing: MapDrawing, origin: NDArray[np.float64], tiles: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The storey of each quadrilateral, and the height between the storeys of each tile (NaN where there is one)."""
    points = ((drawing.quads - origin) * _POINTS).astype(np.float32)
    cells = (tiles[0] * int(SPAN) * _POINTS // CELL, tiles[1] * int(SPAN) * _POINTS // CELL)
    between = find_storeys(road_heights(points, drawing.heights, cells))
    along = int(SPAN) * _POINTS // CELL
    return storey_of_quads(points, drawing.heights, between), tile_storeys(between, along).astype(np.float64)


def _quads_near_tiles(
    drawing: MapDrawing, origin: NDArray[np.float64], tiles: tuple[int, int]
) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Which quadrilaterals matter to each tile: those within reach of its nodes."""
    reach = FARTHEST + GROWTH
    limit = np.array([tiles[1] - 1, tiles[0] - 1])
    first = np.clip((drawing.quads.min(axis=1) - reach - origin) // SPAN, 0, limit).astype(np.int64)
    last = np.clip((drawing.quads.max(axis=1) + reach - origin) // SPAN, 0, limit).astype(np.int64)
    found: dict[tuple[int, int], list[int]] = {}
    for number, ((left, top), (right, bottom)) in enumerate(zip(first.tolist(), last.tolist())):
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                found.setdefault((row, column), []).append(number)
    return {place: np.array(numbers) for place, numbers in found.items()}


def _measure(quads: NDArray[np.float32], corner: NDArray[np.float64], dots: int) -> NDArray[np.int16]:
    """The distances of one tile: `quads` are drawn around it, turned by `_TURN`, and measured on the drawing."""
    turn = np.array([[math.cos(_TURN), -math.sin(_TURN)], [math.sin(_TURN), math.cos(_TURN)]]) * dots
    nodes = (np.mgrid[: CELLS + 1, : CELLS + 1][::-1] / NODES).reshape(2, -1).T @ turn
    margin = (FARTHEST + GROWTH) * dots + 2.0
    shift = margin - nodes.min(axis=0)
    side = math.ceil(np.ptp(nodes, axis=0).max() + 2.0 * margin)
    drawn = np.zeros((side, side), np.uint8)
    _fill(((quads - corner) @ turn + shift).astype(np.float32), drawn)
    inside = cv2.distanceTransform(drawn, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - drawn, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    signed = np.where(drawn > 0, inside - _BEYOND, _BEYOND - outside)
    places = (nodes + shift - 0.5).astype(np.float32).reshape(CELLS + 1, CELLS + 1, 2)
    found = cv2.remap(signed, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
    return np.round(np.clip(found / dots - GROWTH, -FARTHEST, FARTHEST) / _MILLIMETRE).astype(np.int16)


@njit(cache=True)
def _fill(quads: NDArray[np.float32], drawn: NDArray[np.uint8]) -> None:
    """Set the dots whose middle is within a convex quadrilateral `(n, 4, 2)`, in dots from the picture's corner."""
    height, width = drawn.shape
    for q in range(quads.shape[0]):
        quad = quads[q]
        area = 0.0
        for k in range(4):
            n = (k + 1) % 4
            area += quad[k, 0] * quad[n, 1] - quad[n, 0] * quad[k, 1]
        sense = 1.0 if area >= 0.0 else -1.0
        for i in range(max(int(quad[:, 1].min()), 0), min(int(quad[:, 1].max()) + 1, height)):
            for j in range(max(int(quad[:, 0].min()), 0), min(int(quad[:, 0].max()) + 1, width)):
                inside = True
                for k in range(4):
                    n = (k + 1) % 4
                    across = (quad[n, 0] - quad[k, 0]) * (i + 0.5 - quad[k, 1])
                    cross = across - (quad[n, 1] - quad[k, 1]) * (j + 0.5 - quad[k, 0])
                    if cross * sense < 0.0:
                        inside = False
                        break
                if inside:
                    drawn[i, j] = 1


class EdgeRays:
    """Rays from moving places to the road's edge.

    Keeps the part of a field that is around the last place as one picture, which rays march through fastest.

    Args:
        field: The town.
        angles: `float64 (n,)` directions of the rays, rad, positive to the right.
        far: Their length, m.
    """

    def __init__(self, field: RoadField, angles: NDArray[np.float64], far: float) -> None:
        self._field = field
        self._far = far
        self.directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self._tiles = (0, 0, -1, -1)  # first row and column, last row and column of the picture
        self._heights: list[float] = []  # between the storeys of its tiles
        self._below: list[bool] = []
        self._picture = np.zeros((0, 0), np.int16)

    def cast(self, x: float, y: float, z: float, yaw: float) -> NDArray[np.float32]:
        """How far it is to the road's edge in each direction.

        Args:
            x: Where the rays begin, m.
            y: Same, m.
            z: Height, m: decides between roads above one another.
            yaw: Direction that angles are counted from, rad.

        Returns:
            `float32 (n,)` distances (m): 0 from a place off the road, `far` where no edge is nearer.
        """
        column, row = (x - self._field.origin[0]) / SPAN, (y - self._field.origin[1]) / SPAN
        needed = self._around(row, column, self._far / SPAN)
        tiles = self._tiles
        if needed[0] < tiles[0] or needed[1] < tiles[1] or needed[2] > tiles[2] or needed[3] > tiles[3]:
            self._tiles = self._around(row, column, self._far / SPAN + _SPARE)
            self._heights = self._parted(self._tiles)
            self._below = []
            self._assemble(z)
        elif [z < height for height in self._heights] != self._below:
            self._assemble(z)
        distances = np.empty(len(self.directions), np.float32)
        u, v = (column - self._tiles[1]) * CELLS, (row - self._tiles[0]) * CELLS
        _march(self._picture, u, v, math.cos(yaw), math.sin(yaw), self.directions, self._far, distances)
        return distances

    def _around(self, row: float, column: float, reach: float) -> tuple[int, int, int, int]:
        """The tiles within reach of a place, all in tiles; those outside of the town are left out."""
        _, rows, columns = self._field.numbers.shape
        first, last = (
            (max(math.floor(row - reach), 0), max(math.floor(column - reach), 0)),
            (row + reach, column + reach),
        )
        return *first, min(math.floor(last[0]), rows - 1), min(math.floor(last[1]), columns - 1)

    def _parted(self, tiles: tuple[int, int, int, int]) -> list[float]:
        inside = self._field.storeys[tiles[0] : tiles[2] + 1, tiles[1] : tiles[3] + 1]
        return inside[np.isfinite(inside)].tolist()

    def _assemble(self, z: float) -> None:
        """Copy the tiles into one picture."""
        self._below = [z < height for height in self._heights]
        first_row, first_column, last_row, last_column = self._tiles
        rows, columns = max(last_row - first_row + 1, 0), max(last_column - first_column + 1, 0)
        self._picture = np.full((rows * CELLS + 1, columns * CELLS + 1), -1, np.int16)
        for i in range(rows):
            for j in range(columns):
                row, column = first_row + i, first_column + j
                number = self._field.numbers[int(z < self._field.storeys[row, column]), row, column]
                if number >= 0:
                    place = self._picture[i * CELLS : (i + 1) * CELLS + 1, j * CELLS : (j + 1) * CELLS + 1]
                    # A tile without roads beside it has said nothing of the nodes that they share.
                    place[:] = self._field.tiles[number]


@njit(cache=True)
def _march(
    picture: NDArray[np.int16],
    u: float,
    v: float,
    c: float,
    s: float,
    directions: NDArray[np.float64],
    far: float,
    distances: NDArray[np.float32],
) -> None:
    """March along each ray from column u, row v: no edge is nearer than the distance told, so a step may be as long."""
    height, width = picture.shape
    for n in range(directions.shape[0]):
        du = (directions[n, 0] * c - directions[n, 1] * s) * NODES
        dv = (directions[n, 0] * s + directions[n, 1] * c) * NODES
        gone, step, before = 0.0, 0.0, 0.0
        while True:
            at_u, at_v = u + gone * du, v + gone * dv
            if at_u < 0.0 or at_v < 0.0 or at_u >= width - 1 or at_v >= height - 1:
                break
            j, i = int(at_u), int(at_v)
            x, y = at_u - j, at_v - i
            upper = picture[i, j] * (1.0 - x) + picture[i, j + 1] * x
            lower = picture[i + 1, j] * (1.0 - x) + picture[i + 1, j + 1] * x
            here = (upper * (1.0 - y) + lower * y) * _MILLIMETRE
            if here <= 0.0:
                if before > 0.0:
                    gone += step * here / (before - here)
                break
            if gone >= far:
                break
            step, before = max(here, _SHORTEST_STEP), here
            gone += step
        distances[n] = min(gone, far)
