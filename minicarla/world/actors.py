"""Actors: thin handles on rows of the state arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.state import PROP_KIND, VEHICLE_KIND, WALKER_KIND
from minicarla.protocol.values import Vector

if TYPE_CHECKING:
    from minicarla.sensing import Sensor
    from minicarla.town import Signal


LIGHT_KIND = 4
"""Traffic lights; their rows are those of `Episode.lights`."""
FIXTURE_KIND = 5
"""Actors without a body: sensors, controllers, triggers, signs, the spectator."""

RIGID = 0
SPRING_ARM = 1
SPRING_ARM_GHOST = 2

_CLASS_NAMES = {
    "vehicle.audi.tt": "AudiTT",
    "vehicle.carlamotors.european_hgv": "European_HGV",
    "vehicle.dodge.charger_2020": "Charger2020",
    "vehicle.lincoln.mkz_2020": "Lincoln2020",
    "vehicle.mercedes.coupe_2020": "MercedesCCC",
    "vehicle.mini.cooper_s_2021": "Mini2021",
    "vehicle.tesla.model3": "TeslaM3",
}
"""Classes of CARLA's vehicles that are not called by their make and model."""

FIXTURE = np.dtype(
    [
        ("id", np.uint32),
        ("x", np.float64),
        ("y", np.float64),
        ("z", np.float64),
        ("roll", np.float64),
        ("pitch", np.float64),
        ("yaw", np.float64),
        ("vx", np.float64),
        ("vy", np.float64),
        ("vz", np.float64),
        ("arm_yaw", np.float64),
        ("arm_ready", np.uint8),
    ],
    align=True,
)
"""Pose and velocity of an actor without a body; `arm_*` is the lagging heading of a spring arm."""

VEHICLE_STATUS = np.dtype(
    [
        ("speed_limit", np.float32),
        ("light_id", np.uint32),
        ("light_state", np.uint8),
        ("has_light", np.uint8),
        ("sign_time", np.float32),
        ("saw_green", np.uint8),
        ("failure", np.uint8),
        ("lamps", np.uint32),
        ("open_doors", np.uint32),
        ("autopilot", np.uint8),
        ("fresh_control", np.uint8),
    ],
    align=True,
)
"""What a vehicle has besides its motion: limit in km/h, the light it stands at, the time [s] that it has been at a stop
or yield sign, whether its light was green for it, its own lamps and doors."""


CONTROL_FIELDS = ["throttle", "steer", "brake", "hand_brake", "reverse", "manual", "gear_request", "ackermann"]
"""What applying a vehicle control writes; it ends Ackermann control."""


Box: TypeAlias = tuple[Vector, Vector, Vector]
"""Centre [m], half sizes [m] and rotation [degrees] of a bounding box in its actor's own frame."""


class Attachment(NamedTuple):
    """How an actor hangs on its parent.

    Attributes:
        parent: The actor that it follows.
        location: Place relative to the parent, metres.
        rotation: Pitch, yaw, roll relative to the parent, degrees.
        type: `RIGID`, `SPRING_ARM` or `SPRING_ARM_GHOST`.
    """

    parent: Actor
    location: tuple[float, float, float]
    rotation: tuple[float, float, float]
    type: int


