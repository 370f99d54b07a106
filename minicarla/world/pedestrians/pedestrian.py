"""A pedestrian: where it is on the navigation mesh, its way and its manners; random places of the mesh."""

from __future__ import annotations

import math

import numpy as np

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Floats
from minicarla.town.walk_mesh import WalkMesh

MOST_AHEAD = 384
"""Polygons of a way; at the end of a longer one the pedestrian looks for another."""

PEDESTRIAN = np.dtype(
    [
        ("polygon", np.int32),
        ("ahead", np.int32, (MOST_AHEAD,)),
        ("ahead_count", np.int32),
        ("ahead_at", np.int32),
        ("goal_x", np.float64),
        ("goal_y", np.float64),
        ("share", np.float64),
        ("speed", np.float64),
        ("random", np.uint64),
        ("anywhere", np.uint8),
        ("looked", np.uint8),
        ("waiting", np.float64),
    ],
    align=True,
)
"""A pedestrian.

It is on a `polygon` of the mesh and has others `ahead`, of which `ahead_at` is the next. Between two polygons it passes
their common edge at a `share` of its length, its own. Its `goal` lies in the last polygon [m]. `speed` is what it walks
with [m/s], `random` the state of its random numbers, and `anywhere` whether it crosses roads away from crossings, too.
`looked` says that the crossing ahead was free, and `waiting` for how long something has been in its way [s].
"""


@kernel
def draw(pedestrian: Record) -> float:
    """A random number, 0 <= x < 1 (xorshift64*)."""
    x = pedestrian.random
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    pedestrian.random = x
    return float((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def draw_place(mesh: WalkMesh, pedestrian: Record, place: Floats) -> int:
    """Write x, y and z [m] of a random place on the sidewalks into `place`; returns its polygon."""
    wanted = draw(pedestrian)
    low, high = 0, mesh.share.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if mesh.share[middle] <= wanted:
            low = middle + 1
        else:
            high = middle
    row, k = mesh.triangle[low, 0], mesh.triangle[low, 1]
    root = math.sqrt(draw(pedestrian))
    second = root * draw(pedestrian)
    for axis in range(3):
        a, b, c = mesh.corner[row, 0, axis], mesh.corner[row, k, axis], mesh.corner[row, k + 1, axis]
        place[axis] = a + (root - second) * (b - a) + second * (c - a)
    return int(row)


@kernel
def edge_to(mesh: WalkMesh, polygon: int, other: int) -> int:
    """The edge of a polygon beyond which another one lies; -1 for none."""
    for k in range(mesh.size[polygon]):
        if mesh.beyond[polygon, k] == other:
            return k
    return -1


@kernel
def outside(mesh: WalkMesh, polygon: int, edge: int, x: float, y: float) -> float:
    """How far a place lies beyond an edge's line [m]; negative inside."""
    a, b = mesh.corner[polygon, edge], mesh.corner[polygon, (edge + 1) % mesh.size[polygon]]
    ahead_x, ahead_y = b[0] - a[0], b[1] - a[1]
    size = max(math.sqrt(ahead_x * ahead_x + ahead_y * ahead_y), 1e-9)
    return float((ahead_x * (y - a[1]) - ahead_y * (x - a[0])) / size)
