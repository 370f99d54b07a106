"""Data of a world's sensors as messages for the page: pictures, points and events.

The feed listens only to sensors that a browser shows, because a simulator works for every listener. A thread encodes
the newest data of each sensor, at most 15 times a second; data in between are dropped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

import carla
import cv2
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record
from rllib_integration.sensors.cameras import image_array
from rllib_integration.sensors.ranging import SEMANTIC_POINT
from rllib_integration.telemetry.messages import Kind, pack
from rllib_integration.telemetry.pictures import encode, picture_message

logger = logging.getLogger(__name__)

PICTURES_A_SECOND = 15.0
_POINT_UNIT = 0.02  # [m]
_MOST_POINTS = 60_000
_WHOLE_TURN = 0.95  # share of a turn in one message that counts as a whole turn
_DVS_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("pol", "?")])
_CONVERTERS = {
    "sensor.camera.depth": carla.ColorConverter.LogarithmicDepth,
    "sensor.camera.semantic_segmentation": carla.ColorConverter.CityScapesPalette,
}
_SHARP = ("sensor.camera.semantic_segmentation", "sensor.camera.instance_segmentation", "sensor.camera.dvs")
"""Cameras with few colours and sharp edges: PNG is smaller than JPEG, and keeps the labels' colours."""


class SensorFeed:
    """Listens to sensors of one world.

    Args:
        tell: Called with each message, from a thread of this feed.
    """

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell
        self._listening: dict[int, carla.Sensor] = {}
        self._newest: dict[int, Any] = {}
        self._turns: dict[int, list[tuple[float, NDArray[np.float32]]]] = {}
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="sensor-feed", daemon=True)
        self._thread.start()

    def listen(self, sensors: Collection[carla.Sensor]) -> None:
        """Listen to these sensors only."""
        wanted = {sensor.id: sensor for sensor in sensors}
        for number in self._listening.keys() - wanted.keys():
            self._stop(number)
        for number, sensor in wanted.items():
            if number not in self._listening:
                self._listening[number] = sensor
                sensor.listen(self._receiver(number))

    def _receiver(self, number: int) -> Callable[[Any], None]:
        sensor = self._listening[number]
        is_event = sensor.type_id in ("sensor.other.collision", "sensor.other.lane_invasion", "sensor.other.obstacle")

        def receive(data: object) -> None:
            with self._news:
                if is_event:
                    self._newest.setdefault(number, []).append(data)
                    del self._newest[number][:-100]
                elif self._gathers(number):
                    self._newest.setdefault(number, []).append(data)
                    del self._newest[number][:-50]
                else:
                    self._newest[number] = data
                self._news.notify()

        return receive

    def _gathers(self, number: int) -> bool:
        return self._listening[number].type_id.startswith("sensor.lidar.") if number in self._listening else False

    def _stop(self, number: int) -> None:
        sensor = self._listening.pop(number)
        with self._news:
            self._newest.pop(number, None)
            self._turns.pop(number, None)
        if sensor.is_listening():
            sensor.stop()

    def close(self) -> None:
        """Stop listening."""
        self.listen(())
        with self._news:
            self._ended = True
            self._news.notify()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._newest or self._ended)
                if self._ended:
                    return
                newest, self._newest = self._newest, {}
                sensors = {number: self._listening[number] for number in newest if number in self._listening}
            for number, sensor in sensors.items():
                try:
                    for message in self._messages(sensor, newest[number]):
                        self._tell(message)
                except (ValueError, RuntimeError, cv2.error) as error:
                    logger.warning("Data of %s %d can't be shown: %s", sensor.type_id, number, error)
            with self._news:
                self._news.wait_for(lambda: self._ended, 1.0 / PICTURES_A_SECOND)

    def _messages(self, sensor: carla.Sensor, data: Any) -> list[bytes]:
        kind = sensor.type_id
        if kind.startswith("sensor.camera."):
            return [picture_message(f"sensor/{sensor.id}", data.frame, *_encoded(kind, data))]
        if kind.startswith("sensor.lidar."):
            return [self._lidar(sensor, data)]
        if kind == "sensor.other.radar":
            return [_radar(sensor, data)]
        if isinstance(data, list):
            return [pack(Kind.EVENT, _event(sensor, one)) for one in data]
        return [pack(Kind.EVENT, _reading(sensor, data))]

    def _lidar(self, sensor: carla.Sensor, parts: list[carla.LidarMeasurement]) -> bytes:
        """The points of the last turn, from several messages if each holds a part of it."""
        newest = parts[-1]
        is_semantic = sensor.type_id.endswith("semantic")
        seconds = 1.0 / max(float(sensor.attributes.get("rotation_frequency", 10.0)), 0.1)
        turn = self._turns.setdefault(sensor.id, [])
        turn += [(part.timestamp, _lidar_points(part, is_semantic)) for part in parts]
        if len(turn) > 1 and turn[-1][0] - turn[-2][0] > _WHOLE_TURN * seconds:
            del turn[:-1]
        while turn[0][0] <= turn[-1][0] - seconds * 1.001:
            del turn[0]
        points = np.concatenate([part for _, part in turn])
        style = "tags" if is_semantic else "height"
        return _points_message(sensor, newest, points, style)


