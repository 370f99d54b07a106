"""Spawn points for vehicles: on lane centres, clear of junctions and of each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicarla.town.known_spawn_points import KNOWN
from minicarla.town.lanes import DRIVING, Array, LaneTable
from minicarla.town.opendrive import RoadNetwork

RAISED = 0.5
"""[m] Above the road, as in CARLA's towns, so that wheels settle instead of starting inside the ground."""

LONGEST, WIDEST, TALLEST = 10.3, 3.94, 4.5
"""[m] Length, width and height that hold every vehicle blueprint."""

CLEARANCE = 0.04
"""[m] Left free between two of the largest vehicles."""

SPACING = 11.0
"""[m] Along a lane, where the next lane is far enough to have a vehicle abreast; else every other place is left out."""

JUNCTION_CLEARANCE = 9.0
"""[m] From a spawn point to a junction."""

NARROWEST = 2.4
"""[m] Lanes narrower than this carry no spawn point."""

MOST = 400
"""About as many as CARLA's towns have at most."""

IN_CARLA = {
    "Town01": 255, "Town02": 101, "Town03": 265, "Town04": 372,
    "Town05": 302, "Town06": 436, "Town07": 116, "Town10HD": 155,
}  # fmt: skip
"""How many spawn points CARLA's towns have: scripts name them by their numbers, or take as many vehicles."""

_FILL_STEP, _FILL_ASIDE, _FILL_JUNCTION_CLEARANCE = 1.0, (0.0, 0.25, -0.25, 0.5, -0.5), 6.0
"""[m] Where further ones are tried: along a lane, how far beside its middle, and how near to a junction."""


def spawn_points(network: RoadNetwork, lanes: LaneTable, obstacles: NDArray[np.void], town: str = "") -> Array:
    """Choose spawn points.

    Every vehicle blueprint fits on all of them at once without touching another vehicle or an obstacle; not so in the
    towns of `KNOWN`, where cars do.

    Args:
        network: the roads.
        lanes: their lanes.
        obstacles: structured array `OBSTACLE`.
        town: its name, see `IN_CARLA`.

    Returns:
        float64 (n, 6): x, y, z [m], pitch, yaw, roll [degrees], CARLA's frame.
    """
    if town in KNOWN:
        return np.concatenate([_pose_at(network, lanes, *place) for place in KNOWN[town]])
    candidates = _candidates(network, lanes)
    if len(candidates) == 0:
        candidates = _middles(lanes)
    chosen = _without_overlaps(_thinned(candidates, 10 * MOST))
    chosen = _clear_of(obstacles, _thinned(chosen, MOST))
    wanted = IN_CARLA.get(town, len(chosen))
    return _thinned(chosen, wanted) if len(chosen) >= wanted else _filled(chosen, network, lanes, obstacles, wanted)


def _filled(poses: Array, network: RoadNetwork, lanes: LaneTable, obstacles: NDArray[np.void], wanted: int) -> Array:
    """Append poses wherever there is still room, up to `wanted`.

    Where lanes are narrower than the widest vehicle, a pose beside the middle of its lane, away from the other lane's,
    still leaves all of it on the road.
    """
    dense = _thinned(_dense(network, lanes), 10 * MOST)
    for aside in _FILL_ASIDE:
        candidates = _aside(dense, aside)
        gap = np.linalg.norm(candidates[:, None, :2] - poses[None, :, :2], axis=2).min(axis=1)
        candidates = _clear_of(obstacles, candidates[gap > WIDEST])
        poses = _without_overlaps(np.concatenate([poses, candidates]), settled=len(poses))
        if len(poses) >= wanted:
            break
    return poses[:wanted]


