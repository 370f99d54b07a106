"""Collects triangles of one label and colour after another, and knows a few solid shapes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from minicarla.town.town import Scenery

Array = NDArray[np.float64]
Colour = tuple[int, int, int]

_BOX_FACES = np.array(
    [[4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4], [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]
)
"""Upper side and walls of a box; nobody sees the lower side of what stands on the ground."""


class MeshBuilder:
    """Triangles with label, colour and object, in the order of adding."""

    def __init__(self) -> None:
        self._vertices: list[Array] = []
        self._triangles: list[NDArray[np.int64]] = []
        self._labels: list[NDArray[np.uint8]] = []
        self._colours: list[NDArray[np.uint8]] = []
        self._objects: list[NDArray[np.uint32]] = []
        self._vertex_count = 0
        self.triangle_count = 0

    def add(
        self,
        vertices: Array,
        triangles: NDArray[np.int64],
        label: int | NDArray[np.uint8],
        colour: Colour | NDArray[np.uint8],
        object_id: int = 0,
    ) -> None:
        """Add triangles (m, 3) over vertices (n, 3); label and colour for all or for each triangle."""
        count = len(triangles)
        if count == 0:
            return
        self._vertices.append(vertices)
        self._triangles.append(triangles + self._vertex_count)
        self._labels.append(np.broadcast_to(np.asarray(label, np.uint8), (count,)))
        self._colours.append(np.broadcast_to(np.asarray(colour, np.uint8), (count, 3)))
        self._objects.append(np.broadcast_to(np.uint32(object_id), (count,)))
        self._vertex_count += len(vertices)
        self.triangle_count += count

    def add_quads(
        self,
        corners: Array,
        label: int | NDArray[np.uint8],
        colour: Colour | NDArray[np.uint8],
        object_id: int = 0,
    ) -> None:
        """Add quadrilaterals (n, 4, 3) as triangles (0, 1, 2), (0, 2, 3); label and colour for all or each."""
        count = len(corners)
        triangles = (np.arange(count)[:, None, None] * 4 + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
        label = np.repeat(label, 2) if np.ndim(label) else label
        colour = np.repeat(colour, 2, axis=0) if np.ndim(colour) == 2 else colour
        self.add(corners.reshape(-1, 3), triangles, label, colour, object_id)

    def add_box(self, centre: Array, half: Array, yaw: float, label: int, colour: Colour, object_id: int) -> None:
        """Add an upright box."""
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        flat = signs * half[:2]
        cos, sin = math.cos(yaw), math.sin(yaw)
        outline = np.column_stack([flat[:, 0] * cos - flat[:, 1] * sin, flat[:, 0] * sin + flat[:, 1] * cos])
        low = np.column_stack([outline, np.full(4, -half[2])])
        high = np.column_stack([outline, np.full(4, half[2])])
        self.add(np.concatenate([low, high]) + centre, _BOX_FACES, label, colour, object_id)

    def add_prism(
        self, foot: Array, radius: float, height: float, sides: int, label: int, colour: Colour, object_id: int
    ) -> None:
        """Add an upright column without lid."""
        self.add_frustum(foot, radius, radius, height, sides, label, colour, object_id)

    def add_frustum(
        self,
        foot: Array,
        lower_radius: float,
        upper_radius: float,
        height: float,
        sides: int,
        label: int,
        colour: Colour,
        object_id: int,
    ) -> None:
        """Add the mantle of an upright cone or column."""
        angle = np.arange(sides) * 2.0 * np.pi / sides
        circle = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(sides)])
        low, high = foot + circle * lower_radius, foot + circle * upper_radius + (0.0, 0.0, height)
        here = np.arange(sides)
        after = (here + 1) % sides
        walls = np.concatenate(
            [np.column_stack([here, after, sides + after]), np.column_stack([here, sides + after, sides + here])]
        )
        self.add(np.concatenate([low, high]), walls, label, colour, object_id)

    def add_crown(self, centre: Array, radii: Array, label: int, colour: Colour, object_id: int, seed: int) -> None:
        """Add a knobbly ball (an icosahedron with moved corners), such as the leaves of a tree."""
        wobble = 1.0 + 0.22 * np.sin(np.arange(12) * (1.7 + 0.13 * (seed % 17)) + seed)
        vertices = centre + _ICOSAHEDRON * wobble[:, None] * radii
        shade = np.clip(1.0 + 0.35 * _ICOSAHEDRON[_ICOSAHEDRON_FACES].mean(axis=1)[:, 2], 0.6, 1.3)
        colours = np.clip(shade[:, None] * np.array(colour), 0, 255).astype(np.uint8)
        self.add(vertices, _ICOSAHEDRON_FACES, label, colours, object_id)

    def build(self, marking_start: int = 0, marking_stop: int = 0) -> Scenery:
        """All that was added."""
        if not self._triangles:
            self.add(np.zeros((3, 3)), np.array([[0, 1, 2]]), 0, (0, 0, 0))
        return Scenery(
            np.concatenate(self._vertices).astype(np.float32),
            np.concatenate(self._triangles).astype(np.int32),
            np.concatenate(self._labels).astype(np.uint8),
            np.concatenate(self._colours).astype(np.uint8),
            np.concatenate(self._objects).astype(np.uint32),
            marking_start,
            marking_stop,
        )


def _icosahedron() -> tuple[Array, NDArray[np.int64]]:
    golden = 0.5 * (1.0 + math.sqrt(5.0))
    corners = []
    for a in (-1.0, 1.0):
        for b in (-golden, golden):
            corners += [(0.0, a, b), (a, b, 0.0), (b, 0.0, a)]
    points = np.array(corners) / math.hypot(1.0, golden)
    near = np.linalg.norm(points[:, None] - points[None], axis=2) < 1.1
    faces = []
    for i in range(12):
        for j in range(i + 1, 12):
            for k in range(j + 1, 12):
                if near[i, j] and near[j, k] and near[i, k]:
                    outward = np.dot(np.cross(points[j] - points[i], points[k] - points[i]), points[i]) > 0
                    faces.append((i, j, k) if outward else (i, k, j))
    return points, np.array(faces)


_ICOSAHEDRON, _ICOSAHEDRON_FACES = _icosahedron()
