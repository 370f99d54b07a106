"""What a loaded town is made of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.physics.ground import Surface
from minicarla.physics.obstacles import OBSTACLE, build_obstacle_grid
from minicarla.physics.state import ObstacleGrid

if TYPE_CHECKING:
    import carla

logger = logging.getLogger(__name__)

ENVIRONMENT_OBJECT = np.dtype(
    [
        ("object_id", np.uint64),
        ("label", np.uint8),
        ("x", np.float64),
        ("y", np.float64),
        ("z", np.float64),
        ("yaw", np.float64),
        ("extent_x", np.float64),
        ("extent_y", np.float64),
        ("extent_z", np.float64),
        ("name", "S48"),
    ]
)
"""A building, pole, tree, ...: centre of its box [m], yaw [degrees], half sizes [m], semantic tag, name."""

SIGNAL_ZONE = np.dtype(
    [
        ("x", np.float64),
        ("y", np.float64),
        ("z", np.float64),
        ("yaw", np.float64),
        ("extent_x", np.float64),
        ("extent_y", np.float64),
        ("limit", np.float32),
        ("signal", np.int32),
    ]
)
"""The piece of one lane where a signal counts: middle [m], yaw [rad] of its traffic, half length and half width [m],
speed limit [km/h] or 0, row of the signal."""

STOP_ZONE_BEYOND = 1.0
"""[m] How far the zone of a light, stop or yield sign reaches beyond the stop line."""


@dataclass
class Signal:
    """A traffic light or sign, as CARLA shows it to clients: an actor.

    Attributes:
        type_id: blueprint id, such as "traffic.traffic_light", "traffic.stop" or "traffic.speed_limit.60".
        sign_id: the signal's id in the OpenDRIVE text.
        x, y, z: [m] the foot of its post, in CARLA's world frame.
        pitch, yaw, roll: [degrees]; the light or sign faces along its local +y axis, as CARLA's do.
        trigger_x, trigger_y, trigger_z: [m] centre of the trigger volume in the actor's own frame.
        trigger_extent_x, trigger_extent_y, trigger_extent_z: [m] its half sizes (x across the lanes).
        junction: id of the junction, -1 for none.
        group: index of the junction group that a traffic light switches with, -1 for signs.
        controller: index of its phase within the group, -1 for signs.
        pole_index: its number within the group.
        affected_lanes: (road id, lane id, s [m]) of the lanes it holds for.
        stop_lanes: (road id, lane id, s [m]) where vehicles stop for it.
        light_boxes: float64 (n, 7): x, y, z [m] centre, yaw [rad], half sizes x (depth), y, z of each lamp head, world.
        crossing: float64 (n, 3) [m]: for a stop or yield sign, points along the lanes of its junction that cross, or
            run into, those which it lets go.
        value: the speed limit [km/h], else 0.
    """

    type_id: str
    sign_id: str
    x: float
    y: float
    z: float
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    trigger_x: float = 0.0
    trigger_y: float = 0.0
    trigger_z: float = 0.0
    trigger_extent_x: float = 0.0
    trigger_extent_y: float = 0.0
    trigger_extent_z: float = 0.0
    junction: int = -1
    group: int = -1
    controller: int = -1
    pole_index: int = 0
    affected_lanes: list[tuple[int, int, float]] = field(default_factory=list)
    stop_lanes: list[tuple[int, int, float]] = field(default_factory=list)
    light_boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 7)))
    crossing: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    value: float = 0.0

    @property
    def is_traffic_light(self) -> bool:
        """Whether it is a traffic light rather than a sign."""
        return self.type_id.startswith("traffic.traffic_light")


@dataclass
class Scenery:
    """Everything that cameras see of an empty town, as triangles in CARLA's world frame.

    Attributes:
        vertices: float32 (V, 3) [m].
        triangles: int32 (T, 3), rows of `vertices`; ground faces upward.
        label: uint8 (T,), semantic tags.
        colour: uint8 (T, 3), albedo as red, green, blue.
        object_id: uint32 (T,), row number + 1 of the environment object, 0 for the ground.
        marking_start, marking_stop: the road markings are the triangles [start, stop): pairs (0, 1, 2), (0, 2, 3) over
            four own vertices, the edges 0-1 and 3-2 running along the line.
        chunk: int32 (T,), number of the square of ground that a triangle belongs to, which rises from triangle to
            triangle; the vertices of one are neighbours. Empty if the scenery is not sorted (see `chunks`).
        reach: float32 (T,) [m], falling within a chunk: the size by which a triangle is seen from far away.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    label: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    object_id: NDArray[np.uint32]
    marking_start: int = 0
    marking_stop: int = 0
    chunk: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    reach: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def only(self, kept: NDArray[np.bool_]) -> Scenery:
        """The scenery of those triangles for which `kept`, bool (T,), is set."""
        before = np.concatenate(([0], np.cumsum(kept)))
        return Scenery(
            self.vertices,
            np.ascontiguousarray(self.triangles[kept]),
            np.ascontiguousarray(self.label[kept]),
            np.ascontiguousarray(self.colour[kept]),
            np.ascontiguousarray(self.object_id[kept]),
            int(before[self.marking_start]),
            int(before[self.marking_stop]),
            self.chunk[kept] if len(self.chunk) else self.chunk,
            self.reach[kept] if len(self.reach) else self.reach,
        )


