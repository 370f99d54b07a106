"""Cooperative awareness messages (ETSI EN 302 637-2): when a station sends one, and what it says.

As in CARLA, yaw rate and lateral acceleration are positive to the right, the accelerations are what an
accelerometer feels, weight included, and a vehicle that goes backwards says speed 0 and direction "backward".
Otherwise than in CARLA, length and width are in ETSI's tenths of metres, accelerations are those of the last tick
at any rate of messages, and the time stamp counts from the beginning of the simulation, so that runs can be repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.physics.state import VEHICLE_KIND, WALKER_KIND
from minicarla.sensing.actors import label_of, rotation_matrix
from minicarla.sensing.inertial import compass
from minicarla.sensing.sensor import Value
from minicarla.sensing.view import Mount, View

_FIELDS = {
    "power": 0, "protocol_version": 8, "message_id": 16, "station_id": 24, "generation_delta_time": 32,
    "station_type": 40, "latitude": 48, "longitude": 56, "semi_major": 64, "semi_minor": 72, "orientation": 80,
    "altitude": 88, "altitude_confidence": 96, "frequent": 104, "heading": 112, "heading_confidence": 120,
    "speed": 128, "speed_confidence": 136, "direction": 144, "length": 152, "length_confidence": 160, "width": 168,
    "acceleration_x": 176, "acceleration_x_confidence": 184, "curvature": 192, "curvature_confidence": 200,
    "curvature_mode": 208, "yaw_rate": 216, "yaw_rate_confidence": 224, "has_acceleration_y": 272,
    "acceleration_y": 280, "acceleration_y_confidence": 288, "has_acceleration_z": 296, "acceleration_z": 304,
    "acceleration_z_confidence": 312, "rare": 408, "role": 416, "lights": 424,
}  # fmt: skip
_BYTES = ("has_acceleration_y", "has_acceleration_z", "lights")
CAM = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [np.float32 if name == "power" else np.uint8 if name in _BYTES else np.int64 for name in _FIELDS],
        "offsets": list(_FIELDS.values()),
        "itemsize": 464,
    }  # type: ignore[call-overload]
)
"""A message as the client holds it: the power that arrived, then ETSI's containers.

What is left out is optional and absent. That includes the lists of protected zones and of past positions, whose 64
bytes are pointers to the client: they stay zero."""

PROTOCOL_VERSION = 2
CAM_ID = 2
_FREQUENT_VEHICLE, _FREQUENT_ROADSIDE, _RARE_VEHICLE = 1, 2, 1
_LENGTH_UNAVAILABLE, _ACCELERATION_CONFIDENCE_UNAVAILABLE = 4, 102
_SEMI_AXIS_UNAVAILABLE, _HEADING_UNAVAILABLE, _ALTITUDE_CONFIDENCE_UNAVAILABLE = 4095, 3601, 15
_CURVATURE_UNAVAILABLE, _CURVATURE_CONFIDENCE_UNAVAILABLE, _YAW_RATE_CONFIDENCE_UNAVAILABLE = 30001, 7, 8
_WITHIN_ONE_DEGREE, _WITHIN_3_CENTIMETRES_PER_SECOND = 10, 3
_ACCELERATION_UNAVAILABLE, _YAW_RATE_UNAVAILABLE, _FASTEST = 161, 32767, 16382

UNKNOWN, PEDESTRIAN, CYCLIST, MOTORCYCLE, PASSENGER_CAR, BUS, LIGHT_TRUCK = 0, 1, 2, 4, 5, 6, 7
SPECIAL_VEHICLE, ROAD_SIDE_UNIT = 10, 15
_STATION_OF_LABEL = {
    labels.CAR: PASSENGER_CAR, labels.TRUCK: LIGHT_TRUCK, labels.BUS: BUS, labels.MOTORCYCLE: MOTORCYCLE,
    labels.BICYCLE: CYCLIST, labels.PEDESTRIANS: PEDESTRIAN,
}  # fmt: skip
_ROLES = {BUS: 1, SPECIAL_VEHICLE: 6}
"""Roles of vehicles that are not the default 0: public transport, emergency."""

_LIGHTS = {0x2: 7, 0x4: 6, 0x20: 5, 0x10: 4, 0x40: 2, 0x80: 1, 0x1: 0}
"""Bits of carla.VehicleLightState and of ETSI's exterior lights."""

