"""Who is in the world and where, as arrays, out of what the client already holds.

Sizes and types never change, so they are looked up once for an actor, and a blueprint's box once for all its
actors: `bounding_box` is the only thing here that asks the server. Poses and light states are read every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar, cast

import carla
import numpy as np
from numpy.typing import NDArray

VEHICLE, TWO_WHEELER, WALKER, PROP = range(4)

_location_of = carla.Actor.get_location
_FLAT = 0.3  # [m] props lower than this, such as dirt, are driven over
_SMALLEST = 0.2  # [m] half sizes below this are not seen; some walkers' boxes have none at all


class ActorStates(NamedTuple):
    """The movable actors of a frame, the hero left out.

    Attributes:
        poses: `float64 (n, 4)` x, y, z (m) of the middle of each box and yaw (rad).
        sizes: `float64 (n, 2)` half length and half width (m).
        kinds: `int64 (n,)` `VEHICLE`, `TWO_WHEELER`, `WALKER` or `PROP`.
    """

    poses: NDArray[np.float64]
    sizes: NDArray[np.float64]
    kinds: NDArray[np.int64]


Result = TypeVar("Result")


class Ask(Protocol):
    """Calls a function that asks the server, as whoever gives it wants that done."""

    def __call__(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call the function; returns its result."""


def call(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function at once."""
    return function(*arguments)


NO_ACTORS = ActorStates(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros(0, np.int64))


class Box(NamedTuple):
    """A blueprint's bounding box: half sizes, offset of its middle from the actor's origin, and height (m)."""

    length: float
    width: float
    ahead: float
    aside: float
    height: float = 0.0


class ActorRoster:
    """Keeps track of the actors of a world.

    Args:
        world: The world.
        hero: The actor that is left out of `read`.
        boxes: Boxes of blueprints that are known already; added to.
        ask: Calls a function that asks the server.

    Attributes:
        hero_box: Half length, half width of the hero and its middle's offset ahead and aside (m).
        lights: The traffic lights.
        signs: The other traffic signs (`traffic.stop`, `traffic.speed_limit.60`...).
        version: Grows whenever actors came or went.
    """

    def __init__(
        self,
        world: carla.World,
        hero: carla.Actor,
        boxes: dict[str, Box] | None = None,
        ask: Ask = call,
    ) -> None:
        self._world = world
        self._ask = ask
        self._hero_id = hero.id
        self._boxes = {} if boxes is None else boxes
        self._count = -1
        self._moving: list[tuple[carla.Actor, Box, int]] = []
        self._moving_actors: list[carla.Actor] = []
        self._moving_ids: list[int] = []
        self._other_ids: list[int] = []
        self._read: list[carla.Actor] = []
        self.hero_box = self._box(hero)
        self.lights: list[carla.TrafficLight] = []
        self.signs: list[carla.TrafficSign] = []
        self.version = 0

    def update(self) -> None:
        """Look who came and went, in the newest frame that the client has received."""
        snapshot = self._world.get_snapshot()
        if self._someone_else_changed(snapshot) or not all(map(snapshot.has_actor, self._moving_ids)):
            self._ask(self._meet, snapshot)

    def _someone_else_changed(self, snapshot: carla.WorldSnapshot) -> bool:
        """Whether there are more or fewer actors, or other ones among those that neither move nor stay for ever."""
        return len(snapshot) != self._count or not all(map(snapshot.has_actor, self._other_ids))

    def read(self, x: float, y: float, reach: float) -> ActorStates:
        """The actors within reach of a place, in the newest frame that the client has received.

        Args:
            x: Place, m.
            y: Same, m.
            reach: Distance along each axis, m.
        """
        snapshot = self._world.get_snapshot()
        if self._someone_else_changed(snapshot):
            self._ask(self._meet, snapshot)
        near, someone_left = self._look_around(x, y, reach)
        if someone_left:
            self._ask(self._meet, snapshot)
            near, _ = self._look_around(x, y, reach)
        self._read = [actor for actor, _, _ in near]
        if not near:
            return NO_ACTORS
        poses, sizes, kinds = [], [], []
        for actor, box, kind in near:
            pose = actor.get_transform()
            location, yaw = pose.location, math.radians(pose.rotation.yaw)
            c, s = math.cos(yaw), math.sin(yaw)
            poses.append(
                (
                    location.x + box.ahead * c - box.aside * s,
                    location.y + box.ahead * s + box.aside * c,
                    location.z,
                    yaw,
                )
            )
            sizes.append((box.length, box.width))
            kinds.append(kind)
        return ActorStates(np.array(poses), np.array(sizes), np.array(kinds, np.int64))

    def _look_around(self, x: float, y: float, reach: float) -> tuple[list[tuple[carla.Actor, Box, int]], bool]:
        """The actors within reach, and whether one of those that were there has left."""
        left, right, top, bottom = x - reach, x + reach, y - reach, y + reach
        near, at_origin = [], []
        # Most actors are far away, and every look at one costs half a microsecond: hence one look, which also tells
        # who has left, as the client puts those at the origin.
        for entry, location in zip(self._moving, map(_location_of, self._moving_actors)):
            if left < location.x < right and top < location.y < bottom:
                near.append(entry)
            if location.x == 0.0 and location.y == 0.0:
                at_origin.append(entry[0].id)
        someone_left = at_origin and not all(map(self._world.get_snapshot().has_actor, at_origin))
        return near, bool(someone_left)

    def velocities(self) -> NDArray[np.float64]:
        """`float64 (n, 2)` vx, vy (m/s) of the actors that the last `read` gave, in its order."""
        found = [actor.get_velocity() for actor in self._read]
        return np.array([(velocity.x, velocity.y) for velocity in found], np.float64).reshape(-1, 2)

    def _meet(self, snapshot: carla.WorldSnapshot) -> None:
        """Look up everybody who is there now."""
        self.version += 1
        self._moving, self.lights, self.signs = [], [], []
        for actor in cast("Iterable[carla.Actor]", self._world.get_actors()):
            kind = _kind(actor)
            if kind is not None:
                box = self._box(actor)
                if actor.id != self._hero_id and (kind != PROP or box.height > _FLAT):
                    self._moving.append((actor, box, kind))
            elif isinstance(actor, carla.TrafficLight):
                self.lights.append(actor)
            elif isinstance(actor, carla.TrafficSign):
                self.signs.append(actor)
        self._moving_actors = [entry[0] for entry in self._moving]
        self._moving_ids = [actor.id for actor in self._moving_actors]
        self._count = len(snapshot)
        # Lights and signs, most of all actors, never leave.
        known = {actor.id for actor in (*self._moving_actors, *self.lights, *self.signs)}
        self._other_ids = [state.id for state in snapshot if state.id not in known]

    def _box(self, actor: carla.Actor) -> Box:
        box = self._boxes.get(actor.type_id)
        if box is None:
            bounds = actor.bounding_box
            box = Box(
                max(bounds.extent.x, _SMALLEST),
                max(bounds.extent.y, _SMALLEST),
                bounds.location.x,
                bounds.location.y,
                2.0 * bounds.extent.z,
            )
            self._boxes[actor.type_id] = box
        return box


def _kind(actor: carla.Actor) -> int | None:
    """What an actor is that may stand in the way; None for all others."""
    if actor.type_id.startswith("vehicle."):
        return TWO_WHEELER if actor.attributes.get("number_of_wheels") == "2" else VEHICLE
    if actor.type_id.startswith("static.prop."):
        return PROP
    return WALKER if actor.type_id.startswith("walker.") else None
