"""Small triangle meshes, and the solids they are put together from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PAINT, PLAIN, GLASS, HEADLIGHT, TAIL_LIGHT, LEFT_BLINKER, RIGHT_BLINKER, SIREN, REVERSE_LIGHT = range(9)
"""What a face is made of: `PAINT` takes the actor's colour, lamps shine when they are on."""

Colour = tuple[int, int, int]
Point = tuple[float, float, float]


class Mesh(NamedTuple):
    """A mesh in its own frame (x forward, y right, z up, metres); faces turn counter-clockwise seen from outside.

    Attributes:
        vertices: float32 (V, 3).
        triangles: int32 (T, 3).
        normal: float32 (T, 3), outward.
        colour: uint8 (T, 3).
        material: uint8 (T,), one of this module's materials.
        label: uint8 (T,), semantic tag; 255 where the whole object's tag holds.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    normal: NDArray[np.float32]
    colour: NDArray[np.uint8]
    material: NDArray[np.uint8]
    label: NDArray[np.uint8]


def face_normals(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Unit normals float32 (T, 3) of triangles; (0, 0, 1) where a triangle has no area."""
    a, b, c = triangles.T
    ux, uy, uz = ((vertices[:, axis][b] - vertices[:, axis][a]).astype(np.float64) for axis in range(3))
    vx, vy, vz = ((vertices[:, axis][c] - vertices[:, axis][a]).astype(np.float64) for axis in range(3))
    normal = np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], axis=-1)
    length = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    flat = length <= 1e-12
    normal /= np.where(flat, 1.0, length)[:, None]
    normal[flat] = 0.0, 0.0, 1.0
    return normal.astype(np.float32)


