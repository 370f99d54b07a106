"""The road along the hero's route, for scenarios: poses, lanes beside it, and the junctions on it.

Distances are metres along the route; offsets are metres to the right of it. All data come from the client's map; the
server is not called.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.roads.routes import Route
from rllib_integration.scenarios.errors import ScenarioError

Side = Literal["left", "right"]
Direction = Literal["left", "right", "opposite"]

_STEP = 1.0  # [m] between the places where the route is checked for junctions
_BESIDE = 1.2  # [m] distance below which two paths conflict
_MOST_LANES = 12  # from the route to the edge of the road
_PAVEMENT = 1.2  # [m] from the last lane to a pedestrian who is about to cross


class Path:
    """The line of a drive or a walk.

    Args:
        points: `float64 (n, 3)` x, y, z (m), two points or more.

    Attributes:
        points: As given.
        distance: `float64 (n,)` metres from the start.
    """

    def __init__(self, points: NDArray[np.float64]) -> None:
        apart = np.r_[True, np.hypot(*np.diff(points[:, :2], axis=0).T) > 1e-3]
        self.points = np.ascontiguousarray(points[apart], np.float64)
        self.distance = np.r_[0.0, np.cumsum(np.hypot(*np.diff(self.points[:, :2], axis=0).T))]

    @property
    def length(self) -> float:
        """Metres from end to end."""
        return float(self.distance[-1])

    def place(self, at: float, lateral: float = 0.0) -> tuple[float, float, float]:
        """x, y, z (m) at a distance from the start, `lateral` metres to the right."""
        x, y, z = (float(np.interp(at, self.distance, self.points[:, axis])) for axis in range(3))
        yaw = self.yaw(at)
        return x - lateral * math.sin(yaw), y + lateral * math.cos(yaw), z

    def yaw(self, at: float) -> float:
        """Direction at a distance from the start [rad]."""
        row = min(max(int(np.searchsorted(self.distance, at, "right")) - 1, 0), len(self.points) - 2)
        dx, dy, _ = self.points[row + 1] - self.points[row]
        return math.atan2(dy, dx)

    def pose(self, at: float, lateral: float = 0.0, above: float = 0.0, turned: float = 0.0) -> carla.Transform:
        """A pose at a distance, `lateral` metres to the right, `above` metres higher, turned to the right [degrees]."""
        x, y, z = self.place(at, lateral)
        return carla.Transform(carla.Location(x, y, z + above), carla.Rotation(yaw=math.degrees(self.yaw(at)) + turned))

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Distance from the line (m), and distance of the nearest point from the start (m)."""
        starts, steps = self.points[:-1, :2], np.diff(self.points[:, :2], axis=0)
        share = np.clip(
            ((x - starts[:, 0]) * steps[:, 0] + (y - starts[:, 1]) * steps[:, 1])
            / np.maximum((steps**2).sum(axis=1), 1e-9),
            0.0,
            1.0,
        )
        away = np.hypot(starts[:, 0] + share * steps[:, 0] - x, starts[:, 1] + share * steps[:, 1] - y)
        best = int(np.argmin(away))
        return float(away[best]), float(self.distance[best] + share[best] * np.hypot(*steps[best]))

    def shifted(self, lateral: float) -> Path:
        """The same line, `lateral` metres to the right."""
        yaw = np.array([self.yaw(float(at)) for at in self.distance])
        offset = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=1)
        return Path(self.points + lateral * offset)


class Lane(NamedTuple):
    """A lane through a junction.

    Attributes:
        entry: Its first waypoint.
        exit: Its last waypoint.
        path: Its middle.
        turn: Change of direction, positive to the right [degrees].
    """

    entry: carla.Waypoint
    exit: carla.Waypoint
    path: Path
    turn: float


class Junction(NamedTuple):
    """A junction that the route leads through.

    Attributes:
        begin: Distance at which the route enters it (m).
        end: Distance at which the route leaves it (m).
        yaw: Direction of the route at its entry [degrees].
        turn: The route's change of direction, positive to the right [degrees].
        lanes: All driving lanes through it.
    """

    begin: float
    end: float
    yaw: float
    turn: float
    lanes: list[Lane]

    def lanes_from(self, direction: Direction) -> list[Lane]:
        """Lanes from the hero's left, its right, or the opposite direction; the straightest first."""
        headings = {"left": 90.0, "right": -90.0, "opposite": 180.0}
        found = [
            lane
            for lane in self.lanes
            if abs(_turn(self.yaw + headings[direction], lane.entry.transform.rotation.yaw)) < 45.0
        ]
        return sorted(found, key=lambda lane: abs(lane.turn))


