"""Position and motion of the hero: GNSS receiver and inertial measurement unit."""

from __future__ import annotations

import carla
import gymnasium
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Settings
from rllib_integration.sensors.base_sensor import CarlaSensor


class Gnss(CarlaSensor):
    """Position on the globe: `float64 (3,)` latitude (degrees), longitude (degrees), altitude (m), WGS 84."""

    type_id = "sensor.other.gnss"

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        bound = np.array([90.0, 180.0, np.inf])
        return gymnasium.spaces.Box(-bound, bound, dtype=np.float64)

    def parse(self, data: carla.GnssMeasurement) -> NDArray[np.float64]:
        return np.array([data.latitude, data.longitude, data.altitude], np.float64)


class Imu(CarlaSensor):
    """Inertial measurement: `float64 (7,)` in the sensor's frame (x forward, y right, z up).

    Columns 0-2 accelerometer (m/s2, gravity included), 3-5 gyroscope (rad/s), 6 compass (radians clockwise from
    north, which is -y of the world in CARLA's towns).
    """

    type_id = "sensor.other.imu"

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        return gymnasium.spaces.Box(-np.inf, np.inf, (7,), np.float64)

    def parse(self, data: carla.IMUMeasurement) -> NDArray[np.float64]:
        acceleration, rotation = data.accelerometer, data.gyroscope
        values = (
            acceleration.x, acceleration.y, acceleration.z, rotation.x, rotation.y, rotation.z, data.compass,
        )  # fmt: skip
        return np.array(values, np.float64)
