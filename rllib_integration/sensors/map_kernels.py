"""Compiled loops of the bird view's map: filling tiles, halving them, telling storeys apart.

Coordinates of quadrilaterals are in points of level 0 from the corner of tile (0, 0): x = column, y = row.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

TILE = 128  # points along a tile's side
CELL = 16  # points along the side of a cell in which storeys are told apart
STOREY_HEIGHT = 3.0  # [m] two roads over one another are at least this far apart
BOTH, UPPER, LOWER = 0, 1, 2  # storeys of a quadrilateral


@njit(cache=True)
def mix_colours(tile: NDArray[np.uint8], colours: NDArray[np.uint8], painted: NDArray[np.uint8]) -> None:
    """Colour a tile of coverage ``(n, n, k)``: ``colours`` are the ground's and those of the k surfaces."""
    for i in range(tile.shape[0]):
        for j in range(tile.shape[1]):
            ground = 255
            for s in range(tile.shape[2]):
                ground -= tile[i, j, s]
            for c in range(colours.shape[1]):
                value = 127 + max(ground, 0) * np.int64(colours[0, c])
                for s in range(tile.shape[2]):
                    if tile[i, j, s]:
                        value += np.int64(tile[i, j, s]) * np.int64(colours[s + 1, c])
                painted[i, j, c] = min(int(value) // 255, 255)


@njit(cache=True)
def halve_surfaces(
    tiles: NDArray[np.uint8], children: NDArray[np.int32], channel: NDArray[np.int64], halved: NDArray[np.uint8]
) -> None:
    """Make coverage tiles of half the resolution out of tiles of surface numbers, four ``children`` each."""
    half = tiles.shape[1] // 2
    for n in range(children.shape[0]):
        for a in range(2):
            for b in range(2):
                child = children[n, a, b]
                if child < 0:
                    continue
                for i in range(tiles.shape[1]):
                    for j in range(tiles.shape[2]):
                        surface = tiles[child, i, j]
                        if surface:
                            # Four points make one: 64 + 64 + 64 + 63 = 255.
                            share = 63 if (i & 1) and (j & 1) else 64
                            halved[n, a * half + i // 2, b * half + j // 2, channel[surface]] += share


@njit(cache=True)
def halve_coverage(tiles: NDArray[np.uint8], children: NDArray[np.int32], halved: NDArray[np.uint8]) -> None:
    """Make coverage tiles of half the resolution out of coverage tiles, four ``children`` each."""
    half = tiles.shape[1] // 2
    for n in range(children.shape[0]):
        for a in range(2):
            for b in range(2):
                child = children[n, a, b]
                if child < 0:
                    continue
                for i in range(half):
                    for j in range(half):
                        for s in range(tiles.shape[3]):
                            total = (
                                np.int64(tiles[child, 2 * i, 2 * j, s])
                                + tiles[child, 2 * i, 2 * j + 1, s]
                                + tiles[child, 2 * i + 1, 2 * j, s]
                                + tiles[child, 2 * i + 1, 2 * j + 1, s]
                            )
                            halved[n, a * half + i, b * half + j, s] = (total + 1) // 4


@njit(cache=True)
def _bounds(quad: NDArray[np.float32]) -> tuple[float, float, float, float]:
    return (
        min(quad[0, 0], quad[1, 0], quad[2, 0], quad[3, 0]),
        max(quad[0, 0], quad[1, 0], quad[2, 0], quad[3, 0]),
        min(quad[0, 1], quad[1, 1], quad[2, 1], quad[3, 1]),
        max(quad[0, 1], quad[1, 1], quad[2, 1], quad[3, 1]),
    )


@njit(cache=True)
def road_heights(
    quads: NDArray[np.float32], heights: NDArray[np.float32], is_road: NDArray[np.bool_], cells: tuple[int, int]
) -> NDArray[np.float32]:
    """Lowest and highest road of every cell, NaN where there is none."""
    rows, columns = cells
    found = np.full((2, rows, columns), np.nan, np.float32)
    for q in range(quads.shape[0]):
        if not is_road[q]:
            continue
        # Corners and points between them: a lane is a few cells wide.
        for a in range(4):
            for b in range(3):
                u, v = a / 3.0, b / 2.0
                x = (1 - v) * ((1 - u) * quads[q, 0, 0] + u * quads[q, 3, 0]) + v * (
                    (1 - u) * quads[q, 1, 0] + u * quads[q, 2, 0]
                )
                y = (1 - v) * ((1 - u) * quads[q, 0, 1] + u * quads[q, 3, 1]) + v * (
                    (1 - u) * quads[q, 1, 1] + u * quads[q, 2, 1]
                )
                row, column = int(y // CELL), int(x // CELL)
                if not found[0, row, column] <= heights[q]:
                    found[0, row, column] = heights[q]
                if not found[1, row, column] >= heights[q]:
                    found[1, row, column] = heights[q]
    return found


@njit(cache=True)
def find_storeys(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Height between the roads of each cell that has two above one another, spread to the cells around it."""
    rows, columns = heights.shape[1:]
    between = np.full((rows, columns), np.nan, np.float32)
    reach = 4
    for row in range(rows):
        for column in range(columns):
            low, high = heights[0, row, column], heights[1, row, column]
            if not high - low >= STOREY_HEIGHT:
                continue
            for i in range(max(row - reach, 0), min(row + reach + 1, rows)):
                for j in range(max(column - reach, 0), min(column + reach + 1, columns)):
                    if np.isnan(between[i, j]) or (i == row and j == column):
                        between[i, j] = (high + low) / 2.0
    return between


@njit(cache=True)
def storey_of_quads(
    quads: NDArray[np.float32], heights: NDArray[np.float32], storeys: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Storey of each quadrilateral: :data:`BOTH`, :data:`UPPER` or :data:`LOWER`."""
    storey = np.zeros(quads.shape[0], np.uint8)
    for q in range(quads.shape[0]):
        x = (quads[q, 0, 0] + quads[q, 2, 0]) / 2.0
        y = (quads[q, 0, 1] + quads[q, 2, 1]) / 2.0
        between = storeys[int(y // CELL), int(x // CELL)]
        if not np.isnan(between):
            storey[q] = UPPER if heights[q] > between else LOWER
    return storey


@njit(cache=True)
def index_tiles(
    quads: NDArray[np.float32], storey: NDArray[np.uint8], rows: int, columns: int
) -> tuple[NDArray[np.int32], int]:
    """Number the tiles that something is drawn on; two numbers where there are two storeys."""
    touched = np.zeros((rows, columns), np.uint8)
    for q in range(quads.shape[0]):
        left, right, top, bottom = _bounds(quads[q])
        mark = 3 if storey[q] != BOTH else 1
        for row in range(max(int(top // TILE), 0), min(int(bottom // TILE), rows - 1) + 1):
            for column in range(max(int(left // TILE), 0), min(int(right // TILE), columns - 1) + 1):
                touched[row, column] |= mark
    index = np.full((2, rows, columns), -1, np.int32)
    count = 0
    for row in range(rows):
        for column in range(columns):
            if touched[row, column]:
                index[0, row, column] = count
                count += 1
                index[1, row, column] = index[0, row, column]
                if touched[row, column] & 2:
                    index[1, row, column] = count
                    count += 1
    return index, count


@njit(cache=True)
def fill_quads(
    quads: NDArray[np.float32],
    surfaces: NDArray[np.uint8],
    index: NDArray[np.int32],
    view: int,
    tiles: NDArray[np.uint8],
) -> None:
    """Paint convex quadrilaterals over one another: a point is inside if its middle is."""
    rows, columns = index.shape[1], index.shape[2]
    for q in range(quads.shape[0]):
        quad = quads[q]
        left, right, top, bottom = _bounds(quad)
        area = 0.0
        for k in range(4):
            n = (k + 1) % 4
            area += quad[k, 0] * quad[n, 1] - quad[n, 0] * quad[k, 1]
        sense = 1.0 if area >= 0.0 else -1.0
        for row in range(max(int(top // TILE), 0), min(int(bottom // TILE), rows - 1) + 1):
            for column in range(max(int(left // TILE), 0), min(int(right // TILE), columns - 1) + 1):
                number = index[view, row, column]
                if view == 1 and number == index[0, row, column]:
                    continue
                x0, y0 = column * TILE, row * TILE
                for i in range(max(int(top) - y0, 0), min(int(bottom) - y0, TILE - 1) + 1):
                    y = y0 + i + 0.5
                    for j in range(max(int(left) - x0, 0), min(int(right) - x0, TILE - 1) + 1):
                        x = x0 + j + 0.5
                        inside = True
                        for k in range(4):
                            n = (k + 1) % 4
                            cross = (quad[n, 0] - quad[k, 0]) * (y - quad[k, 1]) - (quad[n, 1] - quad[k, 1]) * (
                                x - quad[k, 0]
                            )
                            if cross * sense < 0.0:
                                inside = False
                                break
                        if inside:
                            tiles[number, i, j] = surfaces[q]