class Road:
    """The road along a route.

    Args:
        carla_map: The town.
        route: The hero's route.
    """

    def __init__(self, carla_map: carla.Map, route: Route) -> None:
        self.map = carla_map
        self.path = Path(route.points[:, :3])

    @property
    def length(self) -> float:
        """Length of the route (m)."""
        return self.path.length

    def lane(self, at: float) -> carla.Waypoint:
        """The driving lane at a distance along the route."""
        x, y, z = self.path.place(at)
        return self.map.get_waypoint(carla.Location(x, y, z))

    def beside(self, at: float, side: Side) -> carla.Waypoint | None:
        """The lane next to the route's, of any type and direction; None if there is none."""
        lane = self.lane(at)
        return lane.get_left_lane() if side == "left" else lane.get_right_lane()

    def lane_of_same_direction(self, at: float, side: Side) -> carla.Waypoint | None:
        """The driving lane of the same direction next to the route's; None if there is none."""
        beside = self.beside(at, side)
        return beside if beside is not None and _drives(beside) and _is_along(self.lane(at), beside) else None

    def opposite_lane(self, at: float) -> carla.Waypoint | None:
        """The nearest driving lane of the other direction to the left; None if there is none."""
        here = self.lane(at)
        for lane in _lanes_to(here, "left"):
            if _drives(lane) and not _is_along(here, lane):
                return lane
        return None

    def lateral(self, at: float, place: carla.Location) -> float:
        """Lateral offset of a place from the route, positive to the right [m]."""
        x, y, _ = self.path.place(at)
        yaw = self.path.yaw(at)
        return (place.y - y) * math.cos(yaw) - (place.x - x) * math.sin(yaw)

    def pavement(self, at: float, side: Side) -> float:
        """Lateral offset of a pedestrian who is about to cross [m], positive to the right of the route."""
        sign = 1.0 if side == "right" else -1.0
        outermost = self.lane(at)
        for lane in _lanes_to(outermost, side):
            if lane.lane_type == carla.LaneType.Sidewalk:
                # At the kerb, wherever the middle of the sidewalk is.
                edge = abs(self.lateral(at, lane.transform.location)) - lane.lane_width / 2.0
                return sign * (edge + min(_PAVEMENT, lane.lane_width / 2.0))
            if lane.lane_type in (carla.LaneType.Driving, carla.LaneType.Parking, carla.LaneType.Bidirectional):
                outermost = lane
        return sign * (abs(self.lateral(at, outermost.transform.location)) + outermost.lane_width / 2.0 + _PAVEMENT)

    def parking_place(self, at: float, side: Side) -> float:
        """Lateral offset of a car parked at the edge of the road [m], positive to the right of the route."""
        sign = 1.0 if side == "right" else -1.0
        beside = self.beside(at, side)
        if beside is not None and beside.lane_type == carla.LaneType.Parking:
            return self.lateral(at, beside.transform.location)
        # Without a parking lane: half on the pavement, so that the lane leaves room to pass.
        return sign * (self.lane(at).lane_width / 2.0 + 1.0)

    def ahead(self, begin: float, length: float) -> Path:
        """The route from a distance on; beyond its end, the lanes straight on."""
        at = np.r_[np.arange(begin, min(begin + length, self.length), _STEP), min(begin + length, self.length)]
        points = [self.path.place(float(where)) for where in at if where >= begin]
        missing = begin + length - self.length
        if missing > 0.0:
            points += [_xyz(lane) for lane in along(self.lane(self.length), missing)]
        if len(points) < 2:
            raise ScenarioError("The road ends where a scenario's actors would have to drive on.")
        return Path(np.array(points))

    def junction(self, after: float, within: float = 150.0) -> Junction:
        """The next junction on the route.

        Args:
            after: Start of the search (m).
            within: Length of the search (m).

        Raises:
            ScenarioError: There is none.
        """
        found: carla.Junction | None = None
        begin = 0.0
        for at in np.arange(after, min(after + within, self.length), _STEP):
            lane = self.lane(float(at))
            if lane.is_junction and found is None:
                found, begin = lane.get_junction(), float(at)
            elif found is not None and not (lane.is_junction and lane.junction_id == found.id):
                return self._junction(found, begin, float(at))
        if found is not None:
            return self._junction(found, begin, min(after + within, self.length))
        raise ScenarioError(f"The route meets no junction within {within:g} m of the trigger.")

    def _junction(self, junction: carla.Junction, begin: float, end: float) -> Junction:
        yaw = math.degrees(self.path.yaw(max(begin - _STEP, 0.0)))
        turn = _turn(yaw, math.degrees(self.path.yaw(min(end + _STEP, self.length))))
        pairs = junction.get_waypoints(carla.LaneType.Driving)
        return Junction(begin, end, yaw, turn, [lane for pair in pairs if (lane := _lane(*pair)) is not None])

    def conflict(self, path: Path, begin: float, end: float) -> tuple[float, float] | None:
        """The first conflict of another path with a stretch of the route.

        Returns:
            Its distances along the route and along the path (m); None if they keep apart.
        """
        for at in np.arange(begin, min(end, self.length), 0.5):
            x, y, _ = self.path.place(float(at))
            away, along_path = path.nearest(x, y)
            if away < _BESIDE and 0.0 < along_path < path.length:
                return float(at), along_path
        return None


