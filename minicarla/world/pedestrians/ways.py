"""The shortest way between two polygons of the navigation mesh (A*, Hart, Nilsson and Raphael 1968)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Floats
from minicarla.town.detour import MOST_CORNERS, ROAD_AREA
from minicarla.town.walk_mesh import WalkMesh
from minicarla.world.pedestrians.pedestrian import MOST_AHEAD

_ROAD_COST = 10.0
"""Of a metre away from sidewalks and crossings, as in CARLA's navigation."""


class Search(NamedTuple):
    """Work space of searches on a mesh of n polygons.

    Attributes:
        number: int64 (1,), number of the search under way.
        seen: int64 (n,), number of the last search that came to a polygon.
        before: int32 (n,), polygon from which it was reached.
        cost: float64 (n,) [m] to where it was reached, roads counted more.
        place: float64 (n, 2) [m], where it was reached.
        heap: float64 (6 n + 1,), lowest first: what a way over a polygon costs at least [m].
        waiting: int32 (6 n + 1,), the polygon of each.
    """

    number: NDArray[np.int64]
    seen: NDArray[np.int64]
    before: NDArray[np.int32]
    cost: Floats
    place: Floats
    heap: Floats
    waiting: NDArray[np.int32]


def begin_search(count: int) -> Search:
    """Work space for a mesh of so many polygons."""
    room = MOST_CORNERS * count + 1
    return Search(
        number=np.zeros(1, np.int64),
        seen=np.zeros(count, np.int64),
        before=np.zeros(count, np.int32),
        cost=np.zeros(count),
        place=np.zeros((count, 2)),
        heap=np.zeros(room),
        waiting=np.zeros(room, np.int32),
    )


@kernel
def _push(search: Search, size: int, least: float, polygon: int) -> int:
    """Put a polygon into the heap; returns the new size."""
    at = size
    while at > 0 and search.heap[(at - 1) // 2] > least:
        search.heap[at], search.waiting[at] = search.heap[(at - 1) // 2], search.waiting[(at - 1) // 2]
        at = (at - 1) // 2
    search.heap[at], search.waiting[at] = least, polygon
    return size + 1


@kernel
def _drop_first(search: Search, size: int) -> int:
    """Take the cheapest polygon out of the heap; returns the new size."""
    size -= 1
    least, polygon = search.heap[size], search.waiting[size]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and search.heap[child + 1] < search.heap[child]:
            child += 1
        if search.heap[child] >= least:
            break
        search.heap[at], search.waiting[at] = search.heap[child], search.waiting[child]
        at = child
    search.heap[at], search.waiting[at] = least, polygon
    return size


@kernel
def find_way(mesh: WalkMesh, search: Search, walker: Record, pedestrian: Record, goal: int) -> None:
    """Find the way of a pedestrian to its goal, which lies in the polygon `goal`; at most `MOST_AHEAD` polygons.

    Args:
        mesh: Where it walks.
        search: Work space.
        walker: Its walker.
        pedestrian: The pedestrian; its way is written. It has no polygons if there is none.
        goal: The last polygon.
    """
    search.number[0] += 1
    number, start = search.number[0], pedestrian.polygon
    search.seen[start], search.before[start], search.cost[start] = number, -1, 0.0
    search.place[start, 0], search.place[start, 1] = walker.x, walker.y
    size = _push(search, 0, 0.0, start)
    pedestrian.ahead_count = pedestrian.ahead_at = 0
    while size:
        polygon = search.waiting[0]
        size = _drop_first(search, size)
        if polygon == goal:
            _note_way(search, pedestrian, goal)
            return
        for k in range(mesh.size[polygon]):
            other = mesh.beyond[polygon, k]
            if other < 0 or (mesh.area[other] == ROAD_AREA and not pedestrian.anywhere):
                continue
            a, b = mesh.corner[polygon, k], mesh.corner[polygon, (k + 1) % mesh.size[polygon]]
            x, y = 0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])
            way = math.hypot(x - search.place[polygon, 0], y - search.place[polygon, 1])
            cost = search.cost[polygon] + way * (_ROAD_COST if mesh.area[polygon] == ROAD_AREA else 1.0)
            if search.seen[other] == number and search.cost[other] <= cost:
                continue
            if size == len(search.heap):
                continue
            search.seen[other], search.before[other], search.cost[other] = number, polygon, cost
            search.place[other, 0], search.place[other, 1] = x, y
            least = cost + math.hypot(pedestrian.goal_x - x, pedestrian.goal_y - y)
            size = _push(search, size, least, other)


@kernel
def _note_way(search: Search, pedestrian: Record, goal: int) -> None:
    """Write the polygons from the pedestrian's to the goal, as far as there is room."""
    count = 0
    polygon = goal
    while polygon != pedestrian.polygon:
        polygon = search.before[polygon]
        count += 1
    pedestrian.ahead_count = min(count, MOST_AHEAD)
    polygon = goal
    for k in range(count - 1, -1, -1):
        if k < MOST_AHEAD:
            pedestrian.ahead[k] = polygon
        if k == MOST_AHEAD:
            pedestrian.goal_x, pedestrian.goal_y = search.place[polygon, 0], search.place[polygon, 1]
        polygon = search.before[polygon]
