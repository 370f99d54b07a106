"""The bird view: the world around the hero from above, heading up, as a picture or as a stack of masks.

Nothing is asked of the server in a step, nothing runs in a thread, and no whole map is ever touched.
The centre of the picture lies `radius / 2` ahead of the hero and the visible half width is `radius`.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import carla
import gymnasium
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Record, Settings
from rllib_integration.sensors.actor_roster import NO_ACTORS, ActorRoster, ActorStates, Ask, Box, call
from rllib_integration.sensors.base_sensor import PseudoSensor, SensorConfigError, nearest_hint
from rllib_integration.sensors.bird_view.map_painter import Patch
from rllib_integration.sensors.bird_view.map_pyramid import MapPyramid
from rllib_integration.sensors.bird_view.painter import (
    ACTOR_MARGIN,
    DEFAULT_PLANES,
    PLANES,
    BirdviewPainter,
    Scene,
    Signals,
)
from rllib_integration.sensors.bird_view.road_signs import Stamp
from rllib_integration.sensors.bird_view.signal_book import SignalBook

if TYPE_CHECKING:
    from rllib_integration.roads.routes import Route
    from rllib_integration.sensors.sensor_interface import SensorInterface

_PREPARED: weakref.WeakKeyDictionary[MapPyramid, set[tuple[object, ...]]] = weakref.WeakKeyDictionary()
_PREPARED_LOCK = threading.Lock()


class BirdviewManager:
    """Shows the surroundings of a hero in the newest frame that the client has received.

    Args:
        hero: The actor in whose frame the view is.
        carla_map: The town.
        size: Pixels along each side.
        radius: Visible half width (m).
        planes: Names of masks out of `PLANES`, or None for a coloured picture.
        show_route: Whether a coloured picture shows the route.
        memory: What managers of this world found out before, such as where the lights are; added to.
        ask: Calls a function that asks the server, once when actors have come or gone.
    """

    def __init__(
        self,
        hero: carla.Actor,
        carla_map: carla.Map,
        size: int,
        radius: float,
        planes: tuple[str, ...] | None = None,
        show_route: bool = False,
        memory: dict[Any, Any] | None = None,
        ask: Ask = call,
    ) -> None:
        memory = {} if memory is None else memory
        style = (size, radius, planes, show_route)
        if ("painter", style) not in memory:
            painter = BirdviewPainter(MapPyramid.of_map(carla_map), *style)
            memory["painter", style] = painter, SignalBook(carla_map, painter)
        self._hero = hero
        self._painter, self._signals = memory["painter", style]
        self._ask = ask
        self._roster = ActorRoster(hero.get_world(), hero, memory, ask)
        self._seen_version = -1
        self._patches: dict[int, Patch] = {}

    def render(self, route: Route | None = None) -> NDArray[np.uint8]:
        """The view, `uint8 (size, size, channels)`.

        Args:
            route: The hero's route, if it is to be shown.
        """
        transform = self._hero.get_transform()
        x, y, z = transform.location.x, transform.location.y, transform.location.z
        actors, signals = NO_ACTORS, Signals()
        if self._painter.shows_actors:
            actors = self._roster.read(x, y, self._painter.reach + ACTOR_MARGIN)
        elif self._painter.shows_signals:
            self._roster.update()
        if self._painter.shows_signals:
            if self._roster.version != self._seen_version:
                self._seen_version = self._roster.version
                self._ask(self._signals.meet, self._roster.lights, self._roster.signs)
            signals = self._signals.near(x, y)
        radius = self._painter.radius
        scene = Scene(
            x,
            y,
            z,
            math.radians(transform.rotation.yaw),
            self._hero.get_velocity().length(),
            self._roster.hero_box,
            actors,
            signals,
            None if route is None else route.stretch(radius, 3.0 * radius),
        )
        return self._painter.paint(scene, self._patches)


def _rehearsal(scale: float) -> Scene:
    """A scene with one of everything."""
    hero = Box(2.0, 1.0, 0.0, 0.0)
    actors = ActorStates(np.zeros((1, 4)), np.ones((1, 2)), np.zeros(1, np.int64))
    stamp = Stamp(0.0, 0.0, 0.0, 0.0, True, np.zeros((max(1, round(scale)), 2, 4), np.uint8))
    line = (0.0, 0.0, 0.0, 1.0, 1.0)
    signals = Signals(np.zeros((1, 3)), (0,), (np.array([line]),), (line,), (stamp,))
    return Scene(0.0, 0.0, 0.0, 0.0, 0.0, hero, actors, signals, np.array([[0.0, 0.0], [1.0, 0.0]]))


def read_planes(value: str | Iterable[object]) -> tuple[str, ...]:
    """Names of masks from a list, or from a text parted by commas.

    Raises:
        SensorConfigError: A name is unknown or comes twice, or there is none.
    """
    names = tuple(str(name).strip() for name in (value.split(",") if isinstance(value, str) else value))
    for name in names:
        if name not in PLANES:
            raise SensorConfigError(f"The bird view has no mask '{name}': {nearest_hint(name, list(PLANES))}")
    if not names or len(set(names)) != len(names):
        raise SensorConfigError(f"The bird view's planes have to be one or more different masks, not {list(names)}.")
    return names


class BirdviewSensor(PseudoSensor):
    """The world from above, hero heading up.

    `format: rgb` (default) is `uint8 (size, size, 3)`. `format: masks` is `uint8 (size, size, k)`: for each
    of `planes` how much of a pixel it covers (255 = all), which learns faster than colours. Lights and stop signs
    are lines across their lanes there; `speed` is the hero's speed everywhere, 255 = 30 m/s.

    Attributes in the configuration: `size` (pixels), `radius` (visible half width, m; the centre lies half of it
    ahead of the hero), `format`, `planes`, `route` (whether a coloured picture shows the route).
    """

    type_id = "sensor.birdview"
    asks_server = False
    OPTIONS: ClassVar[Settings] = {
        "size": 300,
        "radius": 15.0,
        "format": ("rgb", "masks"),
        "planes": DEFAULT_PLANES,
        "route": False,
    }

    def __init__(self, name: str, attributes: Settings, interface: SensorInterface, parent: carla.Actor) -> None:
        super().__init__(name, attributes, interface, parent)
        try:
            self.manager = BirdviewManager(
                parent,
                interface.map or parent.get_world().get_map(),
                self.options["size"],
                self.options["radius"],
                self.options["planes"] if self.options["format"] == "masks" else None,
                self.options["route"],
                interface.memory,
                interface.ask,
            )
        except BaseException:
            interface.unregister(name, self)
            raise

    @classmethod
    def read_options(cls, attributes: Settings) -> Record:
        """The options, checked.

        Raises:
            SensorConfigError: A size or radius is not above zero, or a mask is unknown.
        """
        options = super().read_options({key: value for key, value in attributes.items() if key != "planes"})
        options["planes"] = read_planes(attributes.get("planes") or DEFAULT_PLANES)
        for key in ("size", "radius"):
            if options[key] <= 0:
                raise SensorConfigError(f"The bird view's {key} is {options[key]}, but it has to be above zero.")
        return options

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        options = cls.read_options(attributes)
        channels = len(options["planes"]) if options["format"] == "masks" else 3
        return gymnasium.spaces.Box(0, 255, (options["size"], options["size"], channels), np.uint8)

    @classmethod
    def prepare(cls, attributes: Settings, carla_map: carla.Map) -> None:
        """Draw the town, if it has not been drawn before, and compile what paints."""
        options = cls.read_options(attributes)
        planes = options["planes"] if options["format"] == "masks" else None
        pyramid = MapPyramid.of_map(carla_map)
        with _PREPARED_LOCK:
            style = (options["size"], options["radius"], planes)
            if style not in _PREPARED.setdefault(pyramid, set()):
                painter = BirdviewPainter(pyramid, *style, True)
                painter.paint(_rehearsal(painter.scale))
                _PREPARED[pyramid].add(style)

    def compute(self, frame: int) -> NDArray[np.uint8]:
        return self.manager.render(self.interface.route)
