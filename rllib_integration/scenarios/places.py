"""Finds a town's places for each scenario type, from the map alone.

For places every 10 m on each lane, it determines the length of the road without a junction, the lanes beside it, the
turns at the next junction, and the directions of crossing traffic there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record
from rllib_integration.roads.lanes import Lane
from rllib_integration.roads.network import LaneCourse, LaneNetwork
from rllib_integration.roads.town_cache import TownMemory
from rllib_integration.scenarios.parameters import Number
from rllib_integration.scenarios.road import Direction
from rllib_integration.scenarios.scenario import TURNS, Scenario, Site
from rllib_integration.scenarios.situations import Trigger
from rllib_integration.scenarios.types import SCENARIO_TYPES

_SHORT_DISTANCE = 40.0  # [m] from a trigger to its actors, for which every place has room
_SPACING = 10.0  # [m] between the considered places
_APPROACH = 80.0  # [m] before a trigger: the farthest start
_APPROACH_STEP = 5.0  # [m] between two starts
_SHORTEST_EXIT = 20.0  # [m] of road behind a junction
_BESIDE = 1.2  # [m] distance below which two paths through a junction conflict
_TRAFFIC_LIGHT = "1000001"  # OpenDRIVE's type of a traffic light in CARLA's towns
_HEADINGS: dict[Direction, float] = {"left": 90.0, "right": -90.0, "opposite": 180.0}

POINT_STEP = 20.0
"""Distance between the points of a place's route (m)."""


class Place(NamedTuple):
    """A place for a scenario.

    Attributes:
        kind: Name of its type.
        trigger: Where it begins.
        starts: Poses on the lane before the trigger at which a hero may start, x, y, z (m) and yaw [degrees], every
            5 m from near to far; the first is 10 m before the trigger.
        points: Points that the route passes from the trigger on, x, y, z (m); the last is its goal.
        given: Parameters that fit the place; one value of a list is drawn.
        room: The largest parameter `distance` for which the road is long enough (m).
    """

    kind: str
    trigger: Trigger
    starts: list[tuple[float, float, float, float]]
    points: list[tuple[float, float, float]]
    given: Record
    room: float = math.inf


def find_places(carla_map: carla.Map, kind: str) -> list[Place]:
    """All places of a town for a scenario type, in a fixed order; computed once in a process."""
    known = _PLACES.get(carla_map, dict)
    if kind not in known:
        known[kind] = list(_Finder(carla_map, kind).places())
    return known[kind]


_PLACES: TownMemory[dict[str, list[Place]]] = TownMemory()


class _Stretch(NamedTuple):
    """Road without a junction, from a place on a lane.

    Attributes:
        points: `float64 (n, 4)` x, y, z (m), yaw (rad), about a metre apart.
        lanes: Its lanes.
        ends_at_junction: Whether a junction follows.
    """

    points: NDArray[np.float64]
    lanes: list[Lane]
    ends_at_junction: bool

    @property
    def length(self) -> float:
        """Metres."""
        return max(0.0, len(self.points) - 1.0)


