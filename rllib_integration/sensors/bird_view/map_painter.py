"""Patches of a map pyramid in given colours, or as given masks, around wherever the hero is."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rllib_integration.sensors.bird_view.map_kernels import TILE, mix_colours
from rllib_integration.sensors.bird_view.map_pyramid import MapPyramid

_TILES_KEPT = 64


class Patch(NamedTuple):
    """A part of a level as one picture.

    Attributes:
        picture: `uint8 (height, width, channels)`; row = y, column = x.
        x: World x (m) of its left edge.
        y: World y (m) of its upper edge.
        resolution: Points a metre.
        tiles: First column and row of its tiles, and how many columns and rows.
        parted: Heights (m) between the storeys of its tiles.
        below: Whether it shows the lower storey, for each of those heights.
    """

    picture: NDArray[np.uint8]
    x: float
    y: float
    resolution: float
    tiles: tuple[int, int, int, int]
    parted: list[float]
    below: list[bool]


class MapPainter:
    """Shows a pyramid in given colours, or as given masks, one patch around a place at a time.

    Args:
        pyramid: The town.
        colours: `uint8 (surfaces, channels)` value of every surface in every channel.
        resolution: Pixels a metre of the pictures that patches are for.
        reach: Farthest that such a picture sees from its middle (m).
    """

    def __init__(self, pyramid: MapPyramid, colours: NDArray[np.uint8], resolution: float, reach: float) -> None:
        self.pyramid = pyramid
        self.colours = np.ascontiguousarray(colours, np.uint8)
        self.level = pyramid.level_for(resolution)
        self.reach = reach
        self._decoded: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def patch(self, x: float, y: float, z: float, last: Patch | None = None) -> Patch:
        """A patch that holds everything within reach of a place.

        Args:
            x: Place, m.
            y: Same, m.
            z: Height, m; decides which storey is shown.
            last: The patch that the same viewer had before; returned again if it is the one.
        """
        resolution = self.pyramid.resolution / 2**self.level
        span = TILE / resolution
        origin_x, origin_y = self.pyramid.origin
        # One point more on each side: pictures interpolate.
        reach = self.reach + 1.0 / resolution
        column, row = math.floor((x - reach - origin_x) / span), math.floor((y - reach - origin_y) / span)
        columns = math.floor((x + reach - origin_x) / span) - column + 1
        rows = math.floor((y + reach - origin_y) / span) - row + 1
        tiles = (column, row, columns, rows)
        if last is not None and last.tiles == tiles:
            parted = last.parted
        else:
            storeys = self.pyramid.tile_storeys(self.level)
            inside = storeys[max(row, 0) : max(row + rows, 0), max(column, 0) : max(column + columns, 0)]
            last, parted = None, inside[np.isfinite(inside)].tolist()
        below = [z < height for height in parted]
        if last is not None and last.below == below:
            return last
        picture = self._assemble(column, row, columns, rows, z)
        return Patch(picture, origin_x + column * span, origin_y + row * span, resolution, tiles, parted, below)

    def _assemble(self, column: int, row: int, columns: int, rows: int, z: float) -> NDArray[np.uint8]:
        """`uint8 (rows, columns, channels)` of points, of so many tiles."""
        picture = np.empty((rows * TILE, columns * TILE, self.colours.shape[1]), np.uint8)
        for i in range(rows):
            for j in range(columns):
                place = picture[i * TILE : (i + 1) * TILE, j * TILE : (j + 1) * TILE]
                place[:] = self._tile(row + i, column + j, z)
        return picture

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
