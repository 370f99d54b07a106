"""Routes over the town's lanes: to a goal, or somewhere of a length.

Lanes and their successors come from ``carla.Map``, the search is networkx's. A route knows how far the hero has
come along it, which points come next and what to do at the next junction.
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

from rllib_integration.lanes import LaneIndex, SampledLanes, town_lanes
from rllib_integration.town_cache import TownMemory

_LANE_CHANGE_COST = 15.0  # [m] by which a lane change has to pay
_LANE_CHANGE_LENGTH = 15.0  # [m] over which it stretches
_SHORTEST_FOR_A_CHANGE = 30.0  # [m] of lane on which a change is planned
_STRAIGHT = math.radians(25.0)  # less turning than this in a junction is straight on
_LOOK_AHEAD = 30.0  # [m] within which the hero is looked for along its route


class RoadOption(enum.IntEnum):
    """What to do, with the names and numbers of CARLA's own agents."""

    VOID = -1
    LEFT = 1
    RIGHT = 2
    STRAIGHT = 3
    LANE_FOLLOW = 4
    CHANGE_LANE_LEFT = 5
    CHANGE_LANE_RIGHT = 6


class RouteError(ValueError):
    """No route can be planned as asked."""


_Lane = tuple[int, int, int]  # road, lane section, lane


class _LaneCourse(NamedTuple):
    """The middle of one lane of one lane section: ``float64 (n, 4)`` x, y, z (m), yaw (rad, unwrapped)."""

    points: NDArray[np.float64]
    distance: NDArray[np.float64]
    junction: bool

    @property
    def length(self) -> float:
        return float(self.distance[-1])