def _dense(network: RoadNetwork, lanes: LaneTable) -> Array:
    """Poses every `_FILL_STEP` on the driving lanes outside junctions."""
    found = [np.zeros((0, 6))]
    for row in np.flatnonzero((lanes.type == DRIVING) & (lanes.junction < 0)):
        road, stations = network.roads[lanes.road[row]], lanes.stations(int(row))
        s = lanes.s[stations]
        low = max(s[0], 0.5 * LONGEST if _open(road.predecessor) else _FILL_JUNCTION_CLEARANCE)
        high = min(s[-1], road.length - (0.5 * LONGEST if _open(road.successor) else _FILL_JUNCTION_CLEARANCE))
        places = np.arange(low, high, _FILL_STEP)
        width = np.linalg.norm(lanes.outer[stations] - lanes.inner[stations], axis=1)
        found.append(_poses(lanes, int(row), places[np.interp(places, s, width) > NARROWEST]))
    return np.concatenate(found)


def _aside(poses: Array, metres: float) -> Array:
    """The poses, moved to their right."""
    yaw = np.radians(poses[:, 4])
    moved = poses.copy()
    moved[:, 0] -= metres * np.sin(yaw)
    moved[:, 1] += metres * np.cos(yaw)
    return moved


def _clear_of(obstacles: NDArray[np.void], poses: Array) -> Array:
    """Keep poses whose largest vehicle overlaps no obstacle (structured array `OBSTACLE`)."""
    half = np.array([0.5 * (LONGEST + CLEARANCE), 0.5 * (WIDEST + CLEARANCE)])
    size = np.column_stack([obstacles["extent_x"], obstacles["extent_y"]])
    yaw = obstacles["yaw"]
    their_forward = np.column_stack([np.cos(yaw), np.sin(yaw)])
    their_right = np.column_stack([-np.sin(yaw), np.cos(yaw)])
    place = np.column_stack([obstacles["x"], obstacles["y"]])
    reach = np.hypot(*half) + np.hypot(*size.T)
    kept = np.ones(len(poses), bool)
    for i, (x, y, z, _, heading, _) in enumerate(poses):
        near = np.abs(place - (x, y)).max(axis=1) < reach
        near &= obstacles["z"] - obstacles["extent_z"] < z + TALLEST
        near &= obstacles["z"] + obstacles["extent_z"] > z
        rows = np.flatnonzero(near)
        angle = np.radians(heading)
        forward, right = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        apart = np.zeros(len(rows), bool)
        for axis in (forward[None], right[None], their_forward[rows], their_right[rows]):
            room = half[0] * np.abs(np.sum(forward * axis, 1)) + half[1] * np.abs(np.sum(right * axis, 1))
            room = room + size[rows, 0] * np.abs(np.sum(their_forward[rows] * axis, 1))
            room = room + size[rows, 1] * np.abs(np.sum(their_right[rows] * axis, 1))
            apart |= np.abs(np.sum((place[rows] - (x, y)) * axis, 1)) > room
        kept[i] = apart.all()
    return poses[kept]


def _thinned(poses: Array, most: int) -> Array:
    """At most so many of the poses, evenly chosen."""
    return poses if len(poses) <= most else poses[np.linspace(0, len(poses) - 1, most).astype(int)]


def _candidates(network: RoadNetwork, lanes: LaneTable) -> Array:
    """Evenly spaced poses on the driving lanes outside junctions, shifted from lane to lane."""
    found = []
    for row in np.flatnonzero((lanes.type == DRIVING) & (lanes.junction < 0)):
        road = network.roads[lanes.road[row]]
        stations = lanes.stations(int(row))
        s = lanes.s[stations]
        low = max(s[0] + 1.0, 0.5 * LONGEST if _open(road.predecessor) else JUNCTION_CLEARANCE)
        high = min(s[-1] - 1.0, road.length - (0.5 * LONGEST if _open(road.successor) else JUNCTION_CLEARANCE))
        width = np.linalg.norm(lanes.outer[stations] - lanes.inner[stations], axis=1)
        lane = int(lanes.lane_id[row])
        abreast = width.min() > WIDEST + CLEARANCE
        step = SPACING if abreast else 2.0 * SPACING
        # Lanes counted from right to left across the road, without the centre lane: neighbours differ by one.
        stagger = 0.0 if abreast else SPACING * ((lane if lane < 0 else lane - 1) % 2)
        places = np.arange(np.ceil((low - stagger) / step) * step + stagger, high, step)
        if len(places) == 0 and high > low:
            places = np.array([0.5 * (low + high)])
        places = places[np.interp(places, s, width) > NARROWEST]
        found.append(_poses(lanes, int(row), places))
    return np.concatenate(found) if found else np.zeros((0, 6))


