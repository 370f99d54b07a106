"""What lies ahead of the hero on its route: whom it would run into, who is about to cross, where it has to stop.

All of it is read from what the client already holds. Boxes are taken as rows of circles. What moves is expected to go
straight on for some seconds, but oncoming vehicles to keep to their side of a road that the hero follows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import carla
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.detours import Detours
from rllib_integration.gap_acceptance import STANDING, Waiting, meet, seconds
from rllib_integration.metrics import EpisodeMetrics
from rllib_integration.sensors import SensorInterface
from rllib_integration.sensors.actor_roster import WALKER, ActorRoster

SIGHT = 40.0  # [m] of the route that is looked at
_BEHIND = 1.0  # [m] of the route behind the hero's middle that counts as ahead
_FAR = 60.0  # [m] further, within which others who come fast are looked for
_VEHICLE_MARGIN, _WALKER_MARGIN = 0.3, 0.6  # [m] to the side of the hero
_VEHICLE_FORESIGHT, _WALKER_FORESIGHT = 5.0, 3.0  # [s] that what moves is followed for
_TIME_STEP = 0.25  # [s] how closely
_ALONG = 0.7  # share of a speed along the route from which on something drives along it and does not cross
_FROM_SIDE = 0.94  # cosine of the angle to the hero's way below which one who will drive along the route joins it
_ONCOMING, _SAME_ROAD = -0.8, 8.0  # cosine of the angle to the route, and [m] beside it, of those on its other side
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


class RoadAhead:
    """Looks along the hero's route.

    Make it for each hero, once it has its sensors and its metrics; the metrics keep the route's progress.

    Args:
        hero: The vehicle.
        interface: Its sensors, with its route.
        metrics: Of the episode; they know the stop lines.
        detours: Lead the route around obstacles; None = obstacles are waited for.
    """

    def __init__(
        self,
        hero: carla.Vehicle,
        interface: SensorInterface,
        metrics: EpisodeMetrics,
        detours: Detours | None = None,
    ) -> None:
        self._hero = hero
        self._interface = interface
        self._metrics = metrics
        self._detours = detours
        self._roster = ActorRoster(hero.get_world(), hero, interface.memory, interface.ask)
        self._waiting = Waiting()

    def look(self) -> Ahead:
        """What lies ahead in the newest frame that the client has received; `NOTHING` without a route."""
        route = self._interface.route
        if route is None:
            return NOTHING
        hold = self._detours.look(self._metrics.duration) if self._detours is not None else SIGHT
        place, velocity = self._hero.get_location(), self._hero.get_velocity()
        speed = math.hypot(velocity.x, velocity.y)
        points, distances = route.piece(_BEHIND, SIGHT + _FAR)
        if len(points) < 2:
            return NOTHING
        box = self._roster.hero_box
        front = route.travelled + box.length + box.ahead
        others = self._roster.read(place.x, place.y, SIGHT + _FAR)
        velocities = self._roster.velocities()
        near = min(int(np.searchsorted(distances, route.travelled + SIGHT, side="right")), len(distances))
        line = min(self._stop_line(points[:near], distances[:near], front, speed), hold)
        gap, gap_speed, crossing = _look(
            *(points, distances, route.travelled, front, speed, box.length, box.width, place.z),
            *(others.poses, others.sizes, others.kinds, velocities),
            *(route.follows_lane_for(SIGHT + _FAR), self._waiting.impatience),
        )
        self._waiting.update(self._metrics.duration, route.travelled, speed, crossing < min(line, _WAITS_AT))
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
def _look(
    points: NDArray[np.float64],
    distances: NDArray[np.float64],
    travelled: float,
    front: float,
    speed: float,
    half_length: float,
    half_width: float,
    z: float,
    poses: NDArray[np.float64],
    sizes: NDArray[np.float64],
    kinds: NDArray[np.int64],
    velocities: NDArray[np.float64],
    to_junction: float,
    impatience: float,
) -> tuple[float, float, float]:
    """Gap and speed of the one ahead that matters most, and the distance of the nearest crossing.

    The route follows its lane for `to_junction` metres.
    """
    here = points[min(1, points.shape[0] - 1), 3]
    gap, gap_speed, slowest, crossing = SIGHT, 0.0, math.inf, SIGHT
    for n in range(poses.shape[0]):
        if abs(poses[n, 2] - z) > _STOREY + 1.0:
            continue
        vx, vy = velocities[n, 0], velocities[n, 1]
        moves = math.hypot(vx, vy)
        c, s = math.cos(poses[n, 3]), math.sin(poses[n, 3])
        length, width = max(sizes[n, 0], sizes[n, 1]), sizes[n, 1]
        circles = max(1, round(length / width))
        walks = kinds[n] == WALKER
        wide = width + half_width + (_WALKER_MARGIN if walks else _VEHICLE_MARGIN)
        foresight = _WALKER_FORESIGHT if walks else _VEHICLE_FORESIGHT
        k, away = _nearest(points, poses[n, 0], poses[n, 1])
        if away > length + wide + moves * foresight:
            continue
        oncoming = vx * math.cos(points[k, 3]) + vy * math.sin(points[k, 3]) < _ONCOMING * moves
        keeps_side = oncoming and not walks and away < _SAME_ROAD and distances[k] < travelled + to_junction
        from_side = vx * math.cos(here) + vy * math.sin(here) < _FROM_SIDE * moves
        dx, dy = poses[n, 0] - points[0, 0], poses[n, 1] - points[0, 1]
        behind = dx * math.cos(here) + dy * math.sin(here) < 0.0
        follows = behind and abs(dy * math.cos(here) - dx * math.sin(here)) < wide
        steps = 1 if moves < STANDING or keeps_side else 1 + round(foresight / _TIME_STEP)
        for step in range(steps):
            after = step * _TIME_STEP
            for circle in range(circles):
                along_box = 0.0 if circles == 1 else (length - width) * (2.0 * circle / (circles - 1) - 1.0)
                x, y = poses[n, 0] + vx * after + along_box * c, poses[n, 1] + vy * after + along_box * s
                k, away = _nearest(points, x, y)
                if away > wide or distances[k] < travelled - 0.5:
                    continue
                along = vx * math.cos(points[k, 3]) + vy * math.sin(points[k, 3])
                free = distances[k] - front - width
                if step == 0:
                    if 0.5 - 2.0 * half_length < free < SIGHT:
                        ahead_speed = max(along, 0.0)
                        safe = math.sqrt(ahead_speed**2 + 2.0 * _BRAKING * max(free - 2.0, 0.0))
                        if safe < slowest:
                            slowest, gap, gap_speed = safe, max(free, 0.0), ahead_speed
                elif 0.0 < free < crossing:
                    merges = along >= _ALONG * moves
                    if merges and (follows or not from_side or distances[k] < travelled + to_junction):
                        continue
                    if impatience > 0.0 and not walks and speed * speed > 2.0 * _SHARP_BRAKING * free:
                        continue  # it has taken its gap
                    arrives = seconds(free - 1.0, speed)
                    leaves = seconds(distances[k] + 2.0 * half_length - travelled, speed)
                    if meet(arrives, leaves, after, moves, merges, 0.0 if walks else impatience):
                        crossing = free
    return min(gap, SIGHT), gap_speed, crossing


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
