"""The town as cameras need it: chunks of triangles, road markings to look up, light and shade on the ground."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.physics.obstacles import OBSTACLE, ObstacleGrid, build_obstacle_grid
from minicarla.sensing.mesh import face_normals
from minicarla.sensing.raster import StaticMesh
from minicarla.sensing.view import VisibleScenery, VisibleTown

PLAIN, ROAD, PAVEMENT, GRASS, WALL, LEAVES, PANE, LAMP = range(8)
"""How a surface is shaded; see `shading`."""

_SURFACES = {
    labels.ROADS: ROAD, labels.GROUND: ROAD, labels.BRIDGE: PLAIN, labels.SIDEWALKS: PAVEMENT, labels.TERRAIN: GRASS,
    labels.BUILDINGS: WALL, labels.VEGETATION: LEAVES,
}  # fmt: skip

NEAR_CELL, NEAR_MARGIN = 2.0, 0.3
FAR_CELL, FAR_MARGIN = 4.0, 2.5
"""[m] Cells of the two look-up grids of markings, and how far outside a cell its markings may lie."""


class Surfaces(NamedTuple):
    """What each static triangle looks like.

    Attributes:
        normal: float32 (T, 3).
        colour: uint8 (T, 3).
        label: uint8 (T,), semantic tag.
        surface: uint8 (T,), one of this module's surfaces.
        object_id: uint32 (T,).
        look: uint32 (T,), equal for triangles of equal colour and tag.
    """

    normal: NDArray[np.float32]
    colour: NDArray[np.uint8]
    label: NDArray[np.uint8]
    surface: NDArray[np.uint8]
    object_id: NDArray[np.uint32]
    look: NDArray[np.uint32]


class Markings(NamedTuple):
    """Road markings as flat rectangles, found through a fine grid and, for far views, a coarse one.

    Attributes:
        place: float32 (M, 7): x, y, z of the middle, unit vector along x and y, half length, half width [m].
        colour: uint8 (M, 3).
        near, far: cells of `NEAR_CELL` and `FAR_CELL`.
    """

    place: NDArray[np.float32]
    colour: NDArray[np.uint8]
    near: ObstacleGrid
    far: ObstacleGrid


class GroundLight(NamedTuple):
    """What falls on the ground from above, by square cells.

    Attributes:
        origin_x, origin_y, cell: [m].
        sun: uint8 (rows, columns), 255 where the sun shines on the ground, 0 in the shadow of a building or tree.
        lamp: uint16 (rows, columns, 3), light of street lamps at night: red, green, blue in units of 1 / `LAMP_STEPS`
            of what a lamp gives right below it.
    """

    origin_x: float
    origin_y: float
    cell: float
    sun: NDArray[np.uint8]
    lamp: NDArray[np.uint16]


LAMP_STEPS = 8000


def static_mesh(scenery: VisibleScenery) -> tuple[StaticMesh, Surfaces]:
    """The town's triangles without its road markings, for `raster.draw_static`, and their looks.

    A scenery that is not sorted is one chunk, all of which is drawn.
    """
    solid = np.ones(len(scenery.triangles), bool)
    solid[getattr(scenery, "marking_start", 0) : getattr(scenery, "marking_stop", 0)] = False
    triangles, label, colour = scenery.triangles[solid], scenery.label[solid], scenery.colour[solid]
    object_id = scenery.object_id[solid].astype(np.uint32, copy=False)
    chunk, reach = np.zeros(len(triangles), np.int32), np.full(len(triangles), np.inf, np.float32)
    if len(getattr(scenery, "chunk", ())) == len(solid):
        chunk, reach = scenery.chunk[solid], scenery.reach[solid]
    starts = np.flatnonzero(np.diff(chunk, prepend=-1, append=chunk.max(initial=-1) + 1)).astype(np.int32)
    a, b, c = triangles.T
    stop = np.maximum.accumulate(np.maximum(np.maximum(a, b), c) + 1).astype(np.int32)
    chunk_vertex = np.concatenate([[0], stop[starts[1:] - 1]]).astype(np.int32)
    vertices = np.ascontiguousarray(scenery.vertices, np.float32)
    mesh = StaticMesh(
        vertices,
        np.ascontiguousarray(triangles, np.int32),
        reach,
        stop,
        np.isin(label, (labels.BUILDINGS, labels.WALLS)).astype(np.uint8),
        chunk_vertex,
        starts,
        _boxes(vertices, chunk_vertex),
    )
    return mesh, Surfaces(face_normals(vertices, triangles), colour, label, _surfaces(label, colour), object_id,
                          _look(label, colour))  # fmt: skip


def _boxes(vertices: NDArray[np.float32], chunk_vertex: NDArray[np.int32]) -> NDArray[np.float32]:
    """float32 (C, 6): middle and half sizes of the boxes around the vertices of chunks."""
    if len(chunk_vertex) < 2:
        return np.zeros((0, 6), np.float32)
    used = vertices[: chunk_vertex[-1]]
    low = np.minimum.reduceat(used, chunk_vertex[:-1], axis=0)
    high = np.maximum.reduceat(used, chunk_vertex[:-1], axis=0)
    return np.concatenate([(low + high) / 2.0, (high - low) / 2.0 + 0.01], axis=1).astype(np.float32)


def _surfaces(label: NDArray[np.uint8], colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How triangles are shaded."""
    by_label = np.zeros(256, np.uint8)
    for tag, surface in _SURFACES.items():
        by_label[tag] = surface
    surfaces = by_label[label]
    # Towns paint the glass of their houses blue; walls are never much bluer than red.
    surfaces[(surfaces == WALL) & (colour[:, 2] > np.float32(1.3) * colour[:, 0])] = PANE
    # Of a street light, only the lamp itself is bright.
    red, green, blue = colour.T
    surfaces[(label == labels.POLES) & (np.minimum(np.minimum(red, green), blue) > 180)] = LAMP
    return surfaces


