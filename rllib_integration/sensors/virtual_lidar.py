"""A lidar that no simulator has: rays to the edge of the road, and to other vehicles, in the plane of the road.

The library computes it from the town's lanes and from what the client holds of the actors. The server is not asked,
so that it gives the same numbers on any simulator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import carla
import gymnasium
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.annotations import Record, Settings
from rllib_integration.sensors.actor_roster import PROP, TWO_WHEELER, VEHICLE, WALKER, ActorRoster, Box
from rllib_integration.sensors.base_sensor import PseudoSensor, parse_transform
from rllib_integration.sensors.road_field import EdgeRays, RoadField

if TYPE_CHECKING:
    from rllib_integration.sensors.sensor_interface import SensorInterface

DEFAULT_ANGLES = (6.0, 15.0, 30.0, 45.0, 60.0, 75.0, 86.0)
PLANES = {"road": None, "vehicles": VEHICLE, "two_wheelers": TWO_WHEELER, "walkers": WALKER, "props": PROP}
"""What can stop a ray, by the names of the bird view's masks; the edge of the road, or a kind of actor."""

_MOST_ANGLES = 1800
_STOREY = 3.0  # [m] actors further above or below are on another road
_LONGEST_ACTOR = 10.0  # [m] from an actor's middle to where a ray can meet it


def read_angles(value: Any) -> tuple[float, ...]:
    """Angles to both sides, degrees, from a list, from a text parted by commas, or from `{from, to, step}`.

    Raises:
        ValueError: One is no number above 0 and up to 90, or one comes twice.
    """
    said = f"The virtual lidar's angles are {value!r}, but they have to be different numbers above 0 and up to 90"
    if isinstance(value, Mapping):
        if set(value) != {"from", "to", "step"} or not all(
            isinstance(number, (int, float)) for number in value.values()
        ):
            raise ValueError(f"{said}, or {{from: 2, to: 88, step: 2}}.")
        first, last, step = float(value["from"]), float(value["to"]), float(value["step"])
        count = (last - first) / step if step > 0.0 else -1.0
        if not 0.0 <= count <= _MOST_ANGLES:
            raise ValueError(f"{said}, or {{from: 2, to: 88, step: 2}}.")
        value = [first + number * step for number in range(math.floor(count + 1e-9) + 1)]
    try:
        parts = value.split(",") if isinstance(value, str) else list(value)
        angles = tuple(sorted(float(part) for part in parts))
    except (TypeError, ValueError):
        raise ValueError(f"{said}.") from None
    if len(set(angles)) != len(angles) or not all(0.0 < angle <= 90.0 for angle in angles):
        raise ValueError(f"{said}.")
    if len(angles) > _MOST_ANGLES:
        raise ValueError(f"The virtual lidar has {len(angles)} angles, but {_MOST_ANGLES} at most are allowed.")
    return angles


def ray_angles(angles: tuple[float, ...], rear: bool) -> NDArray[np.float64]:
    """Directions of all rays (rad, positive to the right), from left to right: ahead, then, turned round, astern."""
    ahead = np.radians([*(-angle for angle in reversed(angles)), 0.0, *angles])
    return np.r_[ahead, ahead + math.pi] if rear else ahead


