"""The town's lanes as a network: each lane's course, and where one can drive from it.

Lanes and their successors come from `carla.Map`.
"""

from __future__ import annotations

import enum
import math
from itertools import pairwise
from typing import NamedTuple

import carla
import networkx
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.roads.lanes import Lane, SampledLanes, town_lanes
from rllib_integration.roads.town_cache import TownMemory

LANE_CHANGE_LENGTH = 15.0
"""Length over which a lane change stretches (m)."""

_LANE_CHANGE_COST = 15.0  # [m] by which a lane change has to pay
_SHORTEST_FOR_A_CHANGE = 30.0  # [m] of lane on which a change is planned
_STRAIGHT = math.radians(25.0)  # less turning than this in a junction is straight on
_REACH = 6.0  # [m] a place farther from the middle of every driving lane is on none
_STOREY = 3.5  # [m] lanes further above or below a place are another storey's


class RoadOption(enum.IntEnum):
    """What to do, with the names and numbers of CARLA's own agents."""

    VOID = -1
    LEFT = 1
    RIGHT = 2
    STRAIGHT = 3
    LANE_FOLLOW = 4
    CHANGE_LANE_LEFT = 5
    CHANGE_LANE_RIGHT = 6


class LaneCourse(NamedTuple):
    """The middle of one lane of one lane section.

    Attributes:
        points: `float64 (n, 4)` x, y, z (m), yaw (rad, unwrapped).
        distance: `float64 (n,)` metres from the lane's begin.
        junction: Whether the lane leads through a junction.
    """

    points: NDArray[np.float64]
    distance: NDArray[np.float64]
    junction: bool

    @property
    def length(self) -> float:
        """Metres from end to end."""
        return float(self.distance[-1])

    @property
    def option(self) -> RoadOption:
        """What it means to drive along it: a turn in a junction, else to follow the lane."""
        if not self.junction:
            return RoadOption.LANE_FOLLOW
        turn = self.points[-1, 3] - self.points[0, 3]
        if abs(turn) < _STRAIGHT:
            return RoadOption.STRAIGHT
        return RoadOption.RIGHT if turn > 0.0 else RoadOption.LEFT

    def points_at(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """`float64 (n, 4)` points at distances from the lane's begin."""
        return np.stack([np.interp(at, self.distance, self.points[:, column]) for column in range(4)], axis=1)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """How far a place (m) is from the lane's middle, and how far along the lane the nearest point of it is."""
        return nearest_on_line(self.points, self.distance, x, y)


class LaneNetwork:
    """The driving lanes of a town.

    Args:
        carla_map: The town.
        lanes: Its sampled lanes.

    Attributes:
        courses: Each lane's course.
        graph: Lanes as nodes. An edge has a `cost` (m) and an `option`: None to drive on, or the lane change.
        endless: The lanes between which one can drive on and on.
    """

    def __init__(self, carla_map: carla.Map, lanes: SampledLanes) -> None:
        self.courses = _lane_courses(lanes)
        self._lanes = list(self.courses)
        self._places = np.concatenate([self.courses[lane].points[:, :3] for lane in self._lanes])
        lengths = [len(self.courses[lane].points) for lane in self._lanes]
        self._lane_numbers = np.repeat(np.arange(len(lengths)), lengths)
        self.graph = self._make_graph(carla_map)
        components = networkx.strongly_connected_components(self.graph)
        self.endless: set[Lane] = max(components, key=len, default=set())

    @classmethod
    def for_map(cls, carla_map: carla.Map) -> LaneNetwork:
        """The network of a town; made once in a process."""
        return _NETWORKS.get(carla_map, lambda: cls(carla_map, town_lanes(carla_map)))

    def following(self, lane: Lane) -> list[Lane]:
        """The lanes that one drives on to at a lane's end, in order."""
        return sorted(to for _, to, edge in self.graph.out_edges(lane, data=True) if edge["option"] is None)

    def preceding(self, lane: Lane) -> list[Lane]:
        """The lanes from whose ends one drives on to a lane, in order."""
        return sorted(come for come, _, edge in self.graph.in_edges(lane, data=True) if edge["option"] is None)

    def lanes_at(self, x: float, y: float, z: float) -> list[tuple[Lane, float, float]]:
        """All lanes within 6 m of a place (m), of whatever direction.

        Returns:
            Each lane, its distance from the place (m), and how far along it the nearest point is (m).
        """
        offsets = self._places - (x, y, z)
        near = (np.hypot(offsets[:, 0], offsets[:, 1]) < _REACH + 1.0) & (np.abs(offsets[:, 2]) < _STOREY)
        lanes = [self._lanes[number] for number in np.unique(self._lane_numbers[near])]
        found = [(lane, *self.courses[lane].nearest(x, y)) for lane in lanes]
        return [(lane, away, at) for lane, away, at in found if away <= _REACH]

    def _make_graph(self, carla_map: carla.Map) -> networkx.DiGraph:
        """Lanes as nodes; leaving one costs its length, changing to the one beside it a little."""
        graph = networkx.DiGraph()
        graph.add_nodes_from(self.courses)
        for entry, following in carla_map.get_topology():
            lane, successor = lane_of(entry), lane_of(following)
            if lane in self.courses and successor in self.courses:
                graph.add_edge(lane, successor, cost=self.courses[lane].length, option=None)
                self._add_lane_changes(graph, entry, lane)
        return graph

    def _add_lane_changes(self, graph: networkx.DiGraph, entry: carla.Waypoint, lane: Lane) -> None:
        course = self.courses[lane]
        if course.length < _SHORTEST_FOR_A_CHANGE or course.junction:
            return
        halfway = entry.next(course.length / 2.0)
        if not halfway or lane_of(halfway[0]) != lane:
            return
        for permitted, neighbour, option in (
            (carla.LaneChange.Left, halfway[0].get_left_lane(), RoadOption.CHANGE_LANE_LEFT),
            (carla.LaneChange.Right, halfway[0].get_right_lane(), RoadOption.CHANGE_LANE_RIGHT),
        ):
            if neighbour is None or halfway[0].lane_change not in (permitted, carla.LaneChange.Both):
                continue
            beside = lane_of(neighbour)
            same_way = beside[2] * lane[2] > 0
            if neighbour.lane_type == carla.LaneType.Driving and same_way and beside in self.courses:
                graph.add_edge(lane, beside, cost=_LANE_CHANGE_COST, option=option)


_NETWORKS: TownMemory[LaneNetwork] = TownMemory()


@njit(cache=True)
def nearest_on_line(
    points: NDArray[np.float64], distance: NDArray[np.float64], x: float, y: float
) -> tuple[float, float]:
    """How far a place is from a line of points, and how far along the line the nearest point is."""
    best, at = math.inf, 0.0
    for n in range(points.shape[0] - 1):
        dx, dy = points[n + 1, 0] - points[n, 0], points[n + 1, 1] - points[n, 1]
        square = max(dx * dx + dy * dy, 1e-9)
        share = ((x - points[n, 0]) * dx + (y - points[n, 1]) * dy) / square
        share = min(1.0, max(0.0, share))
        away = math.hypot(points[n, 0] + share * dx - x, points[n, 1] + share * dy - y)
        if away < best:
            best, at = away, distance[n] + share * (distance[n + 1] - distance[n])
    return best, at


def lane_of(waypoint: carla.Waypoint) -> Lane:
    """The lane of a waypoint."""
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _lane_courses(lanes: SampledLanes) -> dict[Lane, LaneCourse]:
    """The longest piece of each lane that a run of samples follows."""
    courses: dict[Lane, LaneCourse] = {}
    for begin, end in pairwise(lanes.starts):
        run = lanes.driving[begin:end]
        keys = np.stack([run["road"], run["section"], run["lane"]], axis=1)
        cuts = np.r_[0, np.flatnonzero(np.any(keys[1:] != keys[:-1], axis=1)) + 1, len(run)]
        for first, last in pairwise(cuts):
            # A piece ends where the next one begins.
            piece = run[first : min(last + 1, len(run))]
            if len(piece) < 2:
                continue
            points = np.stack([piece[name].astype(np.float64) for name in ("x", "y", "z", "yaw")], axis=1)
            points[:, 3] = np.unwrap(points[:, 3])
            distance = np.r_[0.0, np.cumsum(np.hypot(np.diff(points[:, 0]), np.diff(points[:, 1])))]
            road, section, number = keys[first].tolist()
            lane = (road, section, number)
            known = courses.get(lane)
            if distance[-1] > 0.0 and (known is None or known.length < distance[-1]):
                courses[lane] = LaneCourse(points, distance, bool(piece["junction"][0]))
    return courses
