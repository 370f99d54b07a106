"""Closed courses: where their middle is, how wide they are, and how far round a vehicle has come.

A course is made from any `carla.Map`: from the only ring that there is in a town, or along a closed route through
places that the user names. The server is not asked.

Frames and units are CARLA's: x, y, z in m, left-handed, z up; yaw from x towards y, positive to the right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import carla
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.errors import IntegrationError
from rllib_integration.roads.routes import RouteError, plan_route
from rllib_integration.roads.town_cache import TownMemory

SPACING = 0.5  # [m] between two points of a course: within 5 mm of the middle in a bend of 6 m radius
LONGEST = 50_000.0  # [m] a ring that has not closed by then is none
_SHORTEST = 20.0  # [m]
_MOST_LANES = 12
_BESIDE = 10.0  # [m] a place that is further off the lanes is a mistake
_STOREY = 3.5  # [m] parts of the course further above or below are another storey
_SEARCH_BACK, _SEARCH_AHEAD = 15.0, 30.0  # [m] of the course in which a vehicle is looked for
_LOST = 10.0  # [m] from the part searched: the vehicle was put elsewhere


class TrackError(IntegrationError, ValueError):
    """A town has no closed course as asked for; the message is a sentence for the user."""


class TrackPose(NamedTuple):
    """How a pose lies to a course.

    Attributes:
        distance: Along the course from its start, m, 0 up to its length.
        lateral: Distance from the middle, m, positive to the right of it.
        heading_error: Direction of the pose less that of the course, degrees in [-180, 180), positive to the right.
        width: Of the course, m.
        x: Nearest point of the middle, m.
        y: Same, m.
        z: Same, m.
        yaw: Direction of the course there, degrees.
    """

    distance: float
    lateral: float
    heading_error: float
    width: float
    x: float
    y: float
    z: float
    yaw: float


class Track:
    """A closed course.

    Args:
        points: `float64 (n, 5)`: x, y, z (m) of the middle, yaw (rad), width (m); the last point is followed by the
            first.
        name: What it is called.

    Attributes:
        points: As given.
        name: As given.
        length: Once round, m.
        is_clockwise: Whether it is driven clockwise, seen from above.

    Raises:
        TrackError: There are too few points, or the ends are far apart.
    """

    def __init__(self, points: NDArray[np.float64], name: str = "track") -> None:
        following = np.roll(points[:, :2], -1, axis=0)
        steps = np.hypot(*(following - points[:, :2]).T) if len(points) > 2 else np.zeros(1)
        if steps.sum() < _SHORTEST or steps[-1] > 4.0 * SPACING:
            raise TrackError(f"{name} is no closed course: its two ends are {steps[-1]:.1f} m apart.")
        self.points = np.ascontiguousarray(points, np.float64)
        self.name = name
        self._distance = np.r_[0.0, np.cumsum(steps)]
        self.length = float(self._distance[-1])
        # CARLA's y points to the right of x, so a positive area is driven clockwise.
        self.is_clockwise = bool((points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]).sum() > 0.0)

    @classmethod
    def of_map(
        cls, carla_map: carla.Map, through: Sequence[carla.Location] = (), whole_road: bool | None = None
    ) -> Track:
        """The course of a town.

        Args:
            carla_map: The town.
            through: Places (m) that the course goes through in turn, back to the first; none for the only ring of a
                town whose roads have no forks.
            whole_road: Whether the course is as wide as all driving lanes side by side, else as the lane driven.
                By default it is for a ring, and not for a route.

        Raises:
            TrackError: The town is no single ring, or there is no way round.
        """
        wide = not through if whole_road is None else whole_road
        key = (*((place.x, place.y, place.z) for place in through), wide)
        known = _TRACKS.get(carla_map, dict)
        if key not in known:
            name = carla_map.name.rsplit("/", 1)[-1]
            waypoints = _route_round(carla_map, through, name) if through else _ring(carla_map, name)
            known[key] = cls(np.array([_cross_section(waypoint, wide) for waypoint in waypoints]), name)
        return known[key]

    def reversed(self) -> Track:
        """The same course, driven the other way round; it starts at the same place."""
        points = np.roll(self.points[::-1], 1, axis=0)
        points[:, 3] += math.pi
        return Track(points, self.name)

    def at(self, distance: float) -> tuple[float, float, float, float, float]:
        """x, y, z (m), yaw (rad) and width (m) of the course, some metres from its start; more than once round is
        allowed, and so is a negative distance."""
        number, share = self._place(distance)
        here, following = self.points[number], self.points[(number + 1) % len(self.points)]
        x, y, z, _, width = here + share * (following - here)
        return float(x), float(y), float(z), float(here[3] + share * _wrap(following[3] - here[3])), float(width)

    def transform_at(self, distance: float, lateral: float = 0.0, above: float = 0.0) -> carla.Transform:
        """A pose along the course, `lateral` metres to the right of its middle and `above` metres over the road."""
        x, y, z, yaw, _ = self.at(distance)
        place = carla.Location(x - math.sin(yaw) * lateral, y + math.cos(yaw) * lateral, z + above)
        return carla.Transform(place, carla.Rotation(yaw=math.degrees(yaw)))

    def curvature(self, distance: float, over: float = 4.0) -> float:
        """Mean curvature (1/m, positive to the right) of some metres around a distance from the start."""
        return _wrap(self.at(distance + over / 2.0)[3] - self.at(distance - over / 2.0)[3]) / over

    def milestones(self, spacing: float = 2.0) -> NDArray[np.float64]:
        """`float64 (n + 1, 2)` points x, y (m) of the middle, evenly spaced, the last one equal to the first."""
        count = max(3, round(self.length / spacing))
        return np.array([self.at(self.length * number / count)[:2] for number in range(count)] + [self.at(0.0)[:2]])

    def locate(self, x: float, y: float, z: float, yaw: float, near: float | None = None) -> TrackPose:
        """How a pose lies to the course.

        Args:
            x: Place, m.
            y: Place, m.
            z: Height, m.
            yaw: Direction, degrees.
            near: Distance along the course (m) around which to look, so that a neighbouring part of the course is
                not taken for the one driven; None looks everywhere.
        """
        count = len(self.points)
        first, searched = 0, count
        if near is not None:
            first = self._place(near - _SEARCH_BACK)[0]
            searched = min(count, math.ceil((_SEARCH_BACK + _SEARCH_AHEAD) / self.length * count) + 1)
        away, number, share = _nearest(self.points, x, y, z, first, searched)
        if near is not None and (number < 0 or away > _LOST**2):
            return self.locate(x, y, z, yaw)
        if number < 0:  # far above or below all of it
            return self.locate(x, y, float(self.points[0, 2]), yaw)
        here, following = self.points[number], self.points[(number + 1) % count]
        distance = self._distance[number] + share * (self._distance[number + 1] - self._distance[number])
        px, py, pz, _, width = here + share * (following - here)
        direction = here[3] + share * _wrap(following[3] - here[3])
        lateral = (y - py) * math.cos(direction) - (x - px) * math.sin(direction)
        error = (yaw - math.degrees(direction) + 180.0) % 360.0 - 180.0
        place = (float(px), float(py), float(pz), math.degrees(direction))
        return TrackPose(float(distance) % self.length, float(lateral), float(error), float(width), *place)

    def _place(self, distance: float) -> tuple[int, float]:
        """The number of the point before a distance along the course, and the share of the way to the next."""
        at = distance % self.length
        number = min(int(np.searchsorted(self._distance, at, "right")) - 1, len(self.points) - 1)
        return number, float((at - self._distance[number]) / (self._distance[number + 1] - self._distance[number]))


class TrackProgress:
    """Follows one vehicle round a course.

    Args:
        track: The course, in the direction of travel.

    Attributes:
        track: As given.
        pose: How the vehicle lies to the course at the last update.
        travelled: Along the course since the start, m; over all laps, and negative behind the start.
        lap_times: Seconds of each lap done, counted from where the vehicle started.
    """

    def __init__(self, track: Track) -> None:
        self.track = track
        self.pose: TrackPose | None = None
        self.travelled = 0.0
        self.lap_times: list[float] = []
        self._time = 0.0
        self._lap_began = 0.0

    @property
    def laps(self) -> int:
        """Whole laps done."""
        return len(self.lap_times)

    @property
    def progress(self) -> float:
        """Share of a lap done since the start: 1.5 after one and a half laps."""
        return self.travelled / self.track.length

    def update(self, x: float, y: float, z: float, yaw: float, time: float) -> TrackPose:
        """Note where the vehicle is; the first call is the start.

        Args:
            x: Place, m.
            y: Place, m.
            z: Height, m.
            yaw: Direction, degrees.
            time: Simulated, s.
        """
        if self.pose is None:
            self.pose = self.track.locate(x, y, z, yaw)
            self._time = self._lap_began = time
            return self.pose
        before, self.pose = self.pose, self.track.locate(x, y, z, yaw, near=self.pose.distance)
        half = self.track.length / 2.0
        moved = (self.pose.distance - before.distance + half) % self.track.length - half
        self._count_laps(moved, time)
        self.travelled += moved
        self._time = time
        return self.pose

    def _count_laps(self, moved: float, time: float) -> None:
        """Note the laps that a move ends; the moment in it is interpolated."""
        goal = (self.laps + 1) * self.track.length
        if moved > 0.0 and self.travelled + moved >= goal:
            ended = self._time + (time - self._time) * min(1.0, (goal - self.travelled) / moved)
            self.lap_times.append(ended - self._lap_began)
            self._lap_began = ended


_TRACKS: TownMemory[dict[tuple[object, ...], Track]] = TownMemory()


def _wrap(angle: float) -> float:
    """An angle in [-pi, pi)."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


