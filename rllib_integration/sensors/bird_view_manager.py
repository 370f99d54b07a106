"""The bird view: the world around the hero from above, heading up, as a picture or as a stack of masks.

The map is sampled from a pyramid of tiles by one affine warp, and what moves is drawn onto it in compiled code.
Nothing is asked of the server in a step, nothing runs in a thread, and no whole map is ever touched.

The centre of the picture lies ``radius / 2`` ahead of the hero and the visible half width is ``radius``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import carla
import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

from rllib_integration.sensors.actor_roster import WALKER, ActorRoster, ActorStates, Box
from rllib_integration.sensors.base import PseudoSensor, nearest_hint
from rllib_integration.sensors.bird_view_kernels import View, draw_boxes, draw_discs, draw_ribbon, draw_stamp
from rllib_integration.sensors.map_drawing import PALETTE, SURFACES
from rllib_integration.sensors.map_pyramid import MapPainter, MapPyramid
from rllib_integration.sensors.road_signs import SignStamps

if TYPE_CHECKING:
    from rllib_integration.routes import Route
    from rllib_integration.sensors.sensor_interface import SensorInterface

HERO_COLOUR, VEHICLE_COLOUR, TWO_WHEELER_COLOUR, WALKER_COLOUR = range(4)
RED_COLOUR, YELLOW_COLOUR, GREEN_COLOUR, OFF_COLOUR, RING_COLOUR, ROUTE_COLOUR = range(4, 10)
COLOURS = np.array(
    [
        (138, 226, 52),  # Tango chameleon 0
        (114, 159, 207),  # sky blue 0
        (193, 125, 17),  # chocolate 1
        (173, 127, 168),  # plum 0
        (239, 41, 41),  # scarlet red 0
        (252, 233, 79),  # butter 0
        (138, 226, 52),
        (85, 87, 83),  # as the ground
        (255, 255, 255),
        (52, 101, 164),  # sky blue 1
    ],
    np.uint8,
)
"""RGB of what is drawn over the map."""

MAP_PLANES: dict[str, tuple[str, ...]] = {
    "ground": ("ground",),
    "road": ("road", "white", "yellow", "blue", "green", "red"),
    "shoulder": ("shoulder",),
    "parking": ("parking",),
    "sidewalk": ("sidewalk",),
    "white_marking": ("white",),
    "yellow_marking": ("yellow",),
    "other_marking": ("blue", "green", "red"),
}
"""Masks of the map and the surfaces that each shows; the road lies under its markings too."""

LIGHT_PLANES = {
    int(carla.TrafficLightState.Red): "red_light",
    int(carla.TrafficLightState.Yellow): "yellow_light",
    int(carla.TrafficLightState.Green): "green_light",
}
MOVING_PLANES = ("hero", "vehicles", "two_wheelers", "walkers", *LIGHT_PLANES.values(), "stop_sign", "route", "speed")
PLANES = (*MAP_PLANES, *MOVING_PLANES)
"""All masks that ``format: masks`` can show."""

DEFAULT_PLANES = (
    "road", "white_marking", "yellow_marking", "vehicles", "two_wheelers", "walkers",
    "red_light", "yellow_light", "green_light", "stop_sign", "route",
)  # fmt: skip

FULL_SPEED = 30.0  # [m/s] shown as 255 in the speed mask
_NOSE = 0.8  # [m] of a vehicle's box
_WALKER_SCALE = 2.0  # walkers are drawn larger than they are, or they would be a pixel
_LIGHT_RADIUS, _RING = 1.4, 0.2  # [m]
_ROUTE_HALF_WIDTH = 1.0  # [m]
_STOP_LINE_DEPTH = 0.5  # [m] half of a stop line's depth in the masks

_LIGHT_COLOURS = {
    int(carla.TrafficLightState.Red): RED_COLOUR,
    int(carla.TrafficLightState.Yellow): YELLOW_COLOUR,
    int(carla.TrafficLightState.Green): GREEN_COLOUR,
}
_KIND_COLOURS = np.array([VEHICLE_COLOUR, TWO_WHEELER_COLOUR, WALKER_COLOUR])  # by VEHICLE, TWO_WHEELER, WALKER
_KIND_PLANES = ("vehicles", "two_wheelers", "walkers")
_RGB = ("red", "green", "blue")


class BirdviewManager:
    """Draws the surroundings of a hero.

    Args:
        hero: The actor in whose frame the view is.
        carla_map: The town.
        size: Pixels along each side.
        radius: Visible half width (m).
        planes: Names of masks out of :data:`PLANES`, or None for a coloured picture.
        show_route: Whether a coloured picture shows the route.
        boxes: Bounding boxes of blueprints known already; added to.
    """

    def __init__(
        self,
        hero: carla.Actor,
        carla_map: carla.Map,
        size: int,
        radius: float,
        planes: tuple[str, ...] | None = None,
        show_route: bool = False,
        boxes: dict[str, Box] | None = None,
    ) -> None:
        self.size = size
        self.radius = radius
        self.planes = planes
        self._hero = hero
        self._show_route = show_route
        self._scale = size / (2.0 * radius)
        self._pyramid = MapPyramid.of_map(carla_map)
        self._painters = self._make_painters()
        self._roster = ActorRoster(hero.get_world(), hero, boxes)
        self._signs = SignStamps(carla_map, self._scale)
        self._seen_version = -1
        self._light_places = np.zeros((0, 3))
        self._light_lines: list[NDArray[np.float64]] = []
        self._stop_lines = np.zeros((0, 5))

    def _make_painters(self) -> list[MapPainter]:
        """Painters of four channels each, which warps fastest."""
        if self.planes is None:
            colours = PALETTE
        else:
            colours = np.zeros((len(SURFACES), len(self.planes)), np.uint8)
            for channel, plane in enumerate(self.planes):
                for surface in MAP_PLANES.get(plane, ()):
                    colours[SURFACES.index(surface), channel] = 255
        missing = -colours.shape[1] % 4
        colours = np.hstack([colours, np.zeros((len(colours), missing), np.uint8)])
        # The hero is a quarter of the picture below the middle, so the upper corners are the farthest.
        reach = self.radius * math.hypot(1.0, 1.5)
        return [
            MapPainter(self._pyramid, colours[:, first : first + 4], self._scale, reach)
            for first in range(0, colours.shape[1], 4)
        ]

    def render(self, route: Route | None = None) -> NDArray[np.uint8]:
        """The view of the newest frame that the client has received, ``uint8 (size, size, channels)``.

        Args:
            route: The hero's route, if it is to be shown.
        """
        transform = self._hero.get_transform()
        location = transform.location
        view = self._view(location.x, location.y, math.radians(transform.rotation.yaw))
        storey = self._pyramid.road_height(location.x, location.y, location.z)
        picture = self._draw_map(view, storey)
        actors = self._roster.read()
        if self._roster.version != self._seen_version:
            self._meet_signals()
        self._draw_route(picture, view, route)
        self._draw_signals(picture, view, storey)
        self._draw_actors(picture, view, storey, actors)
        self._draw_hero(picture, view)
        if self.planes is not None and "speed" in self.planes:
            speed = self._hero.get_velocity().length()
            picture[..., self.planes.index("speed")] = min(255, round(255.0 * speed / FULL_SPEED))
        return picture

    def _view(self, x: float, y: float, yaw: float) -> View:
        return (x, y, yaw, self._scale, self.size / 2.0, self.size * 0.75)

    def _draw_map(self, view: View, storey: float) -> NDArray[np.uint8]:
        """One affine warp out of the pyramid for every four channels."""
        x, y, yaw, scale, column, row = view
        channels = 3 if self.planes is None else len(self.planes)
        picture = np.empty((self.size, self.size, channels), np.uint8)
        for number, painter in enumerate(self._painters):
            patch = painter.patch(x, y, storey)
            step = patch.resolution / scale
            c, s = math.cos(yaw) * step, math.sin(yaw) * step
            # World of the middle of pixel (j, i): forward (row - i - 0.5), right (j + 0.5 - column).
            at_x = (x - patch.x) * patch.resolution - 0.5 + s * (column - 0.5) + c * (row - 0.5)
            at_y = (y - patch.y) * patch.resolution - 0.5 - c * (column - 0.5) + s * (row - 0.5)
            warped = cv2.warpAffine(
                patch.picture,
                np.array([[-s, -c, at_x], [c, -s, at_y]]),
                (self.size, self.size),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )
            if self.planes is None:
                cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=picture)
            else:
                rest = min(4, channels - 4 * number)
                picture[..., 4 * number : 4 * number + rest] = warped[..., :rest]
        return picture

    def _channel(self, plane: str) -> int | None:
        """Channel to draw a plane's shapes in; -1 = all of a coloured picture, None = not wanted."""
        if self.planes is None:
            return -1
        return self.planes.index(plane) if plane in self.planes else None

    def _meet_signals(self) -> None:
        """Note where lights and signs are; they do not move."""
        self._seen_version = self._roster.version
        places = [light.get_location() for light in self._roster.lights]
        self._light_places = np.array([(p.x, p.y, p.z) for p in places]).reshape(-1, 3)
        self._signs.place(self._roster.signs)
        if self.planes is not None:
            self._light_lines = [_stop_lines(light) for light in self._roster.lights]

    def _near(self, places: NDArray[np.float64], view: View) -> NDArray[np.intp]:
        """Numbers of the places (x, y, ...) that may be seen."""
        reach = self.radius * 1.81 + 10.0
        near = (np.abs(places[:, 0] - view[0]) < reach) & (np.abs(places[:, 1] - view[1]) < reach)
        return np.flatnonzero(near)

    def _draw_route(self, picture: NDArray[np.uint8], view: View, route: Route | None) -> None:
        channel = self._channel("route")
        if route is None or channel is None or (self.planes is None and not self._show_route):
            return
        points = route.stretch(self.radius, 3.0 * self.radius)
        if len(points) > 1:
            draw_ribbon(picture, view, points, _ROUTE_HALF_WIDTH, COLOURS[ROUTE_COLOUR], channel)

    def _draw_signals(self, picture: NDArray[np.uint8], view: View, storey: float) -> None:
        near = self._near(self._light_places, view)
        if self.planes is not None:
            self._mask_signals(picture, view, near)
            return
        for stamp in self._signs.near(view[0], view[1], self.radius * 1.81 + 4.0):
            yaw = view[2] if stamp.upright else stamp.yaw
            if not self._pyramid.is_hidden(stamp.x, stamp.y, stamp.z, storey):
                draw_stamp(picture, view, stamp.x, stamp.y, yaw, stamp.picture)
        discs = []
        for number in near:
            x, y, z = self._light_places[number]
            if not self._pyramid.is_hidden(x, y, z, storey):
                colour = _LIGHT_COLOURS.get(int(self._roster.lights[number].state), OFF_COLOUR)
                discs.append((x, y, _LIGHT_RADIUS, RING_COLOUR, -1))
                discs.append((x, y, _LIGHT_RADIUS - _RING, colour, -1))
        if discs:
            draw_discs(picture, view, np.array(discs, np.float64), COLOURS)

    def _mask_signals(self, picture: NDArray[np.uint8], view: View, near: NDArray[np.intp]) -> None:
        """Stop lines instead of discs: where to stop matters, not where the post is."""
        boxes: list[tuple[float, ...]] = []
        for number in near:
            plane = LIGHT_PLANES.get(int(self._roster.lights[number].state))
            channel = self._channel(plane) if plane else None
            if channel is not None:
                boxes.extend((*line, 0.0, 0.0, channel) for line in self._light_lines[number])
        channel = self._channel("stop_sign")
        if channel is not None:
            boxes.extend((*line, 0.0, 0.0, channel) for line in self._signs.stop_lines)
        if boxes:
            draw_boxes(picture, view, np.array(boxes, np.float64), COLOURS)

    def _draw_actors(self, picture: NDArray[np.uint8], view: View, storey: float, actors: ActorStates) -> None:
        near = self._near(actors.poses, view)
        if not len(near):
            return
        poses, sizes, kinds = actors.poses[near], actors.sizes[near], actors.kinds[near]
        boxes = np.empty((len(near), 8))
        boxes[:, :2], boxes[:, 2] = poses[:, :2], poses[:, 3]
        boxes[:, 3:5] = sizes * np.where(kinds == WALKER, _WALKER_SCALE, 1.0)[:, None]
        boxes[:, 5] = np.where(kinds == WALKER, 0.0, _NOSE)
        boxes[:, 6] = _KIND_COLOURS[kinds]
        channels = [self._channel(plane) for plane in _KIND_PLANES]
        boxes[:, 7] = np.array([np.nan if channel is None else channel for channel in channels])[kinds]
        seen = np.isfinite(boxes[:, 7])
        for row in np.flatnonzero(seen):
            x, y, z = poses[row, :3]
            seen[row] = not self._pyramid.is_hidden(x, y, z, storey)
        draw_boxes(picture, view, boxes[seen], COLOURS)

    def _draw_hero(self, picture: NDArray[np.uint8], view: View) -> None:
        channel = self._channel("hero")
        if channel is None:
            return
        box = self._roster.hero_box
        c, s = math.cos(view[2]), math.sin(view[2])
        x, y = view[0] + box.ahead * c - box.aside * s, view[1] + box.ahead * s + box.aside * c
        shape = np.array([[x, y, view[2], box.length, box.width, _NOSE, HERO_COLOUR, channel]])
        draw_boxes(picture, view, shape, COLOURS)


