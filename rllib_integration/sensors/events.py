"""Sensors that speak only when something happens: collisions, obstacles ahead, lane markings crossed.

`sensor_data` holds the strongest event of a step; `SensorInterface.events` holds all of them in order.
"""

from __future__ import annotations

from typing import Any

import carla

from rllib_integration.annotations import Settings
from rllib_integration.sensors.base_sensor import EventSensor


class Collision(EventSensor):
    """A collision of the parent: `[other_actor, |normal impulse|]`.

    The other actor is a `carla.Actor` (scenery has type ids such as `static.building`); the impulse is in N s.
    The strongest has the largest impulse.
    """

    type_id = "sensor.other.collision"

    def parse(self, data: carla.CollisionEvent) -> list[Any]:
        return [data.other_actor, data.normal_impulse.length()]

    def strength(self, data: list[Any]) -> float:
        return data[1]


class Obstacle(EventSensor):
    """Something within `distance` metres ahead: `[other_actor, distance]`, the distance in m.

    The strongest is the nearest.
    """

    type_id = "sensor.other.obstacle"

    def parse(self, data: carla.ObstacleDetectionEvent) -> list[Any]:
        return [data.other_actor, data.distance]

    def strength(self, data: list[Any]) -> float:
        return -data[1]


class LaneInvasion(EventSensor):
    """Lane markings crossed: `[transform, crossed_lane_markings]`.

    The transform is the sensor's in the world, the markings are `carla.LaneMarking` objects. The strongest crossed
    the most markings.

    The client computes this sensor itself when a frame has arrived, in its own thread and in the order in which
    listeners came. A listener behind the sensor's therefore tells when the sensor has spoken.
    """

    type_id = "sensor.other.lane_invasion"
    hears_every_frame = True

    def _spawn(self, attributes: Settings) -> None:
        self._frame_seen = 0
        super()._spawn(attributes)
        self._world = self.parent.get_world()
        self._listener: int | None = self._world.on_tick(self._note_frame)

    def _note_frame(self, snapshot: carla.WorldSnapshot) -> None:
        self._frame_seen = snapshot.frame
        self.interface.wake(snapshot.frame)

    def is_settled(self, frame: int) -> bool:
        return self._frame_seen >= frame

    def _let_go(self) -> None:
        listener, self._listener = getattr(self, "_listener", None), None
        if listener is not None:
            self._world.remove_on_tick(listener)

    def parse(self, data: carla.LaneInvasionEvent) -> list[Any]:
        return [data.transform, list(data.crossed_lane_markings)]

    def strength(self, data: list[Any]) -> float:
        return float(len(data[1]))