class Route:
    """A way over the lanes, and how far the hero has come along it.

    Args:
        points: ``float64 (n, 4)`` x, y, z (m), yaw (rad), about a metre apart.
        options: ``int8 (n,)`` :class:`RoadOption` that holds at each point.

    Attributes:
        points: As given.
        options: As given.
        length: Of the whole route (m).
        deviation: Distance of the hero from the route (m) at the last :meth:`update`.
    """

    def __init__(self, points: NDArray[np.float64], options: NDArray[np.int8]) -> None:
        if len(points) < 2:
            raise RouteError("A route needs two points or more: start and goal are the same place.")
        self.points = points
        self.options = options
        steps = np.hypot(np.diff(points[:, 0]), np.diff(points[:, 1]))
        self._distance = np.r_[0.0, np.cumsum(steps)]
        self.length = float(self._distance[-1])
        self.deviation = 0.0
        self._travelled = 0.0

    @property
    def travelled(self) -> float:
        """Metres of the route behind the hero; never falls."""
        return self._travelled

    @property
    def progress(self) -> float:
        """Share of the route behind the hero, 0 to 1."""
        return self._travelled / self.length

    @property
    def finished(self) -> bool:
        """Whether the hero is within a metre of the end."""
        return self._travelled >= self.length - 1.0

    @property
    def goal(self) -> carla.Location:
        """Where the route ends."""
        x, y, z, _ = self.points[-1]
        return carla.Location(x, y, z)

    def update(self, x: float, y: float) -> float:
        """Note where the hero is (m) and return the progress.

        The hero is looked for from where it was last seen to 30 m further on, so that a route which crosses
        itself is not cut short.
        """
        first = max(int(np.searchsorted(self._distance, self._travelled, "right")) - 1, 0)
        last = int(np.searchsorted(self._distance, self._travelled + _LOOK_AHEAD, "right")) + 1
        deviation, at = _nearest_on_line(self.points[first:last], self._distance[first:last], x, y)
        if math.isfinite(deviation):
            self.deviation = deviation
            self._travelled = max(self._travelled, at)
        return self.progress

    def locate(self, x: float, y: float, yaw: float) -> tuple[float, float]:
        """How a pose (m, degrees) lies to the route where the hero was last seen.

        Returns:
            Distance to the right of the route (m), and the pose's direction less the route's, degrees in [-180, 180).
        """
        at = min(max(int(np.searchsorted(self._distance, self._travelled, "right")) - 1, 0), len(self.points) - 2)
        here, following = self.points[at], self.points[at + 1]
        share = (self._travelled - self._distance[at]) / max(self._distance[at + 1] - self._distance[at], 1e-9)
        turn = (following[3] - here[3] + math.pi) % (2.0 * math.pi) - math.pi
        direction = here[3] + share * turn
        dx = x - here[0] - share * (following[0] - here[0])
        dy = y - here[1] - share * (following[1] - here[1])
        lateral = dy * math.cos(direction) - dx * math.sin(direction)
        return lateral, (yaw - math.degrees(direction) + 180.0) % 360.0 - 180.0

    def bend(self, ahead: float, over: float = 4.0) -> float:
        """The sharpest curvature (1/m) of the next metres, each taken over some metres."""
        at = np.minimum(self._travelled + np.arange(0.0, ahead + over, over), self.length)
        rows = np.minimum(np.searchsorted(self._distance, at), len(self.points) - 1)
        turns = (np.diff(self.points[rows, 3]) + math.pi) % (2.0 * math.pi) - math.pi
        return float(np.abs(turns).max()) / over

    def stretch(self, behind: float, ahead: float) -> NDArray[np.float64]:
        """``float64 (n, 2)`` points x, y from some metres behind the hero to some ahead of it."""
        first = np.searchsorted(self._distance, self._travelled - behind)
        last = np.searchsorted(self._distance, self._travelled + ahead, "right")
        return self.points[first:last, :2]

    def piece(self, behind: float, ahead: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points ``float64 (n, 4)`` around the hero, and how far along the route each lies ``float64 (n,)`` (m)."""
        first = np.searchsorted(self._distance, self._travelled - behind)
        last = np.searchsorted(self._distance, self._travelled + ahead, "right")
        return self.points[first:last], self._distance[first:last]

    def next_points(self, transform: carla.Transform, count: int, spacing: float = 2.0) -> NDArray[np.float32]:
        """Points of the route ahead, in the hero's frame.

        Args:
            transform: The hero's place and direction.
            count: How many.
            spacing: Metres of route from one to the next, and from the hero to the first.

        Returns:
            ``float32 (count, 2)``: metres forward and to the right. Beyond the end, the end is repeated.
        """
        at = np.minimum(self._travelled + spacing * np.arange(1, count + 1), self.length)
        x = np.interp(at, self._distance, self.points[:, 0]) - transform.location.x
        y = np.interp(at, self._distance, self.points[:, 1]) - transform.location.y
        yaw = math.radians(transform.rotation.yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        return np.stack([x * c + y * s, y * c - x * s], axis=1).astype(np.float32)

    def next_option(self, ahead: float = 50.0) -> RoadOption:
        """What to do next within ``ahead`` metres: the turn at the next junction, a lane change, or the lane."""
        first = np.searchsorted(self._distance, self._travelled, "right") - 1
        last = np.searchsorted(self._distance, self._travelled + ahead, "right")
        coming = self.options[max(first, 0) : last]
        special = coming[coming != RoadOption.LANE_FOLLOW]
        return RoadOption(int(special[0])) if len(special) else RoadOption.LANE_FOLLOW


class RoutePlanner:
    """Plans routes in a town.

    Args:
        carla_map: The town.
        lanes: Its sampled lanes.
    """

    def __init__(self, carla_map: carla.Map, lanes: SampledLanes) -> None:
        self._index = LaneIndex.for_map(carla_map)
        self._courses = _lane_courses(lanes)
        self._graph = self._make_graph(carla_map)
        components = networkx.strongly_connected_components(self._graph)
        self._endless: set[_Lane] = max(components, key=len, default=set())

    @classmethod
    def for_map(cls, carla_map: carla.Map) -> RoutePlanner:
        """The planner of a town; made once in a process."""
        return _PLANNERS.get(carla_map, lambda: cls(carla_map, town_lanes(carla_map)))

    def _make_graph(self, carla_map: carla.Map) -> networkx.DiGraph:
        """Lanes as nodes; leaving one costs its length, changing to the one beside it a little."""
        graph = networkx.DiGraph()
        graph.add_nodes_from(self._courses)
        for entry, following in carla_map.get_topology():
            lane, successor = _lane_of(entry), _lane_of(following)
            if lane in self._courses and successor in self._courses:
                graph.add_edge(lane, successor, cost=self._courses[lane].length, option=None)
                self._add_lane_changes(graph, entry, lane)
        return graph

    def _add_lane_changes(self, graph: networkx.DiGraph, entry: carla.Waypoint, lane: _Lane) -> None:
        course = self._courses[lane]
        if course.length < _SHORTEST_FOR_A_CHANGE or course.junction:
            return
        halfway = entry.next(course.length / 2.0)
        if not halfway or _lane_of(halfway[0]) != lane:
            return
        for permitted, neighbour, option in (
            (carla.LaneChange.Left, halfway[0].get_left_lane(), RoadOption.CHANGE_LANE_LEFT),
            (carla.LaneChange.Right, halfway[0].get_right_lane(), RoadOption.CHANGE_LANE_RIGHT),
        ):
            if neighbour is None or halfway[0].lane_change not in (permitted, carla.LaneChange.Both):
                continue
            beside = _lane_of(neighbour)
            same_way = beside[2] * lane[2] > 0
            if neighbour.lane_type == carla.LaneType.Driving and same_way and beside in self._courses:
                graph.add_edge(lane, beside, cost=_LANE_CHANGE_COST, option=option)

    def route_to(self, start: carla.Transform, goal: carla.Location) -> Route:
        """The shortest route.

        Args:
            start: Place and direction of the hero, on a lane or beside one.
            goal: A place on a driving lane, or within 6 m of one.

        Raises:
            RouteError: Start or goal is away from every lane, or there is no way from one to the other.
        """
        first, from_here = self._on_lane(start.location, start.rotation.yaw, "start")
        candidates = self._lanes_at(goal)
        best: tuple[float, list[_Lane], float] | None = None
        for last, to_there in candidates:
            path = self._path(first, from_here, last, to_there)
            if path is not None and (best is None or path[0] < best[0]):
                best = (*path, to_there)
        if best is None:
            raise RouteError(
                f"There is no way over the lanes from {_text(start.location)} to {_text(goal)}: "
                "choose a goal on a lane that can be reached in the direction of travel."
            )
        return self._assemble(best[1], from_here, best[2])

    def random_route(self, start: carla.Transform, length: float, rng: np.random.Generator) -> Route:
        """A route of some length that turns at random; shorter only if the road ends.

        Args:
            start: Place and direction of the hero.
            length: Metres.
            rng: Decides the turns.

        Raises:
            RouteError: The start is away from every lane, or the length is not above zero.
        """
        if not length > 0.0:
            raise RouteError(f"A random route has to be longer than zero metres, but {length!r} was asked for.")
        first, from_here = self._on_lane(start.location, start.rotation.yaw, "start")
        path = [first]
        covered = self._courses[first].length - from_here
        while covered < length:
            following = [lane for _, lane, edge in self._graph.out_edges(path[-1], data=True) if edge["option"] is None]
            # Lanes from which the town can be driven on and on are better than dead ends.
            following = sorted(lane for lane in following if lane in self._endless) or sorted(following)
            if not following:
                break
            path.append(following[int(rng.integers(len(following)))])
            covered += self._courses[path[-1]].length
        return self._assemble(path, from_here, self._courses[path[-1]].length - max(0.0, covered - length))

    def _path(self, first: _Lane, from_here: float, last: _Lane, to_there: float) -> tuple[float, list[_Lane]] | None:
        """Length and lanes of the shortest way, or None."""
        if first == last and to_there > from_here:
            return to_there - from_here, [first]
        cramped = from_here + _LANE_CHANGE_LENGTH > self._courses[first].length

        def has_room(lane: _Lane, following: _Lane) -> bool:
            return not (cramped and lane == first) or self._graph.edges[lane, following]["option"] is None

        def enters_by_driving(lane: _Lane, following: _Lane) -> bool:
            return following != last or self._graph.edges[lane, following]["option"] is None

        roomy = networkx.subgraph_view(self._graph, filter_edge=has_room)
        # Better a sharp lane change than no way at all.
        found = self._search(roomy, first, last) or self._search(self._graph, first, last)
        if found is not None and self._begin_on_last(found[1], from_here) > to_there:
            # The hero would change to the goal's lane where the goal is already behind.
            found = self._search(networkx.subgraph_view(roomy, filter_edge=enters_by_driving), first, last)
        return (found[0] - from_here + to_there, found[1]) if found else None

    def _search(self, graph: networkx.DiGraph, first: _Lane, last: _Lane) -> tuple[float, list[_Lane]] | None:
        """Cost and lanes of the cheapest way that leaves the first lane, or None."""
        ways = []
        for lane in graph.successors(first):
            try:
                cost, path = networkx.single_source_dijkstra(graph, lane, last, weight="cost")
            except networkx.NetworkXNoPath:
                continue
            ways.append((cost + graph.edges[first, lane]["cost"], [first, *path]))
        return min(ways, default=None)

    def _begin_on_last(self, path: list[_Lane], begin: float) -> float:
        """Where on its last lane a path comes in, metres from the lane's begin."""
        for lane, following in pairwise(path):
            changes = self._graph.edges[lane, following]["option"] is not None
            begin = self._after_change(lane, following, begin) if changes else 0.0
        return begin

    def _after_change(self, lane: _Lane, following: _Lane, begin: float) -> float:
        """Where a lane change that begins at a distance along one lane ends on the other."""
        share = min(1.0, (begin + _LANE_CHANGE_LENGTH) / self._courses[lane].length)
        return share * self._courses[following].length

    def _on_lane(self, location: carla.Location, yaw: float, what: str) -> tuple[_Lane, float]:
        """The driving lane that a pose follows, and the distance from the lane's begin."""
        position = self._index.locate(location.x, location.y, location.z, yaw)
        lane = (position.road_id, position.section_id, position.lane_id) if position else None
        if position is None or lane not in self._courses:
            raise RouteError(f"The {what} {_text(location)} is away from every driving lane (more than 6 m).")
        assert lane is not None
        return lane, _distance_along(self._courses[lane], position.x, position.y)

    def _lanes_at(self, goal: carla.Location) -> list[tuple[_Lane, float]]:
        """The driving lanes at a place, of whatever direction, and the distance from each lane's begin."""
        found: dict[_Lane, tuple[float, float]] = {}
        for yaw in (0.0, 90.0, 180.0, 270.0):
            try:
                lane, distance = self._on_lane(goal, yaw, "goal")
            except RouteError:
                continue
            middle = _interpolate(self._courses[lane], np.array([distance]))[0]
            found[lane] = (math.hypot(middle[0] - goal.x, middle[1] - goal.y), distance)
        if not found:
            raise RouteError(f"The goal {_text(goal)} is away from every driving lane (more than 6 m).")
        nearest = min(away for away, _ in found.values())
        return [(lane, distance) for lane, (away, distance) in found.items() if away < nearest + 0.5]

    def _assemble(self, path: list[_Lane], from_here: float, to_there: float) -> Route:
        """Join the lanes of a path into one line of points."""
        points: list[NDArray[np.float64]] = []
        options: list[NDArray[np.int8]] = []
        begin = from_here
        for number, lane in enumerate(path):
            course = self._courses[lane]
            is_last = number == len(path) - 1
            option = None if is_last else self._graph.edges[lane, path[number + 1]]["option"]
            if option is not None:
                # The lanes run side by side: the change takes its length off the way along the next one.
                after = self._after_change(lane, path[number + 1], begin)
                across = _line(
                    _interpolate(course, np.array([begin]))[0],
                    _interpolate(self._courses[path[number + 1]], np.array([after]))[0],
                )
                points.append(across)
                options.append(np.full(len(across), option, np.int8))
                begin = after
                continue
            end = max(to_there, begin) if is_last else course.length
            at = np.r_[np.arange(begin, end, 1.0), end]
            piece = _interpolate(course, at)
            points.append(piece)
            options.append(np.full(len(piece), self._option_on(course), np.int8))
            begin = 0.0
        joined, kinds = np.concatenate(points), np.concatenate(options)
        apart = np.r_[True, np.hypot(np.diff(joined[:, 0]), np.diff(joined[:, 1])) > 1e-3]
        return Route(joined[apart], kinds[apart])

    def _option_on(self, course: _LaneCourse) -> RoadOption:
        if not course.junction:
            return RoadOption.LANE_FOLLOW
        turn = course.points[-1, 3] - course.points[0, 3]
        if abs(turn) < _STRAIGHT:
            return RoadOption.STRAIGHT
        return RoadOption.RIGHT if turn > 0.0 else RoadOption.LEFT


_PLANNERS: TownMemory[RoutePlanner] = TownMemory()


def plan_route(
    carla_map: carla.Map,
    start: carla.Transform,
    goal: carla.Location | None = None,
    length: float = 500.0,
    rng: np.random.Generator | None = None,
) -> Route:
    """A route to a goal, or a random one of a length.

    Args:
        carla_map: The town.
        start: Place and direction of the hero.
        goal: Where to; None = somewhere.
        length: Metres of a route to somewhere.
        rng: Decides the turns of a route to somewhere.

    Raises:
        RouteError: Start or goal is away from every lane, or there is no way.
    """
    planner = RoutePlanner.for_map(carla_map)
    if goal is not None:
        return planner.route_to(start, goal)
    return planner.random_route(start, length, rng or np.random.default_rng())


@njit(cache=True)
def _nearest_on_line(
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


def _lane_of(waypoint: carla.Waypoint) -> _Lane:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _lane_courses(lanes: SampledLanes) -> dict[_Lane, _LaneCourse]:
    """The longest piece of each lane that a run of samples follows."""
    courses: dict[_Lane, _LaneCourse] = {}
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
                courses[lane] = _LaneCourse(points, distance, bool(piece["junction"][0]))
    return courses


def _interpolate(course: _LaneCourse, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, 4)`` points at distances from a lane's begin."""
    return np.stack([np.interp(at, course.distance, course.points[:, column]) for column in range(4)], axis=1)


def _line(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, 4)`` points about a metre apart from one point to just before another, and their direction."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    share = np.linspace(0.0, 1.0, max(2, round(math.hypot(dx, dy))), endpoint=False)[:, None]
    points = start + share * (end - start)
    points[:, 3] = math.atan2(dy, dx)
    return points


def _distance_along(course: _LaneCourse, x: float, y: float) -> float:
    """Distance from a lane's begin of the point of it that is nearest to a place."""
    return _nearest_on_line(course.points, course.distance, x, y)[1]


def _text(location: carla.Location) -> str:
    return f"({location.x:.1f}, {location.y:.1f}, {location.z:.1f})"
