"""Leads the hero's route around what is in the way, once the way past is free.

Cars that stand in the middle of a lane wait for something, and are waited for. What stands at a lane's edge is parked,
and is passed with all who wait right behind it, as are cones, and cyclists who ride there: on a lane of the hero's
direction if there is one beside, else on the lane of oncoming traffic. While others come there, the hero has to wait at
a distance from which it can steer around, and takes smaller gaps the longer it waits.

The route also leads to the edge of its lane where oncoming vehicles reach over the middle of the road, and to the lane
beside where an emergency vehicle comes from behind.

All of it is read from what the client already holds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.impatience import Waiting
from rllib_integration.road_ahead import STANDING, driving_time
from rllib_integration.roads.routes import Route
from rllib_integration.sensors import SensorInterface
from rllib_integration.sensors.actor_roster import PROP, WALKER, ActorRoster

_SIGHT = 40.0  # [m] within which obstacles are looked for
_FAR = 130.0  # [m] within which oncoming traffic is
_EDGE = 0.45  # [m] from the route to the middle of what counts as standing at the edge
_ALONG = 0.9  # cosine of the angle to the lane above which it stands along it, and does not turn
_CRAWLING = 3.5  # [m/s] below which it is passed; others who stand behind it are, too
_TOGETHER = 15.0  # [m] between two obstacles that are passed in one go
_MARGIN, _CLEARANCE = 0.3, 0.7  # [m] to the side: below it something is in the way; kept when passing
_RAMP, _SHORTEST_RAMP, _RAMP_BACK = 10.0, 6.0, 12.0  # [m] of the route over which the hero steers aside, and back
_KEPT = 1.5  # [m] before and behind the obstacle at full distance to the side
_PASSING_SPEED = 6.0  # [m/s] that the hero is expected to pass at
_EARLY = 20.0  # [m] before a way leads aside, where it is chosen
_ONCOMING_KEPT, _ONCOMING_SQUEEZE = 15.0, 7.0  # [m] to who comes towards it, when it is past; less if impatient
_STEERS_OUT = 1.5  # [s] in which those who come towards it may still pass
_WAITS_AT = 8.0  # [m] or less before a way aside, the hero waits for a gap
_BEHIND = 8.0  # [m] behind the hero that have to be free on a lane of its direction
_BEHIND_SECONDS = 4.0  # [s] in which faster vehicles must not reach it
_SAME_LANE = 1.8  # [m] to the side of a lane's middle within which others drive on it
_ROOM, _TO_EDGE = 0.5, 0.1  # [m] that oncoming vehicles get, and that is kept to the lane's edge
_MAKES_ROOM = 8.0  # [m] over which
_GIVES_WAY, _ASIDE_FOR = 20.0, 80.0  # [m] over which it changes lanes for an emergency vehicle; that it stays there


class _Others(NamedTuple):
    """The actors around the hero, by row.

    Attributes:
        at, right: Of the middle, along the route and to its right (m).
        length, width: Half sizes along and across the route (m).
        speed: Along the route [m/s].
        heading: Cosine of the angle to the route's direction.
        kinds: `VEHICLE`, `TWO_WHEELER`, `WALKER` or `PROP`.
        emergency: Whether it is an emergency vehicle.
    """

    at: NDArray[np.float64]
    right: NDArray[np.float64]
    length: NDArray[np.float64]
    width: NDArray[np.float64]
    speed: NDArray[np.float64]
    heading: NDArray[np.float64]
    kinds: NDArray[np.int64]
    emergency: NDArray[np.bool_]


class _Way(NamedTuple):
    """A way past obstacles.

    Attributes:
        begin, aside, back, end: Where it begins to lead aside, is fully aside, begins to lead back, and is back along
            the route (m).
        right: How far to the right it leads (m).
        is_opposite: Whether oncoming traffic drives there.
        in_lane: Whether it only makes room within the lane.
    """

    begin: float
    aside: float
    back: float
    end: float
    right: float
    is_opposite: bool
    in_lane: bool = False


class Detours:
    """Changes the hero's route. Make it for each hero, once it has its sensors and its route.

    Args:
        hero: The vehicle.
        interface: Its sensors, with its route.
        carla_map: The town.
    """

    def __init__(self, hero: carla.Vehicle, interface: SensorInterface, carla_map: carla.Map) -> None:
        self._hero = hero
        self._interface = interface
        self._map = carla_map
        self._roster = ActorRoster(hero.get_world(), hero, interface.memory, interface.ask)
        self._way: _Way | None = None  # that the route was led over last
        self._waiting = Waiting()

    def look(self, now: float) -> float:
        """Lead the route aside if there is a reason, and the way is free.

        Args:
            now: Simulated time [s].

        Returns:
            Distance from the hero's front to where it has to wait until that is so (m); infinite where there is nothing
            to wait for.
        """
        route = self._interface.route
        if route is None:
            return math.inf
        others = self._look_around(route, _SIGHT)
        rows = self._in_the_way(others, route.travelled)
        way = self._past(route, others, rows) if len(rows) else None
        under_way = self._way if self._way is not None and route.travelled < self._way.end else None
        if under_way is not None and not under_way.in_lane:
            if way is not None and route.travelled < under_way.back < way.back:  # more of it has come into sight
                self._lead(route, under_way._replace(back=way.back, end=way.end))
            return math.inf
        if way is None:
            self._give_room(route, others, under_way)
            return math.inf
        speed = self._hero.get_velocity().length()
        begin = max(way.begin, route.travelled)
        if way.aside - begin >= _SHORTEST_RAMP and way.begin < route.travelled + _EARLY and self._is_free(route, way):
            self._lead(route, way._replace(begin=begin))
            return math.inf
        hold = max(way.begin - route.travelled, 0.0)
        self._waiting.update(now, route.travelled, speed < STANDING and hold < _WAITS_AT)
        return hold

    def _give_room(self, route: Route, others: _Others, under_way: _Way | None) -> None:
        """Lead the route aside for oncoming and emergency vehicles that need it."""
        way = self._for_emergency(route, others) or self._to_edge(route, others)
        if way is None:
            return
        if under_way is None:
            self._lead(route, way)
        elif way.in_lane and route.travelled < under_way.back:  # more of them, or wider ones, have come into sight
            back, end, right = (max(pair) for pair in zip(way[2:5], under_way[2:5]))
            self._lead(route, under_way._replace(back=back, end=end, right=right))

    def _for_emergency(self, route: Route, others: _Others) -> _Way | None:
        """The way to the lane beside, if an emergency vehicle comes from behind and that lane is free."""
        behind = others.emergency & (others.at < route.travelled) & (np.abs(others.right) < _SAME_LANE)
        if not bool((behind & (others.heading > 0.5) & (others.speed > self._hero.get_velocity().length())).any()):
            return None
        begin = route.travelled
        aside = begin + _GIVES_WAY
        back = min(aside + _ASIDE_FOR, route.length - _GIVES_WAY)
        lane = self._lane_at(route, begin)
        if lane is None or self._lane_at(route, aside) is None or back < aside:
            return None
        for beside, side in ((lane.get_right_lane(), 1.0), (lane.get_left_lane(), -1.0)):
            way = _Way(begin, aside, back, back + _GIVES_WAY, side * lane.lane_width, False)
            if _same_direction(lane, beside) and self._is_free(route, way):
                return way
        return None

    def _to_edge(self, route: Route, others: _Others) -> _Way | None:
        """The way along the lane's right edge, if vehicles come that reach over the middle of the road."""
        box = self._roster.hero_box
        coming = (others.heading < -0.8) & (others.speed < -1.0) & (others.at > route.travelled + box.length)
        coming &= (others.right < -_EDGE) & (others.kinds != WALKER)
        needed = np.where(coming, others.right + others.width, -np.inf) + box.width + _ROOM
        if not len(needed) or needed.max() < _TO_EDGE:
            return None
        lane = self._lane_at(route, route.travelled)
        if lane is None:
            return None
        metres = min(float(needed.max()), lane.lane_width / 2.0 - box.width - _TO_EDGE)
        if metres < _TO_EDGE:
            return None
        begin = route.travelled
        back = max(float(others.at[needed > _TO_EDGE].max()), begin + _MAKES_ROOM)
        return _Way(begin, begin + _MAKES_ROOM, back, back + _RAMP_BACK, metres, is_opposite=False, in_lane=True)

    def _lane_at(self, route: Route, at: float) -> carla.Waypoint | None:
        """The lane that the route follows at a distance along it (m); None in junctions and on lanes against it."""
        points, distances = route.planned_piece(0.0, _SIGHT + 10.0)
        if not len(points):
            return None
        row = min(int(np.searchsorted(distances, at)), len(points) - 1)
        x, y, z, yaw = (float(number) for number in points[row])
        lane = self._map.get_waypoint(carla.Location(x, y, z))
        if lane is None or lane.is_junction:
            return None
        return lane if math.cos(math.radians(lane.transform.rotation.yaw) - yaw) > 0.0 else None

    def _lead(self, route: Route, way: _Way) -> None:
        route.lead_aside(way.begin, way.aside, way.back, way.end, way.right)
        self._way = way

    def _look_around(self, route: Route, reach: float) -> _Others:
        """The actors within reach (m), relative to where the route was planned."""
        place = self._hero.get_location()
        found = self._roster.read(place.x, place.y, reach)
        velocities = self._roster.velocities()
        points, distances = route.planned_piece(_BEHIND + _RAMP, reach)
        if len(points) < 2 or not len(found.poses):
            return _Others(*(np.zeros(0),) * 6, np.zeros(0, np.int64), np.zeros(0, np.bool_))
        dx = found.poses[:, None, 0] - points[None, :, 0]
        dy = found.poses[:, None, 1] - points[None, :, 1]
        nearest = np.argmin(dx**2 + dy**2, axis=1)
        rows = np.arange(len(nearest))
        dx, dy, yaw = dx[rows, nearest], dy[rows, nearest], points[nearest, 3]
        c, s = np.cos(yaw), np.sin(yaw)
        turned = found.poses[:, 3] - yaw
        along, across = np.abs(np.cos(turned)), np.abs(np.sin(turned))
        half_length, half_width = found.sizes[:, 0], found.sizes[:, 1]
        above = np.abs(found.poses[:, 2] - points[nearest, 2]) > 4.0
        right = np.where(above, np.inf, dy * c - dx * s)
        return _Others(
            at=distances[nearest] + dx * c + dy * s,
            right=right,
            length=half_length * along + half_width * across,
            width=half_width * along + half_length * across,
            speed=velocities[:, 0] * c + velocities[:, 1] * s,
            heading=np.cos(turned),
            kinds=found.kinds,
            emergency=self._roster.emergency(),
        )

    def _in_the_way(self, others: _Others, travelled: float) -> NDArray[np.int64]:
        """Rows of the first obstacle ahead and of those that follow it closely, nearest first."""
        box = self._roster.hero_box
        touches = np.abs(others.right) < others.width + box.width + _MARGIN
        at_edge = (others.kinds == PROP) | ((np.abs(others.right) > _EDGE) & (np.abs(others.heading) > _ALONG))
        slow = np.abs(others.speed) < np.where(at_edge, _CRAWLING, STANDING)
        ahead = others.at > travelled + box.length
        blocking = touches & slow & ahead & (others.kinds != WALKER)
        rows = np.flatnonzero(blocking)
        rows = rows[np.argsort(others.at[rows])]
        apart = np.flatnonzero(np.diff(others.at[rows] - others.length[rows]) > _TOGETHER)
        together = rows[: apart[0] + 1] if len(apart) else rows
        # One at the edge who has others in the lane's middle before him waits with them.
        return together if len(together) and at_edge[together[-1]] else rows[:0]

    def _past(self, route: Route, others: _Others, rows: NDArray[np.int64]) -> _Way | None:
        """The way past obstacles; None if there is no lane to pass them on."""
        box = self._roster.hero_box
        near = float((others.at[rows] - others.length[rows]).min())
        far = float((others.at[rows] + others.length[rows]).max())
        far += max(float(others.speed[rows].max()), 0.0) * (far - route.travelled + _RAMP) / _PASSING_SPEED
        aside = near - box.length - box.ahead - _KEPT
        back = far + box.length + _KEPT
        if back > route.length - 2.0:
            return None
        leftmost = float((others.right[rows] - others.width[rows]).min()) - box.width - _CLEARANCE
        rightmost = float((others.right[rows] + others.width[rows]).max()) + box.width + _CLEARANCE
        lane = self._lane_at(route, near)
        if lane is None:
            return None
        left, right = lane.get_left_lane(), lane.get_right_lane()
        to_left = _same_direction(lane, left)
        to_right = _same_direction(lane, right)
        wants_right = float(others.right[rows].mean()) < -_EDGE
        if to_right and (wants_right or not to_left):
            metres, opposite = max(rightmost, lane.lane_width), False
        elif to_left:
            metres, opposite = min(leftmost, -lane.lane_width), False
        elif left is not None and left.lane_type == carla.LaneType.Driving:
            metres, opposite = leftmost, True
            if -metres > lane.lane_width + left.lane_width / 2.0 - box.width + _MARGIN:
                return None
            if self._lane_at(route, back + _RAMP_BACK) is None:
                return None  # a junction is near: they may wait for it
        else:
            return None
        return _Way(aside - _RAMP, aside, back, min(back + _RAMP_BACK, route.length), metres, opposite)

    def _is_free(self, route: Route, way: _Way) -> bool:
        """Whether the lane that a way leads over is free of others for as long as that takes."""
        box = self._roster.hero_box
        speed = self._hero.get_velocity().length()
        others = self._look_around(route, _FAR)
        beside = np.abs(others.right - way.right) < _SAME_LANE
        if way.is_opposite:  # all of that lane, not only the part that is needed
            beside = (others.right < -1.0) & (others.right > -5.5)
        at_end = others.at + np.minimum(others.speed, 0.0) * driving_time(
            way.back + box.length - route.travelled, speed
        )
        kept = _ONCOMING_KEPT - _ONCOMING_SQUEEZE * self._waiting.impatience
        comes = beside & (others.heading < -0.5) & (others.at + others.speed * _STEERS_OUT > route.travelled)
        waits = (np.abs(others.speed) < STANDING) & (others.at > way.end + 2.0)
        if bool((comes & (at_end < way.back + kept) & ~waits).any()):
            return False
        faster = np.maximum(others.speed - speed, 0.0) * _BEHIND_SECONDS
        gap = route.travelled - others.at
        follows = beside & (others.heading > 0.5) & (gap > -5.0) & (gap < _BEHIND + faster)
        return not bool(follows.any())


def _same_direction(lane: carla.Waypoint, beside: carla.Waypoint | None) -> bool:
    """Whether a lane beside another is a driving lane of its direction."""
    return beside is not None and beside.lane_type == carla.LaneType.Driving and beside.lane_id * lane.lane_id > 0
