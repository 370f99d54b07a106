"""Radar: distances, bearings and closing speeds inside a cone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.rays import MOVING
from minicarla.sensing.scan import cast_from
from minicarla.sensing.sensor import NOISE_SEED, SENSOR_TICK, Attribute, Sensor
from minicarla.sensing.view import Mount, View

MAX_POINTS = 4_000_000
"""Detections in one message at most."""


class Radar(Sensor):
    """Detections at random bearings inside an elliptic cone around the sensor's forward axis.

    A detection has velocity [m/s] along the ray (negative when the distance shrinks), azimuth [rad] (positive to
    the right), altitude [rad] (positive up) and depth [m]. The parent itself is not seen.
    """

    type_id = "sensor.other.radar"
    stream_type = 9
    sends_rays = True
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {
        "horizontal_fov": Attribute(30.0, 0.0, 179.0),
        "vertical_fov": Attribute(30.0, 0.0, 179.0),
        "points_per_second": Attribute(1500, 0, 1e9),
        "range": Attribute(100.0, 0.0, 1e5),
        **NOISE_SEED,
        **SENSOR_TICK,
    }

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: float32 (n, 4): velocity, azimuth, altitude, depth."""
        count = min(int(self.number("points_per_second") * self.elapsed(view) + 1e-6), MAX_POINTS)
        local = self._directions(count)
        directions = local @ mount.rotation.T
        reach = self.number("range")
        hits, boxes = cast_from(view, mount, directions, reach, see_parent=False, ignored=self.ignored)
        chosen = np.flatnonzero(hits.kind >= 0)
        target = np.zeros((len(chosen), 3))
        moving = np.flatnonzero(hits.kind[chosen] == MOVING)
        for place in moving:
            box = boxes[hits.target[chosen[place]]]
            row = (view.vehicles, view.walkers, view.props)[box["kind"]][box["row"]]
            target[place] = row["vx"], row["vy"], row["vz"]
        found = np.empty((len(chosen), 4), "<f4")
        found[:, 0] = np.einsum("ij,ij->i", target - mount.velocity, directions[chosen])
        found[:, 1] = np.arctan2(local[chosen, 1], local[chosen, 0])
        found[:, 2] = np.arcsin(np.clip(local[chosen, 2], -1.0, 1.0))
        found[:, 3] = hits.distance[chosen]
        return (found.tobytes(),)

    def _directions(self, count: int) -> NDArray[np.float64]:
        """Unit vectors (count, 3) in the sensor's frame, denser in the middle as CARLA's are."""
        radius, angle = self.random.random(count), self.random.random(count) * 2.0 * math.pi
        right = math.tan(math.radians(self.number("horizontal_fov")) / 2.0) * radius * np.cos(angle)
        up = math.tan(math.radians(self.number("vertical_fov")) / 2.0) * radius * np.sin(angle)
        directions = np.stack([np.ones(count), right, up], axis=-1)
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)
