"""What stands beside the roads: buildings, trees, street lights, guard rails, pillars, posts of lights and signs."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.labels import (
    BRIDGE,
    BUILDINGS,
    GUARD_RAIL,
    POLES,
    TERRAIN,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGNS,
    VEGETATION,
    WALLS,
)
from minicarla.physics.ground import TILE_CELLS, Surface, ground_at
from minicarla.physics.state import OBSTACLE
from minicarla.town.generation import WALL_THICKNESS, walls
from minicarla.town.lanes import NONE, SIDEWALK, LaneTable
from minicarla.town.mesh import Array, Colour, MeshBuilder
from minicarla.town.posts import SOLID_CLEARANCE, post_places
from minicarla.town.town import ENVIRONMENT_OBJECT, Signal

RASTER = 1.0
"""[m] Cell of the map of free places."""

STREET_LIGHT_SPACING, STREET_LIGHT_HEIGHT = 32.0, 7.0
RAIL_DROP, RAIL_REACH = 1.8, 4.0
"""[m] A guard rail stands where the ground this far beside the road is this much lower."""
WALL_SINK, WALL_STEP = 0.3, 0.25
"""[m] A wall reaches this far into the ground; boxes that stand for a sloping one differ by this much in height."""

PILLAR_SPACING = 18.0
MOST_BUILDINGS, MOST_TREES = 2500, 6000

_FACADES: tuple[Colour, ...] = (
    (158, 140, 120), (176, 164, 146), (128, 112, 104), (148, 92, 74), (190, 182, 168), (120, 126, 132), (168, 122, 96),
    (204, 196, 180), (108, 104, 100),
)  # fmt: skip
_LEAVES: tuple[Colour, ...] = ((62, 92, 40), (74, 104, 46), (52, 84, 44), (88, 108, 52))
_GLASS, _ROOF = (62, 74, 88), (96, 92, 90)
_METAL, _TRUNK, _DARK = (112, 114, 116), (84, 66, 48), (28, 30, 30)
_CONCRETE = (164, 162, 156)

_BARS = {
    "top": (-0.07, 0.12, 0.07, 0.16),
    "middle": (-0.07, -0.02, 0.07, 0.02),
    "bottom": (-0.07, -0.16, 0.07, -0.12),
    "upper left": (-0.09, 0.0, -0.05, 0.16),
    "upper right": (0.05, 0.0, 0.09, 0.16),
    "lower left": (-0.09, -0.16, -0.05, 0.0),
    "lower right": (0.05, -0.16, 0.09, 0.0),
}
"""Bars of a digit: left, lower, right, upper bound [m]."""
_DIGIT_BARS = [
    [name for name in _BARS if name not in missing]
    for missing in (
        ("middle",),
        ("top", "middle", "bottom", "upper left", "lower left"),
        ("upper left", "lower right"),
        ("upper left", "lower left"),
        ("top", "bottom", "lower left"),
        ("upper right", "lower left"),
        ("upper right",),
        ("middle", "bottom", "upper left", "lower left"),
        (),
        ("lower left",),
    )
]


RUN_UPS = {"Town10HD": ((30.0, -6.0, -90.0),)}
"""Places beside the roads of CARLA's towns from which its own tests drive a car against a wall: x, y [m], heading."""
_RUN_UP, _RUN_UP_WIDTH = 14.0, 5.0
"""[m] Way to the wall, and how wide it is free."""