def _look(label: NDArray[np.uint8], colour: NDArray[np.uint8]) -> NDArray[np.uint32]:
    parts = (*colour.T.astype(np.uint32), label.astype(np.uint32))
    look = np.zeros(len(label), np.uint32)
    for place, part in enumerate(parts):
        look |= part << np.uint32(8 * place)
    return look


def sort_markings(scenery: VisibleScenery) -> Markings:
    """Turn the pairs of triangles of the road markings into rectangles and file them by place."""
    start, stop = getattr(scenery, "marking_start", 0), getattr(scenery, "marking_stop", 0)
    first, second = scenery.triangles[start:stop:2], scenery.triangles[start + 1 : stop : 2]
    quads = scenery.vertices[np.concatenate([first, second[:, 2:]], axis=1)] if len(first) else np.zeros((0, 4, 3))
    middle = quads.mean(axis=1)
    along = 0.5 * (quads[:, 1] + quads[:, 2] - quads[:, 0] - quads[:, 3])[:, :2]
    across = 0.5 * (quads[:, 3] + quads[:, 2] - quads[:, 0] - quads[:, 1])[:, :2]
    length = np.linalg.norm(along, axis=1)
    unit = along / np.maximum(length, 1e-9)[:, None]
    half_width = 0.5 * np.abs(unit[:, 0] * across[:, 1] - unit[:, 1] * across[:, 0])
    place = np.concatenate([middle, unit, 0.5 * length[:, None], half_width[:, None]], axis=1).astype(np.float32)
    grids = [_marking_grid(place, cell, margin) for cell, margin in ((NEAR_CELL, NEAR_MARGIN), (FAR_CELL, FAR_MARGIN))]
    return Markings(place, np.ascontiguousarray(scenery.colour[start:stop:2]), *grids)


def _marking_grid(place: NDArray[np.float32], cell: float, margin: float) -> ObstacleGrid:
    boxes = np.zeros(len(place), OBSTACLE)
    boxes["x"], boxes["y"] = place[:, 0], place[:, 1]
    boxes["yaw"] = np.arctan2(place[:, 4], place[:, 3])
    boxes["extent_x"], boxes["extent_y"] = place[:, 5] + margin, place[:, 6] + margin
    return build_obstacle_grid(boxes, cell)


