"""What a sensor is shown of the world, and where on the world it sits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.geodesy import Projection, transverse_mercator

if TYPE_CHECKING:
    from minicarla.physics.ground import Surface
    from minicarla.physics.obstacles import ObstacleGrid

Joints = tuple[tuple[float, float, float], ...]


class ActorLookup(Protocol):
    """Facts about actors that no array holds. `kind` is one of physics.state's kinds, `row` a row of its array."""

    def describe(self, kind: int, row: int) -> Sequence[object]:
        """The actor as the protocol's Actor layout, ready for msgpack."""

    def type_id(self, kind: int, row: int) -> str:
        """Blueprint id, such as "vehicle.tesla.model3"."""

    def colour(self, kind: int, row: int) -> tuple[int, int, int]:
        """Paint as red, green, blue (0..255)."""

    def is_painted(self, kind: int, row: int) -> bool:
        """Whether the paint covers all of it, instead of the colours of its parts."""

    def posture(self, row: int) -> Joints | None:
        """Where the `models.JOINTS` of a walker are in its own frame [m], if a client posed it; else it just walks."""

    def light_flags(self, row: int) -> int:
        """CARLA's VehicleLightState bits of a vehicle."""

    def open_doors(self, row: int) -> int:
        """Open doors of a vehicle: a bit for each of CARLA's VehicleDoor."""

    def is_emergency_vehicle(self, row: int) -> bool:
        """Whether a vehicle is one of the fire brigade, the police or an ambulance."""


class Transmission(NamedTuple):
    """What a radio sends in a tick.

    Attributes:
        channel: blueprint id of the sensor that sends; only sensors of its kind hear it.
        mount: that sensor.
        power: [dBm] with which it sends.
        messages: as the client holds them; the first four bytes of each are for the power that arrives.
    """

    channel: str
    mount: Mount
    power: float
    messages: tuple[bytes, ...]


class VisibleScenery(Protocol):
    """The triangles of a town; `town.Scenery` tells shapes and units."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    label: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    object_id: NDArray[np.uint32]
    chunk: NDArray[np.int32]
    reach: NDArray[np.float32]


class VisibleSignal(Protocol):
    """A traffic light or sign; `town.Signal` tells shapes and units."""

    yaw: float
    light_boxes: NDArray[np.float64]

    @property
    def is_traffic_light(self) -> bool:
        """Whether it is a traffic light rather than a sign."""


class VisibleTargets(Protocol):
    """What rays meet besides the ground: structured array `physics.state.OBSTACLE`, and its grid."""

    @property
    def boxes(self) -> NDArray[np.void]:
        """The boxes."""

    @property
    def grid(self) -> ObstacleGrid:
        """Finds them near a point."""


class VisibleTown(Protocol):
    """What sensors are shown of a town; `town.Town` tells shapes and units."""

    surface: Surface
    obstacles: NDArray[np.void]
    obstacle_grid: ObstacleGrid
    geo_reference: tuple[float, float]
    street_lights: NDArray[np.float64]

    @property
    def scenery(self) -> VisibleScenery:
        """Triangles for cameras."""

    @property
    def signals(self) -> Sequence[VisibleSignal]:
        """Traffic lights and signs."""

    @property
    def ray_targets(self) -> VisibleTargets:
        """What rays meet besides the ground."""


class View(NamedTuple):
    """The world after one tick. Positions are metres in CARLA's left-handed world frame, angles radians.

    Attributes:
        frame: number of the tick.
        time: [s] simulation time since the episode began.
        dt: [s] length of the tick.
        town: the loaded town (surface, obstacles, scenery, signals, map).
        vehicles, walkers, props: structured arrays of physics.state, living rows only.
        weather: CARLA's 14 weather parameters by name.
        light_states: uint8, CARLA's TrafficLightState of each of `town.signals`.
        contacts: structured array CONTACT: what touched during this tick.
        gravity: [m/s^2] acceleration of free fall, positive.
        actors: see `ActorLookup`.
        lamps: float32 (n, 3), linear light (red, green, blue) of each of `town.street_lights`, 1 as they have it by
            default. Another array whenever one of them changes. None: all are off.
        culling_distance: [m] cameras see nothing beyond it; 0: as far as there is something.
        projection: from metres on the map to degrees of latitude and longitude.
        air: what radios send in this tick.
    """

    frame: int
    time: float
    dt: float
    town: VisibleTown
    vehicles: NDArray[np.void]
    walkers: NDArray[np.void]
    props: NDArray[np.void]
    weather: Mapping[str, float]
    light_states: NDArray[np.uint8]
    contacts: NDArray[np.void]
    gravity: float
    actors: ActorLookup
    lamps: NDArray[np.float32] | None = None
    culling_distance: float = 0.0
    projection: Projection = transverse_mercator
    air: tuple[Transmission, ...] = ()


class Mount(NamedTuple):
    """Where a sensor is, and on whom.

    Attributes:
        position: float64 (3,), [m] in the world.
        rotation: float64 (3, 3), columns are the sensor's forward, right and up in the world.
        velocity: float64 (3,), [m/s] of the sensor in the world.
        kind: kind of the parent as in physics.state, -1 without parent.
        row: row of the parent in its array, -1 without parent.
        actor_id: id of the sensor itself.
        parent_id: id of the parent, 0 without parent.
    """

    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    velocity: NDArray[np.float64]
    kind: int
    row: int
    actor_id: int
    parent_id: int = 0

    @property
    def has_body(self) -> bool:
        """Whether it is on a vehicle, a walker or a prop."""
        return self.kind >= 0

    def body(self, view: View) -> np.void | None:
        """The row of the parent in its array, None if it has none."""
        return (view.vehicles, view.walkers, view.props)[self.kind][self.row] if self.has_body else None