class Furniture:
    """Puts objects on the ground: each gets an environment object, a mesh and, if it is solid, obstacle boxes."""

    def __init__(self, mesh: MeshBuilder, surface: Surface, seed: int) -> None:
        self.mesh, self.surface = mesh, surface
        self.random = np.random.default_rng(seed)
        self.free = _FreeGround(surface)
        self._objects: list[tuple[object, ...]] = []
        self._obstacles: list[tuple[float, ...]] = []
        self.street_lights: list[tuple[float, float, float]] = []
        self._walled = False

    def objects(self) -> NDArray[np.void]:
        """Structured array `ENVIRONMENT_OBJECT`."""
        return np.array(self._objects, ENVIRONMENT_OBJECT)

    def obstacles(self) -> NDArray[np.void]:
        """Structured array `OBSTACLE`."""
        return np.array(self._obstacles, OBSTACLE)

    def add_signals(self, signals: list[Signal], lanes: LaneTable) -> None:
        """Posts, arms and plates of traffic lights and signs (lamp lenses are drawn by the cameras)."""
        for signal, (x, y, clearance) in zip(signals, post_places(signals, lanes)):
            foot = np.array([x, y, signal.z])
            if signal.is_traffic_light:
                self._traffic_light(signal, foot, clearance >= SOLID_CLEARANCE)
            else:
                self._sign(signal, foot, clearance >= SOLID_CLEARANCE)

    def add_run_ups(self, town: str) -> None:
        """A free way and a wall where CARLA's town has one, see `RUN_UPS`."""
        for x, y, heading in RUN_UPS.get(town, ()):
            yaw = math.radians(heading)
            start, ahead = np.array([x, y]), np.array([math.cos(yaw), math.sin(yaw)])
            half = np.array([4.0, 7.0])
            self._building(start + ahead * (_RUN_UP + half[0]), half, yaw)
            middle = start + ahead * (0.5 * _RUN_UP - 3.0)
            self.free.take_rectangle(middle[0], middle[1], yaw, 0.5 * _RUN_UP + 3.0, 0.5 * _RUN_UP_WIDTH)

    def add_walls(self, lanes: LaneTable, height: float, longest: float) -> None:
        """Walls at the edges of the roads, which guard rails would only double.

        Args:
            lanes: the lanes of the town.
            height: [m] how high the walls are.
            longest: [m] greatest length of one wall.
        """
        self._walled = True
        for start, end in walls(lanes, _outer_edges(lanes, 0.0), self.surface, longest):
            self._wall(start, end, height)

    def add_roadside(self, lanes: LaneTable) -> None:
        """Buildings and street lights along sidewalks, trees along the other roads, rails and pillars at bridges."""
        edges = _outer_edges(lanes)
        for row, points, outward in edges:
            if not self._walled:
                self._guard_rails(points, outward)
            if lanes.type[row] == SIDEWALK:
                self._street_lights(points, outward)
        self._pillars(lanes)
        order = self.random.permutation(len(edges))
        for index in order:
            row, points, outward = edges[index]
            if lanes.type[row] == SIDEWALK:
                self._buildings(points, outward)
        for index in order:
            row, points, outward = edges[index]
            self._trees(points, outward, 14.0 if lanes.type[row] == SIDEWALK else 9.0)

    def _new_object(
        self,
        label: int,
        name: str,
        centre: Array,
        half: Array,
        yaw: float,
        solid: bool = True,
        outline: tuple[Array, Array] | None = None,
    ) -> int:
        """Add an object and, if it is solid, its obstacle.

        `outline` is the box (centre, half sizes) of all that is seen of it, where that is more than what is solid.
        """
        identity = len(self._objects) + 1
        x, y, z = (float(v) for v in centre)
        sizes = tuple(float(v) for v in half)
        box = (centre, half) if outline is None else outline
        place, seen = ([float(v) for v in vector] for vector in box)
        self._objects.append((identity, label, *place, math.degrees(yaw), *seen, f"{name}_{identity}"))
        if solid:
            self._obstacles.append((x, y, z, yaw, *sizes, label, identity))
        return identity

    def _ground(self, x: float, y: float, near: float = 1e4) -> float:
        return float(ground_at(self.surface, x, y, near)[0])

    def _traffic_light(self, signal: Signal, foot: Array, solid: bool) -> None:
        heads = signal.light_boxes
        top = float(heads[:, 2].max()) - signal.z + 0.2 if len(heads) else 5.0
        half = np.array([0.1, 0.1, 0.5 * top])
        identity = self._new_object(POLES, "TrafficLightPole", foot + (0, 0, 0.5 * top), half, 0.0, solid)
        self.mesh.add_prism(foot, 0.1, top, 6, POLES, _METAL, identity)
        for head in heads:
            centre, yaw, size = head[:3], float(head[3]), head[4:7]
            lamp = self._new_object(TRAFFIC_LIGHT, "TrafficLight", centre, size, yaw, solid=False)
            self.mesh.add_box(centre, size, yaw, TRAFFIC_LIGHT, _DARK, lamp)
            arm = centre[:2] - foot[:2]
            reach = float(np.hypot(*arm))
            if reach > 0.5:
                middle = np.append(foot[:2] + 0.5 * arm, foot[2] + top - 0.15)
                angle = math.atan2(arm[1], arm[0])
                self.mesh.add_box(middle, np.array([0.5 * reach, 0.06, 0.06]), angle, POLES, _METAL, identity)

    def _sign(self, signal: Signal, foot: Array, solid: bool) -> None:
        yaw = math.radians(signal.yaw) + 0.5 * math.pi
        pole = self._new_object(POLES, "SignPole", foot + (0, 0, 1.2), np.array([0.05, 0.05, 1.2]), 0.0, solid)
        self.mesh.add_prism(foot, 0.05, 2.4, 5, POLES, _METAL, pole)
        centre = foot + (0.06 * math.cos(yaw), 0.06 * math.sin(yaw), 2.1)
        plate = self._new_object(TRAFFIC_SIGNS, "TrafficSign", centre, np.array([0.03, 0.4, 0.4]), yaw, solid=False)
        sides, start, rim, face = {
            "traffic.stop": (8, math.pi / 8, (225, 225, 225), (176, 24, 30)),
            "traffic.yield": (3, -math.pi / 2, (186, 28, 32), (232, 232, 230)),
        }.get(signal.type_id, (16, 0.0, (186, 28, 32), (232, 232, 230)))
        self._plate(centre, yaw, 0.42, sides, start, rim, plate)
        forward = np.array([math.cos(yaw), math.sin(yaw), 0.0])
        self._plate(centre - 0.02 * forward, yaw, 0.42, sides, start, _METAL, plate)
        self._plate(centre + 0.02 * forward, yaw, 0.32, sides, start, face, plate)
        if signal.value > 0:
            self._digits(centre + 0.035 * forward, yaw, f"{round(signal.value)}", plate)

    def _plate(
        self, centre: Array, yaw: float, radius: float, sides: int, start: float, colour: Colour, identity: int
    ) -> None:
        """A flat regular polygon that faces `yaw`."""
        angle = start + np.arange(sides) * 2.0 * np.pi / sides
        across = np.array([-math.sin(yaw), math.cos(yaw), 0.0])
        rim = centre + radius * (np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * np.array([0.0, 0.0, 1.0]))
        fan = np.column_stack([np.zeros(sides - 2, int), np.arange(1, sides - 1), np.arange(2, sides)])
        self.mesh.add(rim, fan, TRAFFIC_SIGNS, colour, identity)

    def _digits(self, centre: Array, yaw: float, text: str, identity: int) -> None:
        """A number in the middle of a plate, drawn with seven bars a digit."""
        # The reader's right when he looks at the plate's face.
        across = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
        up = np.array([0.0, 0.0, 1.0])
        quads = []
        for place, digit in enumerate(text):
            middle = (place - 0.5 * (len(text) - 1)) * 0.24
            for bar in _DIGIT_BARS[int(digit)]:
                x0, z0, x1, z1 = _BARS[bar]
                quads.append(
                    [centre + (middle + x) * across + z * up for x, z in ((x0, z0), (x1, z0), (x1, z1), (x0, z1))]
                )
        self.mesh.add_quads(np.array(quads), TRAFFIC_SIGNS, _DARK, identity)

    def _street_lights(self, points: Array, outward: Array) -> None:
        for point, normal in _places(points, outward, STREET_LIGHT_SPACING, 8.0):
            foot = point + 0.35 * np.append(normal, 0.0)
            if not self.free.disc(foot[0], foot[1], 0.4):
                continue
            self.free.take(foot[0], foot[1], 1.5)
            foot[2] = self._ground(foot[0], foot[1])
            self._street_light(foot, -normal)

    def _street_light(self, foot: Array, inward: Array) -> None:
        half = np.array([0.1, 0.1, 0.5 * STREET_LIGHT_HEIGHT])
        identity = self._new_object(POLES, "StreetLight", foot + (0, 0, half[2]), half, 0.0)
        self.mesh.add_prism(foot, 0.09, STREET_LIGHT_HEIGHT, 6, POLES, _METAL, identity)
        lamp = foot + np.append(1.8 * inward, STREET_LIGHT_HEIGHT)
        yaw = math.atan2(inward[1], inward[0])
        arm = foot + np.append(0.9 * inward, STREET_LIGHT_HEIGHT - 0.05)
        self.mesh.add_box(arm, np.array([0.9, 0.05, 0.05]), yaw, POLES, _METAL, identity)
        self.mesh.add_box(lamp, np.array([0.35, 0.14, 0.07]), yaw, POLES, (214, 210, 190), identity)
        self.street_lights.append((float(lamp[0]), float(lamp[1]), float(lamp[2])))

    def _buildings(self, points: Array, outward: Array) -> None:
        length = float(np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1).sum())
        at = 4.0
        while at < length - 4.0 and len(self._objects) < MOST_BUILDINGS:
            width, depth = self.random.uniform(9.0, 22.0), self.random.uniform(9.0, 15.0)
            setback = self.random.uniform(2.5, 5.0)
            point, normal = _place(points, outward, at + 0.5 * width)
            for scale in (1.0, 0.65):
                half = 0.5 * np.array([depth, width]) * scale
                centre = point[:2] + normal * (setback + half[0])
                yaw = math.atan2(normal[1], normal[0])
                if self.free.rectangle(centre[0], centre[1], yaw, half[0] + 1.0, half[1] + 0.5):
                    self._building(centre, half, yaw)
                    break
            at += width + self.random.uniform(1.5, 6.0)

    def _building(self, centre: Array, half: Array, yaw: float) -> None:
        self.free.take_rectangle(centre[0], centre[1], yaw, half[0] + 1.0, half[1] + 0.5)
        corners = [(a, b) for a in (-1, 1) for b in (-1, 1)]
        cos, sin = math.cos(yaw), math.sin(yaw)
        feet = [
            self._ground(
                centre[0] + a * half[0] * cos - b * half[1] * sin, centre[1] + a * half[0] * sin + b * half[1] * cos
            )
            for a, b in corners
        ]
        low, high = min(feet), max(feet)
        storeys = int(self.random.integers(2, 5) if self.random.random() < 0.6 else self.random.integers(5, 11))
        top = high + 3.1 * storeys + 0.6
        middle = np.array([centre[0], centre[1], 0.5 * (low - 0.5 + top)])
        size = np.array([half[0], half[1], 0.5 * (top - low + 0.5)])
        identity = self._new_object(BUILDINGS, "Building", middle, size, yaw)
        colour = _FACADES[int(self.random.integers(len(_FACADES)))]
        self.mesh.add_box(middle, size, yaw, BUILDINGS, colour, identity)
        roof = np.array([centre[0], centre[1], top + 0.02])
        self.mesh.add_box(roof, np.array([half[0] - 0.3, half[1] - 0.3, 0.02]), yaw, BUILDINGS, _ROOF, identity)
        self._windows(centre, half, yaw, high, storeys, identity)

    def _windows(self, centre: Array, half: Array, yaw: float, base: float, storeys: int, identity: int) -> None:
        """A band of windows a storey and side, broken by piers."""
        quads = []
        for turn in range(4):
            angle = yaw + turn * math.pi / 2
            depth, width = (half[0], half[1]) if turn % 2 == 0 else (half[1], half[0])
            normal = np.array([math.cos(angle), math.sin(angle)])
            across = np.array([-normal[1], normal[0]])
            wall = centre + normal * (depth + 0.03)
            bays = max(int(2.0 * width / 5.0), 1)
            pitch = 2.0 * width / bays
            for bay in range(bays):
                left, right = (-width + bay * pitch + 0.7, -width + (bay + 1) * pitch - 0.7)
                for storey in range(storeys):
                    z0, z1 = base + 3.1 * storey + 1.0, base + 3.1 * storey + 2.4
                    a, b = wall + across * left, wall + across * right
                    quads.append([(*a, z0), (*b, z0), (*b, z1), (*a, z1)])
        self.mesh.add_quads(np.array(quads), BUILDINGS, _GLASS, identity)

    def _trees(self, points: Array, outward: Array, spacing: float) -> None:
        for point, normal in _places(points, outward, spacing, 3.0):
            if len(self._objects) >= MOST_TREES:
                return
            offset = self.random.uniform(2.2, 16.0)
            x, y = point[:2] + normal * offset + self.random.uniform(-2.5, 2.5, 2)
            radius = self.random.uniform(1.3, 2.4)
            if self.random.random() < 0.3 or not self.free.disc(x, y, 0.7 * radius + 0.6):
                continue
            self.free.take(x, y, radius)
            self._tree(np.array([x, y, self._ground(x, y)]), radius)

    def _tree(self, foot: Array, radius: float) -> None:
        trunk = radius * self.random.uniform(1.1, 1.6)
        colour = _LEAVES[int(self.random.integers(len(_LEAVES)))]
        radii = np.array([radius, radius, radius * self.random.uniform(0.9, 1.5)])
        crown = foot + (0, 0, trunk + 0.75 * radii[2])
        half_height = 0.5 * (trunk + 1.75 * radii[2])
        identity = self._new_object(
            VEGETATION,
            "Tree",
            foot + (0, 0, 0.5 * trunk),
            np.array([0.18, 0.18, 0.5 * trunk + 0.2]),
            0.0,
            outline=(foot + (0, 0, half_height), np.array([radius, radius, half_height])),
        )
        self.mesh.add_frustum(foot - (0, 0, 0.2), 0.2, 0.13, trunk + 0.6, 5, VEGETATION, _TRUNK, identity)
        self.mesh.add_crown(crown, radii, VEGETATION, colour, identity, int(self.random.integers(1000)))

    def _guard_rails(self, points: Array, outward: Array) -> None:
        """Rails along those pieces of an edge beside which the ground drops."""
        side = points[:, :2] + RAIL_REACH * outward
        beside = points[:, :2] + 0.6 * outward
        for k in range(len(points) - 1):
            z = points[k, 2]
            drop = z - self._ground(side[k, 0], side[k, 1], z + 0.2)
            # Where another lane lies right beside this one at its height, this is no edge.
            height, *_, label = ground_at(self.surface, beside[k, 0], beside[k, 1], z + 0.2)
            if drop < RAIL_DROP or drop > 1e6 or (abs(height - z) < 0.5 and label != TERRAIN):
                continue
            a, b = points[k] + (0, 0, 0.45), points[k + 1] + (0, 0, 0.45)
            a[:2] += 0.2 * outward[k]
            b[:2] += 0.2 * outward[k + 1]
            length = float(np.hypot(*(b - a)[:2]))
            if length < 0.2:
                continue
            yaw = math.atan2(b[1] - a[1], b[0] - a[0])
            half = np.array([0.5 * length + 0.05, 0.08, 0.45 + 0.5 * abs(float(b[2] - a[2]))])
            identity = self._new_object(GUARD_RAIL, "GuardRail", 0.5 * (a + b), half, yaw)
            rails = []
            for low, high in ((0.0, 0.3), (-0.45, -0.25)):
                rails.append([a + (0, 0, low), b + (0, 0, low), b + (0, 0, high), a + (0, 0, high)])
            self.mesh.add_quads(np.array(rails), GUARD_RAIL, _METAL, identity)

    def _wall(self, start: Array, end: Array, height: float) -> None:
        """A wall between two feet, on a slope too; what is hit of it are upright boxes."""
        along = end - start
        length, rise = float(np.hypot(*along[:2])), float(along[2])
        if length < 0.2:
            return
        yaw = math.atan2(along[1], along[0])
        centre = 0.5 * (start + end) + (0.0, 0.0, 0.5 * (height - WALL_SINK))
        half = np.array([0.5 * length, 0.5 * WALL_THICKNESS, 0.5 * (height + WALL_SINK + abs(rise))])
        identity = self._new_object(WALLS, "Wall", centre, half, yaw, solid=False)
        parts = max(math.ceil(abs(rise) / WALL_STEP), 1)
        # Boxes overlap a little, so that nothing slips through where walls meet at an angle.
        box = (0.5 * length / parts + 0.05, half[1], 0.5 * (height + WALL_SINK + abs(rise) / parts))
        for part in range(parts):
            x, y, z = centre + ((part + 0.5) / parts - 0.5) * along
            self._obstacles.append((float(x), float(y), float(z), yaw, *box, WALLS, identity))
        across = half[1] * np.array([-math.sin(yaw), math.cos(yaw), 0.0])
        low, high = np.array([0.0, 0.0, -WALL_SINK]), np.array([0.0, 0.0, height])
        a, b, c, d = start - across, end - across, end + across, start + across
        sides = [[p + low, q + low, q + high, p + high] for p, q in ((a, b), (b, c), (c, d), (d, a))]
        self.mesh.add_quads(np.array([*sides, [a + high, b + high, c + high, d + high]]), WALLS, _CONCRETE, identity)

    def _pillars(self, lanes: LaneTable) -> None:
        """Pillars below decks, where the ground below them is open."""
        rows = np.flatnonzero((lanes.type != NONE) & (np.abs(lanes.lane_id) == 1))
        for row in rows:
            points = lanes.inner[lanes.stations(int(row))]
            for point, _ in _places(points, np.zeros((len(points), 2)), PILLAR_SPACING, 2.0):
                below, *_, label = ground_at(self.surface, point[0], point[1], point[2] - 3.0)
                if not math.isfinite(below) or point[2] - below < 3.0 or label != TERRAIN:
                    continue
                if not self.free.disc_below(point[0], point[1], point[2] - 3.0, 1.2, self.surface):
                    continue
                height = point[2] - 0.6 - below
                centre = np.array([point[0], point[1], below + 0.5 * height])
                identity = self._new_object(BRIDGE, "Pillar", centre, np.array([0.55, 0.55, 0.5 * height]), 0.0)
                foot = np.array([point[0], point[1], below])
                self.mesh.add_prism(foot, 0.6, height, 10, BRIDGE, (150, 148, 144), identity)