def _encoded(kind: str, data: Any) -> tuple[bytes, str, tuple[int, int]]:
    if kind == "sensor.camera.dvs":
        events = np.frombuffer(data.raw_data, _DVS_EVENT)
        picture = np.zeros((data.height, data.width, 3), np.uint8)
        picture[events["y"], events["x"], np.where(events["pol"], 0, 2)] = 255
        return encode(picture, sharp=True)
    if kind == "sensor.camera.optical_flow":
        data = data.get_color_coded_flow()
    elif kind in _CONVERTERS:
        data.convert(_CONVERTERS[kind])
    return encode(np.ascontiguousarray(image_array(data)[..., :3]), sharp=kind in _SHARP)


def _lidar_points(data: Any, is_semantic: bool) -> NDArray[np.float32]:
    """`float32 (n, 4)`: x, y, z (m) in the world, and the tag or the height."""
    if is_semantic:
        raw = np.frombuffer(data.raw_data, SEMANTIC_POINT)
        local = np.stack([raw["x"], raw["y"], raw["z"]], axis=1)
        value = raw["tag"].astype(np.float32)
    else:
        local = np.frombuffer(data.raw_data, np.float32).reshape(-1, 4)[:, :3]
        value = None
    places = _in_world(local, data.transform)
    return np.column_stack([places, places[:, 2] if value is None else value]).astype(np.float32)


def _in_world(local: NDArray[np.float32], transform: carla.Transform) -> NDArray[np.float32]:
    matrix = np.array(transform.get_matrix(), np.float32)
    return local @ matrix[:3, :3].T + matrix[:3, 3]


def _radar(sensor: carla.Sensor, data: carla.RadarMeasurement) -> bytes:
    """Its points, coloured by their speed towards the sensor."""
    raw = np.frombuffer(data.raw_data, np.float32).reshape(-1, 4)  # velocity, altitude, azimuth, depth
    velocity, altitude, azimuth, depth = raw.T
    flat = depth * np.cos(altitude)
    local = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), depth * np.sin(altitude)], axis=1)
    points = np.column_stack([_in_world(local, data.transform), velocity]).astype(np.float32)
    return _points_message(sensor, data, points, "velocity")


def _points_message(sensor: carla.Sensor, data: Any, points: NDArray[np.float32], style: str) -> bytes:
    """`int16 (n, 3)` offsets from the sensor in units of 2 cm, `int16 (n,)` values for the colour, in hundredths."""
    if len(points) > _MOST_POINTS:
        points = points[np.linspace(0, len(points) - 1, _MOST_POINTS).astype(np.intp)]
    place = data.transform.location
    origin = np.array([place.x, place.y, place.z], np.float32).round(2)
    offsets = ((points[:, :3] - origin) / _POINT_UNIT).round().clip(-(2**15), 2**15 - 1).astype(np.int16)
    values = (points[:, 3] * 100.0).round().clip(-(2**15), 2**15 - 1).astype(np.int16)
    head = {
        "name": f"sensor/{sensor.id}",
        "f": data.frame,
        "origin": [round(float(number), 2) for number in origin],
        "unit": _POINT_UNIT,
        "style": style,
    }
    return pack(Kind.POINTS, head, offsets, values)


def _event(sensor: carla.Sensor, data: Any) -> Record:
    """An event in words and figures."""
    head: Record = {"sensor": sensor.id, "f": data.frame, "t": round(data.timestamp, 3)}
    if sensor.type_id == "sensor.other.lane_invasion":
        markings = sorted({str(marking.type) for marking in data.crossed_lane_markings})
        return {**head, "what": "lane", "text": "Crossed " + ", ".join(_words(name) for name in markings)}
    other = data.other_actor
    name = "the scenery" if other is None else other.type_id
    if sensor.type_id == "sensor.other.obstacle":
        return {**head, "what": "obstacle", "text": f"{name} at {data.distance:.1f} m"}
    impulse = data.normal_impulse
    strength = (impulse.x**2 + impulse.y**2 + impulse.z**2) ** 0.5
    return {**head, "what": "collision", "text": f"Hit {name} with {strength:,.0f} N s"}


def _words(name: str) -> str:
    """`SolidBroken` as "a solid broken line"."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return f"a {spaced} line"


def _reading(sensor: carla.Sensor, data: Any) -> Record:
    """The figures of a sensor without pictures or points."""
    head: Record = {"sensor": sensor.id, "f": data.frame, "t": round(data.timestamp, 3), "what": "reading"}
    if isinstance(data, carla.GnssMeasurement):
        return {**head, "text": f"{data.latitude:.6f}°, {data.longitude:.6f}°, {data.altitude:.1f} m"}
    if isinstance(data, carla.IMUMeasurement):
        force, turn = data.accelerometer, data.gyroscope
        forces = f"{force.x:+.2f} {force.y:+.2f} {force.z:+.2f} m/s²"
        return {**head, "text": f"{forces}; {turn.x:+.2f} {turn.y:+.2f} {turn.z:+.2f} rad/s"}
    return {**head, "text": type(data).__name__}
