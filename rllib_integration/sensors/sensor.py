"""The sensors by name: the classes to derive one's own from, and one class for each of CARLA's sensors.

The bird view lives in `rllib_integration.sensors.bird_view_manager`.
"""

from __future__ import annotations

from rllib_integration.sensors.base_sensor import BaseSensor, CarlaSensor, EventSensor, PseudoSensor
from rllib_integration.sensors.cameras import (
    BaseCamera,
    CameraDepth,
    CameraDVS,
    CameraInstanceSegmentation,
    CameraNormals,
    CameraOpticalFlow,
    CameraRGB,
    CameraSemanticSegmentation,
)
from rllib_integration.sensors.events import Collision, LaneInvasion, Obstacle
from rllib_integration.sensors.inertial import Gnss, Imu
from rllib_integration.sensors.ranging import Lidar, Radar, SemanticLidar

__all__ = [
    "BaseCamera",
    "BaseSensor",
    "CameraDVS",
    "CameraDepth",
    "CameraInstanceSegmentation",
    "CameraNormals",
    "CameraOpticalFlow",
    "CameraRGB",
    "CameraSemanticSegmentation",
    "CarlaSensor",
    "Collision",
    "EventSensor",
    "Gnss",
    "Imu",
    "LaneInvasion",
    "Lidar",
    "Obstacle",
    "PseudoSensor",
    "Radar",
    "SemanticLidar",
]
