"""Where am I, how do I move: the satellite receiver and the inertial unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import msgpack
import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.sensor import NOISE_SEED, SENSOR_TICK, Attribute, Sensor
from minicarla.sensing.view import Mount, View

_TELEPORT = 2.0
"""[m] A step that differs by more than this from what the velocity explains is a teleport."""


class GnssSensor(Sensor):
    """Latitude [deg], longitude [deg] and altitude [m] from the map's geo-reference, with normal noise and bias."""

    type_id = "sensor.other.gnss"
    stream_type = 4
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {
        **{f"noise_{axis}_{what}": Attribute(0.0) for axis in ("alt", "lat", "lon") for what in ("bias", "stddev")},
        **NOISE_SEED,
        **SENSOR_TICK,
    }

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: msgpack [latitude, longitude, altitude]."""
        x, y, altitude = map(float, mount.position)
        latitude, longitude = view.projection(view.town.geo_reference, x, y)
        noise = self.random.standard_normal(3)
        reading = [
            value + self.number(f"noise_{axis}_bias") + self.number(f"noise_{axis}_stddev") * float(deviate)
            for axis, value, deviate in zip(("lat", "lon", "alt"), (latitude, longitude, altitude), noise)
        ]
        return (msgpack.packb(reading),)


class ImuSensor(Sensor):
    """Specific force [m/s^2], turn rates [rad/s] in the sensor's frame, and compass [rad].

    The accelerometer feels gravity: at rest and level it reads +g along its up axis. The acceleration is the
    second difference of the sensor's positions, as in CARLA, so that a sensor away from the centre of mass feels
    the swing of the body; a teleport counts as standing still.
    """

    type_id = "sensor.other.imu"
    stream_type = 5
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {
        **{f"noise_accel_stddev_{axis}": Attribute(0.0, 0.0) for axis in "xyz"},
        **{f"noise_gyro_stddev_{axis}": Attribute(0.0, 0.0) for axis in "xyz"},
        **{f"noise_gyro_bias_{axis}": Attribute(0.0) for axis in "xyz"},
        **NOISE_SEED,
        **SENSOR_TICK,
    }

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        self._past: list[tuple[float, NDArray[np.float64]]] = []
        self._accel_stddev, self._gyro_stddev, self._gyro_bias = (
            np.array([self.number(f"noise_{what}_{axis}") for axis in "xyz"])
            for what in ("accel_stddev", "gyro_stddev", "gyro_bias")
        )

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: msgpack [[ax, ay, az], [wx, wy, wz], compass]."""
        acceleration = self._acceleration(view.time, mount)
        acceleration[2] += view.gravity
        accelerometer = acceleration @ mount.rotation
        gyroscope = _turn_rate(view, mount) @ mount.rotation
        noise = self.random.standard_normal((2, 3))
        accelerometer += noise[0] * self._accel_stddev
        gyroscope += noise[1] * self._gyro_stddev + self._gyro_bias
        return (msgpack.packb([accelerometer.tolist(), gyroscope.tolist(), compass(mount.rotation)]),)

    def _acceleration(self, time: float, mount: Mount) -> NDArray[np.float64]:
        """World acceleration (3,) [m/s^2] from the last three positions, at their (uneven) times."""
        position = np.array(mount.position, np.float64)
        if self._past:
            step = time - self._past[-1][0]
            surprise = position - self._past[-1][1] - mount.velocity * step
            if step <= 0.0 or np.abs(surprise).max() > _TELEPORT + 10.0 * step * step:
                self._past.clear()
        past = self._past
        past.append((time, position))
        if len(past) < 3:
            return np.zeros(3)
        (t0, p0), (t1, p1), (t2, p2) = past
        del past[0]
        return 2.0 * ((p2 - p1) / (t2 - t1) - (p1 - p0) / (t1 - t0)) / (t2 - t0)


def compass(rotation: NDArray[np.float64]) -> float:
    """Heading of a pose [rad] in 0..2 pi: 0 is north (-y in CARLA's world), pi / 2 is east (+x)."""
    heading = math.atan2(rotation[0, 0], -rotation[1, 0])
    return heading % (2.0 * math.pi)


def _turn_rate(view: View, mount: Mount) -> NDArray[np.float64]:
    """World angular velocity (3,) [rad/s] of the parent; walkers and the unattached do not turn."""
    rows = (view.vehicles, view.walkers, view.props)
    if not 0 <= mount.kind < len(rows):
        return np.zeros(3)
    array = rows[mount.kind]
    if "wx" not in (array.dtype.names or ()):
        return np.zeros(3)
    row = array[mount.row]
    return np.array([row["wx"], row["wy"], row["wz"]], np.float64)
