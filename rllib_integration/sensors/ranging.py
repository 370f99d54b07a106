"""Sensors that measure distances: lidar, semantic lidar and radar.

The number of points differs from frame to frame, which few networks can use. `format: padded` gives a fixed
number of rows, `format: ring` a picture of the surroundings.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

import carla
import gymnasium
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Settings
from rllib_integration.sensors.base_sensor import CarlaSensor

SEMANTIC_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("cos_angle", "<f4"), ("object_index", "<u4"), ("tag", "<u4")]
)
"""One point of the semantic lidar as it comes over the wire."""

Scalar = TypeVar("Scalar", bound=np.generic)

_UINT32_MAX = float(2**32 - 1)


def pad_points(points: NDArray[Scalar], rows: int) -> NDArray[Scalar]:
    """`points` with exactly `rows` rows: zeros below them, or an even choice of them if there are more."""
    if len(points) > rows:
        return np.ascontiguousarray(points[np.linspace(0, len(points) - 1, rows).astype(np.intp)])
    padded = np.zeros((rows, points.shape[1]), points.dtype)
    padded[: len(points)] = points
    return padded


def _point_space(low: NDArray[np.floating], high: NDArray[np.floating], rows: int | None) -> gymnasium.Space:
    """A space of `rows` points with bounds by column; None = any number of them."""
    if rows is None:
        return gymnasium.spaces.Sequence(gymnasium.spaces.Box(low, high, dtype=low.dtype.type), stack=True)
    shape = (rows, len(low))
    return gymnasium.spaces.Box(
        np.broadcast_to(low, shape).copy(), np.broadcast_to(high, shape).copy(), dtype=low.dtype.type
    )


def ring_image(
    points: NDArray[np.float32],
    values: NDArray[np.float32],
    counts: list[int],
    columns: int,
    horizontal_fov: float,
    far: float,
) -> NDArray[np.float32]:
    """Arrange lidar points by channel and azimuth.

    Args:
        points: `(N, >=3)` x, y, z (m) in the sensor's frame, grouped by channel.
        values: `(N,)` what the second plane shows of each point.
        counts: Points of each channel.
        columns: Width of the picture; its middle looks forward, its right end to the right.
        horizontal_fov: Angle that the columns span (degrees).
        far: Distance (m) shown where nothing was hit.

    Returns:
        `float32 (channels, columns, 2)`: distance (m) of the nearest point of the cell, and its value (0 = none).
    """
    image = np.zeros((len(counts), columns, 2), np.float32)
    image[..., 0] = far
    distance = np.linalg.norm(points[:, :3], axis=1)
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    column = np.floor((azimuth / horizontal_fov + 0.5) * columns).astype(np.intp)
    row = np.repeat(np.arange(len(counts)), counts)
    # A full turn's both ends are the same direction; beyond a part's ends there is nothing to show.
    column = column % columns if horizontal_fov >= 360.0 else column
    seen = (column >= 0) & (column < columns)
    row, column, distance, values = row[seen], column[seen], distance[seen], values[seen]
    order = np.argsort(-distance, kind="stable")  # the nearest of a cell is written last
    image[row[order], column[order], 0] = np.minimum(distance[order], far)
    image[row[order], column[order], 1] = values[order]
    return image


class Lidar(CarlaSensor):
    """Rotating lidar, points in the sensor's frame (x forward, y right, z up).

    `format: points` (default) is `float32 (N, 4)`: x, y, z (m), intensity (0...1);
    `format: padded` is `float32 (max_points, 4)`, zeros after the last point, evenly thinned if there are more;
    `format: ring` is `float32 (channels, columns, 2)`: distance (m; `range` = nothing), intensity. Its rows
    are the lasers from the top, its middle column looks forward. A tick shows the part of the turn that was
    scanned in it: all of it if `rotation_frequency` is one over the time step.
    """

    type_id = "sensor.lidar.ray_cast"
    OPTIONS: ClassVar[Settings] = {"format": ("points", "padded", "ring"), "max_points": 4096, "columns": 360}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        options = cls.read_options(attributes)
        far = float(attributes.get("range", 10.0))
        if options["format"] == "ring":
            return _ring_space(attributes, options["columns"], 1.0)
        low = np.array([-far, -far, -far, 0.0], np.float32)
        high = np.array([far, far, far, 1.0], np.float32)
        return _point_space(low, high, options["max_points"] if options["format"] == "padded" else None)

    def parse(self, data: carla.LidarMeasurement) -> NDArray[np.float32]:
        points = np.frombuffer(data.raw_data, np.float32).reshape(-1, 4)
        if self.options["format"] == "padded":
            return pad_points(points, self.options["max_points"])
        if self.options["format"] == "ring":
            return _ring(self, data, points, points[:, 3])
        return points.copy()


class SemanticLidar(CarlaSensor):
    """Lidar that knows what it hits, points in the sensor's frame (x forward, y right, z up).

    `format: points` (default) is `float64 (N, 6)`: x, y, z (m), cosine of the incidence angle, object index
    (the actor's id), tag (`carla.CityObjectLabel`); float64 holds the two uint32 columns exactly.
    `format: structured` is an `(N,)` array of `SEMANTIC_POINT` with the types of the wire;
    `format: padded` is `float64 (max_points, 6)`; `format: ring` is `float32 (channels, columns, 2)`:
    distance (m; `range` = nothing) and tag.
    """

    type_id = "sensor.lidar.ray_cast_semantic"
    OPTIONS: ClassVar[Settings] = {
        "format": ("points", "structured", "padded", "ring"),
        "max_points": 4096,
        "columns": 360,
    }

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        options = cls.read_options(attributes)
        far = float(attributes.get("range", 10.0))
        if options["format"] == "structured":
            raise TypeError("Structured semantic lidar points have no space: choose format points, padded or ring.")
        if options["format"] == "ring":
            return _ring_space(attributes, options["columns"], 255.0)
        low = np.array([-far, -far, -far, -1.0, 0.0, 0.0])
        high = np.array([far, far, far, 1.0, _UINT32_MAX, _UINT32_MAX])
        return _point_space(low, high, options["max_points"] if options["format"] == "padded" else None)

    def parse(self, data: carla.SemanticLidarMeasurement) -> NDArray[np.generic]:
        records = np.frombuffer(data.raw_data, SEMANTIC_POINT)
        if self.options["format"] == "structured":
            return records.copy()
        points = np.empty((len(records), 6), np.float64)
        for column, name in enumerate(SEMANTIC_POINT.names or ()):
            points[:, column] = records[name]
        if self.options["format"] == "padded":
            return pad_points(points, self.options["max_points"])
        if self.options["format"] == "ring":
            return _ring(self, data, points.astype(np.float32), points[:, 5].astype(np.float32))
        return points


def _ring(
    sensor: CarlaSensor,
    data: carla.LidarMeasurement | carla.SemanticLidarMeasurement,
    points: NDArray[np.float32],
    values: NDArray[np.float32],
) -> NDArray[np.float32]:
    counts = [data.get_point_count(channel) for channel in range(data.channels)]
    fov = float(sensor.attributes.get("horizontal_fov", 360.0))
    far = float(sensor.attributes.get("range", 10.0))
    return ring_image(points, values, counts, sensor.options["columns"], fov, far)


def _ring_space(attributes: Settings, columns: int, highest: float) -> gymnasium.Space:
    high = np.empty((int(attributes.get("channels", 32)), columns, 2), np.float32)
    high[..., 0] = float(attributes.get("range", 10.0))
    high[..., 1] = highest
    return gymnasium.spaces.Box(np.zeros_like(high), high, dtype=np.float32)


class Radar(CarlaSensor):
    """Radar, detections in the sensor's frame.

    `format: points` (default) is `float32 (N, 4)`: depth (m), azimuth (rad, positive to the right), altitude
    (rad, positive upwards), velocity along the ray (m/s, negative = approaching);
    `format: padded` is `float32 (max_points, 4)`, zeros after the last detection.
    """

    type_id = "sensor.other.radar"
    OPTIONS: ClassVar[Settings] = {"format": ("points", "padded"), "max_points": 128}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        options = cls.read_options(attributes)
        far = float(attributes.get("range", 100.0))
        high = np.array([far, np.pi, np.pi / 2.0, np.inf], np.float32)
        low = -high
        low[0] = 0.0
        return _point_space(low, high, options["max_points"] if options["format"] == "padded" else None)

    def parse(self, data: carla.RadarMeasurement) -> NDArray[np.float32]:
        # The wire has velocity, azimuth, altitude, depth.
        detections = np.frombuffer(data.raw_data, np.float32).reshape(-1, 4)[:, [3, 1, 2, 0]]
        if self.options["format"] == "padded":
            return pad_points(detections, self.options["max_points"])
        return np.ascontiguousarray(detections)
