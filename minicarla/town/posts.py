"""Where the posts of traffic lights and signs stand.

OpenDRIVE places many of CARLA's signals a hand's breadth beside a lane, some on one. The ends of long vehicles swing
out by more than that as they turn, so posts stand a little farther out than their signals where there is room. Where
there is none, as on the line between two lanes, vehicles drive through them, as they do in CARLA.
"""

from __future__ import annotations

import numpy as np

from minicarla.town.lanes import DRIVABLE, Array, LaneTable
from minicarla.town.town import Signal

CLEARANCE = 1.2
"""[m] Wanted from the edge of every lane that vehicles drive on."""

SOLID_CLEARANCE = 0.2
"""[m] Posts that stand nearer than this to a lane are not solid."""

_REACH, _LEVEL_REACH = 10.0, 4.0
_STEP, _STEPS = 0.1, 20


def post_places(signals: list[Signal], lanes: LaneTable) -> Array:
    """Feet of the posts, at most 2 m away from their signals, and their distance from the lanes: x, y, distance [m]."""
    segments = _LaneSegments(lanes)
    return np.array([segments.nearest_clear_place(signal) for signal in signals]).reshape(-1, 3)


class _LaneSegments:
    """Pieces of the middle lines of all lanes that vehicles drive on, sorted by x."""

    def __init__(self, lanes: LaneTable) -> None:
        follows = (lanes.lane[1:] == lanes.lane[:-1]) & np.isin(lanes.type[lanes.lane[1:]], DRIVABLE)
        begin = np.flatnonzero(follows)
        centre = lanes.centre
        half_width = 0.5 * np.hypot(*(lanes.outer - lanes.inner)[:, :2].T)
        order = np.argsort(centre[begin, 0], kind="stable")
        begin = begin[order]
        self._begin, self._end = centre[begin], centre[begin + 1]
        self._half_width = 0.5 * (half_width[begin] + half_width[begin + 1])

    def nearest_clear_place(self, signal: Signal) -> Array:
        """The signal's own place or, if that is too near to a lane, the clearest on the way out; its clearance."""
        first, last = np.searchsorted(self._begin[:, 0], [signal.x - _REACH, signal.x + _REACH])
        begin, end, half_width = self._begin[first:last], self._end[first:last], self._half_width[first:last]
        near = np.abs(begin[:, 1] - signal.y) < _REACH
        near &= np.abs(begin[:, 2] - signal.z) < _LEVEL_REACH
        begin, way, half_width = begin[near, :2], (end - begin)[near, :2], half_width[near]
        place = np.array([signal.x, signal.y])
        best, widest = place, -np.inf
        for _ in range(_STEPS if len(begin) else 0):
            share = np.sum((place - begin) * way, axis=1) / np.maximum(np.sum(way * way, axis=1), 1e-9)
            outward = place - begin - np.clip(share, 0.0, 1.0)[:, None] * way
            distance = np.hypot(*outward.T)
            nearest = int(np.argmin(distance - half_width))
            clearance = float(distance[nearest] - half_width[nearest])
            if clearance > widest:
                best, widest = place, clearance
            if clearance >= CLEARANCE:
                break
            place = place + _STEP * outward[nearest] / max(float(distance[nearest]), 1e-6)
        return np.append(best, widest if len(begin) else _REACH)
