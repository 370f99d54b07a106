"""Draws a bird view out of arrays: the map by one affine warp, then what is on it. Knows no simulator."""

from __future__ import annotations

import math
from typing import NamedTuple

import carla
import cv2
import numpy as np
from numpy.typing import NDArray

from rllib_integration.sensors.actor_roster import PROP, TWO_WHEELER, VEHICLE, WALKER, ActorStates, Box
from rllib_integration.sensors.bird_view.kernels import View, draw_boxes, draw_discs, draw_ribbon, draw_stamp
from rllib_integration.sensors.bird_view.map_drawing import PALETTE, SURFACES
from rllib_integration.sensors.bird_view.map_painter import MapPainter, Patch
from rllib_integration.sensors.bird_view.map_pyramid import MapPyramid
from rllib_integration.sensors.bird_view.road_signs import Stamp

HERO_COLOUR, VEHICLE_COLOUR, TWO_WHEELER_COLOUR, WALKER_COLOUR = range(4)
RED_COLOUR, YELLOW_COLOUR, GREEN_COLOUR, OFF_COLOUR, RING_COLOUR, ROUTE_COLOUR, PROP_COLOUR = range(4, 11)
COLOURS = np.array(
    [
        (138, 226, 52),  # Tango chameleon 0
        (114, 159, 207),  # sky blue 0
        (193, 125, 17),  # chocolate 1
        (173, 127, 168),  # plum 0
        (239, 41, 41),  # scarlet red 0
        (252, 233, 79),  # butter 0
        (138, 226, 52),  # chameleon 0
        (85, 87, 83),  # as the ground
        (255, 255, 255),
        (52, 101, 164),  # sky blue 1
        (245, 121, 0),  # orange 1
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
PLANES = (
    *MAP_PLANES,
    *("hero", "vehicles", "two_wheelers", "walkers", "props"),
    *(*LIGHT_PLANES.values(), "stop_sign", "route", "speed"),
)
"""All masks that there are."""

DEFAULT_PLANES = (
    *("road", "white_marking", "yellow_marking", "vehicles", "two_wheelers", "walkers"),
    *("red_light", "yellow_light", "green_light", "stop_sign", "route"),
)

ACTOR_MARGIN = 10.0  # [m] actors whose middle is this far beyond the picture may reach into it
FULL_SPEED = 30.0  # [m/s] shown as 255 in the speed mask
_NOSE = 0.8  # [m] of a vehicle's box
_WALKER_SCALE = 2.0  # walkers are drawn larger than they are, or they would be a pixel
_LIGHT_RADIUS, _RING = 1.4, 0.2  # [m]
_ROUTE_HALF_WIDTH = 1.0  # [m]

_LIGHT_COLOURS = {
    int(carla.TrafficLightState.Red): RED_COLOUR,
    int(carla.TrafficLightState.Yellow): YELLOW_COLOUR,
    int(carla.TrafficLightState.Green): GREEN_COLOUR,
}
_KIND_COLOURS = (VEHICLE_COLOUR, TWO_WHEELER_COLOUR, WALKER_COLOUR, PROP_COLOUR)
_KIND_PLANES = ("vehicles", "two_wheelers", "walkers", "props")
_NO_PLACES = np.zeros((0, 3))


class Signals(NamedTuple):
    """Traffic lights and signs near the hero.

    Attributes:
        lights: `float64 (n, 3)` x, y, z (m) of traffic lights.
        states: `carla.TrafficLightState` of each, as numbers.
        light_lines: For each light the stop lines of its lanes: `float64 (k, 5)` x, y (m), yaw (rad), half depth,
            half width (m).
        stop_lines: Stop lines of stop signs, rows of the same five numbers.
        stamps: Words and discs.
    """

    lights: NDArray[np.float64] = _NO_PLACES
    states: tuple[int, ...] = ()
    light_lines: tuple[NDArray[np.float64], ...] = ()
    stop_lines: tuple[tuple[float, float, float, float, float], ...] = ()
    stamps: tuple[Stamp, ...] = ()


class Scene(NamedTuple):
    """What there is to draw.

    Attributes:
        x: Hero's place, m.
        y: Same, m.
        z: Same, m.
        yaw: Hero's direction, rad.
        speed: Hero's speed, m/s.
        hero_box: Its bounding box.
        actors: All others.
        signals: Traffic lights and signs.
        route: `float64 (n, 2)` points (m) of the hero's route, or None.
    """

    x: float
    y: float
    z: float
    yaw: float
    speed: float
    hero_box: Box
    actors: ActorStates
    signals: Signals = Signals()
    route: NDArray[np.float64] | None = None


class BirdviewPainter:
    """Draws scenes in one town, size and style.

    Args:
        pyramid: The town.
        size: Pixels along each side.
        radius: Visible half width (m).
        planes: Names of masks out of `PLANES`, or None for a coloured picture.
        show_route: Whether a coloured picture shows the route.

    Attributes:
        scale: Pixels a metre.
        reach: Farthest that a picture sees from the hero along each axis (m).
        shows_actors: Whether anything is drawn of actors other than the hero.
        shows_signals: Whether anything is drawn of traffic lights and signs.
    """

    def __init__(
        self,
        pyramid: MapPyramid,
        size: int,
        radius: float,
        planes: tuple[str, ...] | None = None,
        show_route: bool = False,
    ) -> None:
        self.size = size
        self.radius = radius
        self.planes = planes
        self.scale = size / (2.0 * radius)
        # The hero is a quarter of the picture below the middle, so the upper corners are the farthest.
        self.reach = radius * math.hypot(1.0, 1.5)
        self.shows_actors = planes is None or not set(planes).isdisjoint(_KIND_PLANES)
        self.shows_signals = planes is None or not set(planes).isdisjoint((*LIGHT_PLANES.values(), "stop_sign"))
        self._show_route = show_route
        self._pyramid = pyramid
        self._map_channels: list[int] = []
        self._painters = self._make_painters()
        self._patches: dict[int, Patch] = {}
        # By VEHICLE, TWO_WHEELER, WALKER, PROP: how much larger than their box, the nose, the colour, the channel.
        self._kind_shapes = [
            (
                _WALKER_SCALE if kind == WALKER else 1.0,
                0.0 if kind in (WALKER, PROP) else _NOSE,
                _KIND_COLOURS[kind],
                self._channel(_KIND_PLANES[kind]),
            )
            for kind in (VEHICLE, TWO_WHEELER, WALKER, PROP)
        ]

    def _make_painters(self) -> list[MapPainter]:
        """Painters of four channels each, which is what warps fastest."""
        if self.planes is None:
            colours = PALETTE
        else:
            self._map_channels = [n for n, plane in enumerate(self.planes) if plane in MAP_PLANES]
            colours = np.zeros((len(SURFACES), len(self._map_channels)), np.uint8)
            for column, channel in enumerate(self._map_channels):
                for surface in MAP_PLANES[self.planes[channel]]:
                    colours[SURFACES.index(surface), column] = 255
        colours = np.hstack([colours, np.zeros((len(colours), -colours.shape[1] % 4), np.uint8)])
        fours = [colours[:, first : first + 4] for first in range(0, colours.shape[1], 4)]
        return [MapPainter(self._pyramid, four, self.scale, self.reach) for four in fours]

    def paint(self, scene: Scene, patches: dict[int, Patch] | None = None) -> NDArray[np.uint8]:
        """The picture of a scene, `uint8 (size, size, channels)`: 3 of a coloured picture, else one a mask.

        Args:
            scene: What there is to draw.
            patches: The parts of the map that a viewer has seen last; changed. Each of several viewers has its own.
        """
        view = (scene.x, scene.y, scene.yaw, self.scale, self.size / 2.0, self.size * 0.75)
        storey = self._pyramid.road_height(scene.x, scene.y, scene.z)
        picture = self._paint_map(view, storey, self._patches if patches is None else patches)
        self._paint_route(picture, view, scene.route)
        if self.planes is None:
            self._paint_signals(picture, view, storey, scene.signals)
        else:
            self._mask_signals(picture, view, storey, scene.signals)
        boxes = self._actor_boxes(view, storey, scene.actors) + self._hero_boxes(view, scene.hero_box)
        if boxes:
            draw_boxes(picture, view, np.array(boxes), COLOURS)
        if self.planes is not None and "speed" in self.planes:
            picture[..., self.planes.index("speed")] = min(255, round(255.0 * scene.speed / FULL_SPEED))
        return picture

    def _paint_map(self, view: View, storey: float, patches: dict[int, Patch]) -> NDArray[np.uint8]:
        """One affine warp out of the pyramid for every four channels."""
        x, y, yaw, scale, column, row = view
        channels = 3 if self.planes is None else len(self.planes)
        picture = np.zeros((self.size, self.size, channels), np.uint8)
        for number, painter in enumerate(self._painters):
            patch = patches[number] = painter.patch(x, y, storey, patches.get(number))
            step = patch.resolution / scale
            c, s = math.cos(yaw) * step, math.sin(yaw) * step
            # The middle of pixel (j, i) lies row - i - 0.5 pixels forward and j + 0.5 - column to the right.
            at_x = (x - patch.x) * patch.resolution - 0.5 + s * (column - 0.5) + c * (row - 0.5)
            at_y = (y - patch.y) * patch.resolution - 0.5 - c * (column - 0.5) + s * (row - 0.5)
            warped = cv2.warpAffine(
                patch.picture,
                np.array([[-s, -c, at_x], [c, -s, at_y]]),
                (self.size, self.size),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )
            channels_of_map = self._map_channels[4 * number : 4 * number + 4]
            if self.planes is None or (channels == 3 and channels_of_map == [0, 1, 2]):
                cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=picture)
            else:
                pairs = [index for pair in enumerate(channels_of_map) for index in pair]
                cv2.mixChannels([warped], [picture], pairs)
        return picture

    def _channel(self, plane: str) -> int | None:
        """Channel to draw a plane's shapes in; -1 = all of a coloured picture, None = not wanted."""
        if self.planes is None:
            return -1
        return self.planes.index(plane) if plane in self.planes else None

    def _paint_route(self, picture: NDArray[np.uint8], view: View, route: NDArray[np.float64] | None) -> None:
        channel = self._channel("route")
        if route is None or channel is None or (self.planes is None and not self._show_route):
            return
        if len(route) > 1:
            points = np.ascontiguousarray(route, np.float64)
            draw_ribbon(picture, view, points, _ROUTE_HALF_WIDTH, COLOURS[ROUTE_COLOUR], channel)

    def _paint_signals(self, picture: NDArray[np.uint8], view: View, storey: float, signals: Signals) -> None:
        for stamp in signals.stamps:
            if not self._pyramid.is_hidden(stamp.x, stamp.y, stamp.z, storey):
                yaw = view[2] if stamp.upright else stamp.yaw
                draw_stamp(picture, view, stamp.x, stamp.y, yaw, stamp.picture)
        discs = []
        reach = self.reach + _LIGHT_RADIUS
        for (x, y, z), state in zip(signals.lights.tolist(), signals.states):
            near = abs(x - view[0]) < reach and abs(y - view[1]) < reach
            if near and not self._pyramid.is_hidden(x, y, z, storey):
                colour = _LIGHT_COLOURS.get(state, OFF_COLOUR)
                discs.append((x, y, _LIGHT_RADIUS, RING_COLOUR, -1.0))
                discs.append((x, y, _LIGHT_RADIUS - _RING, colour, -1.0))
        if discs:
            draw_discs(picture, view, np.array(discs), COLOURS)

    def _mask_signals(self, picture: NDArray[np.uint8], view: View, storey: float, signals: Signals) -> None:
        """Stop lines instead of discs: where to stop matters, not where the post is."""
        if not self.shows_signals:
            return
        boxes: list[tuple[float, ...]] = []
        for place, state, lines in zip(signals.lights, signals.states, signals.light_lines):
            plane = LIGHT_PLANES.get(state)
            channel = self._channel(plane) if plane else None
            if channel is not None and not self._pyramid.is_hidden(place[0], place[1], place[2], storey):
                boxes.extend((*line, 0.0, 0.0, channel) for line in lines)
        channel = self._channel("stop_sign")
        if channel is not None:
            boxes.extend((*line, 0.0, 0.0, channel) for line in signals.stop_lines)
        if boxes:
            draw_boxes(picture, view, np.array(boxes, np.float64), COLOURS)

    def _actor_boxes(self, view: View, storey: float, actors: ActorStates) -> list[tuple[float, ...]]:
        """Boxes of the actors that may be seen. A loop: of fifty actors few are near, and for few numpy is slow."""
        boxes: list[tuple[float, ...]] = []
        if not len(actors.kinds):
            return boxes
        reach = self.reach + ACTOR_MARGIN
        for (x, y, z, yaw), (length, width), kind in zip(*(column.tolist() for column in actors)):
            larger, nose, colour, channel = self._kind_shapes[kind]
            if channel is None or abs(x - view[0]) >= reach or abs(y - view[1]) >= reach:
                continue
            if not self._pyramid.is_hidden(x, y, z, storey):
                boxes.append((x, y, yaw, length * larger, width * larger, nose, colour, channel))
        return boxes

    def _hero_boxes(self, view: View, box: Box) -> list[tuple[float, ...]]:
        channel = self._channel("hero")
        if channel is None:
            return []
        c, s = math.cos(view[2]), math.sin(view[2])
        x, y = view[0] + box.ahead * c - box.aside * s, view[1] + box.ahead * s + box.aside * c
        return [(x, y, view[2], box.length, box.width, _NOSE, HERO_COLOUR, channel)]
