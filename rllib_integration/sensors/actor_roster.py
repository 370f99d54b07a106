"""Who is in the world and where, as arrays, out of what the client already holds.

Sizes and types never change, so they are looked up once for an actor, and a blueprint's box once for all its
actors: ``bounding_box`` is the only thing here that asks the server. Poses and light states are read every step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

VEHICLE, TWO_WHEELER, WALKER = range(3)

_SMALLEST = 0.2  # [m] half sizes below this are not seen; some walkers' boxes have none at all


class ActorStates(NamedTuple):
    """The movable actors of a frame, the hero left out.

    Attributes:
        poses: ``float64 (n, 4)`` x, y, z (m) of the middle of each box and yaw (rad).
        sizes: ``float64 (n, 2)`` half length and half width (m).
        kinds: ``int64 (n,)`` :data:`VEHICLE`, :data:`TWO_WHEELER` or :data:`WALKER`.
    """

    poses: NDArray[np.float64]
    sizes: NDArray[np.float64]
    kinds: NDArray[np.int64]


class Box(NamedTuple):
    """A blueprint's bounding box: half sizes and offset of its middle from the actor's origin (m)."""

    length: float
    width: float
    ahead: float
    aside: float


class ActorRoster:
    """Keeps track of the actors of a world.

    Args:
        world: The world.
        hero: The actor that is left out of :meth:`read`.
        boxes: Boxes of blueprints that are known already; added to.

    Attributes:
        hero_box: Half length, half width of the hero and its middle's offset ahead and aside (m).
        lights: The traffic lights.
        signs: The other traffic signs (``traffic.stop``, ``traffic.speed_limit.60``...).
        version: Grows whenever actors came or went.
    """

    def __init__(self, world: carla.World, hero: carla.Actor, boxes: dict[str, Box] | None = None) -> None:
        self._world = world
        self._hero_id = hero.id
        self._boxes = {} if boxes is None else boxes
        self._ids: list[int] = []
        self._moving: list[carla.Actor] = []
        self._facts = np.zeros((0, 4))
        self._kinds = np.zeros(0, np.int64)
        self.hero_box = self._box(hero)
        self.lights: list[carla.TrafficLight] = []
        self.signs: list[carla.TrafficSign] = []
        self.version = 0

    def read(self) -> ActorStates:
        """The actors of the newest frame that the client has received."""
        ids = [state.id for state in self._world.get_snapshot()]
        if ids != self._ids:
            self._meet()
            self._ids = ids
        table = np.empty((len(self._moving), 4))
        for row, actor in enumerate(self._moving):
            transform = actor.get_transform()
            location = transform.location
            table[row] = (location.x, location.y, location.z, transform.rotation.yaw)
        table[:, 3] *= math.pi / 180.0
        cos, sin = np.cos(table[:, 3]), np.sin(table[:, 3])
        ahead, aside = self._facts[:, 2], self._facts[:, 3]
        table[:, 0] += ahead * cos - aside * sin
        table[:, 1] += ahead * sin + aside * cos
        return ActorStates(table, self._facts[:, :2], self._kinds)

    def _meet(self) -> None:
        """Look up everybody who is there now."""
        self.version += 1
        self._moving, self.lights, self.signs = [], [], []
        facts, kinds = [], []
        for actor in self._world.get_actors():
            kind = _kind(actor)
            if kind is not None:
                if actor.id != self._hero_id:
                    self._moving.append(actor)
                    facts.append(self._box(actor))
                    kinds.append(kind)
            elif actor.type_id.startswith("traffic.traffic_light"):
                self.lights.append(actor)
            elif actor.type_id.startswith("traffic."):
                self.signs.append(actor)
        self._facts = np.array(facts, np.float64).reshape(-1, 4)
        self._kinds = np.array(kinds, np.int64)

    def _box(self, actor: carla.Actor) -> Box:
        box = self._boxes.get(actor.type_id)
        if box is None:
            bounds = actor.bounding_box
            box = Box(
                max(bounds.extent.x, _SMALLEST),
                max(bounds.extent.y, _SMALLEST),
                bounds.location.x,
                bounds.location.y,
            )
            self._boxes[actor.type_id] = box
        return box


def _kind(actor: carla.Actor) -> int | None:
    """What a movable actor is; None for all others."""
    if actor.type_id.startswith("vehicle."):
        return TWO_WHEELER if actor.attributes.get("number_of_wheels") == "2" else VEHICLE
    return WALKER if actor.type_id.startswith("walker.") else None
