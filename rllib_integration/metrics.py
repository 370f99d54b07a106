"""What happened in an episode, in numbers that any experiment gets for free.

Distances and times, time off the lanes, collisions by what was hit, red lights and stop signs run, route completion
and the driving score of the CARLA Leaderboard. All of it is read from what the client already holds.

Score and penalties: CARLA Leaderboard, https://leaderboard.carla.org/#evaluation-and-metrics.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import carla
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.roads.lanes import LaneIndex
from rllib_integration.scores import SCORE_2_0, penalty_2_0, penalty_2_1
from rllib_integration.sensors import SensorFactory, SensorInterface
from rllib_integration.smoothness import Line, Smoothness
from rllib_integration.tracks.track import TrackProgress

PENALTIES = SCORE_2_0.weights
"""Factor on the driving score for each occurrence."""

COLLISIONS = ("collisions_pedestrian", "collisions_vehicle", "collisions_static")
"""Those of `PENALTIES` that are collisions, by what was hit."""

COLLISION_SENSOR = "_collision"
"""Name of the sensor that the metrics bring along where the hero has no collision sensor of its own."""

_SAME_COLLISION_TIME = 5.0  # [s] within which touching the same actor again is the same collision
_SAME_COLLISION_DISTANCE = 5.0  # [m] within which touching scenery again is the same collision
_STANDING = 0.1  # [m/s] below which a vehicle stands
_STOP_ZONE = 10.0  # [m] before a stop line in which standing counts as having stopped
_STOP_SIGN_LINE = 1.5  # [m] ahead of a stop sign's waypoint
_TELEPORT = 100.0  # [m/s] faster than this the hero was put, not driven
_STOREY = 3.5  # [m] lines further above or below are another road's


class _Lines(NamedTuple):
    """Lines across lanes, `float64 (n, 6)`: x, y, z (m) of the middle, yaw of the lane (rad), half width (m) and
    the number of the light or sign."""

    table: NDArray[np.float64]


class Event(NamedTuple):
    """Something that counts against the driver.

    Attributes:
        name: One of `PENALTIES`, or another infraction's of the Leaderboard.
        seconds: Simulated, since the episode began.
        message: A sentence about it, as the Leaderboard's results have it.
    """

    name: str
    seconds: float
    message: str


class EpisodeMetrics:
    """Follows one episode of one hero.

    Make it when the hero's sensors have been spawned, before the first tick; call `update` whenever the data
    of a frame have been read, and `summary` at the end.

    Args:
        hero: The vehicle.
        carla_map: The town.
        interface: The hero's sensors; its `route` is followed, if it has one.

    Attributes:
        distance: Driven, m.
        duration: Simulated, s.
        time_off_lane: Spent off every driving and parking lane, s.
        smoothness: How smoothly the hero was driven.
        track: The closed course that the hero is to follow, if an experiment has set one; brought up to date here.
        counts: Occurrences by the names of `PENALTIES`.
        events: What has been counted, in order.
        speed_shares: Speed relative to the traffic around at each checkpoint where it was lower, if that is measured.
    """

    def __init__(self, hero: carla.Actor, carla_map: carla.Map, interface: SensorInterface) -> None:
        self._hero = hero
        self._vehicle = hero if isinstance(hero, carla.Vehicle) else None
        self._world = hero.get_world()
        self._interface = interface
        self._lanes = LaneIndex.for_map(carla_map)
        self._front = hero.bounding_box.extent.x + hero.bounding_box.location.x
        self._collisions = _collision_sensor(hero, interface)
        self._lights, self._light_lines, self._stop_lines = _find_lines(self._world, carla_map, interface)
        self._stopped_at: set[int] = set()
        self._last: tuple[float, float, float] | None = None  # x, y, time
        self._last_front = (0.0, 0.0)
        self._stood = False
        self._clear_around, self._clearance = (0.0, 0.0), 0.0  # no line is within so many metres of a place
        self._touched: dict[int, tuple[float, float, float]] = {}  # actor id -> time, x, y of the last touch
        self._distance_off_lane = 0.0
        self.distance = 0.0
        self.duration = 0.0
        self.time_off_lane = 0.0
        self.smoothness = Smoothness()
        self.track: TrackProgress | None = None
        self.counts = dict.fromkeys(PENALTIES, 0)
        self.events: list[Event] = []
        self.speed_shares: list[float] = []

    @staticmethod
    def prepare(carla_map: carla.Map) -> None:
        """Look up the lanes of a town and compile what counts: takes long the first time, and needs no server."""
        lanes = LaneIndex.for_map(carla_map)
        lanes.locate(0.0, 0.0, 0.0, 0.0)
        lanes.on_road(0.0, 0.0, 0.0)
        line = np.zeros((1, 6))
        _crossed(line, (0.0, 0.0), (0.0, 0.0), 0.0, 0.0)
        _ahead(line, (0.0, 0.0), 0.0, 0.0)
        _clearance((0.0, 0.0), line, line)

    def update(self) -> None:
        """Take in the newest frame that the client has received."""
        transform = self._hero.get_transform()
        x, y, z = transform.location.x, transform.location.y, transform.location.z
        yaw = math.radians(transform.rotation.yaw)
        now = self._world.get_snapshot().timestamp.elapsed_seconds
        velocity = self._hero.get_velocity()
        front = (x + self._front * math.cos(yaw), y + self._front * math.sin(yaw))
        self._count_collisions(x, y, now)
        if self._interface.route is not None:
            self._interface.route.update(x, y)
        if self.track is not None:
            self.track.update(x, y, z, transform.rotation.yaw, now)
        if self._vehicle is not None:
            self._note_driving(self._vehicle.get_control(), transform, velocity, now)
        if self._last is not None and now > self._last[2]:
            elapsed = now - self._last[2]
            moved = math.hypot(x - self._last[0], y - self._last[1])
            self.duration += elapsed
            if moved <= _TELEPORT * elapsed:
                self.distance += moved
                self._count_lines(front, z, yaw)
                if not self._lanes.on_road(x, y, z):
                    self.time_off_lane += elapsed
                    self._distance_off_lane += moved
        self._last = (x, y, now)
        self._last_front = front
        self._stood = math.hypot(velocity.x, velocity.y) < _STANDING

    def note(self, name: str, message: str) -> None:
        """Count something that only others can see, such as the time-out of a scenario.

        Args:
            name: One of `PENALTIES`.
            message: A sentence about it, as the Leaderboard's results have one.
        """
        self.counts[name] += 1
        self.events.append(Event(name, self.duration, message))

    @property
    def light_lines(self) -> NDArray[np.float64]:
        """Stop lines of the lights, `float64 (n, 6)`: x, y, z (m) of the middle, yaw of the lane (rad), half width
        (m) and a number."""
        return self._light_lines.table

    def light_at(self, line: int) -> carla.TrafficLight:
        """The light of a row of `light_lines`."""
        return self._lights[int(self._light_lines.table[line, 5])]

    @property
    def stop_lines_due(self) -> NDArray[np.float64]:
        """Lines of the stop signs that the hero has not stopped at, as `light_lines`."""
        table = self._stop_lines.table
        if not self._stopped_at:
            return table
        return np.delete(table, sorted(self._stopped_at), axis=0)

    def _note_driving(
        self, control: carla.VehicleControl, transform: carla.Transform, velocity: carla.Vector3D, now: float
    ) -> None:
        speed = velocity.dot(transform.get_forward_vector())
        self.smoothness.update(now, control.throttle, control.brake, control.steer, speed, self._line(transform))

    def _line(self, transform: carla.Transform) -> Line | None:
        """How the hero lies to its course or its route."""
        if self.track is not None and self.track.pose is not None:
            return Line(self.track.pose.lateral, self.track.track.curvature(self.track.pose.distance))
        route = self._interface.route
        if route is None:
            return None
        lateral, _ = route.locate(transform.location.x, transform.location.y, transform.rotation.yaw)
        return Line(lateral, route.bend(4.0))

    def _count_collisions(self, x: float, y: float, now: float) -> None:
        for _, (other, _) in self._interface.events.get(self._collisions, ()):
            kind = _kind_of(other)
            key = other.id if kind != "collisions_static" else 0
            last = self._touched.get(key)
            # Who stands is not at fault.
            if not self._stood and (last is None or _is_new_collision(kind, last, (now, x, y))):
                self.note(kind, f"Agent collided against object with {_described(other)} at {_at(x, y)}")
            self._touched[key] = (now, x, y)

    def _count_lines(self, front: tuple[float, float], z: float, yaw: float) -> None:
        if math.dist(front, self._clear_around) < self._clearance:
            return
        self._clear_around, self._clearance = front, _clearance(front, self._light_lines.table, self._stop_lines.table)
        for row in _crossed(self._light_lines.table, self._last_front, front, z, yaw):
            if self.light_at(row).state == carla.TrafficLightState.Red:
                self.note("red_lights_run", f"Agent ran a red light {self.light_at(row).id} at {_at(*front)}")
        if not len(self._stop_lines.table):
            return
        velocity = self._hero.get_velocity()
        if math.hypot(velocity.x, velocity.y) < _STANDING:
            self._stopped_at.update(_ahead(self._stop_lines.table, front, z, yaw))
        for row in _crossed(self._stop_lines.table, self._last_front, front, z, yaw):
            if row not in self._stopped_at:
                self.note("stop_signs_run", f"Agent ran a stop with id={row} at {_at(*front)}")
            self._stopped_at.discard(row)

    @property
    def penalty(self) -> float:
        """Product of the Leaderboard's penalties of what happened so far."""
        return penalty_2_0(self.counts, self.speed_shares)

    @property
    def off_lane_share(self) -> float:
        """Share of the distance that was driven off every driving and parking lane."""
        return self._distance_off_lane / self.distance if self.distance > 0.0 else 0.0

    @property
    def route_share(self) -> float | None:
        """Share of the route that is behind the hero, 0 to 1; None without a route."""
        route = self._interface.route
        if route is None:
            return None
        return 1.0 if route.finished else route.progress

    @property
    def route_completion(self) -> float | None:
        """Per cent of the route driven, less the share of the distance driven off the lanes; None without a route."""
        share = self.route_share
        return None if share is None else 100.0 * share * (1.0 - self.off_lane_share)

    def summary(self, end_reason: str = "") -> dict[str, float | int | str]:
        """The episode in numbers.

        Args:
            end_reason: Why it ended, in the experiment's words.

        Returns:
            `distance` (m), `duration` (s), `mean_speed` (m/s), `time_off_lane` (s), the counts of
            `PENALTIES`, `penalty`, the figures of `Smoothness.summary`; with a route `route_completion` (%),
            `route_length` (m), `driving_score` and `driving_score_2_1` (0 to 100, the Leaderboard's of version
            2.0 and of 2.1); with a track `laps`, `laps_driven` (with the share of the one begun) and, after a lap,
            `lap_time` and `best_lap_time` (s; mean and least); `end_reason` where one was given.
        """
        result: dict[str, float | int | str] = {
            "distance": self.distance,
            "duration": self.duration,
            "mean_speed": self.distance / self.duration if self.duration > 0.0 else 0.0,
            "time_off_lane": self.time_off_lane,
            **self.counts,
            "penalty": self.penalty,
            **self.smoothness.summary(),
        }
        if self.track is not None:
            result |= _lap_figures(self.track)
        completion = self.route_completion
        if completion is not None and self._interface.route is not None:
            result["route_completion"] = completion
            result["route_length"] = self._interface.route.length
            result["driving_score"] = completion * self.penalty
            result["driving_score_2_1"] = completion * penalty_2_1(self.counts, self.speed_shares)
        if end_reason:
            result["end_reason"] = end_reason
        return result


