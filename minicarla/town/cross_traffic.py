"""Where the cross traffic of stop and yield signs runs."""

from __future__ import annotations

import numpy as np

from minicarla.town.lanes import DRIVABLE, Array, LaneTable
from minicarla.town.opendrive import RoadNetwork
from minicarla.town.town import Signal

_SPACING = 2.0
_SET_BACK = 3.0  # [m] Whoever waits at the beginning of a lane does not drive on it yet.
_CROSSING_DISTANCE, _LEVEL_REACH = 3.0, 3.0


def add_cross_traffic(network: RoadNetwork, lanes: LaneTable, signals: list[Signal]) -> None:
    """Fill in `Signal.crossing` of all stop and yield signs at junctions."""
    for signal in signals:
        if signal.type_id in ("traffic.stop", "traffic.yield") and signal.junction in network.junctions:
            signal.crossing = _crossing(network, lanes, signal)


def _crossing(network: RoadNetwork, lanes: LaneTable, signal: Signal) -> Array:
    connections = network.junctions[signal.junction].connections
    affected = {road for road, _, _ in signal.affected_lanes}
    incoming = {link.incoming for link in connections if link.connecting in affected} | affected
    own_roads = [link.connecting for link in connections if link.incoming in incoming]
    other_roads = [link.connecting for link in connections if link.incoming not in incoming]
    drivable = np.isin(lanes.type, DRIVABLE)
    own = [_points(lanes, int(row), 0.0) for row in np.flatnonzero(drivable & np.isin(lanes.road_id, own_roads))]
    others = [
        _points(lanes, int(row), _SET_BACK) for row in np.flatnonzero(drivable & np.isin(lanes.road_id, other_roads))
    ]
    if not own:
        return np.zeros((0, 3))
    ways = np.concatenate(own)
    return np.concatenate([np.zeros((0, 3)), *(points for points in others if _meet(points, ways))])


def _points(lanes: LaneTable, row: int, set_back: float) -> Array:
    """Points (n, 3) [m] along the middle of a lane in the direction of travel, without its first metres."""
    stations = lanes.stations(row)
    centre = 0.5 * (lanes.inner[stations] + lanes.outer[stations])  # not that of all lanes: there are many
    centre = centre if lanes.forward[row] else centre[::-1]
    run = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(centre[:, :2], axis=0).T))])
    at = np.arange(set_back, run[-1], _SPACING)
    return np.column_stack([np.interp(at, run, centre[:, axis]) for axis in range(3)])


def _meet(points: Array, ways: Array) -> bool:
    apart = points[:, None] - ways[None]
    near = np.hypot(apart[..., 0], apart[..., 1]) < _CROSSING_DISTANCE
    return bool((near & (np.abs(apart[..., 2]) < _LEVEL_REACH)).any())