class MeshBuilder:
    """Collects solids into one mesh."""

    def __init__(self) -> None:
        self._vertices: list[NDArray[np.float64]] = []
        self._triangles: list[NDArray[np.int64]] = []
        self._colour: list[NDArray[np.uint8]] = []
        self._material: list[NDArray[np.uint8]] = []
        self._label: list[NDArray[np.uint8]] = []
        self._count = 0

    def add(
        self,
        vertices: NDArray[np.floating],
        triangles: Sequence[tuple[int, int, int]] | NDArray[np.int64],
        colour: Colour,
        material: int = PLAIN,
        label: int = 255,
    ) -> None:
        """Add faces that are already turned the right way."""
        faces = np.asarray(triangles, np.int64).reshape(-1, 3)
        self._vertices.append(np.asarray(vertices, np.float64))
        self._triangles.append(faces + self._count)
        self._count += len(vertices)
        self._colour.append(np.tile(np.array(colour, np.uint8), (len(faces), 1)))
        self._material.append(np.full(len(faces), material, np.uint8))
        self._label.append(np.full(len(faces), label, np.uint8))

    def convex(self, points: NDArray[np.float64], quads: Sequence[Sequence[int]], *what: object) -> None:
        """Add the faces of a convex solid, turning each away from the middle."""
        points = np.asarray(points, np.float64)
        faces = np.array([(quad[0], *edge) for quad in quads for edge in pairwise(quad[1:])])
        a, b, c = points[faces.T]
        outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), (a + b + c) / 3.0 - points.mean(axis=0)) > 0.0
        faces[~outward, 1:] = faces[~outward, :0:-1]
        self.add(points, faces, *what)  # type: ignore[arg-type]

    def box(self, centre: Point, half: Point, *what: object, top: float = 1.0, shift: float = 0.0) -> None:
        """Add a box; its upper face is scaled by `top` and shifted forward by `shift` metres."""
        corners = np.array([(x, y, z) for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], np.float64)
        corners[4:, :2] *= top
        corners *= half
        corners[4:, 0] += shift
        self.convex(corners + centre, BOX_FACES, *what)

    def cylinder(
        self, centre: Point, radius: float, half: float, axis: int, *what: object, sides: int = 10, top: float = 1.0
    ) -> None:
        """Add a cylinder along an axis (0 x, 1 y, 2 z); its end in the axis' direction is scaled by `top`."""
        angle = np.arange(sides) / sides * 2.0 * math.pi
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * radius
        points = np.zeros((2 * sides, 3))
        across = [i for i in range(3) if i != axis]
        points[:sides, across], points[sides:, across] = ring, ring * top
        points[:sides, axis], points[sides:, axis] = -half, half
        faces = [[i, (i + 1) % sides, sides + (i + 1) % sides, sides + i] for i in range(sides)]
        faces += [list(range(sides)), list(range(sides, 2 * sides))]
        self.convex(points + np.array(centre), faces, *what)

    def ball(self, centre: Point, radius: Point, *what: object, sides: int = 8, rings: int = 5) -> None:
        """Add an ellipsoid."""
        points = [(0.0, 0.0, -1.0)]
        for ring in range(1, rings):
            height = -math.cos(math.pi * ring / rings)
            across = math.sqrt(1.0 - height * height)
            points += [
                (across * math.cos(turn), across * math.sin(turn), height)
                for turn in (2.0 * math.pi * side / sides for side in range(sides))
            ]
        points.append((0.0, 0.0, 1.0))
        faces = []
        for side in range(sides):
            after = (side + 1) % sides
            faces.append([0, 1 + side, 1 + after])
            for ring in range(rings - 2):
                low, high = 1 + ring * sides, 1 + (ring + 1) * sides
                faces.append([low + side, low + after, high + after, high + side])
            last = 1 + (rings - 2) * sides
            faces.append([last + side, last + after, len(points) - 1])
        self.convex(np.array(points) * radius + np.array(centre), faces, *what)

    def loft(
        self,
        stations: Sequence[tuple[float, Sequence[tuple[float, float]]]],
        colours: Sequence[tuple[Colour, int]],
        label: int = 255,
        caps: tuple[Colour, int] = ((40, 40, 42), PLAIN),
    ) -> None:
        """Add a body symmetric to the x-z plane, drawn through half outlines.

        Args:
            stations: x and outline from front to back; an outline is (y >= 0, z) from the bottom to the top, all with
                the same number of points.
            colours: (colour, material) of the strip between two neighbouring outline points.
            label: semantic tag.
            caps: colour and material of the flat ends.
        """
        outline_length = len(stations[0][1])
        rows = np.array([[(x, y, z) for y, z in outline] for x, outline in stations])
        for side in (1.0, -1.0):
            points = (rows * (1.0, side, 1.0)).reshape(-1, 3)
            for strip, (colour, material) in enumerate(colours):
                faces = []
                for station in range(len(stations) - 1):
                    a = station * outline_length + strip
                    quad = (a, a + outline_length, a + outline_length + 1, a + 1)
                    faces += _turned(quad, side > 0.0)
                self.add(points, faces, colour, material, label)
        for station, front in ((0, True), (len(stations) - 1, False)):
            half = rows[station]
            points = np.concatenate([half, half[::-1] * (1.0, -1.0, 1.0)])
            fan = [(0, i, i + 1) for i in range(1, len(points) - 1)]
            self.add(points, fan if front else [(a, c, b) for a, b, c in fan], *caps, label)

    def mirrored(self, points: Sequence[Point], *what: object) -> None:
        """Add a flat polygon seen from outside counter-clockwise on the right side, and its mirror image."""
        right = np.array(points, np.float64)
        fan = [(0, i, i + 1) for i in range(1, len(points) - 1)]
        self.add(right, fan, *what)  # type: ignore[arg-type]
        self.add(right * (1.0, -1.0, 1.0), [(a, c, b) for a, b, c in fan], *what)  # type: ignore[arg-type]

    def build(self) -> Mesh:
        """The mesh of all that was added."""
        vertices = np.concatenate(self._vertices).astype(np.float32)
        triangles = np.concatenate(self._triangles).astype(np.int32)
        area = np.linalg.norm(
            np.cross(
                vertices[triangles[:, 1]] - vertices[triangles[:, 0]],
                vertices[triangles[:, 2]] - vertices[triangles[:, 0]],
            ),
            axis=1,
        )
        keep = area > 1e-8
        return Mesh(
            vertices,
            np.ascontiguousarray(triangles[keep]),
            face_normals(vertices, triangles[keep]),
            np.concatenate(self._colour)[keep],
            np.concatenate(self._material)[keep],
            np.concatenate(self._label)[keep],
        )


BOX_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))


def _turned(quad: tuple[int, int, int, int], forward: bool) -> list[tuple[int, int, int]]:
    a, b, c, d = quad
    return [(a, b, c), (a, c, d)] if forward else [(a, c, b), (a, d, c)]