def _ring(carla_map: carla.Map, name: str) -> list[carla.Waypoint]:
    """The waypoints of the only ring of a town, `SPACING` apart, in the direction of its lanes with negative numbers.

    Raises:
        TrackError: The road forks or ends.
    """
    entries = [entry for entry, _ in carla_map.get_topology() if entry.lane_id < 0]
    if not entries:
        raise TrackError(f"{name} has no lane that could be a closed course.")
    start = min(entries, key=lambda entry: (entry.road_id, entry.section_id, -entry.lane_id))
    waypoints, there = [start], start
    while len(waypoints) * SPACING < LONGEST:
        following = there.next(SPACING)
        if len(following) != 1:
            place = there.transform.location
            what = "forks" if following else "ends"
            raise TrackError(
                f"{name} is not one closed course: the road {what} at ({place.x:.0f}, {place.y:.0f}). Name the places "
                "that a closed route goes through, or choose a town that is a ring, such as Racetrack01."
            )
        there = following[0]
        if len(waypoints) * SPACING > _SHORTEST / 2.0 and _apart(there, start) < SPACING:
            if _is_ahead(there, start) and _apart(there, start) > SPACING / 2.0:
                waypoints.append(there)
            return waypoints
        waypoints.append(there)
    raise TrackError(f"{name} is not one closed course: its road does not come back within {LONGEST / 1000:.0f} km.")


