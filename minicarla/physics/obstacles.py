"""Boxes that never move (walls, poles, trunks) and the grid that finds those near a point."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OBSTACLE = np.dtype(
    [
        ("x", np.float64),
        ("y", np.float64),
        ("z", np.float64),
        ("yaw", np.float64),
        ("extent_x", np.float64),
        ("extent_y", np.float64),
        ("extent_z", np.float64),
        ("label", np.uint8),
        ("object_id", np.uint32),
    ]
)
"""A static upright box: centre [m], yaw [rad], half sizes [m], semantic tag, environment object it is part of."""


class ObstacleGrid(NamedTuple):
    """Square cells, each with the rows of the obstacles whose outline touches it (compressed sparse rows).

    Attributes:
        origin_x, origin_y: [m] lower corner of the first cell.
        cell: [m] side of a cell.
        rows, columns: number of cells along y and x.
        starts: int32 (rows * columns + 1,): cell `row * columns + column` owns
            `items[starts[cell]:starts[cell + 1]]`.
        items: int32, rows of the obstacle array, ascending within a cell.
    """

    origin_x: float
    origin_y: float
    cell: float
    rows: int
    columns: int
    starts: NDArray[np.int32]
    items: NDArray[np.int32]


def build_obstacle_grid(obstacles: NDArray[np.void], cell: float = 8.0) -> ObstacleGrid:
    """Sort obstacles (structured array of `OBSTACLE`) into a grid of `cell` metres."""
    if len(obstacles) == 0:
        return ObstacleGrid(0.0, 0.0, cell, 1, 1, np.zeros(2, np.int32), np.zeros(0, np.int32))
    cos, sin = np.abs(np.cos(obstacles["yaw"])), np.abs(np.sin(obstacles["yaw"]))
    half_x = obstacles["extent_x"] * cos + obstacles["extent_y"] * sin
    half_y = obstacles["extent_x"] * sin + obstacles["extent_y"] * cos
    low_x, high_x = obstacles["x"] - half_x, obstacles["x"] + half_x
    low_y, high_y = obstacles["y"] - half_y, obstacles["y"] + half_y
    origin_x, origin_y = float(low_x.min()), float(low_y.min())
    columns = math.floor((float(high_x.max()) - origin_x) / cell) + 1
    rows = math.floor((float(high_y.max()) - origin_y) / cell) + 1
    first_column = ((low_x - origin_x) / cell).astype(np.int64)
    last_column = ((high_x - origin_x) / cell).astype(np.int64)
    first_row = ((low_y - origin_y) / cell).astype(np.int64)
    last_row = ((high_y - origin_y) / cell).astype(np.int64)
    widths = last_column - first_column + 1
    counts = widths * (last_row - first_row + 1)
    owner = np.repeat(np.arange(len(obstacles)), counts)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = first_column[owner] + place % widths[owner]
    row = first_row[owner] + place // widths[owner]
    cells = row * columns + column
    order = np.argsort(cells, kind="stable")
    starts = np.zeros(rows * columns + 1, np.int32)
    starts[1:] = np.cumsum(np.bincount(cells, minlength=rows * columns))
    return ObstacleGrid(origin_x, origin_y, cell, rows, columns, starts, owner[order].astype(np.int32))
