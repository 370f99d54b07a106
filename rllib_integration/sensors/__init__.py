"""What the hero perceives, as numpy arrays, of exactly the ticked frame."""

from __future__ import annotations

from rllib_integration.sensors.base_sensor import BaseSensor, CarlaSensor, EventSensor, PseudoSensor, SensorConfigError
from rllib_integration.sensors.factory import SensorFactory
from rllib_integration.sensors.sensor_interface import SensorInterface, SensorTimeoutError

__all__ = [
    "BaseSensor",
    "CarlaSensor",
    "EventSensor",
    "PseudoSensor",
    "SensorConfigError",
    "SensorFactory",
    "SensorInterface",
    "SensorTimeoutError",
]