def _apart(one: carla.Waypoint, other: carla.Waypoint) -> float:
    return one.transform.location.distance(other.transform.location)


def _is_ahead(one: carla.Waypoint, other: carla.Waypoint) -> bool:
    """Whether another waypoint lies ahead of one."""
    way = other.transform.location - one.transform.location
    return way.dot(one.transform.get_forward_vector()) > 0.0


def _route_round(carla_map: carla.Map, through: Sequence[carla.Location], name: str) -> list[carla.Waypoint]:
    """The waypoints of a closed route, `SPACING` apart.

    Raises:
        TrackError: A place is away from every lane, or there is no way on to the next.
    """
    if len(through) < 2:
        raise TrackError("A closed route needs two places or more.")
    on_lanes = [_lane_at(carla_map, place, name) for place in through]
    places = [pose.location for pose in on_lanes[1:]]
    try:
        line = plan_route(carla_map, on_lanes[0], on_lanes[0].location, via=places).points
    except RouteError as error:
        raise TrackError(f"There is no closed route in {name} through these places: {error}") from error
    closed = np.concatenate([line[:-1], line[:1]])
    distance = np.r_[0.0, np.cumsum(np.hypot(*np.diff(closed[:, :2], axis=0).T))]
    at = np.linspace(0.0, distance[-1], max(3, round(distance[-1] / SPACING)), endpoint=False)
    columns = [np.interp(at, distance, closed[:, column]) for column in range(3)]
    return [carla_map.get_waypoint(carla.Location(x, y, z)) for x, y, z in zip(*(map(float, c) for c in columns))]


