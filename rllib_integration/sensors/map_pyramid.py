"""The drawn town as tiles at several resolutions, in the user's cache folder, shared by all workers.

Level 0 holds the number of the surface at every point, :data:`BASE_RESOLUTION` points a metre; each further level
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
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.lanes import town_lanes
from rllib_integration.sensors.map_drawing import (
    DRAWING_VERSION,
    ROAD_SURFACE,
    SURFACES,
    MapDrawing,
    draw_map,
)
from rllib_integration.sensors.map_kernels import (
    CELL,
    LOWER,
    TILE,
    UPPER,
    fill_quads,
    find_storeys,
    halve_coverage,
    halve_surfaces,
    index_tiles,
    mix_colours,
    road_heights,
    storey_of_quads,
)
from rllib_integration.town_cache import TownMemory, entry_path, write_entry

logger = logging.getLogger(__name__)

LEVELS = 6
BASE_RESOLUTION = 10.0  # [points/m] of level 0
LARGE_TOWN_LENGTH = 200_000.0  # [m of lane] above which the base resolution is halved, and halved again
MARGIN = 2.0  # [m] around everything drawn
_TILES_KEPT = 64


class Level(NamedTuple):
    """One resolution of the pyramid.

    Attributes:
        tiles: ``uint8 (n, 128, 128)`` surface numbers at level 0, else ``uint8 (n, 128, 128, k)`` coverage
            (255 = all) by each of the pyramid's surfaces.
        numbers: ``int32 (2, rows, columns)`` number of each tile seen from above and with upper roads taken away;
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
        storeys: ``float32 (rows, columns)`` height (m) between the storeys of a level-0 cell, NaN = one storey.
        heights: ``float32 (2, rows, columns)`` height (m) of the lowest and the highest road of a cell, NaN = none.
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
        self._tile_storeys = [_tile_storeys(storeys, level) for level in range(len(levels))]

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
        while lane_length > LARGE_TOWN_LENGTH and resolution > 2.0:
            resolution /= 2.0
            lane_length /= 2.0
        # Snapped, so that the picture does not depend on what lies at the edge of the town.
        span = TILE / resolution
        origin = (math.floor(low[0] / span) * span, math.floor(low[1] / span) * span)
        columns = math.ceil((high[0] - origin[0]) / span)
        rows = math.ceil((high[1] - origin[1]) / span)
        points = ((drawing.quads - np.array(origin, np.float32)) * np.float32(resolution)).astype(np.float32)

        cells = (rows * TILE // CELL, columns * TILE // CELL)
        heights = road_heights(points, drawing.heights, drawing.surfaces == ROAD_SURFACE, cells)
        storeys = find_storeys(heights)
        storey = storey_of_quads(points, drawing.heights, storeys)
        index, count = index_tiles(points, storey, rows, columns)
        tiles = np.zeros((count, TILE, TILE), np.uint8)
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
        size = CELL / self.resolution
        column, row = math.floor((x - self.origin[0]) / size), math.floor((y - self.origin[1]) / size)
        if 0 <= row < self.storeys.shape[0] and 0 <= column < self.storeys.shape[1]:
            return row, column
        return None

    def road_height(self, x: float, y: float, z: float) -> float:
        """Height (m) of the road at a place that is nearest to ``z``; ``z`` itself where there is no road."""
        cell = self._cell(x, y)
        if cell is None or math.isnan(self.heights[0][cell]):
            return z
        low, high = float(self.heights[0][cell]), float(self.heights[1][cell])
        return low if abs(z - low) <= abs(z - high) else high

    def is_hidden(self, x: float, y: float, z: float, viewer: float) -> bool:
        """Whether something at a place is on another storey than what a viewer of road height ``viewer`` sees."""
        cell = self._cell(x, y)
        if cell is None or math.isnan(self.storeys[cell]):
            return False
        between = float(self.storeys[cell])
        return (z < between) != (viewer < between)

    def tile_storeys(self, level: int) -> NDArray[np.float32]:
        """``(rows, columns)`` mean height (m) that parts the storeys of each tile, NaN where there is one."""
        return self._tile_storeys[level]


_PYRAMIDS: TownMemory[MapPyramid] = TownMemory()


class Patch(NamedTuple):
    """A part of a level as one picture.

    Attributes:
        picture: ``uint8 (height, width, channels)``; row = y, column = x.
        x: World x (m) of its left edge.
        y: World y (m) of its upper edge.
        resolution: Points a metre.
    """

    picture: NDArray[np.uint8]
    x: float
    y: float
    resolution: float


class MapPainter:
    """Shows a pyramid in given colours, or as given masks, one patch around a place at a time.

    Args:
        pyramid: The town.
        colours: ``uint8 (surfaces, channels)`` value of every surface in every channel.
        resolution: Pixels a metre of the pictures that patches are for.
        reach: Farthest that such a picture sees from its middle (m).
    """

    def __init__(self, pyramid: MapPyramid, colours: NDArray[np.uint8], resolution: float, reach: float) -> None:
        self.pyramid = pyramid
        self.colours = np.ascontiguousarray(colours, np.uint8)
        self.level = pyramid.level_for(resolution)
        self.reach = reach
        self._decoded: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._key: tuple[int, ...] | None = None
        self._patch: Patch | None = None

    def patch(self, x: float, y: float, z: float) -> Patch:
        """A patch that holds everything within reach of a place, of the storey that ``z`` (m) is on."""
        resolution = self.pyramid.resolution / 2**self.level
        span = TILE / resolution
        origin_x, origin_y = self.pyramid.origin
        # One point more on each side: pictures interpolate.
        reach = self.reach + 1.0 / resolution
        column, row = math.floor((x - reach - origin_x) / span), math.floor((y - reach - origin_y) / span)
        columns = math.floor((x + reach - origin_x) / span) - column + 1
        rows = math.floor((y + reach - origin_y) / span) - row + 1
        storey = self.pyramid.tile_storeys(self.level)
        inside = storey[max(row, 0) : max(row + rows, 0), max(column, 0) : max(column + columns, 0)]
        parted = np.isfinite(inside)
        below = tuple((z < inside[parted]).tolist()) if parted.any() else ()
        key = (column, row, columns, rows, *below)
        if self._patch is None or key != self._key:
            self._patch = self._assemble(column, row, columns, rows, z)
            self._key = key
        return self._patch

    def _assemble(self, column: int, row: int, columns: int, rows: int, z: float) -> Patch:
        resolution = self.pyramid.resolution / 2**self.level
        span = TILE / resolution
        picture = np.empty((rows * TILE, columns * TILE, self.colours.shape[1]), np.uint8)
        for i in range(rows):
            for j in range(columns):
                place = picture[i * TILE : (i + 1) * TILE, j * TILE : (j + 1) * TILE]
                place[:] = self._tile(row + i, column + j, z)
        x, y = self.pyramid.origin[0] + column * span, self.pyramid.origin[1] + row * span
        return Patch(picture, x, y, resolution)

    def _tile(self, row: int, column: int, z: float) -> NDArray[np.uint8]:
        """The coloured tile at a place, or the ground's colour."""
        level = self.pyramid.levels[self.level]
        if not (0 <= row < level.numbers.shape[1] and 0 <= column < level.numbers.shape[2]):
            return self.colours[0]
        storey = self.pyramid.tile_storeys(self.level)[row, column]
        number = int(level.numbers[1 if z < storey else 0, row, column])
        if number < 0:
            return self.colours[0]
        tile = self._decoded.get(number)
        if tile is None:
            tile = self._colour(level.tiles[number])
            self._decoded[number] = tile
            if len(self._decoded) > _TILES_KEPT:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(number)
        return tile

    def _colour(self, tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if tile.ndim == 2:
            return self.colours[tile]
        painted = np.empty((TILE, TILE, self.colours.shape[1]), np.uint8)
        mix_colours(tile, self.colours[[0, *self.pyramid.surfaces]], painted)
        return painted


def _strip_length(quads: NDArray[np.float32]) -> float:
    """Length (m) of the strips that quadrilaterals make, one side of each."""
    return float(np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1).sum())


def _tile_storeys(storeys: NDArray[np.float32], level: int) -> NDArray[np.float32]:
    """Mean of the cells' heights over each tile of a level, NaN where no cell has two storeys."""
    side = (TILE // CELL) * 2**level
    rows, columns = -(-storeys.shape[0] // side), -(-storeys.shape[1] // side)
    total = np.zeros((rows, columns))
    count = np.zeros((rows, columns))
    where = np.argwhere(np.isfinite(storeys))
    np.add.at(total, tuple(where.T // side), storeys[tuple(where.T)])
    np.add.at(count, tuple(where.T // side), 1)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan).astype(np.float32)


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
    joined = np.array(children, np.int32).reshape(-1, 2, 2)
    if level.tiles.ndim == 3:
        channel = np.full(len(SURFACES), -1, np.int64)
        channel[list(surfaces)] = np.arange(len(surfaces))
        halve_surfaces(level.tiles, joined, channel, tiles)
    else:
        halve_coverage(level.tiles, joined, tiles)
    return Level(tiles, index)
