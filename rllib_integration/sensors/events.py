"""Sensors that speak only when something happens: collisions, obstacles ahead, lane markings crossed, messages.

`sensor_data` holds the strongest event of a step; `SensorInterface.events` holds all of them in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeAlias

import carla

from rllib_integration.annotations import Record, Settings
from rllib_integration.sensors.base_sensor import EventSensor

LONGEST_TEXT = 99
"""Bytes of a custom V2X message."""

Event: TypeAlias = list[Any]
"""What has happened, as the sensor's own description tells."""


class Collision(EventSensor):
    """A collision of the parent: `[other_actor, |normal impulse|]`.

    The other actor is a `carla.Actor` (scenery has type ids such as `static.building`); the impulse is in N s.
    The strongest has the largest impulse.
    """

    type_id = "sensor.other.collision"

    def parse(self, data: carla.CollisionEvent) -> Event:
        return [data.other_actor, data.normal_impulse.length()]

    def strength(self, data: Event) -> float:
        return data[1]


class Obstacle(EventSensor):
    """Something within `distance` metres ahead: `[other_actor, distance]`, the distance in m.

    The strongest is the nearest.
    """

    type_id = "sensor.other.obstacle"

    def parse(self, data: carla.ObstacleDetectionEvent) -> Event:
        return [data.other_actor, data.distance]

    def strength(self, data: Event) -> float:
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

    def parse(self, data: carla.LaneInvasionEvent) -> Event:
        return [data.transform, list(data.crossed_lane_markings)]

    def strength(self, data: Event) -> float:
        return float(len(data[1]))


class V2x(EventSensor):
    """Cooperative awareness messages (CAM) of other vehicles with such a sensor: a list of them.

    Each is the dictionary that CARLA's client makes of it: `{"Power": dBm that arrived, "Message": {"Header": ...,
    "Message": ...}}`, in ETSI's units (0.01 m/s, 0.1 degrees, 0.1 microdegrees). The strongest event has the loudest
    message.
    """

    type_id = "sensor.other.v2x"

    def parse(self, data: Iterable[Any]) -> list[Record]:
        return [message.get() for message in data]

    def strength(self, data: list[Record]) -> float:
        return max((message["Power"] for message in data), default=-math.inf)


class CustomV2x(V2x):
    """Texts that other vehicles sent: a list of them, `{"Power": ..., "Message": {"Header": ..., "Message": text}}`.

    `core.sensor_interface.sensors[name].send(text)` sends one of at most 99 bytes, with the next tick.
    """

    type_id = "sensor.other.v2x_custom"

    def send(self, text: str) -> None:
        """Send a text to all that are near enough to hear it.

        Raises:
            ValueError: It does not fit into the simulator's message.
        """
        if len(text.encode()) > LONGEST_TEXT:
            raise ValueError(f"A V2X message has {LONGEST_TEXT} bytes at most, not {len(text.encode())}: {text!r:.60}.")
        if self.sensor is not None:
            sensor: Any = self.sensor  # the stubs of CARLA's client know no V2X
            sensor.send(text)
