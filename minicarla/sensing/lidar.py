"""Rotating laser scanners."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.rays import GROUND, MOVING, STATIC, Hits, fan
from minicarla.sensing.scan import cast_from
from minicarla.sensing.sensor import NOISE_SEED, SENSOR_TICK, Attribute, Sensor
from minicarla.sensing.view import Mount, View

SEMANTIC_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("cos", "<f4"), ("object_id", "<u4"), ("label", "<u4")]
)
MAX_POINTS = 4_000_000
"""Points in one message at most: more rays than that between two captures are not sent out."""

_SCAN_ATTRIBUTES = {
    "channels": Attribute(32, 1, 1024),
    "range": Attribute(10.0, 0.0, 1e5),
    "points_per_second": Attribute(56000, 0, 1e9),
    "rotation_frequency": Attribute(10.0, 0.0, 1e4),
    "upper_fov": Attribute(10.0, -90.0, 90.0),
    "lower_fov": Attribute(-30.0, -90.0, 90.0),
    "horizontal_fov": Attribute(360.0, 0.0, 360.0),
    **SENSOR_TICK,
}


class SemanticLidar(Sensor):
    """A scanner that knows what it hits: x, y, z, cosine of incidence, object id and semantic tag of each point.

    Points are in the sensor's frame (x forward, y right, z up, metres), grouped by channel from the highest to the
    lowest laser. Between two captures the head turns by `rotation_frequency * horizontal_fov * elapsed time`.
    """

    type_id = "sensor.lidar.ray_cast_semantic"
    stream_type = 10
    sends_rays = True
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = _SCAN_ATTRIBUTES

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        self.channels = int(self.number("channels"))
        self._angle = 0.0
        steps = np.linspace(self.number("upper_fov"), self.number("lower_fov"), self.channels)
        self._elevations = np.radians(steps)

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: angle, channel count, points per channel, points."""
        local, world = self._next_directions(self.elapsed(view), mount.rotation)
        hits, boxes = cast_from(view, mount, world, self.number("range"), see_parent=True, ignored=self.ignored)
        keep = self._returns(hits)
        return (self._body(local, hits, boxes, keep, view),)

    def _next_directions(
        self, elapsed: float, rotation: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Unit vectors (channels * points, 3) of the part of the turn made meanwhile, in the sensor's frame and in the
        world's.
        """
        fov = math.radians(self.number("horizontal_fov"))
        points = min(round(self.number("points_per_second") * elapsed / self.channels), MAX_POINTS // self.channels)
        sweep = self.number("rotation_frequency") * fov * elapsed
        angles = (self._angle + sweep / max(points, 1) * np.arange(points)) % fov if fov else np.zeros(points)
        angles -= fov / 2.0
        self._angle = (self._angle + sweep) % fov if fov else 0.0
        local, world = np.empty((2, self.channels * points, 3))
        fan(self._elevations, angles, np.ascontiguousarray(rotation, np.float64), local, world)
        return local, world

    def _returns(self, hits: Hits) -> NDArray[np.bool_]:
        """Which rays come back."""
        return hits.kind >= 0

    def _points(
        self, local: NDArray[np.float64], hits: Hits, boxes: NDArray[np.void], keep: NDArray[np.bool_], view: View
    ) -> bytes:
        chosen = np.flatnonzero(keep)
        points = np.zeros(len(chosen), SEMANTIC_POINT)
        place = local[chosen] * hits.distance[chosen, None]
        points["x"], points["y"], points["z"] = place.T
        points["cos"] = hits.cosine[chosen]
        index, kind = hits.target[chosen], hits.kind[chosen]
        ground, static, moving = kind == GROUND, kind == STATIC, kind == MOVING
        points["label"][ground] = index[ground]
        points["label"][static] = view.town.ray_targets.boxes["label"][index[static]]
        points["label"][moving] = boxes["label"][index[moving]]
        # As by CARLA, only actors have an id here; scenery has numbers, too, but the same ones as actors.
        points["object_id"][moving] = boxes["actor_id"][index[moving]]
        return points.tobytes()

    def _body(
        self, local: NDArray[np.float64], hits: Hits, boxes: NDArray[np.void], keep: NDArray[np.bool_], view: View
    ) -> bytes:
        counts = keep.reshape(self.channels, -1).sum(axis=1).astype("<u4")
        header = struct.pack("<fI", self._angle, self.channels)
        return header + counts.tobytes() + self._points(local, hits, boxes, keep, view)


class Lidar(SemanticLidar):
    """A scanner with intensities: x, y, z and exp(-attenuation * distance) of each point.

    As CARLA documents: `dropoff_general_rate` of the rays are lost at random; of the others, those with intensity
    above `dropoff_intensity_limit` return always, those with intensity 0 are lost with the probability
    `dropoff_zero_intensity`, linearly in between. `noise_stddev` [m] moves points along their ray.
    """

    type_id = "sensor.lidar.ray_cast"
    stream_type = 11
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = {
        **_SCAN_ATTRIBUTES,
        "atmosphere_attenuation_rate": Attribute(0.004, 0.0),
        "dropoff_general_rate": Attribute(0.45, 0.0, 1.0),
        "dropoff_intensity_limit": Attribute(0.8, 0.0, 1.0),
        "dropoff_zero_intensity": Attribute(0.4, 0.0, 1.0),
        "noise_stddev": Attribute(0.0, 0.0),
        **NOISE_SEED,
    }

    def _intensity(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-self.number("atmosphere_attenuation_rate") * distance)

    def _returns(self, hits: Hits) -> NDArray[np.bool_]:
        keep = hits.kind >= 0
        general, at_zero = self.number("dropoff_general_rate"), self.number("dropoff_zero_intensity")
        limit = self.number("dropoff_intensity_limit")
        if general > 0.0:
            keep &= self.random.random(len(keep)) >= general
        if at_zero > 0.0 and limit > 0.0:
            intensity = self._intensity(hits.distance)
            chance = 1.0 - at_zero + at_zero * intensity / limit
            keep &= (intensity > limit) | (self.random.random(len(keep)) < chance)
        return keep

    def _points(
        self, local: NDArray[np.float64], hits: Hits, boxes: NDArray[np.void], keep: NDArray[np.bool_], view: View
    ) -> bytes:
        chosen = np.flatnonzero(keep)
        distance = hits.distance[chosen]
        points = np.empty((len(chosen), 4), "<f4")
        points[:, 3] = self._intensity(distance)
        if self.number("noise_stddev") > 0.0:
            distance = distance + self.random.standard_normal(len(chosen)) * self.number("noise_stddev")
        points[:, :3] = local[chosen] * distance[:, None]
        return points.tobytes()