def _lap_figures(track: TrackProgress) -> dict[str, float | int]:
    figures: dict[str, float | int] = {"laps": track.laps, "laps_driven": track.progress}
    if track.lap_times:
        figures |= {"lap_time": float(np.mean(track.lap_times)), "best_lap_time": min(track.lap_times)}
    return figures


def _described(other: carla.Actor | None) -> str:
    return "type=static and id=0" if other is None else f"type={other.type_id} and id={other.id}"


def _at(x: float, y: float) -> str:
    return f"(x={x:.3f}, y={y:.3f})"


def _collision_sensor(hero: carla.Actor, interface: SensorInterface) -> str:
    """Name of the hero's own collision sensor, or of one that only the metrics hear."""
    for name, sensor in interface.sensors.items():
        if sensor.type_id == "sensor.other.collision":
            return name
    SensorFactory.spawn(COLLISION_SENSOR, {"type": "sensor.other.collision"}, interface, hero)
    return COLLISION_SENSOR


def _find_lines(
    world: carla.World, carla_map: carla.Map, interface: SensorInterface
) -> tuple[list[carla.TrafficLight], _Lines, _Lines]:
    """Traffic lights, their stop lines and those of stop signs; kept by the interface, as none of them moves."""
    signals = cast("list[carla.TrafficSign]", list(world.get_actors().filter("traffic.*")))
    ids = {signal.id for signal in signals}  # in an order that changes with every actor that comes
    known = interface.memory.get("signal_lines")
    if known is not None and known[0] == ids:
        return known[1]
    lights = [signal for signal in signals if isinstance(signal, carla.TrafficLight)]
    rows: list[tuple[float, ...]] = []
    for number, light in enumerate(lights):
        waypoints = light.get_stop_waypoints() or light.get_affected_lane_waypoints()
        rows.extend(_line_across(waypoint, 0.0, number) for waypoint in waypoints)
    stops: list[tuple[float, ...]] = []
    for number, sign in enumerate(signal for signal in signals if signal.type_id == "traffic.stop"):
        waypoint = carla_map.get_waypoint(sign.get_location())
        if waypoint is not None:
            stops.append(_line_across(waypoint, _STOP_SIGN_LINE, number))
    lines = [_Lines(np.array(table, np.float64).reshape(-1, 6)) for table in (rows, stops)]
    interface.memory["signal_lines"] = (ids, (lights, *lines))
    return lights, lines[0], lines[1]