class GroundLightMap:
    """Bakes shadows of buildings and trees whenever the sun has moved, and pools of light whenever lamps change."""

    LARGEST = 2048

    def __init__(self, town: VisibleTown) -> None:
        self._obstacles = town.obstacles
        self._low, self.cell, self._shape = self._extent(town)
        self._lamps = np.asarray(getattr(town, "street_lights", ()), np.float64).reshape(-1, 3)
        self._lamp = np.zeros((2, 2, 3), np.uint16)

    def _extent(self, town: VisibleTown) -> tuple[NDArray[np.float64], float, tuple[int, int]]:
        surface = town.surface
        side = surface.cell * (surface.height.shape[1] - 1)
        rows, columns = surface.tile_first.shape
        low = np.array([surface.origin_x, surface.origin_y])
        cell = max(0.5, max(rows, columns) * side / self.LARGEST)
        return low, cell, (math.ceil(rows * side / cell) + 1, math.ceil(columns * side / cell) + 1)

    def with_lamps(self, ground: GroundLight, glow: NDArray[np.float32] | None) -> GroundLight:
        """The same with the pools of light of street lamps that shine as `glow` says, which is `View.lamps`."""
        self._lamp = np.zeros((2, 2, 3), np.uint16)
        if glow is not None and glow.any():
            self._lamp = np.empty((*self._shape, 3), np.uint16)
            for channel in range(3):
                self._lamp[..., channel] = self._pools(glow[:, channel])
        return ground._replace(lamp=self._lamp)

    def _pools(self, glow: NDArray[np.float32]) -> NDArray[np.float32]:
        light = np.zeros(self._shape, np.float32)
        radius = int(18.0 / self.cell) + 1
        offset = np.arange(-radius, radius + 1) * self.cell
        pool = LAMP_STEPS / (1.0 + (offset[:, None] ** 2 + offset[None] ** 2) / 30.0) ** 1.6
        pool = np.maximum(pool - pool[0, radius], 0.0)
        cells = np.round((self._lamps[:, :2] - self._low) / self.cell).astype(int)
        for (x, y), strength in zip(cells.tolist(), glow.tolist()):
            rows = slice(max(y - radius, 0), max(y + radius + 1, 0))
            columns = slice(max(x - radius, 0), max(x + radius + 1, 0))
            patch = light[rows, columns]
            top, left = max(radius - y, 0), max(radius - x, 0)
            patch += strength * pool[top : top + patch.shape[0], left : left + patch.shape[1]]
        return np.minimum(light, 65535.0)

    def bake(self, sun: NDArray[np.float64]) -> GroundLight:
        """Light on the ground with the sun in direction `sun` (3,)."""
        shade = np.full(self._shape, 255, np.uint8)
        if sun[2] > 0.03 and len(self._obstacles):
            self._draw_shadows(shade, sun)
            shade = np.asarray(cv2.blur(shade, (3, 3)), np.uint8)
        return GroundLight(float(self._low[0]), float(self._low[1]), self.cell, shade, self._lamp)

    def _draw_shadows(self, shade: NDArray[np.uint8], sun: NDArray[np.float64]) -> None:
        boxes = self._obstacles
        cos, sin = np.cos(boxes["yaw"]), np.sin(boxes["yaw"])
        corners = np.empty((len(boxes), 8, 2))
        height = np.minimum(2.0 * boxes["extent_z"], 60.0)
        shift = -sun[:2] / sun[2]
        raised = np.where(boxes["label"] == labels.VEGETATION, 0.3, 0.0) * height
        for i, (u, v) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
            x = boxes["x"] + u * boxes["extent_x"] * cos - v * boxes["extent_y"] * sin
            y = boxes["y"] + u * boxes["extent_x"] * sin + v * boxes["extent_y"] * cos
            for j, lift in ((i, raised), (i + 4, height)):
                corners[:, j, 0], corners[:, j, 1] = x + shift[0] * lift, y + shift[1] * lift
        points = np.round((corners - self._low) / self.cell * 16.0).astype(np.int32)
        for hull_points in points:
            hull = cv2.convexHull(hull_points)
            cv2.fillConvexPoly(shade, hull, 0, cv2.LINE_AA, 4)