@dataclass(eq=False)
class Actor:
    """One actor.

    Attributes:
        id: Its number, unique in the life of the server.
        type_id: Blueprint id, or "spectator" or "traffic....".
        kind: Which table its row is in.
        row: Its row there; changes when other actors are destroyed.
        attributes: Blueprint attribute values.
        definition: Number of its blueprint, 0 for what the town itself brings.
        attribute_types: `AttributeType` of each attribute.
        looks: Id of the blueprint it looks like, empty where that is its own.
        box: Centre, half sizes, rotation of its bounding box in its own frame.
        tags: Semantic tags.
        attachment: Its parent, if any.
        children: Actors attached to it.
        stream_id: Stream of a sensor, 0 for other actors.
        dormant: Whether it sleeps, far from every hero of a large map.
        wakes_with_physics: Whether physics moves it again once it is not dormant any more.
        sticky: Whether a control lasts until the next one; else it lasts for one tick.
        sign_id: OpenDRIVE id of a traffic light or sign.
        events_sent: How many messages a sensor of events has sent, where they are counted.
        paint: Red, green, blue (0..255) that a client's texture gave it, None for its own colours.
        sensor: What it is if it perceives anything.
        signal: What it is if it is a traffic light or sign.
    """

    id: int
    type_id: str
    kind: int
    row: int = -1
    attributes: Mapping[str, str] = field(default_factory=dict)
    definition: int = 0
    attribute_types: Mapping[str, int] = field(default_factory=dict)
    looks: str = ""
    box: Box = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    tags: bytes = b""
    attachment: Attachment | None = None
    children: list[Actor] = field(default_factory=list)
    stream_id: int = 0
    sensor: Sensor | None = None
    signal: Signal | None = None
    dormant: bool = False
    wakes_with_physics: bool = True
    sticky: bool = True
    sign_id: str = ""
    events_sent: int = 0
    paint: tuple[int, int, int] | None = None

    @property
    def object_name(self) -> str:
        """Name by which textures are put on it, as Unreal would call it; empty for what takes none, as walkers."""
        if self.kind == PROP_KIND:
            return f"StaticMeshActor_{self.id}"
        if self.kind != VEHICLE_KIND:
            return ""
        plain = self.type_id.partition(".")[2].replace(".", "_").title().replace("_", "")
        return f"BP_{_CLASS_NAMES.get(self.type_id, plain)}_C_{self.id}"

    @property
    def parent_id(self) -> int:
        """Id of the parent, 0 without one."""
        return self.attachment.parent.id if self.attachment else 0

    @property
    def is_vehicle(self) -> bool:
        """Whether it drives."""
        return self.kind == VEHICLE_KIND

    @property
    def is_walker(self) -> bool:
        """Whether it walks."""
        return self.kind == WALKER_KIND

    @property
    def has_body(self) -> bool:
        """Whether physics moves it."""
        return self.kind in (VEHICLE_KIND, WALKER_KIND, PROP_KIND)


class Table:
    """Dense rows of one kind of actor.

    Attributes:
        rows: Structured array of the living rows; a new view after every change.
        companion: Rows of a second array with the same numbering, if asked for.
        controls: Of vehicles, a view of what a vehicle control sets, so that it is written at once.
        actors: The actor of every row.
    """

    def __init__(self, dtype: np.dtype[np.void], companion: np.dtype[np.void] | None = None) -> None:
        self._storage = np.zeros(16, dtype)
        self._companion = np.zeros(16, companion) if companion is not None else None
        self.actors: list[Actor] = []
        self.rows: NDArray[np.void] = self._storage[:0]
        self.companion: NDArray[np.void] = self.rows if self._companion is None else self._companion[:0]
        self.controls: NDArray[np.void] = self.rows

    def __len__(self) -> int:
        return len(self.actors)

    def add(self, actor: Actor) -> np.void:
        """Give an actor a zeroed row; returns the row, writable."""
        row = len(self.actors)
        if row == len(self._storage):
            self._storage = _doubled(self._storage)
            if self._companion is not None:
                self._companion = _doubled(self._companion)
        self._storage[row] = np.zeros((), self._storage.dtype)
        if self._companion is not None:
            self._companion[row] = np.zeros((), self._companion.dtype)
        self.actors.append(actor)
        actor.row = row
        self._refresh()
        self.rows[row]["id"] = actor.id
        return self.rows[row]

    def remove(self, actors: Sequence[Actor]) -> None:
        """Free the rows of actors; later rows move down, so that the order stays the order of spawning."""
        count, left = len(self.actors), len(self.actors) - len(actors)
        first = min(actor.row for actor in actors)
        kept = np.ones(count - first, bool)
        for actor in actors:
            kept[actor.row - first] = False
            actor.row = -1
        self._storage[first:left] = self._storage[first:count][kept]
        if self._companion is not None:
            self._companion[first:left] = self._companion[first:count][kept]
        self.actors[first:] = [actor for actor in self.actors[first:] if actor.row >= 0]
        for row, actor in enumerate(self.actors[first:], first):
            actor.row = row
        self._refresh()

    def _refresh(self) -> None:
        count = len(self.actors)
        self.rows = self._storage[:count]
        if self._companion is not None:
            self.companion = self._companion[:count]
            self.controls = self.rows[CONTROL_FIELDS]


def _doubled(array: NDArray[np.void]) -> NDArray[np.void]:
    larger = np.zeros(2 * len(array), array.dtype)
    larger[: len(array)] = array
    return larger
