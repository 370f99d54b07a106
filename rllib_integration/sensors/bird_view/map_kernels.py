"""Compiled loops of the bird view's map: filling tiles and colouring them.

Coordinates of quadrilaterals are in points of level 0 from the corner of tile (0, 0): x = column, y = row.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

TILE = 128  # points along a tile's side


@njit(cache=True)
def mix_colours(tile: NDArray[np.uint8], colours: NDArray[np.uint8], painted: NDArray[np.uint8]) -> None:
    """Colour a tile of coverage `(n, n, k)`: `colours` are the ground's and those of the k surfaces."""
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
def _bounds(quad: NDArray[np.float32]) -> tuple[float, float, float, float]:
    return (
        min(quad[0, 0], quad[1, 0], quad[2, 0], quad[3, 0]),
        max(quad[0, 0], quad[1, 0], quad[2, 0], quad[3, 0]),
        min(quad[0, 1], quad[1, 1], quad[2, 1], quad[3, 1]),
        max(quad[0, 1], quad[1, 1], quad[2, 1], quad[3, 1]),
    )


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
