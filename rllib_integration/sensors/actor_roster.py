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


NO_ACTORS = ActorStates(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros(0, np.int64))


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
        self._count = -1
        self._moving: list[carla.Actor] = []
        self._facts = np.zeros((0, 4))
        self._kinds = np.zeros(0, np.int64)
        self._read: list[int] = []
        self.hero_box = self._box(hero)
        self.lights: list[carla.TrafficLight] = []
        self.signs: list[carla.TrafficSign] = []
        self.version = 0

    def update(self) -> None:
        """Look who came and went, in the newest frame that the client has received."""
        snapshot = self._world.get_snapshot()
        # To read every id takes longer than to draw the picture; lights and signs, most of them, never leave.
        if len(snapshot) != self._count or not all(map(snapshot.has_actor, self._ids)):
            self._meet()
            self._count = len(snapshot)
            fixed = {signal.id for signal in (*self.lights, *self.signs)}
            self._ids = [state.id for state in snapshot if state.id not in fixed]

    def read(self, x: float, y: float, reach: float) -> ActorStates:
        """The actors within reach of a place, in the newest frame that the client has received.

        Args:
            x: Place, m.
            y: Same, m.
            reach: Distance along each axis, m.
        """
        self.update()
        left, right, top, bottom = x - reach, x + reach, y - reach, y + reach
        rows, poses = [], []
        for row, actor in enumerate(self._moving):
            location = actor.get_location()
            # Most actors are far away, and every attribute read through the client costs a tenth of a microsecond.
            if left < location.x < right and top < location.y < bottom:
                yaw = math.radians(actor.get_transform().rotation.yaw)
                rows.append(row)
                poses.append((location.x, location.y, location.z, yaw))
        self._read = rows
        table = np.array(poses, np.float64).reshape(-1, 4)
        facts = self._facts[rows]
        cos, sin = np.cos(table[:, 3]), np.sin(table[:, 3])
        table[:, 0] += facts[:, 2] * cos - facts[:, 3] * sin
        table[:, 1] += facts[:, 2] * sin + facts[:, 3] * cos
        return ActorStates(table, facts[:, :2], self._kinds[rows])

    def velocities(self) -> NDArray[np.float64]:
        """``float64 (n, 2)`` vx, vy (m/s) of the actors that the last :meth:`read` gave, in its order."""
        found = [self._moving[row].get_velocity() for row in self._read]
        return np.array([(velocity.x, velocity.y) for velocity in found], np.float64).reshape(-1, 2)

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