class RayTargets(NamedTuple):
    """Boxes that rays meet, and their grid: the obstacles, in their order, then what nothing collides with."""

    boxes: NDArray[np.void]
    grid: ObstacleGrid


def ray_targets(obstacles: NDArray[np.void], objects: NDArray[np.void]) -> RayTargets:
    """Obstacles with plates of signs, heads of traffic lights and crowns of trees among some environment objects.

    Args:
        obstacles: structured array `physics.state.OBSTACLE`.
        objects: structured array `ENVIRONMENT_OBJECT`.
    """
    shown = objects[np.isin(objects["label"], (labels.TRAFFIC_LIGHT, labels.TRAFFIC_SIGNS))]
    boxes = np.zeros(len(shown), OBSTACLE)
    for name in OBSTACLE.names or ():
        boxes[name] = shown[name]
    boxes["yaw"] = np.radians(shown["yaw"])
    together = np.concatenate([obstacles, boxes, _crowns(obstacles, objects)])
    return RayTargets(together, build_obstacle_grid(together))


def _crowns(obstacles: NDArray[np.void], objects: NDArray[np.void]) -> NDArray[np.void]:
    """Boxes for what leaves surround: the upper parts of trees, of whose lower ones only the trunks are met."""
    trees = objects[objects["label"] == labels.VEGETATION]
    _, of_tree, of_trunk = np.intersect1d(trees["object_id"], obstacles["object_id"], return_indices=True)
    trees, trunks = trees[of_tree], obstacles[of_trunk]
    crowns = np.zeros(len(trees), OBSTACLE)
    for name in OBSTACLE.names or ():
        crowns[name] = trees[name]
    low, high = trunks["z"] + trunks["extent_z"], trees["z"] + trees["extent_z"]
    # As much space as the knobbly ball takes that cameras see there.
    crowns["z"], crowns["extent_z"] = 0.5 * (low + high), 0.45 * (high - low)
    crowns["extent_x"], crowns["extent_y"] = 0.7 * trees["extent_x"], 0.7 * trees["extent_y"]
    return crowns[high > low]


@dataclass
class Town:
    """A town, ready to be simulated.

    Attributes:
        name: as asked for, without path: "Town05" or "Town05_Opt".
        map_name: as CARLA reports it: "Carla/Maps/Town05".
        opendrive: the OpenDRIVE text.
        spawn_points: float64 (N, 6): x, y, z [m], pitch, yaw, roll [degrees].
        surface: the ground.
        obstacles: structured array `physics.state.OBSTACLE`.
        obstacle_grid: finds obstacles near a point.
        signals: traffic lights and signs.
        signal_zones: structured array `SIGNAL_ZONE`: where vehicles stand at lights and pass signs.
        crosswalks: polygons float64 (n, 3) [m].
        geo_reference: latitude and longitude [degrees] of the origin.
        scenery: triangles for cameras.
        environment_objects: structured array `ENVIRONMENT_OBJECT`.
        street_lights: float64 (n, 3) [m], the lamps of street lights.
        make_navigation_mesh: makes or finds the navigation mesh, see `navigation_mesh`; there is none unless set.
    """

    name: str
    map_name: str
    opendrive: str
    spawn_points: NDArray[np.float64]
    surface: Surface
    obstacles: NDArray[np.void]
    obstacle_grid: ObstacleGrid
    signals: list[Signal]
    signal_zones: NDArray[np.void]
    crosswalks: list[NDArray[np.float64]]
    geo_reference: tuple[float, float]
    scenery: Scenery
    environment_objects: NDArray[np.void]
    street_lights: NDArray[np.float64]
    make_navigation_mesh: Callable[[], tuple[str, bytes]] = lambda: ("", b"")

    @cached_property
    def ray_targets(self) -> RayTargets:
        """What rays meet of the town besides the ground."""
        return ray_targets(self.obstacles, self.environment_objects)

    @cached_property
    def carla_map(self) -> carla.Map:
        """The client library's own map of this town, parsed at first use."""
        import carla

        return carla.Map(self.map_name, self.opendrive)

    @cached_property
    def _navigation_mesh(self) -> tuple[str, bytes]:
        try:
            return self.make_navigation_mesh()
        except (ArithmeticError, LookupError, ValueError):
            # A client asks for the mesh on connecting: without an answer it could not even load another town.
            logger.exception("there is no navigation mesh of %s: controllers of walkers stand still there", self.name)
            return "", b""

    def navigation_mesh(self) -> tuple[str, bytes]:
        """File name and content of the mesh that the client's walkers use (Detour, as CARLA serves it), or nothing."""
        return self._navigation_mesh