TURNED, MOVED, SPED_UP = 4.0, 4.0, 0.5
"""[degrees], [m], [m/s] Since its last message a vehicle sends the next one after more than one of these."""

_LOW_DYNAMICS_MESSAGES = 3
"""So many messages keep the pace of the last vivid one."""

RARELY = 0.5
"""[s] Between two messages with the container of what rarely changes, and between two of a road side unit."""

_SLACK = 1e-6


class Motion(NamedTuple):
    """How a station moves.

    Attributes:
        position: float64 (3,), [m] in the world.
        forward: float64 (3,), unit vector in the world.
        speed: [m/s] along it.
        acceleration: float64 (3,), [m/s^2] in its own frame, weight included.
        turn_rate: [rad/s] to the right.
    """

    position: NDArray[np.float64]
    forward: NDArray[np.float64]
    speed: float
    acceleration: NDArray[np.float64]
    turn_rate: float


class CamService:
    """Decides when one station sends, and writes its messages.

    Args:
        values: Attributes of the sensor: CARLA's names.
        random: Source of the noise.
    """

    def __init__(self, values: Mapping[str, Value], random: np.random.Generator) -> None:
        self._values = values
        self._random = random
        self._least, self._most = self._number("gen_cam_min"), self._number("gen_cam_max")
        self._interval = self._most
        self._calm_messages = 0
        self._told: Motion | None = None
        self._told_at = self._told_rarely_at = -math.inf
        self._last_velocity: NDArray[np.float64] | None = None

    def message(self, view: View, mount: Mount) -> NDArray[np.void] | None:
        """The message that is due, `CAM` (1,) without a power; None if none is.

        Call it once a tick.
        """
        motion = self._motion(view, mount)
        if not self._is_due(motion, view.time, mount):
            return None
        self._told, self._told_at = motion, view.time
        return self._write(view, mount, motion)

    def _is_due(self, motion: Motion, now: float, mount: Mount) -> bool:
        """ETSI EN 302 637-2, 6.1.3."""
        elapsed = now - self._told_at + _SLACK
        if not mount.has_body:
            return elapsed >= RARELY
        if elapsed < self._least:
            return False
        if self._values["fixed_rate"]:
            return True
        if self._told is not None and _differs(motion, self._told):
            self._interval = min(elapsed, self._most)
            self._calm_messages = 0
            return True
        if elapsed < self._interval:
            return False
        self._calm_messages += 1
        if self._calm_messages >= _LOW_DYNAMICS_MESSAGES:
            self._interval = self._most
        return True

    def _motion(self, view: View, mount: Mount) -> Motion:
        row = mount.body(view)
        if row is None:
            return Motion(mount.position, mount.rotation[:, 0], 0.0, np.zeros(3), 0.0)
        rotation = rotation_matrix(row["roll"], row["pitch"], row["yaw"])
        velocity = np.array((row["vx"], row["vy"], row["vz"]))
        last, self._last_velocity = self._last_velocity, velocity
        acceleration = np.zeros(3) if last is None or view.dt <= 0.0 else (velocity - last) / view.dt
        acceleration[2] += view.gravity
        position = np.array((row["x"], row["y"], row["z"]))
        return Motion(
            position, rotation[:, 0], float(velocity @ rotation[:, 0]), acceleration @ rotation, float(row["wz"])
        )

    def _write(self, view: View, mount: Mount, motion: Motion) -> NDArray[np.void]:
        cam = np.zeros(1, CAM)
        station = _station_type(view, mount)
        cam["protocol_version"], cam["message_id"] = PROTOCOL_VERSION, CAM_ID
        cam["station_id"] = mount.parent_id or mount.actor_id
        cam["generation_delta_time"] = round(view.time * 1000.0) % 65536
        cam["station_type"] = station
        self._write_position(cam, view, motion)
        if station == ROAD_SIDE_UNIT:
            cam["frequent"] = _FREQUENT_ROADSIDE
        elif mount.kind != WALKER_KIND:
            self._write_motion(cam, view, mount, motion)
            if view.time - self._told_rarely_at + _SLACK >= RARELY:
                self._told_rarely_at = view.time
                self._write_rare(cam, view, mount, station)
        return cam

    def _write_position(self, cam: NDArray[np.void], view: View, motion: Motion) -> None:
        x, y, altitude = map(float, motion.position)
        latitude, longitude = view.projection(view.town.geo_reference, x, y)
        cam["latitude"] = 10 * round(1e6 * self._noisy(latitude, "lat"))
        cam["longitude"] = 10 * round(1e6 * self._noisy(longitude, "lon"))
        cam["altitude"] = round(100.0 * self._noisy(altitude, "alt"))
        cam["semi_major"] = cam["semi_minor"] = _SEMI_AXIS_UNAVAILABLE
        cam["orientation"], cam["altitude_confidence"] = _HEADING_UNAVAILABLE, _ALTITUDE_CONFIDENCE_UNAVAILABLE

    def _write_motion(self, cam: NDArray[np.void], view: View, mount: Mount, motion: Motion) -> None:
        row = mount.body(view)
        assert row is not None
        cam["frequent"] = _FREQUENT_VEHICLE
        heading = math.degrees(compass(motion.forward[:, None]))
        cam["heading"] = round(10.0 * self._noisy(heading, "head")) % 3600
        cam["heading_confidence"] = _WITHIN_ONE_DEGREE
        speed = motion.speed + self._deviate("noise_vel_stddev_x")
        cam["speed"] = min(round(100.0 * max(speed, 0.0)), _FASTEST)
        cam["speed_confidence"] = _WITHIN_3_CENTIMETRES_PER_SECOND
        cam["direction"] = 0 if motion.speed >= 0.0 else 1
        cam["length"], cam["width"] = round(20.0 * float(row["extent_x"])), round(20.0 * float(row["extent_y"]))
        cam["length_confidence"] = _LENGTH_UNAVAILABLE
        for axis, value in zip("xyz", motion.acceleration):
            tenths = round(10.0 * (float(value) + self._deviate(f"noise_accel_stddev_{axis}")))
            cam[f"acceleration_{axis}"] = tenths if abs(tenths) <= 160 else _ACCELERATION_UNAVAILABLE
            cam[f"acceleration_{axis}_confidence"] = _ACCELERATION_CONFIDENCE_UNAVAILABLE
        cam["has_acceleration_y"] = cam["has_acceleration_z"] = 1
        cam["curvature"] = _CURVATURE_UNAVAILABLE
        cam["curvature_confidence"] = _CURVATURE_CONFIDENCE_UNAVAILABLE
        turn_rate = motion.turn_rate + self._number("noise_yawrate_bias") + self._deviate("noise_yawrate_stddev")
        hundredths = round(100.0 * math.degrees(turn_rate))
        cam["yaw_rate"] = hundredths if abs(hundredths) < _YAW_RATE_UNAVAILABLE else _YAW_RATE_UNAVAILABLE
        cam["yaw_rate_confidence"] = _YAW_RATE_CONFIDENCE_UNAVAILABLE

    def _write_rare(self, cam: NDArray[np.void], view: View, mount: Mount, station: int) -> None:
        cam["rare"], cam["role"] = _RARE_VEHICLE, _ROLES.get(station, 0)
        if mount.kind == VEHICLE_KIND:
            lit = view.actors.light_flags(mount.row)
            cam["lights"] = sum(1 << bit for flag, bit in _LIGHTS.items() if lit & flag)

    def _noisy(self, value: float, what: str) -> float:
        return value + self._number(f"noise_{what}_bias") + self._deviate(f"noise_{what}_stddev")

    def _deviate(self, name: str) -> float:
        return self._number(name) * float(self._random.standard_normal())

    def _number(self, name: str) -> float:
        return float(self._values[name])


def _differs(motion: Motion, told: Motion) -> bool:
    """Whether a station has turned, moved or sped up since its last message, so that it sends again."""
    cosine = min(max(float(motion.forward @ told.forward), -1.0), 1.0)
    return (
        math.degrees(math.acos(cosine)) > TURNED
        or float(np.linalg.norm(motion.position - told.position)) > MOVED
        or abs(motion.speed - told.speed) > SPED_UP
    )


def _station_type(view: View, mount: Mount) -> int:
    if not mount.has_body:
        return ROAD_SIDE_UNIT
    station = _STATION_OF_LABEL.get(label_of(view.actors.type_id(mount.kind, mount.row)), ROAD_SIDE_UNIT)
    if mount.kind == VEHICLE_KIND and view.actors.is_emergency_vehicle(mount.row):
        return SPECIAL_VEHICLE
    return station