def along(lane: carla.Waypoint, length: float, step: float = 2.0) -> Iterator[carla.Waypoint]:
    """The waypoints after a lane, straight on where it forks, up to the end of the road."""
    for _ in range(max(1, math.ceil(length / step))):
        following = lane.next(step)
        if not following:
            return
        yaw = lane.transform.rotation.yaw
        lane = min(following, key=lambda other: abs(_turn(yaw, other.transform.rotation.yaw)))
        yield lane


def back_along(lane: carla.Waypoint, length: float, through_junctions: bool = False) -> list[carla.Waypoint]:
    """The waypoints of the last `length` metres before a lane, in the order of travel, as straight as roads allow.

    They begin later where the road does, or behind a junction.
    """
    step = 2.0  # [m]
    found = [lane]
    for _ in range(max(1, math.ceil(length / step))):
        previous = found[0].previous(step)
        if not previous or (previous[0].is_junction and not through_junctions):
            break
        yaw = found[0].transform.rotation.yaw
        turns = [abs((before.transform.rotation.yaw - yaw + 180.0) % 360.0 - 180.0) for before in previous]
        found.insert(0, previous[int(np.argmin(turns))])
    return found


def path_of(lanes: Sequence[carla.Waypoint]) -> Path:
    """The line through the middles of some lanes.

    Raises:
        ScenarioError: There are fewer than two.
    """
    if len(lanes) < 2:
        raise ScenarioError("There is no road for a scenario's actors to come from.")
    return Path(np.array([_xyz(lane) for lane in lanes]))


def _xyz(lane: carla.Waypoint) -> tuple[float, float, float]:
    location = lane.transform.location
    return location.x, location.y, location.z


def _lane(entry: carla.Waypoint, leaving: carla.Waypoint) -> Lane | None:
    lanes = [entry, *entry.next_until_lane_end(1.0), leaving]
    places = [_xyz(lane) for lane in lanes]
    if all(math.dist(a, b) < 1e-3 for a, b in pairwise(places)):
        return None
    turn = _turn(entry.transform.rotation.yaw, leaving.transform.rotation.yaw)
    return Lane(entry, leaving, Path(np.array(places)), turn)


def _lanes_to(lane: carla.Waypoint, side: Side) -> Iterator[carla.Waypoint]:
    """The lanes from one to the edge of the road, including those of the other direction."""
    first = lane
    for _ in range(_MOST_LANES):
        towards_left = (side == "left") == _is_along(first, lane)
        beside = lane.get_left_lane() if towards_left else lane.get_right_lane()
        if beside is None:
            return
        yield beside
        lane = beside


def _drives(lane: carla.Waypoint) -> bool:
    return lane.lane_type in (carla.LaneType.Driving, carla.LaneType.Bidirectional)


def _is_along(lane: carla.Waypoint, other: carla.Waypoint) -> bool:
    return lane.lane_id * other.lane_id > 0


def _turn(before: float, after: float) -> float:
    """Degrees from one direction to another, in [-180, 180)."""
    return (after - before + 180.0) % 360.0 - 180.0