class VirtualLidarSensor(PseudoSensor):
    """Distances to the edge of the road in several directions: `float32 (n,)`.

    There is a ray straight ahead and one to each side for every angle, from left to right; with `rear` as many again
    behind, turned round. Without a `transform` they begin in the middle of the front bumper, those astern in the
    middle of the rear bumper.

    `format: share` (default) tells distances as shares of `far`, `format: metres` in metres. A ray that meets nothing
    tells `far`; from a place off the road all tell 0.

    Attributes in the configuration: `angles` (degrees: a list, or `{from: 2, to: 88, step: 2}`), `rear`, `far` (m),
    `format`, `planes` (what stops a ray: road, vehicles, two_wheelers, walkers), `transform` ("x,y,0,0,0,yaw").
    """

    type_id = "sensor.virtual_lidar"
    asks_server = False
    OPTIONS: ClassVar[Settings] = {
        "angles": DEFAULT_ANGLES,
        "rear": True,
        "far": 40.0,
        "format": ("share", "metres"),
        "planes": ("road",),
    }

    def __init__(self, name: str, attributes: Settings, interface: SensorInterface, parent: carla.Actor) -> None:
        super().__init__(name, attributes, interface, parent)
        try:
            self._prepare_rays(attributes, interface.map or parent.get_world().get_map())
        except BaseException:
            interface.unregister(name, self)
            raise

    def _prepare_rays(self, attributes: Settings, carla_map: carla.Map) -> None:
        memory, options = self.interface.memory, self.options
        far = options["far"]
        ahead = ray_angles(options["angles"], rear=False)
        known = memory.setdefault("edge_rays", {})
        if (options["angles"], far) not in known:
            known[options["angles"], far] = EdgeRays(RoadField.of_map(carla_map), ahead, far)
        self._edges: EdgeRays = known[options["angles"], far]
        self._roster = ActorRoster(self.parent.get_world(), self.parent, memory, self.interface.ask)
        self._kinds = [kind for plane, kind in PLANES.items() if kind is not None and plane in options["planes"]]
        self._mounts = _mounts(self.name, attributes, self._roster.hero_box, options["rear"])

    @classmethod
    def read_options(cls, attributes: Settings) -> Record:
        """The options, checked.

        Raises:
            ValueError: An angle, the range or a plane can't be used.
        """
        listed = ("angles", "planes")
        options = super().read_options({key: value for key, value in attributes.items() if key not in listed})
        options["angles"] = read_angles(attributes.get("angles", DEFAULT_ANGLES))
        options["planes"] = _read_planes(attributes.get("planes", ("road",)))
        if not 0.0 < options["far"] <= 1000.0:
            raise ValueError(f"The virtual lidar's far is {options['far']:g}, but it has to be above 0, up to 1000 m.")
        _read_mount("virtual_lidar", attributes)
        return options

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        options = cls.read_options(attributes)
        high = 1.0 if options["format"] == "share" else options["far"]
        return gymnasium.spaces.Box(0.0, high, (len(ray_angles(options["angles"], options["rear"])),), np.float32)

    @classmethod
    def prepare(cls, attributes: Settings, carla_map: carla.Map) -> None:
        """Measure the town's road edges, if that has not been done before, and compile."""
        options = cls.read_options(attributes)
        rays = EdgeRays(RoadField.of_map(carla_map), ray_angles(options["angles"], rear=False), options["far"])
        _stop_at_boxes(np.zeros((1, 5)), 0.0, 0.0, 0.0, 0.0, rays.directions, rays.cast(0.0, 0.0, 0.0, 0.0))

    def compute(self, frame: int) -> NDArray[np.float32]:
        pose = self.parent.get_transform()
        distances = self.cast(pose)
        return distances / np.float32(self.options["far"]) if self.options["format"] == "share" else distances

    def rays(self) -> NDArray[np.float64]:
        """Where the rays of the newest frame begin and end: `float64 (n, 4)` x, y of both, m."""
        pose = self.parent.get_transform()
        distances = self.cast(pose)
        lines = []
        for number, (x, y, yaw) in enumerate(self._origins(pose)):
            count = len(self._edges.directions)
            reach = distances[number * count : (number + 1) * count]
            angles = yaw + np.arctan2(self._edges.directions[:, 1], self._edges.directions[:, 0])
            begin = np.full((count, 2), (x, y))
            lines.append(np.c_[begin, begin + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)])
        return np.concatenate(lines)

    def cast(self, pose: carla.Transform) -> NDArray[np.float32]:
        """The distances (m) that the sensor tells where its parent is at a pose."""
        boxes = self._boxes(pose)
        parts = []
        for x, y, yaw in self._origins(pose):
            if "road" in self.options["planes"]:
                reach = self._edges.cast(x, y, pose.location.z, yaw)
            else:
                reach = np.full(len(self._edges.directions), self.options["far"], np.float32)
            if boxes is not None:
                _stop_at_boxes(boxes, x, y, math.cos(yaw), math.sin(yaw), self._edges.directions, reach)
            parts.append(reach)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _origins(self, pose: carla.Transform) -> list[tuple[float, float, float]]:
        """x, y (m) and yaw (rad) of the rays ahead, and of those astern if there are any."""
        yaw = math.radians(pose.rotation.yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        x, y = pose.location.x, pose.location.y
        return [
            (x + ahead * c - aside * s, y + ahead * s + aside * c, yaw + turn) for ahead, aside, turn in self._mounts
        ]

    def _boxes(self, pose: carla.Transform) -> NDArray[np.float64] | None:
        """Boxes of the actors that stop rays: `float64 (n, 5)` x, y (m), yaw (rad), half length, half width (m)."""
        if not self._kinds:
            return None
        place = pose.location
        reach = self.options["far"] + _LONGEST_ACTOR + max(abs(number) for number in self._mounts[0][:2])
        near = self._roster.read(place.x, place.y, reach)
        wanted = np.isin(near.kinds, self._kinds) & (np.abs(near.poses[:, 2] - place.z) < _STOREY)
        return np.c_[near.poses[wanted][:, [0, 1, 3]], near.sizes[wanted]] if wanted.any() else None


def _read_planes(value: str | Iterable[object]) -> tuple[str, ...]:
    names = tuple(str(name).strip() for name in (value.split(",") if isinstance(value, str) else value))
    if not names or len(set(names)) != len(names) or not set(names) <= set(PLANES):
        raise ValueError(f"The virtual lidar's planes are {value!r}, but allowed are some of: {', '.join(PLANES)}.")
    return names


def _read_mount(name: str, attributes: Settings) -> tuple[float, float, float] | None:
    """Metres ahead and to the right of the parent and a direction (rad), where the configuration gives a transform.

    Raises:
        ValueError: It is none, or leads out of the plane of the road.
    """
    if "transform" not in attributes:
        return None
    mount = parse_transform(name, attributes["transform"])
    if mount.rotation.roll or mount.rotation.pitch or mount.location.z:
        raise ValueError(
            f"Sensor '{name}': transform {attributes['transform']!r} has a height, roll or pitch, but the rays of a "
            "virtual lidar lie in the plane of the road: write 'x,y,0,0,0,yaw'."
        )
    return mount.location.x, mount.location.y, math.radians(mount.rotation.yaw)


def _mounts(name: str, attributes: Settings, box: Box, rear: bool) -> list[tuple[float, float, float]]:
    """Where the rays ahead, and those astern, begin."""
    mount = _read_mount(name, attributes)
    if mount is not None:
        return [mount, (mount[0], mount[1], mount[2] + math.pi)][: 1 + rear]
    return [(box.ahead + box.length, box.aside, 0.0), (box.ahead - box.length, box.aside, math.pi)][: 1 + rear]


@njit(cache=True)
def _stop_at_boxes(
    boxes: NDArray[np.float64],
    x: float,
    y: float,
    c: float,
    s: float,
    directions: NDArray[np.float64],
    distances: NDArray[np.float32],
) -> None:
    """Shorten rays that meet a box on their way; one that begins inside of a box ends at once."""
    for b in range(boxes.shape[0]):
        along, across = math.cos(boxes[b, 2]), math.sin(boxes[b, 2])
        # In the box's own frame.
        px = (x - boxes[b, 0]) * along + (y - boxes[b, 1]) * across
        py = (y - boxes[b, 1]) * along - (x - boxes[b, 0]) * across
        for n in range(directions.shape[0]):
            dx = directions[n, 0] * c - directions[n, 1] * s
            dy = directions[n, 0] * s + directions[n, 1] * c
            near, far = 0.0, float(distances[n])
            for axis in range(2):
                place = px if axis == 0 else py
                way = dx * along + dy * across if axis == 0 else dy * along - dx * across
                half = boxes[b, 3 + axis]
                if abs(way) < 1e-12:
                    if abs(place) > half:
                        far = -1.0
                else:
                    first, second = (-half - place) / way, (half - place) / way
                    near, far = max(near, min(first, second)), min(far, max(first, second))
            if near <= far:
                distances[n] = near
