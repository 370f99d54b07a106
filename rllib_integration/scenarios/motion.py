"""Motion of scripted actors: cars along a path, flows of cars, and walkers straight across.

Controls are set once in each of the hero's decisions, from the actor's present place.
"""

from __future__ import annotations

import math

import carla
import numpy as np

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.road import Path
from rllib_integration.scenarios.stage import CAR, CARS, Stage

_LOOK_AHEAD = 3.0  # [m] distance of the point that a car at rest steers to
_LOOK_AHEAD_TIME = 0.5  # [s] of driving that is added to this distance
_WHEELBASE = 0.6  # share of a vehicle's length
_FULL_LOCK = math.radians(70.0)  # [rad] steering angle of CARLA's cars at steer = 1
_BRAKING = 4.0  # [m/s^2] of flows of cars
_FEED_FORWARD, _FEED_FORWARD_SLOPE = 0.3, 0.01  # throttle that roughly holds a speed: constant, and per m/s
_PROPORTIONAL, _INTEGRAL = 0.3, 0.4  # throttle per m/s of error, and per m/s and second
_INTEGRAL_RANGE = 1.0  # [m/s] error below which the integral is used
_GREATEST_INTEGRAL = 0.4  # of throttle
_SPIN_UP = 0.5  # [s] after a launch in which a car's speed is held, until its engine turns
_ROOM = 6.0  # [m] kept to the actor ahead, from centre to centre
_BEFORE_THE_HERO = 0.4  # [s] by which a crossing actor reaches the middle of the lane before the hero
_SLOWEST_CROSSING, _FASTEST_CROSSING = 1.0, 3.5  # [m/s]
_LANE = 2.0  # [m] lateral distance within which the hero, or another vehicle, blocks a car


class Car:
    """A vehicle that drives along a path.

    Args:
        vehicle: The vehicle.
        path: Its path.
        begin: Distance of its start along the path (m); the client knows its pose only after the next tick.

    Attributes:
        vehicle: As given.
        path: As given; may be replaced during the drive.
    """

    def __init__(self, vehicle: carla.Vehicle, path: Path, begin: float = 0.0) -> None:
        self.vehicle = vehicle
        self.path = path
        self._begin = path.pose(begin)
        self._integral = 0.0
        self._launched: tuple[float, float] | None = None
        self._last_time = self._time
        self._wheelbase = 2.0 * vehicle.bounding_box.extent.x * _WHEELBASE

    @property
    def at(self) -> float:
        """Its distance along its path (m)."""
        place = self._pose().location
        return self.path.nearest(place.x, place.y)[1]

    def _pose(self) -> carla.Transform:
        pose = self.vehicle.get_transform()
        return self._begin if pose.location == carla.Location() else pose

    @property
    def _time(self) -> float:
        """Simulated time of the client's newest frame [s]."""
        return self.vehicle.get_world().get_snapshot().timestamp.elapsed_seconds

    @property
    def speed(self) -> float:
        """Its speed [m/s]."""
        velocity = self.vehicle.get_velocity()
        return math.hypot(velocity.x, velocity.y)

    @property
    def has_arrived(self) -> bool:
        """Whether it is at the end of its path."""
        return self.at > self.path.length - 2.0

    def launch(self, speed: float) -> None:
        """Give it a speed [m/s] at once, along its path."""
        self._launched = speed, self._time
        self._keep_up(speed)
        self.drive(speed)

    def _keep_up(self, speed: float) -> None:
        yaw = self.path.yaw(self.at)
        self.vehicle.set_target_velocity(carla.Vector3D(speed * math.cos(yaw), speed * math.sin(yaw), 0.0))

    def drive(self, speed: float) -> None:
        """Follow the path at a target speed [m/s]."""
        now = self._time
        elapsed, self._last_time = now - self._last_time, now
        if self._launched is not None:
            launched, since = self._launched
            if now - since < _SPIN_UP and speed > 0.5 * launched:
                self._keep_up(min(speed, launched))
            else:
                self._launched = None
        error = speed - self.speed
        if self._launched is None and abs(error) < _INTEGRAL_RANGE:
            # The throttle that holds a speed depends on the car and its gear.
            self._integral += _INTEGRAL * error * elapsed
            self._integral = min(max(self._integral, -_GREATEST_INTEGRAL), _GREATEST_INTEGRAL)
        wanted = _FEED_FORWARD + _FEED_FORWARD_SLOPE * speed + self._integral + _PROPORTIONAL * error
        throttle = min(max(wanted, 0.0), 1.0) if speed > 0.1 else 0.0
        brake = float(np.clip(-0.3 * error, 0.0, 1.0)) if error < -1.0 or speed <= 0.1 else 0.0
        steer = self._steer()
        self.vehicle.apply_control(carla.VehicleControl(throttle=0.0 if brake else throttle, brake=brake, steer=steer))

    def stop(self) -> None:
        """Brake fully."""
        self.vehicle.apply_control(carla.VehicleControl(brake=1.0, steer=self._steer()))

    def _steer(self) -> float:
        """Pure pursuit of a point of the path ahead."""
        pose = self._pose()
        ahead = _LOOK_AHEAD + _LOOK_AHEAD_TIME * self.speed
        x, y, _ = self.path.place(min(self.at + ahead, self.path.length))
        if self.at + ahead > self.path.length:
            yaw, beyond = self.path.yaw(self.path.length), self.at + ahead - self.path.length
            x, y = x + beyond * math.cos(yaw), y + beyond * math.sin(yaw)
        dx, dy = x - pose.location.x, y - pose.location.y
        error = math.atan2(dy, dx) - math.radians(pose.rotation.yaw)
        angle = math.atan2(2.0 * self._wheelbase * math.sin(error), max(math.hypot(dx, dy), 1.0))
        return float(np.clip(angle / _FULL_LOCK, -1.0, 1.0))


