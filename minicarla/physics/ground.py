"""The ground as stacked height fields that compiled code can ask.

The map is cut into square tiles of `TILE_CELLS` by `TILE_CELLS` cells. A tile holds the heights of its
nodes and the semantic label of its cells; where roads cross above each other, several tiles lie at the same
place, linked from the highest to the lowest. Places without any road nearby have no tile at all, so that a
large town costs memory only where one can drive, and whoever leaves the map falls.

World frame: CARLA's (left-handed, x forward, y right, z up, metres).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.labels import ROADS

TILE_CELLS = 32
"""Cells along one side of a tile."""

STEP_HEIGHT = 0.6
"""[m] Ground up to this far above the asked height still carries; more is another level."""

BURIED_DEPTH = 2.5
"""[m] Below the lowest level by no more than this, a point still counts as standing on it."""


class Surface(NamedTuple):
    """Ground heights in tiles; every field can be used inside `njit` code.

    Attributes:
        origin_x: [m] world x of the first node of the first tile.
        origin_y: [m] world y of the first node of the first tile.
        cell: [m] side of a cell.
        tile_first: int32 (rows, columns), rows along y: highest tile at that place, -1 where there is none.
        tile_next: int32 (tiles,), next lower tile at the same place, -1 at the end.
        height: float32 (tiles, TILE_CELLS + 1, TILE_CELLS + 1), [m] at the nodes, rows along y; NaN = hole.
            Neighbouring tiles repeat the nodes of their common edge.
        label: uint8 (tiles, TILE_CELLS, TILE_CELLS), semantic tag of the cells.
    """

    origin_x: float
    origin_y: float
    cell: float
    tile_first: NDArray[np.int32]
    tile_next: NDArray[np.int32]
    height: NDArray[np.float32]
    label: NDArray[np.uint8]


@njit(error_model="numpy", _nrt=False)
def ground_at(surface: Surface, x: float, y: float, z: float) -> tuple[float, float, float, float, int]:
    """Find the ground that carries a point.

    Args:
        surface: the ground.
        x, y: [m] where.
        z: [m] height of the point; it chooses the level where roads cross above each other.

    Returns:
        Height [m], the unit normal (x, y, z; pointing up) and the semantic tag of the highest ground that is
        not more than `STEP_HEIGHT` above `z`. If all ground is higher than that, the lowest one, provided that
        the point is at most `BURIED_DEPTH` below it. Otherwise the height is -inf.
    """
    u = (x - surface.origin_x) / surface.cell
    v = (y - surface.origin_y) / surface.cell
    rows, columns = surface.tile_first.shape
    if not (u >= 0.0 and v >= 0.0 and u < columns * TILE_CELLS and v < rows * TILE_CELLS):
        return -math.inf, 0.0, 0.0, 1.0, 0
    iu = int(u)
    iv = int(v)
    fu = u - iu
    fv = v - iv
    column = iu // TILE_CELLS
    row = iv // TILE_CELLS
    iu -= column * TILE_CELLS
    iv -= row * TILE_CELLS
    tile = surface.tile_first[row, column]
    best = -1
    best_height = math.inf
    while tile >= 0:
        field = surface.height[tile]
        low = field[iv, iu] + fu * (field[iv, iu + 1] - field[iv, iu])
        high = field[iv + 1, iu] + fu * (field[iv + 1, iu + 1] - field[iv + 1, iu])
        here = low + fv * (high - low)
        if here == here:
            best = tile
            best_height = here
            if here <= z + STEP_HEIGHT:
                break
        tile = surface.tile_next[tile]
    if best < 0 or best_height > z + max(STEP_HEIGHT, BURIED_DEPTH):
        return -math.inf, 0.0, 0.0, 1.0, 0
    field = surface.height[best]
    a = field[iv, iu]
    b = field[iv, iu + 1]
    c = field[iv + 1, iu]
    d = field[iv + 1, iu + 1]
    slope_x = ((b - a) * (1.0 - fv) + (d - c) * fv) / surface.cell
    slope_y = ((c - a) * (1.0 - fu) + (d - b) * fu) / surface.cell
    scale = 1.0 / math.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    return best_height, -slope_x * scale, -slope_y * scale, scale, int(surface.label[best, iv, iu])


@njit()
def ground_heights(
    surface: Surface, x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`ground_at` for many points: heights float64 (n,) [m], -inf where the ground ends."""
    out = np.empty(len(x))
    for i in range(len(x)):
        out[i] = ground_at(surface, x[i], y[i], z[i])[0]
    return out


def flat_surface(half_size: float, height: float = 0.0, label: int = ROADS) -> Surface:
    """A level square around the origin, for tests and empty worlds.

    Args:
        half_size: [m] half the side, at least; rounded up to whole tiles.
        height: [m] its height.
        label: semantic tag of all of it.
    """
    cell = 0.5
    side = cell * TILE_CELLS
    half_tiles = max(1, math.ceil(half_size / side))
    count = 2 * half_tiles
    tiles = count * count
    return Surface(
        origin_x=-half_tiles * side,
        origin_y=-half_tiles * side,
        cell=cell,
        tile_first=np.arange(tiles, dtype=np.int32).reshape(count, count),
        tile_next=np.full(tiles, -1, np.int32),
        height=np.full((tiles, TILE_CELLS + 1, TILE_CELLS + 1), height, np.float32),
        label=np.full((tiles, TILE_CELLS, TILE_CELLS), label, np.uint8),
    )
