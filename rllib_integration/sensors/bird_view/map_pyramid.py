"""The drawn town as tiles at several resolutions, in the user's cache folder, shared by all workers.

Level 0 holds the number of the surface at every point, `BASE_RESOLUTION` points a metre; each further level
halves the resolution and holds how much of each surface a point covers, so that colours and class masks both come
out of it without aliasing. Only tiles with something on them are stored, and files are mapped into memory: a
town costs its workers one copy together.

Where roads cross above one another there are two storeys of a tile: one as seen from above, one with the upper
road taken away. A view takes the storey that the hero is on.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import NamedTuple

import carla
import cv2
import numpy as np
from numpy.typing import NDArray

from rllib_integration.roads.lanes import town_lanes
from rllib_integration.roads.town_cache import TownMemory, entry_path, write_entry
from rllib_integration.sensors.bird_view.map_drawing import DRAWING_VERSION, ROAD_SURFACE, MapDrawing, draw_map
from rllib_integration.sensors.bird_view.map_kernels import TILE, fill_quads
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

LEVELS = 6
BASE_RESOLUTION = 10.0  # [points/m] of level 0
LARGE_TOWN_LENGTH = 200_000.0  # [m of lane] above which the base resolution is halved, and halved again
MARGIN = 2.0  # [m] around everything drawn


class Level(NamedTuple):
    """One resolution of the pyramid.

    Attributes:
        tiles: `uint8 (n, 128, 128)` surface numbers at level 0, else `uint8 (n, 128, 128, k)` coverage
            (255 = all) by each of the pyramid's surfaces.
        numbers: `int32 (2, rows, columns)` number of each tile seen from above and with upper roads taken away;
            -1 = bare ground.
    """

    tiles: NDArray[np.uint8]
    numbers: NDArray[np.int32]


class MapPyramid:
    """A town's picture at several resolutions.

    Attributes:
        origin: World x, y (m) of the corner of tile (0, 0).
        resolution: Points a metre of level 0.
        levels: The resolutions, finest first.
        surfaces: Numbers of the surfaces that occur in the town, without the ground.
        storeys: `float32 (rows, columns)` height (m) between the storeys of a level-0 cell, NaN = one storey.
        heights: `float32 (2, rows, columns)` height (m) of the lowest and the highest road of a cell, NaN = none.
    """

    def __init__(
        self,
        origin: tuple[float, float],
        resolution: float,
        levels: list[Level],
        surfaces: tuple[int, ...],
        storeys: NDArray[np.float32],
        heights: NDArray[np.float32],
    ) -> None:
        self.origin = origin
        self.resolution = resolution
        self.levels = levels
        self.surfaces = surfaces
        self.storeys = storeys
        self.heights = heights
        self._cell_size = CELL / resolution  # [m]
        self._has_storeys = bool(np.isfinite(storeys).any())
        self._tile_storeys = [tile_storeys(storeys, TILE // CELL * 2**level) for level in range(len(levels))]

    @classmethod
    def of_map(cls, carla_map: carla.Map, folder: Path | None = None) -> MapPyramid:
        """The pyramid of a town, from this process, from the cache, or drawn now and cached.

        Args:
            carla_map: The town.
            folder: Cache folder; the user's own is the default.
        """
        return _PYRAMIDS.get(carla_map, lambda: cls._load_or_draw(carla_map, folder), folder)

    @classmethod
    def _load_or_draw(cls, carla_map: carla.Map, folder: Path | None) -> MapPyramid:
        path = entry_path("bird_view", DRAWING_VERSION, carla_map, folder)
        pyramid = cls.load(path)
        if pyramid is None:
            logger.info("Drawing the bird view's map of %s, once; it is kept in %s.", carla_map.name, path)
            pyramid = cls.draw(draw_map(town_lanes(carla_map, folder)))
            write_entry(path, pyramid.save)
            pyramid = cls.load(path) or pyramid
        return pyramid

    @classmethod
    def draw(cls, drawing: MapDrawing) -> MapPyramid:
        """Rasterise a drawing at every resolution."""
        corners = drawing.quads.reshape(-1, 2)
        low, high = corners.min(axis=0) - MARGIN, corners.max(axis=0) + MARGIN
        resolution = BASE_RESOLUTION
        lane_length = _strip_length(drawing.quads[drawing.surfaces == ROAD_SURFACE])
        while lane_length > LARGE_TOWN_LENGTH and resolution > 4.0:
            resolution /= 2.0
            lane_length /= 2.0
        # Snapped, so that the picture does not depend on what lies at the edge of the town.
        span = TILE / resolution
        origin = (math.floor(low[0] / span) * span, math.floor(low[1] / span) * span)
        columns = math.ceil((high[0] - origin[0]) / span)
        rows = math.ceil((high[1] - origin[1]) / span)
        points = ((drawing.quads - np.array(origin, np.float32)) * np.float32(resolution)).astype(np.float32)

        cells = (rows * TILE // CELL, columns * TILE // CELL)
        is_road = drawing.surfaces == ROAD_SURFACE
        heights = road_heights(points[is_road], drawing.heights[is_road], cells)
        storeys = find_storeys(heights)
        storey = storey_of_quads(points, drawing.heights, storeys)
        index = _number_tiles(points, storey, rows, columns)
        tiles = np.zeros((index.max() + 1, TILE, TILE), np.uint8)
        for view, hidden in ((0, LOWER), (1, UPPER)):
            # What the view does not show is drawn first: the rest covers it.
            first = storey == hidden
            fill_quads(points[first], drawing.surfaces[first], index, view, tiles)
            fill_quads(points[~first], drawing.surfaces[~first], index, view, tiles)
        surfaces = tuple(int(surface) for surface in np.unique(drawing.surfaces))
        levels = [Level(tiles, index)]
        for _ in range(LEVELS - 1):
            levels.append(_halve(levels[-1], surfaces))
        return cls(origin, resolution, levels, surfaces, storeys, heights)

    def save(self, path: Path) -> None:
        """Write the pyramid into an existing folder."""
        for number, level in enumerate(self.levels):
            np.save(path / f"tiles{number}.npy", level.tiles)
            np.save(path / f"index{number}.npy", level.numbers)
        np.save(path / "storeys.npy", self.storeys)
        np.save(path / "heights.npy", self.heights)
        facts = {
            "origin": self.origin,
            "resolution": self.resolution,
            "levels": len(self.levels),
            "surfaces": self.surfaces,
        }
        (path / "pyramid.json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, path: Path) -> MapPyramid | None:
        """Map a saved pyramid into memory; None if there is none."""
        if not (path / "pyramid.json").exists():
            return None
        facts = json.loads((path / "pyramid.json").read_text())
        levels = [
            Level(np.load(path / f"tiles{number}.npy", mmap_mode="r"), np.load(path / f"index{number}.npy"))
            for number in range(facts["levels"])
        ]
        origin = (float(facts["origin"][0]), float(facts["origin"][1]))
        surfaces = tuple(int(surface) for surface in facts["surfaces"])
        storeys, heights = np.load(path / "storeys.npy"), np.load(path / "heights.npy")
        return cls(origin, float(facts["resolution"]), levels, surfaces, storeys, heights)

    def level_for(self, resolution: float) -> int:
        """The level whose points are about as large as the pixels of a picture of so many pixels a metre."""
        return int(np.clip(math.floor(math.log2(self.resolution / resolution) + 0.4), 0, len(self.levels) - 1))

    def _cell(self, x: float, y: float) -> tuple[int, int] | None:
        size = self._cell_size
        column, row = math.floor((x - self.origin[0]) / size), math.floor((y - self.origin[1]) / size)
        if 0 <= row < self.storeys.shape[0] and 0 <= column < self.storeys.shape[1]:
            return row, column
        return None

    def road_height(self, x: float, y: float, z: float) -> float:
        """Height (m) of the road at a place that is nearest to `z`; `z` itself where there is no road."""
        cell = self._cell(x, y)
        if cell is None:
            return z
        low, high = float(self.heights[0, cell[0], cell[1]]), float(self.heights[1, cell[0], cell[1]])
        if math.isnan(low):
            return z
        return low if abs(z - low) <= abs(z - high) else high

    def is_hidden(self, x: float, y: float, z: float, viewer: float) -> bool:
        """Whether something at a place is on another storey than what a viewer of road height `viewer` sees."""
        cell = self._cell(x, y) if self._has_storeys else None
        if cell is None or math.isnan(self.storeys[cell]):
            return False
        between = float(self.storeys[cell])
        return (z < between) != (viewer < between)

    def tile_storeys(self, level: int) -> NDArray[np.float32]:
        """`(rows, columns)` mean height (m) that parts the storeys of each tile, NaN where there is one."""
        return self._tile_storeys[level]


_PYRAMIDS: TownMemory[MapPyramid] = TownMemory()


def _strip_length(quads: NDArray[np.float32]) -> float:
    """Length (m) of the strips that quadrilaterals make, one side of each."""
    return float(np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1).sum())


def _number_tiles(quads: NDArray[np.float32], storey: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.int32]:
    """Number the tiles that something is drawn on; two numbers where there are two storeys. See `Level`."""
    limit = (columns - 1, rows - 1)
    first = np.clip(quads.min(axis=1) // TILE, 0, limit).astype(np.int64)
    last = np.clip(quads.max(axis=1) // TILE, 0, limit).astype(np.int64)
    drawn, parted = np.zeros((rows, columns), bool), np.zeros((rows, columns), bool)
    for down in range(int((last - first)[:, 1].max()) + 1):
        for right in range(int((last - first)[:, 0].max()) + 1):
            column, row = np.minimum(first + (right, down), last).T
            drawn[row, column] = True
            parted[row[storey != BOTH], column[storey != BOTH]] = True
    number = np.cumsum(drawn.astype(np.int32) + parted).reshape(rows, columns) - 1
    above = np.where(drawn, number - parted, -1)
    return np.stack([above, np.where(drawn, number, -1)]).astype(np.int32)


def _halve(level: Level, surfaces: tuple[int, ...]) -> Level:
    """The next coarser level."""
    _, rows, columns = level.numbers.shape
    index = np.full((2, (rows + 1) // 2, (columns + 1) // 2), -1, np.int32)
    children: list[NDArray[np.int32]] = []
    for row, column in np.ndindex(index.shape[1:]):
        block = level.numbers[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        for view in (0, 1):
            if view == 1 and np.array_equal(block[0], block[1]):
                index[1, row, column] = index[0, row, column]
            elif (block[view] >= 0).any():
                index[view, row, column] = len(children)
                four = np.full((2, 2), -1, np.int32)
                four[: block.shape[1], : block.shape[2]] = block[view]
                children.append(four)
    tiles = np.zeros((len(children), TILE, TILE, len(surfaces)), np.uint8)
    half = TILE // 2
    for tile, four in zip(tiles, children):
        for a, b in np.argwhere(four >= 0):
            child = level.tiles[four[a, b]]
            if child.ndim == 2:
                child = np.stack([(child == surface) * np.uint8(255) for surface in surfaces], axis=2)
            place = tile[a * half : (a + 1) * half, b * half : (b + 1) * half]
            place[:] = cv2.resize(child, (half, half), interpolation=cv2.INTER_AREA).reshape(place.shape)
    return Level(tiles, index)