class Flow:
    """Cars that follow each other along a path, and are removed at its end.

    Args:
        stage: The scenario's stage.
        path: The cars' path.
        gaps: Range that the distances between cars are drawn from (m).
        speed: The cars' speed [m/s].
        patterns: Patterns of the cars' blueprints.
        wanted: Attributes of the cars' blueprints.
        yields: Whether the cars brake for the hero when it blocks their way.
    """

    def __init__(
        self,
        stage: Stage,
        path: Path,
        gaps: tuple[float, float],
        speed: float,
        patterns: tuple[str, ...] = CARS,
        wanted: dict[str, str] = CAR,
        yields: bool = True,
    ) -> None:
        self._stage = stage
        self._path = path
        self._gaps = gaps
        self._speed = speed
        self._blueprints = patterns, wanted
        self._yields = yields
        self._cars: list[Car] = []
        self._gap = 0.0

    def fill(self, length: float) -> None:
        """Put cars on the first `length` metres of the path, so that the flow is complete from the start."""
        at = length
        while at >= 0.0:
            self._add(at)
            at -= float(self._stage.rng.uniform(*self._gaps))
        self._draw_gap()

    def move(self) -> None:
        """Drive all cars on; remove those that have arrived, and add one if there is room."""
        for car in [car for car in self._cars if car.has_arrived]:
            self._cars.remove(car)
            self._stage.remove(car.vehicle)
        others = self._stage.vehicles_on(self._path, _LANE)
        places = [car.at for car in self._cars]
        for car, at in zip(self._cars, places):
            free = min((other for other in others if other > at + 1.0), default=math.inf) - at - _ROOM
            if self._yields:
                free = min(free, self._free_to_hero(at))
            car.drive(min(self._speed, math.sqrt(2.0 * _BRAKING * free) if free > 0.0 else 0.0))
        if not places or places[-1] > self._gap:
            self._add(0.0)
            self._draw_gap()

    def _draw_gap(self) -> None:
        self._gap = float(self._stage.rng.uniform(*self._gaps))

    def _add(self, at: float) -> None:
        patterns, wanted = self._blueprints
        try:
            vehicle = self._stage.vehicle(self._path.pose(at), patterns, wanted)
        except ScenarioError:
            return  # the place is taken; a later car tries again
        car = Car(vehicle, self._path, at)
        car.launch(self._speed)
        self._cars.append(car)

    def _free_to_hero(self, at: float) -> float:
        hero = self._stage.core.hero
        place = hero.get_location()
        away, along = self._path.nearest(place.x, place.y)
        is_ahead = along > at + 1.0
        return along - at - _ROOM if away < _LANE and is_ahead else math.inf


def walk(walker: carla.Walker, yaw: float, speed: float) -> None:
    """Let a walker go straight on in a direction [degrees] at a speed [m/s], until its next control."""
    direction = carla.Vector3D(math.cos(math.radians(yaw)), math.sin(math.radians(yaw)), 0.0)
    walker.apply_control(carla.WalkerControl(direction, speed, False))


def meeting_speed(way: float, seconds: float) -> float:
    """The speed [m/s] at which a crossing actor is in front of the hero when it comes.

    The Leaderboard has one speed for each type, which fits the width of its roads; here the road determines it.

    Args:
        way: Distance to the middle of the hero's lane (m).
        seconds: Time until the hero is there.
    """
    return float(np.clip(way / max(seconds - _BEFORE_THE_HERO, 0.5), _SLOWEST_CROSSING, _FASTEST_CROSSING))