class _Finder:
    def __init__(self, carla_map: carla.Map, kind: str) -> None:
        self._map = carla_map
        self._network = LaneNetwork.for_map(carla_map)
        self._kind = kind
        self._type: type[Scenario] = SCENARIO_TYPES[kind]
        self._site: Site = self._type.site
        distance = self._type.parameters.get("distance")
        self._distance = self._farthest = 0.0
        if isinstance(distance, Number) and self._type.distance_is_ahead:
            self._distance = max(distance.low, min(distance.default, _SHORT_DISTANCE))
            self._farthest = distance.high
        self._junction_of: dict[Lane, int] = {}
        self._lanes_of: dict[int, list[Lane]] = {}

    def places(self) -> Iterator[Place]:
        """All places of the town."""
        for lane in sorted(self._network.courses):
            course = self._network.courses[lane]
            if course.junction or lane not in self._network.endless:
                continue
            for at in np.arange(_SPACING / 2.0, course.length, _SPACING):
                yield from self._places_at(lane, float(at))

    def _places_at(self, lane: Lane, at: float) -> Iterator[Place]:
        site = self._site
        wanted = site.clear + self._distance
        ahead = self._ahead(lane, at, site.clear + max(self._farthest, _SPACING))
        if site.junction is None and ahead.length < wanted:
            return
        if site.junction is not None and not (
            ahead.ends_at_junction and site.clear - _SPACING / 2.0 <= ahead.length < site.clear + _SPACING / 2.0
        ):
            return
        starts = self._starts(lane, at)
        if (len(starts) + 1) * _APPROACH_STEP < site.before:
            return
        x, y, z, yaw = ahead.points[0].tolist()
        trigger = Trigger(round(x, 3), round(y, 3), round(z, 3), round(math.degrees(yaw) % 360.0, 2))
        if site.junction is None:
            given, length = self._beside(ahead.points)
            if length >= wanted:
                room = length - site.clear if self._farthest else math.inf
                yield Place(self._kind, trigger, starts, _points(self._long(ahead)), given, room)
            return
        if site.junction != "any" and self._has_lights(trigger, ahead.length) != (site.junction == "signalised"):
            return
        for way in self._network.following(ahead.lanes[-1]):
            yield from self._through(way, ahead, trigger, starts)

    def _through(
        self, way: Lane, ahead: _Stretch, trigger: Trigger, starts: list[tuple[float, float, float, float]]
    ) -> Iterator[Place]:
        """The place, if driving the next junction on lane `way` fits the type."""
        course = self._network.courses[way]
        if not course.junction or course.option not in [TURNS[turn] for turn in self._site.turns]:
            return
        following = [lane for lane in self._network.following(way) if not self._network.courses[lane].junction]
        if not following:
            return
        leaving = self._ahead(following[0], 0.0, self._type.reach)
        if leaving.length < _SHORTEST_EXIT:
            return
        given: Record = {}
        if self._site.others_from:
            directions = [name for name in self._site.others_from if self._comes_from(name, way, course)]
            if not directions:
                return
            if "direction" in self._type.parameters:
                given["direction"] = directions
        middle = course.points_at(np.array([course.length / 2.0]))
        points = [*_points(ahead.points), *_points(middle), *_points(leaving.points)]
        yield Place(self._kind, trigger, starts, points, given)

    def _ahead(self, lane: Lane, at: float, length: float) -> _Stretch:
        """The road from a place on a lane, straight on where it forks."""
        course = self._network.courses[lane]
        pieces, lanes = [], [lane]
        missing = length
        while True:
            end = min(at + missing, course.length)
            pieces.append(course.points_at(np.arange(at, end, 1.0)))
            missing -= end - at
            if missing <= 0.0:
                return _Stretch(np.concatenate(pieces), lanes, False)
            following = self._network.following(lane)
            roads = [other for other in following if not self._network.courses[other].junction]
            if not roads or len(lanes) > 50:
                return _Stretch(np.concatenate(pieces), lanes, bool(following))
            lane = min(roads, key=lambda other: _bend(course, self._network.courses[other]))
            course, at = self._network.courses[lane], 0.0
            lanes.append(lane)

    def _long(self, ahead: _Stretch) -> NDArray[np.float64]:
        """The road ahead up to the type's greatest extent, or up to the next junction."""
        last = ahead.lanes[0]
        at = self._network.courses[last].nearest(*ahead.points[0, :2])[1]
        return self._ahead(last, at, self._site.clear + self._farthest + self._type.reach).points

    def _starts(self, lane: Lane, at: float) -> list[tuple[float, float, float, float]]:
        """Poses before a place, from near to far."""
        course = self._network.courses[lane]
        starts = []
        behind = 2.0 * _APPROACH_STEP
        for _ in range(50):
            while behind <= _APPROACH and at - behind >= 0.0:
                x, y, z, yaw = course.points_at(np.array([at - behind]))[0].tolist()
                starts.append((round(x, 3), round(y, 3), round(z, 3), round(math.degrees(yaw) % 360.0, 2)))
                behind += _APPROACH_STEP
            previous = [lane for lane in self._network.preceding(lane) if not self._network.courses[lane].junction]
            if behind > _APPROACH or not previous:
                break
            behind -= at
            lane = min(previous, key=lambda other: _bend(self._network.courses[other], course))
            course = self._network.courses[lane]
            at = course.length
        return starts

    def _beside(self, points: NDArray[np.float64]) -> tuple[Record, float]:
        """Parameters that fit the lanes beside the road, and the length over which the needed lane exists (m)."""
        lane = self._site.lane
        if lane is None:
            return {}, len(points) - 1.0
        rows = range(0, len(points), int(_SPACING))
        here = [self._map.get_waypoint(carla.Location(*points[row, :3].tolist())) for row in rows]
        has_direction = "direction" in self._type.parameters
        if lane == "opposite":
            fits = [_is_opposite(waypoint, waypoint.get_left_lane()) for waypoint in here]
            return ({"direction": "right"} if has_direction else {}), _reaches(fits)
        on_left = _reaches([_is_same(waypoint, waypoint.get_left_lane()) for waypoint in here])
        on_right = _reaches([_is_same(waypoint, waypoint.get_right_lane()) for waypoint in here])
        side, other = ("left", "right") if on_left > on_right else ("right", "left")
        named = side if lane == "named side" else other
        return ({"direction": named} if has_direction else {}), max(on_left, on_right)

    def _has_lights(self, trigger: Trigger, distance: float) -> bool:
        waypoint = self._map.get_waypoint(carla.Location(trigger.x, trigger.y, trigger.z))
        return bool(waypoint.get_landmarks_of_type(distance + 15.0, _TRAFFIC_LIGHT, False))

    def _comes_from(self, direction: Direction, way: Lane, course: LaneCourse) -> bool:
        """Whether traffic from a direction can cross the path through a junction."""
        heading = math.degrees(course.points[0, 3]) + _HEADINGS[direction]
        for other in self._others(way):
            theirs = self._network.courses[other]
            turned = (math.degrees(theirs.points[0, 3]) - heading + 180.0) % 360.0 - 180.0
            straight = abs(theirs.points[-1, 3] - theirs.points[0, 3]) < math.radians(30.0)
            if abs(turned) < 45.0 and straight and _meet(course.points, theirs.points):
                return True
        return False

    def _others(self, way: Lane) -> list[Lane]:
        """The other lanes of a lane's junction."""
        if not self._junction_of:
            for lane, course in self._network.courses.items():
                if course.junction:
                    x, y, z, _ = course.points_at(np.array([course.length / 2.0]))[0]
                    waypoint = self._map.get_waypoint(carla.Location(x, y, z))
                    number = waypoint.junction_id if waypoint is not None else -1
                    self._junction_of[lane] = number
                    self._lanes_of.setdefault(number, []).append(lane)
        return [lane for lane in self._lanes_of[self._junction_of[way]] if lane != way]