def _lane_at(carla_map: carla.Map, place: carla.Location, name: str) -> carla.Transform:
    """The pose on the driving lane at a place.

    Raises:
        TrackError: There is none.
    """
    pose = carla_map.get_waypoint(place).transform
    away = pose.location.distance(place)
    if away > _BESIDE:
        raise TrackError(f"({place.x:.0f}, {place.y:.0f}) is {away:.0f} m from the nearest driving lane of {name}.")
    return pose


def _cross_section(waypoint: carla.Waypoint, whole_road: bool) -> tuple[float, float, float, float, float]:
    """x, y, z (m) of the middle, yaw (rad) and width (m) of the course at a waypoint."""
    left = right = waypoint.lane_width / 2.0
    if whole_road:
        left += sum(lane.lane_width for lane in _lanes_beside(waypoint, -1))
        right += sum(lane.lane_width for lane in _lanes_beside(waypoint, 1))
    pose = waypoint.transform
    yaw, aside = math.radians(pose.rotation.yaw), (right - left) / 2.0
    x, y = pose.location.x - math.sin(yaw) * aside, pose.location.y + math.cos(yaw) * aside
    return x, y, pose.location.z, yaw, left + right


def _lanes_beside(waypoint: carla.Waypoint, side: int) -> list[carla.Waypoint]:
    """The driving lanes on one side (-1 = left), outwards, those of the other direction included."""
    found: list[carla.Waypoint] = []
    there = waypoint
    while len(found) < _MOST_LANES:
        same_way = (there.lane_id > 0) == (waypoint.lane_id > 0)
        neighbour = there.get_left_lane() if (side < 0) == same_way else there.get_right_lane()
        if neighbour is None or neighbour.lane_type != carla.LaneType.Driving:
            break
        found.append(neighbour)
        there = neighbour
    return found


@njit(cache=True)
def _nearest(
    points: NDArray[np.float64], x: float, y: float, z: float, first: int, count: int
) -> tuple[float, int, float]:
    """Square of the distance to the nearest part of a closed line, the point before it, the share of the way on."""
    size = points.shape[0]
    best, number, best_share = math.inf, -1, 0.0
    for k in range(count):
        i = (first + k) % size
        if abs(points[i, 2] - z) > _STOREY:
            continue
        j = (i + 1) % size
        dx, dy = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
        square = max(dx * dx + dy * dy, 1e-12)
        share = min(1.0, max(0.0, ((x - points[i, 0]) * dx + (y - points[i, 1]) * dy) / square))
        ax, ay = points[i, 0] + share * dx - x, points[i, 1] + share * dy - y
        away = ax * ax + ay * ay
        if away < best:
            best, number, best_share = away, i, share
    return best, number, best_share