def _line_across(waypoint: carla.Waypoint, ahead: float, number: int) -> tuple[float, ...]:
    location, yaw = waypoint.transform.location, math.radians(waypoint.transform.rotation.yaw)
    x, y = location.x + ahead * math.cos(yaw), location.y + ahead * math.sin(yaw)
    return x, y, location.z, yaw, waypoint.lane_width / 2.0, float(number)


def _kind_of(other: carla.Actor | None) -> str:
    type_id = "" if other is None else other.type_id
    if type_id.startswith("walker."):
        return "collisions_pedestrian"
    return "collisions_vehicle" if type_id.startswith("vehicle.") else "collisions_static"


def _is_new_collision(kind: str, last: tuple[float, float, float], now: tuple[float, float, float]) -> bool:
    if kind == "collisions_static":
        return math.hypot(now[1] - last[1], now[2] - last[2]) > _SAME_COLLISION_DISTANCE
    return now[0] - last[0] > _SAME_COLLISION_TIME


@njit(cache=True)
def _clearance(front: tuple[float, float], lights: NDArray[np.float64], stops: NDArray[np.float64]) -> float:
    """Metres that a point may move in any direction before it can cross a line or stand in a stop line's zone."""
    nearest = 1000.0
    for table in (lights, stops):
        for n in range(table.shape[0]):
            away = math.hypot(table[n, 0] - front[0], table[n, 1] - front[1])
            nearest = min(nearest, away - table[n, 4] - _STOP_ZONE)
    return nearest


