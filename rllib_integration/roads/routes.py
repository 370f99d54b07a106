"""Routes over the town's lanes: to a goal, or somewhere of a length.

Lanes and their successors come from `carla.Map`, the search is networkx's. A route knows how far the hero has
come along it, which points come next and what to do at the next junction.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import carla
import networkx
import numpy as np
from numpy.typing import NDArray

from rllib_integration.errors import IntegrationError
from rllib_integration.roads.lanes import Lane, LaneIndex
from rllib_integration.roads.network import LANE_CHANGE_LENGTH, LaneNetwork, RoadOption, nearest_on_line
from rllib_integration.roads.town_cache import TownMemory

logger = logging.getLogger(__name__)

_LOOK_AHEAD = 30.0  # [m] within which the hero is looked for along its route
_AS_NEAR = 0.5  # [m] by which one lane may be farther from a place than another, and be meant
_SAME_PLACE = 3.0  # [m] by which a point of a route may lie behind the one before it and still be the same place


class RouteError(IntegrationError, ValueError):
    """No route can be planned as asked."""


class _Way(NamedTuple):
    """A way over lanes that a search has found so far.

    Attributes:
        cost: Metres, with the cost of lane changes.
        lanes: In the order of travel.
        no_change_before: How far each of them has to be followed before it may be left for the one beside it (m).
        begin: Where the way begins on the first lane (m).
        at: Where it ends on the last one (m).
    """

    cost: float
    lanes: list[Lane]
    no_change_before: list[float]
    begin: float
    at: float


class Route:
    """A way over the lanes, and how far the hero has come along it.

    Args:
        points: `float64 (n, 4)` x, y, z (m), yaw (rad), about a metre apart.
        options: `int8 (n,)` `RoadOption` that holds at each point.

    Attributes:
        points: As given.
        options: As given.
        length: Of the whole route (m).
        deviation: Distance of the hero from the route (m) at the last `update`.
    """

    def __init__(self, points: NDArray[np.float64], options: NDArray[np.int8]) -> None:
        if len(points) < 2:
            raise RouteError("A route needs two points or more: start and goal are the same place.")
        self.points = self._planned = points
        self.options = options
        steps = np.hypot(np.diff(points[:, 0]), np.diff(points[:, 1]))
        self._distance = np.r_[0.0, np.cumsum(steps)]
        # What is asked at every step is asked of lists: for a few numbers they take less time than arrays.
        self._distances: list[float] = self._distance.tolist()
        self._yaws: list[float] = points[:, 3].tolist()
        self.length = self._distances[-1]
        self.deviation = 0.0
        self._travelled = 0.0
        self._seen_at = (math.nan, math.nan)

    @property
    def travelled(self) -> float:
        """Metres of the route behind the hero; never falls."""
        return self._travelled

    @property
    def progress(self) -> float:
        """Share of the route behind the hero, 0 to 1."""
        return self._travelled / self.length

    @property
    def led_aside(self) -> float:
        """How far the route leads beside where it was planned, at the hero (m)."""
        row = min(bisect_left(self._distances, self._travelled), len(self.points) - 1)
        return math.dist(self.points[row, :2], self._planned[row, :2])

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
        if (x, y) == self._seen_at:  # metrics and experiment follow the same hero
            return self.progress
        self._seen_at = x, y
        first = max(bisect_right(self._distances, self._travelled) - 1, 0)
        last = bisect_right(self._distances, self._travelled + _LOOK_AHEAD) + 1
        deviation, at = nearest_on_line(self.points[first:last], self._distance[first:last], x, y)
        if math.isfinite(deviation):
            self.deviation = deviation
            self._travelled = max(self._travelled, at)
        return self.progress

    def locate(self, x: float, y: float, yaw: float) -> tuple[float, float]:
        """How a pose (m, degrees) lies to the route where the hero was last seen.

        Returns:
            Distance to the right of the route (m), and the pose's direction less the route's, degrees in [-180, 180).
        """
        at = min(max(bisect_right(self._distances, self._travelled) - 1, 0), len(self._distances) - 2)
        here, following = self.points[at : at + 2].tolist()
        share = (self._travelled - self._distances[at]) / max(self._distances[at + 1] - self._distances[at], 1e-9)
        turn = (following[3] - here[3] + math.pi) % (2.0 * math.pi) - math.pi
        direction = here[3] + share * turn
        dx = x - here[0] - share * (following[0] - here[0])
        dy = y - here[1] - share * (following[1] - here[1])
        lateral = dy * math.cos(direction) - dx * math.sin(direction)
        return lateral, (yaw - math.degrees(direction) + 180.0) % 360.0 - 180.0

    def bend(self, ahead: float, over: float = 4.0) -> float:
        """The sharpest curvature (1/m) of the next metres, each taken over some metres."""
        places = [min(self._travelled + number * over, self.length) for number in range(math.ceil(ahead / over) + 1)]
        yaws = [self._yaws[min(bisect_left(self._distances, at), len(self._yaws) - 1)] for at in places]
        turns = [abs((after - before + math.pi) % (2.0 * math.pi) - math.pi) for before, after in pairwise(yaws)]
        return max(turns) / over

    def lead_aside(self, begin: float, aside: float, back: float, end: float, metres: float) -> None:
        """Lead a part of the route beside where it was planned. Its length stays, as distances along it do.

        Args:
            begin: Where it begins to lead aside (m along the route).
            aside: Where it is fully aside (m).
            back: Where it begins to lead back (m).
            end: Where it is back (m).
            metres: How far to the right it leads.
        """
        share = np.interp(self._distance, [begin, aside, back, end], [0.0, 1.0, 1.0, 0.0])
        lateral = metres * share * share * (3.0 - 2.0 * share)  # without a kink at either end
        yaw = self._planned[:, 3]
        self.points = self._planned.copy()
        self.points[:, 0] -= lateral * np.sin(yaw)
        self.points[:, 1] += lateral * np.cos(yaw)
        self.points[:, 3] = yaw + np.arctan(np.gradient(lateral, self._distance))
        self._yaws = self.points[:, 3].tolist()

    def stretch(self, behind: float, ahead: float) -> NDArray[np.float64]:
        """`float64 (n, 2)` points x, y from some metres behind the hero to some ahead of it."""
        return self.piece(behind, ahead)[0][:, :2]

    def piece(self, behind: float, ahead: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points `float64 (n, 4)` around the hero, and how far along the route each lies `float64 (n,)` (m)."""
        rows = self._rows(behind, ahead)
        return self.points[rows], self._distance[rows]

    def planned_piece(self, behind: float, ahead: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As `piece`, where the route was planned, even if it has been led aside there."""
        rows = self._rows(behind, ahead)
        return self._planned[rows], self._distance[rows]

    def _rows(self, behind: float, ahead: float) -> slice:
        first = bisect_left(self._distances, self._travelled - behind)
        return slice(first, bisect_right(self._distances, self._travelled + ahead))

    def follows_lane_for(self, ahead: float) -> float:
        """Metres until the route comes to a junction or changes lanes, at most `ahead`."""
        first = max(bisect_right(self._distances, self._travelled) - 1, 0)
        last = bisect_right(self._distances, self._travelled + ahead)
        special = np.flatnonzero(self.options[first:last] != RoadOption.LANE_FOLLOW)
        return max(self._distances[first + int(special[0])] - self._travelled, 0.0) if len(special) else ahead

    def next_points(self, transform: carla.Transform, count: int, spacing: float = 2.0) -> NDArray[np.float32]:
        """Points of the route ahead, in the hero's frame.

        Args:
            transform: The hero's place and direction.
            count: How many.
            spacing: Metres of route from one to the next, and from the hero to the first.

        Returns:
            `float32 (count, 2)`: metres forward and to the right. Beyond the end, the end is repeated.
        """
        at = np.minimum(self._travelled + spacing * np.arange(1, count + 1), self.length)
        x = np.interp(at, self._distance, self.points[:, 0]) - transform.location.x
        y = np.interp(at, self._distance, self.points[:, 1]) - transform.location.y
        yaw = math.radians(transform.rotation.yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        return np.stack([x * c + y * s, y * c - x * s], axis=1).astype(np.float32)

    def next_option(self, ahead: float = 50.0) -> RoadOption:
        """What to do next within `ahead` metres: the turn at the next junction, a lane change, or the lane."""
        first = bisect_right(self._distances, self._travelled) - 1
        last = bisect_right(self._distances, self._travelled + ahead)
        coming = self.options[max(first, 0) : last]
        special = coming[coming != RoadOption.LANE_FOLLOW]
        return RoadOption(int(special[0])) if len(special) else RoadOption.LANE_FOLLOW


class RoutePlanner:
    """Plans routes in a town.

    Args:
        carla_map: The town.
        network: Its lanes.
    """

    def __init__(self, carla_map: carla.Map, network: LaneNetwork) -> None:
        self._index = LaneIndex.for_map(carla_map)
        self._network = network
        self._courses = network.courses
        self._drivable = self._index.choose(network.courses)
        self._graph = network.graph
        self._has_told_of_ends = False

    @classmethod
    def for_map(cls, carla_map: carla.Map) -> RoutePlanner:
        """The planner of a town; made once in a process."""
        return _PLANNERS.get(carla_map, lambda: cls(carla_map, LaneNetwork.for_map(carla_map)))

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
        best: tuple[float, list[Lane], float] | None = None
        for last, to_there in candidates:
            path = self._path(first, from_here, last, to_there)
            if path is not None and (best is None or path[0] < best[0]):
                best = (*path, to_there)
        if best is None:
            raise _no_way(start.location, goal)
        return self._assemble(best[1], from_here, best[2])

    def route_through(self, start: carla.Transform, points: Sequence[carla.Location]) -> Route:
        """The shortest route that passes some points in their order and ends at the last one.

        Args:
            start: Place and direction of the hero, on a lane or beside one.
            points: Places on driving lanes, or within 6 m of one. Where lanes overlap, the one is taken that makes
                the whole route shortest.

        Raises:
            RouteError: A point is away from every lane, or there is no way from one to the next.
        """
        first, from_here = self._on_lane(start.location, start.rotation.yaw, "start")
        return self._lead_through([_Way(0.0, [first], [0.0], from_here, from_here)], start.location, points)

    def route_along(self, points: Sequence[carla.Location]) -> Route:
        """The shortest route that begins at the first of some points, passes the others and ends at the last one.

        Args:
            points: As for `route_through`, two or more.

        Raises:
            RouteError: A point is away from every lane, or there is no way from one to the next.
        """
        if len(points) < 2:
            raise RouteError("A route along points needs two of them or more.")
        ways = [_Way(0.0, [lane], [0.0], at, at) for lane, at in self._lanes_at(points[0])]
        return self._lead_through(ways, points[0], points[1:])

    def _lead_through(self, ways: list[_Way], before: carla.Location, points: Sequence[carla.Location]) -> Route:
        for point in points:
            reached = [self._best_way(ways, lane, at) for lane, at in self._lanes_at(point)]
            ways = [way for way in reached if way is not None]
            if not ways:
                raise _no_way(before, point)
            before = point
        best = min(ways, key=lambda way: way.cost)
        return self._assemble(best.lanes, best.begin, best.at, best.no_change_before)

    def _best_way(self, ways: list[_Way], lane: Lane, at: float) -> _Way | None:
        """The cheapest of some ways, led on to a place on a lane."""
        longer = [self._led_on(way, lane, at) for way in ways]
        return min((way for way in longer if way is not None), key=lambda way: way.cost, default=None)

    def _led_on(self, way: _Way, lane: Lane, at: float) -> _Way | None:
        here = way.lanes[-1]
        if lane == here and at > way.at - _SAME_PLACE:
            return way._replace(cost=way.cost + max(0.0, at - way.at), at=max(at, way.at))
        found = self._path(here, way.at, lane, at)
        if found is None:
            return None
        cost, lanes = found
        no_change_before = [*way.no_change_before[:-1], way.at, *[0.0] * (len(lanes) - 1)]
        return _Way(way.cost + cost, [*way.lanes, *lanes[1:]], no_change_before, way.begin, at)

    def random_route(self, start: carla.Transform, length: float, rng: np.random.Generator) -> Route:
        """A route of some length that turns at random; shorter only if the road ends, of which a warning tells once.

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
            following = self._network.following(path[-1])
            # Lanes from which the town can be driven on and on are better than dead ends.
            following = [lane for lane in following if lane in self._network.endless] or following
            if not following:
                break
            path.append(following[int(rng.integers(len(following)))])
            covered += self._courses[path[-1]].length
        if covered < length and not self._has_told_of_ends:
            self._has_told_of_ends = True
            logger.warning(
                "A random route of %.0f m was asked for, but is %.0f m long: the road ends there. "
                "The town's further ones are not told of.",
                *(length, covered),
            )
        return self._assemble(path, from_here, self._courses[path[-1]].length - max(0.0, covered - length))

    def _path(self, first: Lane, from_here: float, last: Lane, to_there: float) -> tuple[float, list[Lane]] | None:
        """Length and lanes of the shortest way, or None."""
        if first == last and to_there > from_here:
            return to_there - from_here, [first]
        cramped = from_here + LANE_CHANGE_LENGTH > self._courses[first].length

        def has_room(lane: Lane, following: Lane) -> bool:
            return not (cramped and lane == first) or self._graph.edges[lane, following]["option"] is None

        def enters_by_driving(lane: Lane, following: Lane) -> bool:
            return following != last or self._graph.edges[lane, following]["option"] is None

        roomy = networkx.subgraph_view(self._graph, filter_edge=has_room)
        # Better a sharp lane change than no way at all.
        found = self._search(roomy, first, last) or self._search(self._graph, first, last)
        if found is not None and self._begin_on_last(found[1], from_here) > to_there:
            # The hero would change to the goal's lane where the goal is already behind.
            found = self._search(networkx.subgraph_view(roomy, filter_edge=enters_by_driving), first, last)
        return (found[0] - from_here + to_there, found[1]) if found else None

    def _search(self, graph: networkx.DiGraph, first: Lane, last: Lane) -> tuple[float, list[Lane]] | None:
        """Cost and lanes of the cheapest way that leaves the first lane, or None."""
        ways = []
        for lane in graph.successors(first):
            try:
                cost, path = networkx.single_source_dijkstra(graph, lane, last, weight="cost")
            except networkx.NetworkXNoPath:
                continue
            ways.append((cost + graph.edges[first, lane]["cost"], [first, *path]))
        return min(ways, default=None)

    def _begin_on_last(self, path: list[Lane], begin: float) -> float:
        """Where on its last lane a path comes in, metres from the lane's begin."""
        for lane, following in pairwise(path):
            changes = self._graph.edges[lane, following]["option"] is not None
            begin = self._after_change(lane, following, begin) if changes else 0.0
        return begin

    def _after_change(self, lane: Lane, following: Lane, begin: float) -> float:
        """Where a lane change that begins at a distance along one lane ends on the other."""
        share = min(1.0, (begin + LANE_CHANGE_LENGTH) / self._courses[lane].length)
        return share * self._courses[following].length

    def _on_lane(self, location: carla.Location, yaw: float, what: str) -> tuple[Lane, float]:
        """The driving lane that a pose follows, and the distance from the lane's begin."""
        position = self._index.locate(location.x, location.y, location.z, yaw, self._drivable)
        if position is None:
            raise RouteError(f"The {what} {_text(location)} is away from every driving lane (more than 6 m).")
        lane = (position.road_id, position.section_id, position.lane_id)
        return lane, self._courses[lane].nearest(position.x, position.y)[1]

    def _lanes_at(self, goal: carla.Location) -> list[tuple[Lane, float]]:
        """The driving lanes at a place, of whatever direction, and the distance from each lane's begin."""
        found = self._network.lanes_at(goal.x, goal.y, goal.z)
        if not found:
            raise RouteError(f"The goal {_text(goal)} is away from every driving lane (more than 6 m).")
        closest = min(away for _, away, _ in found)
        return [(lane, at) for lane, away, at in found if away < closest + _AS_NEAR]

    def _assemble(
        self, path: list[Lane], from_here: float, to_there: float, no_change_before: Sequence[float] = ()
    ) -> Route:
        """Join the lanes of a path into one line of points.

        Args:
            path: The lanes.
            from_here: Where the route begins on the first lane (m).
            to_there: Where it ends on the last (m).
            no_change_before: How far each lane has to be followed before it may be left for the one beside it (m).
        """
        points: list[NDArray[np.float64]] = []
        options: list[NDArray[np.int8]] = []
        begin = from_here
        for number, lane in enumerate(path):
            course = self._courses[lane]
            is_last = number == len(path) - 1
            option = None if is_last else self._graph.edges[lane, path[number + 1]]["option"]
            if option is not None:
                kept = no_change_before[number] if number < len(no_change_before) else 0.0
                if kept > begin:
                    piece = course.points_at(np.arange(begin, kept, 1.0))
                    points.append(piece)
                    options.append(np.full(len(piece), course.option, np.int8))
                    begin = kept
                # The lanes run side by side: the change takes its length off the way along the next one.
                after = self._after_change(lane, path[number + 1], begin)
                across = _line(
                    course.points_at(np.array([begin]))[0],
                    self._courses[path[number + 1]].points_at(np.array([after]))[0],
                )
                points.append(across)
                options.append(np.full(len(across), option, np.int8))
                begin = after
                continue
            end = max(to_there, begin) if is_last else course.length
            at = np.r_[np.arange(begin, end, 1.0), end]
            piece = course.points_at(at)
            points.append(piece)
            options.append(np.full(len(piece), course.option, np.int8))
            begin = 0.0
        joined, kinds = np.concatenate(points), np.concatenate(options)
        apart = np.r_[True, np.hypot(np.diff(joined[:, 0]), np.diff(joined[:, 1])) > 1e-3]
        return Route(joined[apart], kinds[apart])


_PLANNERS: TownMemory[RoutePlanner] = TownMemory()


def plan_route(
    carla_map: carla.Map,
    start: carla.Transform,
    goal: carla.Location | None = None,
    length: float = 500.0,
    rng: np.random.Generator | None = None,
    via: Sequence[carla.Location] = (),
) -> Route:
    """A route to a goal, or a random one of a length.

    Args:
        carla_map: The town.
        start: Place and direction of the hero.
        goal: Where to; None = to the last of the points, or somewhere.
        length: Metres of a route to somewhere.
        rng: Decides the turns of a route to somewhere.
        via: Points to pass in their order.

    Raises:
        RouteError: Start or goal is away from every lane, or there is no way.
    """
    planner = RoutePlanner.for_map(carla_map)
    if via:
        return planner.route_through(start, [*via, *([goal] if goal is not None else [])])
    if goal is not None:
        return planner.route_to(start, goal)
    return planner.random_route(start, length, rng or np.random.default_rng())


def _line(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(n, 4)` points about a metre apart from one point to just before another, and their direction."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    share = np.linspace(0.0, 1.0, max(2, round(math.hypot(dx, dy))), endpoint=False)[:, None]
    points = start + share * (end - start)
    points[:, 3] = math.atan2(dy, dx)
    return points


def _no_way(start: carla.Location, goal: carla.Location) -> RouteError:
    return RouteError(
        f"There is no way over the lanes from {_text(start)} to {_text(goal)}: "
        "choose a goal on a lane that can be reached in the direction of travel."
    )


def _text(location: carla.Location) -> str:
    return f"({location.x:.1f}, {location.y:.1f}, {location.z:.1f})"