def _open(link: object) -> bool:
    """Whether a road goes on as a road, so that nothing crosses at its end."""
    return link is not None and getattr(link, "kind", "") == "road"


def _middles(lanes: LaneTable) -> Array:
    """One pose in the middle of every driving lane, for towns of short roads only."""
    rows = np.flatnonzero((lanes.type == DRIVING) & (lanes.junction < 0))
    if len(rows) == 0:
        rows = np.flatnonzero(lanes.type == DRIVING)
    poses = [
        _poses(lanes, int(row), np.array([0.5 * (lanes.s[lanes.stations(int(row))][[0, -1]]).sum()])) for row in rows
    ]
    return np.concatenate(poses) if poses else np.zeros((0, 6))


def _poses(lanes: LaneTable, row: int, places: Array) -> Array:
    stations = lanes.stations(row)
    s, centre = lanes.s[stations], 0.5 * (lanes.inner[stations] + lanes.outer[stations])
    along = 1.0 if lanes.lane_id[row] < 0 else -1.0
    at = np.column_stack([np.interp(places, s, centre[:, axis]) for axis in range(3)])
    ahead = np.column_stack([np.interp(places + 1.0, s, centre[:, axis]) for axis in range(3)])
    behind = np.column_stack([np.interp(places - 1.0, s, centre[:, axis]) for axis in range(3)])
    direction = along * (ahead - behind)
    yaw = np.degrees(np.arctan2(direction[:, 1], direction[:, 0]))
    pitch = np.degrees(np.arctan2(direction[:, 2], np.hypot(direction[:, 0], direction[:, 1])))
    at[:, 2] += RAISED
    return np.column_stack([at, pitch, yaw, np.zeros(len(at))])


def _pose_at(network: RoadNetwork, lanes: LaneTable, road: int, lane: int, place: float) -> Array:
    """The pose (1, 6) at a place on a lane: ids of the road and the lane, metres along the road."""
    (index,) = (number for number, one in enumerate(network.roads) if one.id == road)
    rows = np.flatnonzero((lanes.road == index) & (lanes.lane_id == lane))
    begins = [float(lanes.s[lanes.stations(int(row))][0]) for row in rows]
    row = max(zip(begins, rows), key=lambda one: (one[0] <= place, one[0] if one[0] <= place else -one[0]))[1]
    return _poses(lanes, int(row), np.array([place]))


def _without_overlaps(poses: Array, settled: int = 0) -> Array:
    """Keep poses, in order, whose largest vehicle overlaps none kept before (separating axes of rectangles).

    The first `settled` are known to overlap none.
    """
    half = np.array([0.5 * (LONGEST + CLEARANCE), 0.5 * (WIDEST + CLEARANCE)])
    yaw = np.radians(poses[:, 4])
    forward = np.column_stack([np.cos(yaw), np.sin(yaw)])
    right = np.column_stack([-np.sin(yaw), np.cos(yaw)])
    kept = np.arange(len(poses)) < settled
    for i in range(settled, len(poses)):
        offset = poses[:i, :2] - poses[i, :2]
        near = kept[:i] & (np.abs(offset) < 2.0 * np.hypot(*half)).all(axis=1)
        near &= np.abs(poses[:i, 2] - poses[i, 2]) < 5.0
        others, offset = np.flatnonzero(near), offset[near]
        apart = np.zeros(len(others), bool)
        for axis in (forward[[i]], right[[i]], forward[others], right[others]):
            reach = half[0] * np.abs(np.sum(forward[[i]] * axis, 1)) + half[1] * np.abs(np.sum(right[[i]] * axis, 1))
            reach = reach + half[0] * np.abs(np.sum(forward[others] * axis, 1))
            reach = reach + half[1] * np.abs(np.sum(right[others] * axis, 1))
            apart |= np.abs(np.sum(offset * axis, 1)) > reach
        kept[i] = apart.all()
    return poses[kept]