def _stop_lines(light: carla.TrafficLight) -> NDArray[np.float64]:
    """``(n, 5)`` boxes across the lanes that a light stops: x, y, yaw, half length, half width."""
    rows = []
    for waypoint in light.get_stop_waypoints() or light.get_affected_lane_waypoints():
        location, rotation = waypoint.transform.location, waypoint.transform.rotation
        half = waypoint.lane_width / 2.0
        rows.append((location.x, location.y, math.radians(rotation.yaw), _STOP_LINE_DEPTH, half))
    return np.array(rows, np.float64).reshape(-1, 5)


def read_planes(value: Any) -> tuple[str, ...]:
    """Names of masks from a list, or a text parted by commas.

    Raises:
        ValueError: A name is unknown or comes twice.
    """
    names = tuple(str(name).strip() for name in (value.split(",") if isinstance(value, str) else value))
    for name in names:
        if name not in PLANES:
            raise ValueError(f"The bird view has no mask '{name}': {nearest_hint(name, list(PLANES))}")
    if not names or len(set(names)) != len(names):
        raise ValueError(
            f"The bird view's planes {', '.join(names) or '(none)'} have to be different masks, one or more."
        )
    return names


class BirdviewSensor(PseudoSensor):
    """The world from above, hero heading up.

    ``format: rgb`` (default) is ``uint8 (size, size, 3)``. ``format: masks`` is ``uint8 (size, size, k)``: for each
    of ``planes`` how much of a pixel it covers (255 = all), which learns faster than colours. Lights and stop signs
    are lines across their lanes there; ``speed`` is the hero's speed everywhere, 255 = 30 m/s.

    Attributes in the configuration: ``size`` (pixels), ``radius`` (visible half width, m; the centre lies half of it
    ahead of the hero), ``format``, ``planes``, ``route`` (whether a coloured picture shows the route).
    """

    type_id = "sensor.birdview"
    OPTIONS: ClassVar[Mapping[str, Any]] = {
        "size": 300,
        "radius": 15.0,
        "format": ("rgb", "masks"),
        "planes": DEFAULT_PLANES,
        "route": False,
    }

    def __init__(
        self, name: str, attributes: Mapping[str, Any], interface: SensorInterface, parent: carla.Actor
    ) -> None:
        super().__init__(name, attributes, interface, parent)
        try:
            self.manager = BirdviewManager(
                parent,
                interface.map or parent.get_world().get_map(),
                self.options["size"],
                self.options["radius"],
                self.options["planes"] if self.options["format"] == "masks" else None,
                self.options["route"],
                interface.memory.setdefault("boxes", {}),
            )
        except BaseException:
            interface.unregister(name, self)
            raise

    @classmethod
    def read_options(cls, attributes: Mapping[str, Any]) -> dict[str, Any]:
        options = super().read_options({key: value for key, value in attributes.items() if key != "planes"})
        options["planes"] = read_planes(attributes.get("planes") or DEFAULT_PLANES)
        for key in ("size", "radius"):
            if options[key] <= 0:
                raise ValueError(f"The bird view's {key} is {options[key]}, but it has to be above zero.")
        return options

    @classmethod
    def space_for(cls, attributes: Mapping[str, Any]) -> gymnasium.Space:
        options = cls.read_options(attributes)
        channels = len(options["planes"]) if options["format"] == "masks" else 3
        return gymnasium.spaces.Box(0, 255, (options["size"], options["size"], channels), np.uint8)

    def compute(self, frame: int) -> NDArray[np.uint8]:
        return self.manager.render(self.interface.route)