def _points(points: NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """Points of a line, about 20 m apart, with the first and the last."""
    rows = sorted({*range(0, len(points), int(POINT_STEP)), len(points) - 1})
    return [tuple(round(float(value), 3) for value in points[row, :3]) for row in rows]  # type: ignore[misc]


def _bend(course: LaneCourse, following: LaneCourse) -> float:
    """Angle between a lane's end and another's start (rad)."""
    return abs((following.points[0, 3] - course.points[-1, 3] + math.pi) % (2.0 * math.pi) - math.pi)


def _meet(course: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    offsets = course[:, None, :2] - other[None, :, :2]
    return bool(np.hypot(offsets[..., 0], offsets[..., 1]).min() < _BESIDE)


def _reaches(fits: list[bool]) -> float:
    """Length of the unbroken run of True from the first of some places, 10 m apart (m)."""
    return _SPACING * ((fits.index(False) if False in fits else len(fits)) - 1.0)


def _is_same(waypoint: carla.Waypoint, other: carla.Waypoint | None) -> bool:
    return other is not None and other.lane_type == carla.LaneType.Driving and waypoint.lane_id * other.lane_id > 0


def _is_opposite(waypoint: carla.Waypoint, other: carla.Waypoint | None) -> bool:
    return other is not None and other.lane_type == carla.LaneType.Driving and waypoint.lane_id * other.lane_id < 0
