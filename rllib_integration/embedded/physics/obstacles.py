"""The index over a town's immovable boxes: buildings, walls, poles, trees."""

from __future__ import annotations

import numpy as np

from rllib_integration.embedded.physics.state import OBSTACLE, ObstacleGrid


def build_obstacle_grid(obstacles: np.ndarray, cell: float = 16.0) -> ObstacleGrid:
    """Sorts boxes into square cells, each box into every cell that its bounding rectangle touches.

    Args:
        obstacles: Boxes of dtype `OBSTACLE`, shape (n,); may be empty.
        cell: Side of a cell in metres.

    Returns:
        The grid; its arrays are int64, writable and contiguous, so that kernels compile for one signature.
    """
    if obstacles.dtype != OBSTACLE:
        raise TypeError(f"obstacles must have the dtype physics.state.OBSTACLE, not {obstacles.dtype}.")
    if len(obstacles) == 0:
        return ObstacleGrid(0.0, 0.0, float(cell), 1, 1, np.zeros(2, np.int64), np.zeros(0, np.int64))
    cosine, sine = np.abs(np.cos(obstacles["yaw"])), np.abs(np.sin(obstacles["yaw"]))
    reach_x = obstacles["extent_x"] * cosine + obstacles["extent_y"] * sine
    reach_y = obstacles["extent_x"] * sine + obstacles["extent_y"] * cosine
    low = np.stack([obstacles["x"] - reach_x, obstacles["y"] - reach_y], axis=1)
    high = np.stack([obstacles["x"] + reach_x, obstacles["y"] + reach_y], axis=1)
    origin = low.min(axis=0)
    first = ((low - origin) // cell).astype(np.int64)
    last = ((high - origin) // cell).astype(np.int64)
    columns, rows = (int(count) for count in last.max(axis=0) + 1)

    spans = last - first + 1
    counts = spans[:, 0] * spans[:, 1]
    box = np.repeat(np.arange(len(obstacles), dtype=np.int64), counts)
    # running number of each entry inside its own box: 0, 1, 2, 0, 1, ...
    within = np.arange(len(box)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = first[box, 0] + within % spans[box, 0]
    row = first[box, 1] + within // spans[box, 0]
    index = row * columns + column
    order = np.argsort(index, kind="stable")
    starts = np.zeros(columns * rows + 1, np.int64)
    starts[1:] = np.cumsum(np.bincount(index, minlength=columns * rows))
    return ObstacleGrid(
        float(origin[0]), float(origin[1]), float(cell), columns, rows, starts, np.ascontiguousarray(box[order])
    )
