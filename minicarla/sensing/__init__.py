"""What actors perceive: CARLA's sensors over the arrays of the embedded world.

`SENSORS` maps a blueprint id such as "sensor.camera.rgb" to its class. Classes are imported when they are asked
for, so that a server without cameras never compiles, nor even imports, a rasteriser.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import ClassVar

from minicarla.sensing.sensor import Sensor, SensorError
from minicarla.sensing.view import ActorLookup, Mount, Transmission, View

__all__ = ["SENSORS", "ActorLookup", "Mount", "Sensor", "SensorError", "Transmission", "View"]


class _SensorClasses(Mapping[str, type[Sensor]]):
    """Blueprint id -> class, imported on first use."""

    _PLACES: ClassVar[dict[str, tuple[str, str]]] = {
        "sensor.other.collision": ("events", "CollisionSensor"),
        "sensor.other.obstacle": ("events", "ObstacleSensor"),
        "sensor.other.lane_invasion": ("events", "LaneInvasionSensor"),
        "sensor.other.gnss": ("inertial", "GnssSensor"),
        "sensor.other.imu": ("inertial", "ImuSensor"),
        "sensor.other.radar": ("radar", "Radar"),
        "sensor.other.v2x": ("v2x", "V2xSensor"),
        "sensor.other.v2x_custom": ("v2x", "CustomV2xSensor"),
        "sensor.lidar.ray_cast": ("lidar", "Lidar"),
        "sensor.lidar.ray_cast_semantic": ("lidar", "SemanticLidar"),
        "sensor.camera.rgb": ("cameras", "RgbCamera"),
        "sensor.camera.depth": ("cameras", "DepthCamera"),
        "sensor.camera.semantic_segmentation": ("cameras", "SemanticCamera"),
        "sensor.camera.instance_segmentation": ("cameras", "InstanceCamera"),
        "sensor.camera.normals": ("cameras", "NormalsCamera"),
        "sensor.camera.optical_flow": ("cameras", "OpticalFlowCamera"),
        "sensor.camera.cosmos_visualization": ("cameras", "CosmosCamera"),
        "sensor.camera.dvs": ("dvs", "DvsCamera"),
    }

    def __getitem__(self, type_id: str) -> type[Sensor]:
        module, name = self._PLACES[type_id]
        return getattr(importlib.import_module(f".{module}", __name__), name)

    def __contains__(self, type_id: object) -> bool:
        return type_id in self._PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(self._PLACES)

    def __len__(self) -> int:
        return len(self._PLACES)


SENSORS: Mapping[str, type[Sensor]] = _SensorClasses()
"""Class of every sensor the server can build, by blueprint id."""
