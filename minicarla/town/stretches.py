"""Straight pieces of lanes and lines: fewer, longer polygons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.physics.state import Floats


@njit()
def straight_stretches(
    lane: NDArray[np.int32], inner: Floats, outer: Floats, tolerance: float, longest: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find pairs of stations between which a lane is straight and evenly sloped, as far apart as possible.

    Args:
        lane: int32 (n,), owner of each station; a stretch stays within one owner.
        inner, outer: float64 (n, 3) [m], both edges.
        tolerance: [m] how far an edge may leave the straight line between the stations.
        longest: [m] greatest length of a stretch.

    Returns:
        First and last stations, int64 (m,) each.
    """
    first = np.empty(len(lane), np.int64)
    last = np.empty(len(lane), np.int64)
    count = 0
    a = 0
    while a < len(lane) - 1:
        if lane[a + 1] != lane[a]:
            a += 1
            continue
        b = a + 1
        while b + 1 < len(lane) and lane[b + 1] == lane[a]:
            c = b + 1
            if (outer[c, 0] - outer[a, 0]) ** 2 + (outer[c, 1] - outer[a, 1]) ** 2 > longest * longest:
                break
            straight = True
            for k in range(a + 1, c):
                for edge in (inner, outer):
                    share = (k - a) / (c - a)
                    for axis in range(3):
                        if abs(edge[a, axis] + share * (edge[c, axis] - edge[a, axis]) - edge[k, axis]) > tolerance:
                            straight = False
            if not straight:
                break
            b = c
        first[count] = a
        last[count] = b
        count += 1
        a = b
    return first[:count], last[:count]
