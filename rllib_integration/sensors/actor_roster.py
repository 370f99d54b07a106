"""Who is in the world and where, as arrays, out of what the client already holds.

Sizes and types never change, so they are looked up once for an actor, and a blueprint's box once for all its
actors: `bounding_box` is the only thing here that asks the server. Poses and light states are read every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar, cast

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
    """Calls a function that asks the server; the caller that provides it decides how."""

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
    """Keeps track of the actors of a world around a hero.

    All rosters of a world share what is read of a frame.

    Args:
        world: The world.
        hero: The actor that is left out of `read`.
        memory: What rosters of this world share; added to. It has to be emptied when the world is lost.
        ask: Calls a function that asks the server.

    Attributes:
        hero_box: Half length, half width of the hero and its middle's offset ahead and aside (m).
    """

    def __init__(
        self, world: carla.World, hero: carla.Actor, memory: dict[Any, Any] | None = None, ask: Ask = call
    ) -> None:
        memory = {} if memory is None else memory
        if "actors" not in memory:
            memory["actors"] = _Actors(world)
        self._actors: _Actors = memory["actors"]
        self._ask = ask
        self._hero_id = hero.id
        self._read: list[int] = []
        self.hero_box = self._actors.box(hero)

    @property
    def lights(self) -> list[carla.TrafficLight]:
        """The traffic lights."""
        return self._actors.lights

    @property
    def signs(self) -> list[carla.TrafficSign]:
        """The other traffic signs (`traffic.stop`, `traffic.speed_limit.60`...)."""
        return self._actors.signs

    @property
    def version(self) -> int:
        """Grows whenever actors came or went."""
        return self._actors.version

    def update(self) -> None:
        """Look who came and went, in the newest frame that the client has received."""
        self._actors.update(self._ask)

    def read(self, x: float, y: float, reach: float) -> ActorStates:
        """The actors within reach of a place, in the newest frame that the client has received.

        Args:
            x: Place, m.
            y: Same, m.
            reach: Distance along each axis, m.
        """
        actors = self._actors
        actors.update(self._ask)
        self._read = [row for row in actors.near(x, y, reach) if actors.ids[row] != self._hero_id]
        if not self._read:
            return NO_ACTORS
        poses = np.array([actors.pose(row) for row in self._read])
        return ActorStates(poses, actors.sizes[self._read], actors.kinds[self._read])

    def velocities(self) -> NDArray[np.float64]:
        """`float64 (n, 2)` vx, vy (m/s) of the actors that the last `read` gave, in its order."""
        return np.array([self._actors.velocity(row) for row in self._read], np.float64).reshape(-1, 2)

    def emergency(self) -> NDArray[np.bool_]:
        """`bool (n,)` whether each actor that the last `read` gave, in its order, is an emergency vehicle."""
        return self._actors.emergency[self._read]


class _Actors:
    """The movable actors of a world, hero and all, as one frame has them; what was read of it is kept.

    Args:
        world: The world.
    """

    def __init__(self, world: carla.World) -> None:
        self._world = world
        self._boxes: dict[str, Box] = {}
        self._frame = self._count = -1
        self._moving: list[carla.Actor] = []
        self._moving_boxes: list[Box] = []
        self._other_ids: list[int] = []
        self._places: list[tuple[float, float]] = []
        self._poses: dict[int, tuple[float, float, float, float]] = {}
        self._velocities: dict[int, tuple[float, float]] = {}
        self.ids: list[int] = []
        self.sizes, self.kinds = NO_ACTORS.sizes, NO_ACTORS.kinds
        self.emergency = np.zeros(0, np.bool_)
        self.lights: list[carla.TrafficLight] = []
        self.signs: list[carla.TrafficSign] = []
        self.version = 0

    def update(self, ask: Ask) -> None:
        """Take in the newest frame, if it has not been taken in yet."""
        snapshot = self._world.get_snapshot()
        if snapshot.frame == self._frame:
            return
        if self._someone_else_changed(snapshot) or self._locate(snapshot):
            ask(self._meet, snapshot)
            self._locate(snapshot)
        self._poses.clear()
        self._velocities.clear()
        self._frame = snapshot.frame

    def _someone_else_changed(self, snapshot: carla.WorldSnapshot) -> bool:
        """Whether there are more or fewer actors, or other ones among those that neither move nor stay for ever."""
        return len(snapshot) != self._count or not all(map(snapshot.has_actor, self._other_ids))

    def _locate(self, snapshot: carla.WorldSnapshot) -> bool:
        """Look where all actors are; returns whether one of them has left."""
        self._places = [(place.x, place.y) for place in map(_location_of, self._moving)]
        # The client puts actors that have left at the origin.
        return any(place == (0.0, 0.0) and not snapshot.has_actor(at) for place, at in zip(self._places, self.ids))

    def near(self, x: float, y: float, reach: float) -> list[int]:
        """Rows of the actors within reach of a place along each axis (m)."""
        left, right, top, bottom = x - reach, x + reach, y - reach, y + reach
        return [row for row, (at_x, at_y) in enumerate(self._places) if left < at_x < right and top < at_y < bottom]

    def pose(self, row: int) -> tuple[float, float, float, float]:
        """x, y, z (m) of the middle of an actor's box, and its yaw (rad)."""
        pose = self._poses.get(row)
        if pose is None:
            box, transform = self._moving_boxes[row], self._moving[row].get_transform()
            location, yaw = transform.location, math.radians(transform.rotation.yaw)
            c, s = math.cos(yaw), math.sin(yaw)
            x, y = location.x + box.ahead * c - box.aside * s, location.y + box.ahead * s + box.aside * c
            pose = self._poses[row] = x, y, location.z, yaw
        return pose

    def velocity(self, row: int) -> tuple[float, float]:
        """Velocity of an actor (m/s)."""
        found = self._velocities.get(row)
        if found is None:
            velocity = self._moving[row].get_velocity()
            found = self._velocities[row] = velocity.x, velocity.y
        return found

    def _meet(self, snapshot: carla.WorldSnapshot) -> None:
        """Look up everybody who is there now."""
        self.version += 1
        self.lights, self.signs = [], []
        moving: list[tuple[carla.Actor, Box, int]] = []
        for actor in cast("Iterable[carla.Actor]", self._world.get_actors()):
            kind = _kind(actor)
            if kind is not None:
                box = self.box(actor)
                if kind != PROP or box.height > _FLAT:
                    moving.append((actor, box, kind))
            elif isinstance(actor, carla.TrafficLight):
                self.lights.append(actor)
            elif isinstance(actor, carla.TrafficSign):
                self.signs.append(actor)
        self._moving, self._moving_boxes = [entry[0] for entry in moving], [entry[1] for entry in moving]
        self.ids = [actor.id for actor in self._moving]
        self.sizes = np.array([(box.length, box.width) for box in self._moving_boxes], np.float64).reshape(-1, 2)
        self.kinds = np.array([entry[2] for entry in moving], np.int64)
        special = [entry[0].attributes.get("special_type") for entry in moving]
        self.emergency = np.array([kind == "emergency" for kind in special], np.bool_)
        self._count = len(snapshot)
        # Lights and signs, most of all actors, never leave.
        known = {*self.ids, *(actor.id for actor in (*self.lights, *self.signs))}
        self._other_ids = [state.id for state in snapshot if state.id not in known]

    def box(self, actor: carla.Actor) -> Box:
        """An actor's bounding box."""
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