class _FreeGround:
    """Raster of the places where nothing stands yet: terrain, with no deck above."""

    def __init__(self, surface: Surface) -> None:
        self.origin = np.array([surface.origin_x, surface.origin_y])
        self.map = _free_map(surface)

    def disc(self, x: float, y: float, radius: float) -> bool:
        """Whether a disc is free."""
        return self._all_free(*self._disc_points(x, y, radius))

    def disc_below(self, x: float, y: float, z: float, radius: float, surface: Surface) -> bool:
        """Whether the ground below a deck is terrain all over a disc."""
        u, v = self._disc_points(x, y, radius)
        return all(ground_at(surface, a, b, z)[4] == TERRAIN for a, b in zip(u, v))

    def rectangle(self, x: float, y: float, yaw: float, half_x: float, half_y: float) -> bool:
        """Whether an oriented rectangle is free."""
        return self._all_free(*_rectangle_points(x, y, yaw, half_x, half_y))

    def take(self, x: float, y: float, radius: float) -> None:
        """Occupy a disc."""
        u, v = (np.array([x, y]) - self.origin) / RASTER
        cv2.circle(self.map, (int(u), int(v)), math.ceil(radius / RASTER), 0, -1)

    def take_rectangle(self, x: float, y: float, yaw: float, half_x: float, half_y: float) -> None:
        """Occupy a rectangle."""
        u, v = self._cells(*_rectangle_points(x, y, yaw, half_x, half_y))
        self.map[v, u] = 0

    def _disc_points(self, x: float, y: float, radius: float) -> tuple[Array, Array]:
        angle = np.arange(8) * np.pi / 4
        return (
            np.append(x + radius * np.cos(angle), x),
            np.append(y + radius * np.sin(angle), y),
        )

    def _cells(self, x: Array, y: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        u = np.clip(((x - self.origin[0]) / RASTER).astype(int), 0, self.map.shape[1] - 1)
        v = np.clip(((y - self.origin[1]) / RASTER).astype(int), 0, self.map.shape[0] - 1)
        return u, v

    def _all_free(self, x: Array, y: Array) -> bool:
        u, v = self._cells(x, y)
        return bool(self.map[v, u].all())


def _rectangle_points(x: float, y: float, yaw: float, half_x: float, half_y: float) -> tuple[Array, Array]:
    a, b = np.meshgrid(
        np.linspace(-half_x, half_x, max(int(2 * half_x / 0.9), 2) + 1),
        np.linspace(-half_y, half_y, max(int(2 * half_y / 0.9), 2) + 1),
    )
    cos, sin = math.cos(yaw), math.sin(yaw)
    return (x + a * cos - b * sin).ravel(), (y + a * sin + b * cos).ravel()


@njit()
def _free_map(surface):  # type: ignore[no-untyped-def]
    rows, columns = surface.tile_first.shape
    side = round(surface.cell * TILE_CELLS / RASTER)
    out = np.zeros((rows * side, columns * side), np.uint8)
    for row in range(rows):
        for column in range(columns):
            tile = surface.tile_first[row, column]
            if tile < 0 or surface.tile_next[tile] >= 0:
                continue
            for v in range(side):
                for u in range(side):
                    a = int((v + 0.5) / surface.cell)
                    b = int((u + 0.5) / surface.cell)
                    height = surface.height[tile, a, b]
                    if surface.label[tile, a, b] == TERRAIN and height == height:
                        out[row * side + v, column * side + u] = 1
    return out


def _outer_edges(lanes: LaneTable, spacing: float = 4.0) -> list[tuple[int, Array, Array]]:
    """The outermost lane of each side of each road section: row, its edge about every `spacing` m
    (0: at each station), unit vectors outward."""
    outermost: dict[tuple[int, int, bool], int] = {}
    for row in np.flatnonzero(lanes.type != NONE).tolist():
        key = (int(lanes.road[row]), int(lanes.section[row]), bool(lanes.lane_id[row] > 0))
        if key not in outermost or abs(lanes.lane_id[row]) > abs(lanes.lane_id[outermost[key]]):
            outermost[key] = row
    # One-sided roads end at the reference line on their other side.
    edges = []
    for (road, section, left), row in outermost.items():
        stations = lanes.stations(row)
        edges.append((row, *_edge(lanes.outer[stations], lanes.inner[stations], spacing)))
        if (road, section, not left) not in outermost and lanes.junction[row] < 0:
            first = _innermost(lanes, row)
            stations = lanes.stations(first)
            edges.append((first, *_edge(lanes.inner[stations], lanes.outer[stations], spacing)))
    return edges


def _innermost(lanes: LaneTable, row: int) -> int:
    same = (lanes.road == lanes.road[row]) & (lanes.section == lanes.section[row])
    same &= np.sign(lanes.lane_id) == np.sign(lanes.lane_id[row])
    rows = np.flatnonzero(same)
    return int(rows[np.argmin(np.abs(lanes.lane_id[rows]))])


def _edge(edge: Array, other: Array, spacing: float) -> tuple[Array, Array]:
    step = max(1, round(spacing / max(float(np.hypot(*(edge[-1] - edge[0])[:2])) / max(len(edge) - 1, 1), 0.1)))
    keep = np.unique(np.append(np.arange(0, len(edge), step), len(edge) - 1))
    points = edge[keep]
    along = np.gradient(points[:, :2], axis=0) if len(points) > 1 else np.zeros((len(points), 2))
    outward = np.column_stack([-along[:, 1], along[:, 0]])
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    away = np.sum((edge[keep] - other[keep])[:, :2] * outward, axis=1)
    outward[away < 0] *= -1.0
    return points, outward


def _place(points: Array, outward: Array, at: float) -> tuple[Array, Array]:
    """Point and outward normal at a distance [m] along an edge."""
    ((point, normal),) = _places_at(points, outward, np.array([at]))
    return point, normal


def _places(points: Array, outward: Array, spacing: float, inset: float) -> list[tuple[Array, Array]]:
    """Evenly spaced points and normals along an edge, `inset` [m] away from its ends."""
    length = float(np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1).sum())
    return _places_at(points, outward, np.arange(inset, length - inset, spacing))


def _places_at(points: Array, outward: Array, at: Array) -> list[tuple[Array, Array]]:
    """Points and outward normals at distances [m] along an edge."""
    if len(at) == 0:
        return []
    run = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1))])
    places = np.column_stack([np.interp(at, run, points[:, k]) for k in range(3)])
    normals = np.column_stack([np.interp(at, run, outward[:, k]) for k in range(2)])
    normals /= np.maximum(np.hypot(normals[:, 0], normals[:, 1]), 1e-9)[:, None]
    return list(zip(places, normals))
