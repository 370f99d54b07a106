"""What lies ahead of the hero on its route: whom it would run into, who is about to cross, where it has to stop.

All of it is read from what the client already holds. Boxes are taken as rows of circles. What moves is expected to go
straight on for some seconds, but oncoming vehicles to keep to their side of a road that the hero follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import carla
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.impatience import Waiting
from rllib_integration.metrics import EpisodeMetrics
from rllib_integration.sensors import SensorInterface
from rllib_integration.sensors.actor_roster import WALKER, ActorRoster

SIGHT = 40.0  # [m] of the route that is looked at
_BEHIND = 1.0  # [m] of the route behind the hero's middle that counts as ahead
STANDING = 0.3  # [m/s] below which others stand, and nothing is expected of them
_FAR = 60.0  # [m] further, within which others who come fast are looked for
_VEHICLE_MARGIN, _WALKER_MARGIN = 0.3, 0.6  # [m] to the side of the hero
_VEHICLE_FORESIGHT, _WALKER_FORESIGHT = 5.0, 3.0  # [s] that what moves is followed for
_TIME_STEP = 0.25  # [s] how closely
_ALONG = 0.7  # share of a speed along the route from which on something drives along it and does not cross
_FROM_SIDE = 0.94  # cosine of the angle to the hero's way below which one who will drive along the route joins it
_ONCOMING, _SAME_ROAD = -0.8, 8.0  # cosine of the angle to the route, and [m] beside it, of those on its other side
_PACE, _GAIN = 6.5, 2.5  # [m/s] that the hero is expected to reach, and [m/s^2] at which
_SAME_TIME = 1.0  # [s] between two at the same place that are in each other's way
_SQUEEZE = 0.7  # share of this, behind one who has crossed, that an impatient hero gives up
_EASY_BRAKING, _HARD_BRAKING = 3.0, 6.0  # [m/s^2] that a hero expects of those who come: patient, impatient
_WAITS_AT = 8.0  # [m] or less before the way of others who cross, the hero waits for a gap between them
_SHARP_BRAKING = 3.5  # [m/s^2] a yellow light is to be stopped at if this is enough
_STOREY = 3.0  # [m] what is further above or below is on another road
_BRAKING = 2.0  # [m/s^2] that decides which of those ahead matters most
_GAP_KEPT, _LINE_KEPT = 2.0, 1.5  # [m] kept at rest to others, and to a stop line
_FALLING_BACK = 2.0  # [m/s] slower than the one ahead is enough to win headway


class Ahead(NamedTuple):
    """What lies ahead, each distance from the hero's front along the route, `SIGHT` or more where there is nothing.

    Attributes:
        gap: To the vehicle or walker on the route that forces the hero to be slowest [m].
        gap_speed: Its speed along the route [m/s].
        crossing: To where another is about to cross the route at the time when the hero would be there [m].
        line: To where it has to stop: the line of a light that is red, or yellow while there is time to stop, of a stop
            sign that it has not stopped at yet, or where it waits for the way around an obstacle to be free [m].
    """

    gap: float
    gap_speed: float
    crossing: float
    line: float

    def safe_speed(self, braking: float, headway: float = 0.0) -> float:
        """The speed [m/s] that is safe with what is ahead, infinite if nothing is.

        Args:
            braking: That still stops the hero in time [m/s^2].
            headway: Time to the one ahead beyond the two metres that are kept at rest [s].
        """
        free = max(self.gap - _GAP_KEPT, 0.0)
        before_gap = math.sqrt(self.gap_speed**2 + 2.0 * braking * free)
        if headway > 0.0:
            before_gap = min(before_gap, max(free / headway, self.gap_speed - _FALLING_BACK))
        before_crossing = math.sqrt(2.0 * braking * max(self.crossing - _GAP_KEPT, 0.0))
        before_line = math.sqrt(2.0 * braking * max(self.line - _LINE_KEPT, 0.0))
        limits = ((self.gap, before_gap), (self.crossing, before_crossing), (self.line, before_line))
        return min((speed for distance, speed in limits if distance < SIGHT), default=math.inf)


NOTHING = Ahead(SIGHT, 0.0, SIGHT, SIGHT)


class _Hero(NamedTuple):
    """Where the hero's middle and front are along the route, half its size, its height (m), and its speed [m/s]."""

    travelled: float
    front: float
    speed: float
    half_length: float
    half_width: float
    z: float


