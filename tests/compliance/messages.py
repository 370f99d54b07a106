"""What sensors send, by frame and as arrays."""

from __future__ import annotations

import queue
from typing import Any

import carla
import numpy as np
from numpy.typing import NDArray

from tests.patience import PATIENCE


class Inbox(queue.Queue):
    """Collects a sensor's messages."""

    def __init__(self, sensor: carla.Sensor) -> None:
        super().__init__()
        sensor.listen(self.put)

    def of_frame(self, frame: int) -> Any:
        """The message of a frame; earlier ones are dropped."""
        while True:
            data = self.get(timeout=PATIENCE)
            if data.frame >= frame:
                assert data.frame == frame
                return data


def pixels(image: carla.Image) -> NDArray[np.float64]:
    """A picture (H, W, 3), 0 to 255: blue, green, red."""
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)[..., :3].astype(float)


def metres(image: carla.Image) -> NDArray[np.float64]:
    """A depth camera's distances (H, W) along its axis [m]."""
    return pixels(image) @ (65536.0, 256.0, 1.0) / (256.0**3 - 1.0) * 1000.0


def shows(image: carla.Image, actor: carla.Actor) -> NDArray[np.bool_]:
    """Where (H, W) an instance camera shows an actor."""
    picture = pixels(image)
    return picture[..., 1] + 256.0 * picture[..., 0] == actor.id & 0xFFFF


def points(sweep: carla.LidarMeasurement) -> NDArray[np.float32]:
    """A lidar's points (N, 4): x, y, z [m] in the sensor's frame, intensity."""
    return np.frombuffer(sweep.raw_data, np.float32).reshape(-1, 4)