@njit(cache=True)
def _crossed(
    lines: NDArray[np.float64], before: tuple[float, float], after: tuple[float, float], z: float, yaw: float
) -> list[int]:
    """Numbers of the lines that a point has crossed in their lane's direction."""
    found = [0 for _ in range(0)]
    for n in range(lines.shape[0]):
        if abs(lines[n, 0] - after[0]) > 50.0 or abs(lines[n, 1] - after[1]) > 50.0:
            continue
        c, s = math.cos(lines[n, 3]), math.sin(lines[n, 3])
        behind = (before[0] - lines[n, 0]) * c + (before[1] - lines[n, 1]) * s
        ahead = (after[0] - lines[n, 0]) * c + (after[1] - lines[n, 1]) * s
        if behind >= 0.0 or ahead < 0.0 or abs(lines[n, 2] - z) > _STOREY or math.cos(yaw - lines[n, 3]) < 0.5:
            continue
        share = behind / (behind - ahead)
        x = before[0] + share * (after[0] - before[0]) - lines[n, 0]
        y = before[1] + share * (after[1] - before[1]) - lines[n, 1]
        if abs(y * c - x * s) <= lines[n, 4]:
            found.append(n)
    return found


@njit(cache=True)
def _ahead(lines: NDArray[np.float64], front: tuple[float, float], z: float, yaw: float) -> list[int]:
    """Numbers of the lines that a standing vehicle waits at."""
    found = [0 for _ in range(0)]
    for n in range(lines.shape[0]):
        c, s = math.cos(lines[n, 3]), math.sin(lines[n, 3])
        x, y = front[0] - lines[n, 0], front[1] - lines[n, 1]
        along = x * c + y * s
        if not -_STOP_ZONE < along <= 0.0 or abs(y * c - x * s) > lines[n, 4]:
            continue
        if abs(lines[n, 2] - z) <= _STOREY and math.cos(yaw - lines[n, 3]) >= 0.5:
            found.append(n)
    return found
