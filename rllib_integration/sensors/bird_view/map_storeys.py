"""Roads above one another: where they are, and which of them a piece of the drawing belongs to.

Space is parted into cells of `CELL` points of level 0. Coordinates of quadrilaterals are in such points from
the corner of tile (0, 0): x = column, y = row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELL = 16  # points along a cell's side
STOREY_HEIGHT = 3.0  # [m] two roads over one another are at least this far apart
BOTH, UPPER, LOWER = 0, 1, 2  # storeys of a quadrilateral

_SPREAD = 4  # cells around a crossing in which storeys are still told apart


def road_heights(
    quads: NDArray[np.float32], heights: NDArray[np.float32], cells: tuple[int, int]
) -> NDArray[np.float32]:
    """Height of the lowest and of the highest road of every cell, `float32 (2, rows, columns)`; NaN = none.

    Args:
        quads: `float32 (Q, 4, 2)` road surfaces.
        heights: `float32 (Q,)` their z (m).
        cells: Rows and columns of cells.
    """
    low = np.full(cells, np.inf, np.float32)
    high = np.full(cells, -np.inf, np.float32)
    for across in np.linspace(0.0, 1.0, 4, dtype=np.float32):  # a lane is two or three cells wide
        for along in np.linspace(0.0, 1.0, 3, dtype=np.float32):
            begin = (1 - across) * quads[:, 0] + across * quads[:, 3]
            end = (1 - across) * quads[:, 1] + across * quads[:, 2]
            column, row = (((1 - along) * begin + along * end) // CELL).astype(np.int64).T
            np.minimum.at(low, (row, column), heights)
            np.maximum.at(high, (row, column), heights)
    found = np.stack([low, high])
    found[~np.isfinite(found)] = np.nan
    return found


def find_storeys(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Height midway between the roads of each cell that has two above one another, and of the cells around it.

    Args:
        heights: As of `road_heights`.

    Returns:
        `float32 (rows, columns)`, NaN where there is one storey.
    """
    crossings = np.argwhere(heights[1] - heights[0] >= STOREY_HEIGHT)
    between = np.full(heights.shape[1:], np.nan, np.float32)
    middles = [(heights[0, row, column] + heights[1, row, column]) / 2.0 for row, column in crossings]
    for (row, column), middle in zip(crossings, middles):
        around = between[max(row - _SPREAD, 0) : row + _SPREAD + 1, max(column - _SPREAD, 0) : column + _SPREAD + 1]
        around[np.isnan(around)] = middle
    for (row, column), middle in zip(crossings, middles):
        between[row, column] = middle
    return between


def storey_of_quads(
    quads: NDArray[np.float32], heights: NDArray[np.float32], storeys: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Storey of each quadrilateral, `uint8 (Q,)`: `BOTH`, `UPPER` or `LOWER`."""
    column, row = ((quads[:, 0] + quads[:, 2]) / 2.0 // CELL).astype(np.int64).T
    between = storeys[row, column]
    storey = np.where(heights > between, UPPER, LOWER)
    return np.where(np.isnan(between), BOTH, storey).astype(np.uint8)


def tile_storeys(storeys: NDArray[np.float32], cells_along: int) -> NDArray[np.float32]:
    """Mean of the cells' heights over tiles of so many cells along each side, NaN where no cell has two storeys."""
    rows, columns = (-(-side // cells_along) for side in storeys.shape)
    total, count = np.zeros((rows, columns)), np.zeros((rows, columns))
    row, column = np.nonzero(np.isfinite(storeys))
    np.add.at(total, (row // cells_along, column // cells_along), storeys[row, column])
    np.add.at(count, (row // cells_along, column // cells_along), 1)
    with np.errstate(invalid="ignore"):
        return (total / count).astype(np.float32)