class _Others(NamedTuple):
    """`ActorStates`, and their velocities `float64 (n, 2)` [m/s]."""

    poses: NDArray[np.float64]
    sizes: NDArray[np.float64]
    kinds: NDArray[np.int64]
    velocities: NDArray[np.float64]


class RoadAhead:
    """Looks along the hero's route.

    Make it for each hero, once it has its sensors and its metrics; the metrics keep the route's progress.

    Args:
        hero: The vehicle.
        interface: Its sensors, with its route.
        metrics: Of the episode; they know the stop lines.
        find_detour: `Detours.look`, which leads the route around obstacles; None = obstacles are waited for.
    """

    def __init__(
        self,
        hero: carla.Vehicle,
        interface: SensorInterface,
        metrics: EpisodeMetrics,
        find_detour: Callable[[float], float] | None = None,
    ) -> None:
        self._hero = hero
        self._interface = interface
        self._metrics = metrics
        self._find_detour = find_detour
        self._roster = ActorRoster(hero.get_world(), hero, interface.memory, interface.ask)
        self._waiting = Waiting()

    def look(self) -> Ahead:
        """What lies ahead in the newest frame that the client has received; `NOTHING` without a route."""
        route = self._interface.route
        if route is None:
            return NOTHING
        hold = SIGHT if self._find_detour is None else self._find_detour(self._metrics.duration)
        place, velocity = self._hero.get_location(), self._hero.get_velocity()
        speed = math.hypot(velocity.x, velocity.y)
        points, distances = route.piece(_BEHIND, SIGHT + _FAR)
        if len(points) < 2:
            return NOTHING
        box = self._roster.hero_box
        front = route.travelled + box.length + box.ahead
        others = self._roster.read(place.x, place.y, SIGHT + _FAR)
        near = min(int(np.searchsorted(distances, route.travelled + SIGHT, side="right")), len(distances))
        line = min(self._stop_line(points[:near], distances[:near], front, speed), hold)
        seen = _Others(others.poses, others.sizes, others.kinds, self._roster.velocities())
        hero = _Hero(route.travelled, front, speed, box.length, box.width, place.z)
        gap, gap_speed = _gap_ahead(points, distances, hero, seen)
        to_junction = route.follows_lane_for(SIGHT + _FAR)
        crossing = _crossing_ahead(points, distances, hero, seen, to_junction, self._waiting.impatience)
        waits = speed < STANDING and crossing < min(line, _WAITS_AT)
        self._waiting.update(self._metrics.duration, route.travelled, waits)
        return Ahead(gap, gap_speed, crossing, line)

    def _stop_line(
        self, points: NDArray[np.float64], distances: NDArray[np.float64], front: float, speed: float
    ) -> float:
        """Distance to the first stop line that has to be heeded."""
        signs = _lines_on(points, distances, self._metrics.stop_lines_due, front)
        sign = signs[0][0] if signs else SIGHT
        for distance, row in _lines_on(points, distances, self._metrics.light_lines, front):
            state = self._metrics.light_at(row).state
            must_stop = state == carla.TrafficLightState.Red
            if state == carla.TrafficLightState.Yellow:
                must_stop = distance > speed * speed / (2.0 * _SHARP_BRAKING)
            if must_stop:
                return min(float(distance), sign)
        return sign


@njit(cache=True)
def _nearest(points: NDArray[np.float64], x: float, y: float) -> tuple[int, float]:
    best, at = math.inf, 0
    for k in range(points.shape[0]):
        square = (points[k, 0] - x) ** 2 + (points[k, 1] - y) ** 2
        if square < best:
            best, at = square, k
    return at, math.sqrt(best)


