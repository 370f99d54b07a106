"""From a sensor's configuration to its class."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import carla
import gymnasium

from rllib_integration.annotations import Settings
from rllib_integration.sensors.base_sensor import SENSOR_CLASSES, BaseSensor, SensorConfigError, nearest_hint

if TYPE_CHECKING:
    from rllib_integration.sensors.sensor_interface import SensorInterface

_BUILT_IN_MODULES = {
    "sensor.camera.rgb": "cameras",
    "sensor.camera.depth": "cameras",
    "sensor.camera.semantic_segmentation": "cameras",
    "sensor.camera.instance_segmentation": "cameras",
    "sensor.camera.normals": "cameras",
    "sensor.camera.optical_flow": "cameras",
    "sensor.camera.dvs": "cameras",
    "sensor.lidar.ray_cast": "ranging",
    "sensor.lidar.ray_cast_semantic": "ranging",
    "sensor.other.radar": "ranging",
    "sensor.other.gnss": "inertial",
    "sensor.other.imu": "inertial",
    "sensor.other.lane_invasion": "events",
    "sensor.other.collision": "events",
    "sensor.other.obstacle": "events",
    "sensor.other.v2x": "events",
    "sensor.other.v2x_custom": "events",
    "sensor.birdview": "bird_view_manager",
    "sensor.virtual_lidar": "virtual_lidar",
}
"""Modules of the library's own types, imported when first asked for: the bird view compiles numba kernels."""


class SensorFactory:
    """Makes sensors by the type in their configuration."""

    @staticmethod
    def sensor_class(type_id: str) -> type[BaseSensor]:
        """The class of a blueprint id, or of `package.module:Class`.

        Raises:
            SensorConfigError: There is no such type; the message names it and the nearest.
        """
        if not isinstance(type_id, str) or not type_id:
            raise SensorConfigError(f"A sensor needs a type such as 'sensor.camera.rgb', but has {type_id!r}.")
        if ":" in type_id:
            return _import_class(type_id)
        if type_id not in SENSOR_CLASSES and type_id in _BUILT_IN_MODULES:
            importlib.import_module(f"rllib_integration.sensors.{_BUILT_IN_MODULES[type_id]}")
        if type_id not in SENSOR_CLASSES:
            known = sorted({*SENSOR_CLASSES, *_BUILT_IN_MODULES})
            raise SensorConfigError(
                f"There is no sensor type '{type_id}': {nearest_hint(type_id, known)} "
                "A class of your own is named as 'package.module:Class'."
            )
        return SENSOR_CLASSES[type_id]

    @staticmethod
    def spawn(name: str, attributes: Settings, interface: SensorInterface, parent: carla.Actor) -> BaseSensor:
        """Make the sensor `name` on `parent` and register it with `interface`.

        Args:
            name: Key of the sensor's data in `sensor_data`.
            attributes: `{type: ..., transform: "x,y,z,roll,pitch,yaw", <attribute>: value...}`; not modified.
            interface: Gathers the sensor's data.
            parent: Actor that carries the sensor.

        Raises:
            SensorConfigError: The type is unknown, an attribute is wrong, or the name is taken.
            RuntimeError: The simulator refuses the actor.
        """
        return SensorFactory.sensor_class(attributes.get("type", ""))(name, attributes, interface, parent)

    @staticmethod
    def prepare(attributes: Settings, carla_map: carla.Map) -> None:
        """Do what takes a sensor so configured long in a new town, and needs no server.

        Raises:
            SensorConfigError: The type is unknown, or an option is wrong.
        """
        SensorFactory.sensor_class(attributes.get("type", "")).prepare(attributes, carla_map)

    @staticmethod
    def needs_rendering(attributes: Settings) -> bool:
        """Whether a sensor so configured shows nothing in a world without rendering: it is one of CARLA's cameras.

        Raises:
            SensorConfigError: The type is unknown.
        """
        type_id = attributes.get("type", "")
        return (SensorFactory.sensor_class(type_id).type_id or str(type_id)).startswith("sensor.camera.")

    @staticmethod
    def space(attributes: Settings) -> gymnasium.Space:
        """The Gymnasium space of the parsed data of a sensor so configured; needs no simulator."""
        cls = SensorFactory.sensor_class(attributes.get("type", ""))
        return cls.space_for({**attributes, **cls.read_options(attributes)})


def _import_class(path: str) -> type[BaseSensor]:
    module_name, _, class_name = path.partition(":")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise SensorConfigError(f"The sensor type '{path}' can't be imported: {error}.") from error
    if not (isinstance(cls, type) and issubclass(cls, BaseSensor)):
        raise SensorConfigError(f"The sensor type '{path}' is no subclass of BaseSensor.")
    return cls