@njit(cache=True)
def _circles(size: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Half sizes as a row of circles: their radius, and where they are along the box (m)."""
    length, width = max(size[0], size[1]), size[1]
    count = max(1, round(length / width))
    if count == 1:
        return width, np.zeros(1)
    return width, np.linspace(width - length, length - width, count)


@njit(cache=True)
def _gap_ahead(
    points: NDArray[np.float64], distances: NDArray[np.float64], hero: _Hero, others: _Others
) -> tuple[float, float]:
    """Distance and speed of the one on the route that forces the hero to be slowest."""
    gap, gap_speed, slowest = SIGHT, 0.0, math.inf
    for n in range(others.poses.shape[0]):
        if abs(others.poses[n, 2] - hero.z) > _STOREY + 1.0:
            continue
        radius, along_box = _circles(others.sizes[n])
        wide = radius + hero.half_width + (_WALKER_MARGIN if others.kinds[n] == WALKER else _VEHICLE_MARGIN)
        c, s = math.cos(others.poses[n, 3]), math.sin(others.poses[n, 3])
        for ahead in along_box:
            k, away = _nearest(points, others.poses[n, 0] + ahead * c, others.poses[n, 1] + ahead * s)
            free = distances[k] - hero.front - radius
            if away > wide or distances[k] < hero.travelled - 0.5 or not 0.5 - 2.0 * hero.half_length < free < SIGHT:
                continue
            vx, vy = others.velocities[n]
            speed = max(vx * math.cos(points[k, 3]) + vy * math.sin(points[k, 3]), 0.0)
            safe = math.sqrt(speed**2 + 2.0 * _BRAKING * max(free - _GAP_KEPT, 0.0))
            if safe < slowest:
                slowest, gap, gap_speed = safe, max(free, 0.0), speed
    return gap, gap_speed


@njit(cache=True)
def _crossing_ahead(
    points: NDArray[np.float64],
    distances: NDArray[np.float64],
    hero: _Hero,
    others: _Others,
    to_junction: float,
    impatience: float,
) -> float:
    """Distance to the nearest way that others will cross or join the route on, when the hero would be there.

    The route follows its lane for `to_junction` metres.
    """
    crossing = SIGHT
    for n in range(others.poses.shape[0]):
        vx, vy = others.velocities[n]
        moves = math.hypot(vx, vy)
        if abs(others.poses[n, 2] - hero.z) > _STOREY + 1.0 or moves < STANDING:
            continue
        walks = others.kinds[n] == WALKER
        foresight = _WALKER_FORESIGHT if walks else _VEHICLE_FORESIGHT
        radius, along_box = _circles(others.sizes[n])
        wide = radius + hero.half_width + (_WALKER_MARGIN if walks else _VEHICLE_MARGIN)
        k, away = _nearest(points, others.poses[n, 0], others.poses[n, 1])
        if away > along_box[-1] + radius + wide + moves * foresight:
            continue
        oncoming = vx * math.cos(points[k, 3]) + vy * math.sin(points[k, 3]) < _ONCOMING * moves
        if oncoming and not walks and away < _SAME_ROAD and distances[k] < hero.travelled + to_junction:
            continue  # keeps to its side
        joins = _comes_from_side(points, others.poses[n], vx, vy, wide)
        c, s = math.cos(others.poses[n, 3]), math.sin(others.poses[n, 3])
        for step in range(1, 1 + round(foresight / _TIME_STEP)):
            after = step * _TIME_STEP
            for ahead in along_box:
                k, away = _nearest(
                    points, others.poses[n, 0] + vx * after + ahead * c, others.poses[n, 1] + vy * after + ahead * s
                )
                free = distances[k] - hero.front - radius
                if away > wide or distances[k] < hero.travelled - 0.5 or not 0.0 < free < crossing:
                    continue
                merges = vx * math.cos(points[k, 3]) + vy * math.sin(points[k, 3]) >= _ALONG * moves
                if merges and not (joins and distances[k] >= hero.travelled + to_junction):
                    continue
                if impatience > 0.0 and not walks and hero.speed**2 > 2.0 * _SHARP_BRAKING * free:
                    continue  # the hero has taken its gap
                arrives = driving_time(free - 1.0, hero.speed)
                leaves = driving_time(distances[k] + 2.0 * hero.half_length - hero.travelled, hero.speed)
                if _meet(arrives, leaves, after, moves, merges, 0.0 if walks else impatience):
                    crossing = free
    return crossing


@njit(cache=True)
def _comes_from_side(points: NDArray[np.float64], pose: NDArray[np.float64], vx: float, vy: float, wide: float) -> bool:
    """Whether a moving actor comes from the side: it neither drives in the hero's direction nor right behind it."""
    yaw = points[min(1, points.shape[0] - 1), 3]
    c, s = math.cos(yaw), math.sin(yaw)
    dx, dy = pose[0] - points[0, 0], pose[1] - points[0, 1]
    follows = dx * c + dy * s < 0.0 and abs(dy * c - dx * s) < wide
    return not follows and vx * c + vy * s < _FROM_SIDE * math.hypot(vx, vy)


@njit(cache=True)
def _lines_on(
    points: NDArray[np.float64], distances: NDArray[np.float64], lines: NDArray[np.float64], front: float
) -> list[tuple[float, int]]:
    """Distances and numbers of the stop lines that the route crosses ahead of the hero's front, nearest first."""
    found = [(0.0, 0) for _ in range(0)]
    for k in range(points.shape[0] - 1):
        for n in range(lines.shape[0]):
            dx, dy = points[k, 0] - lines[n, 0], points[k, 1] - lines[n, 1]
            if abs(dx) > 6.0 or abs(dy) > 6.0 or abs(points[k, 2] - lines[n, 2]) > _STOREY:
                continue
            c, s = math.cos(lines[n, 3]), math.sin(lines[n, 3])
            before = dx * c + dy * s
            after = (points[k + 1, 0] - lines[n, 0]) * c + (points[k + 1, 1] - lines[n, 1]) * s
            if before >= 0.0 or after < 0.0 or abs(dy * c - dx * s) > lines[n, 4]:
                continue
            if math.cos(points[k, 3] - lines[n, 3]) > 0.5 and distances[k] - before > front:
                found.append((distances[k] - before - front, n))
    return found


@njit(cache=True)
def driving_time(metres: float, speed: float) -> float:
    """Time [s] in which the hero, which drives at a speed [m/s], covers some metres if it goes on now."""
    if metres <= 0.0:
        return 0.0
    top = max(speed, _PACE)
    gains_for = (top - speed) / _GAIN
    meanwhile = gains_for * (speed + top) / 2.0
    if metres < meanwhile:
        return (math.sqrt(speed * speed + 2.0 * _GAIN * metres) - speed) / _GAIN
    return gains_for + (metres - meanwhile) / top


@njit(cache=True)
def _meet(arrives: float, leaves: float, after: float, speed: float, merges: bool, impatience: float) -> bool:
    """Whether the hero and another are in each other's way at a place.

    Args:
        arrives: When the hero is there first [s].
        leaves: When it has left [s].
        after: When the other is there [s].
        speed: Of the other [m/s].
        merges: Whether both go on along the same way from there, so that the other has to become as slow as the hero.
        impatience: Of the hero: what braking it expects of the other.
    """
    too_fast = max(speed - _PACE, 0.0) if merges else speed
    slows_for = too_fast / (2.0 * _EASY_BRAKING) if merges else 0.0
    if leaves + slows_for < after - _SAME_TIME or arrives > after + _SAME_TIME * (1.0 - _SQUEEZE * impatience):
        return False
    slows_within = too_fast * too_fast / (2.0 * _HARD_BRAKING * max(impatience, 1e-6))
    return speed * (after - arrives) < slows_within + _GAP_KEPT
