"""Polygons -> a navigation mesh file as the client's walkers load it: one tile of Recast/Detour, version 7.

Detour's axes are x, height, y. The layout of the file is CARLA's: a header "MSET", then the tile.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDEWALK_AREA, CROSSWALK_AREA, ROAD_AREA = 1, 2, 3
_FLAGS = {SIDEWALK_AREA: 0x02, CROSSWALK_AREA: 0x04, ROAD_AREA: 0x08}

MOST_POLYGONS, MOST_VERTICES = 0x7FFE, 0xFFFF
"""Neighbours are numbered in 15 bits, vertices in 16."""

MOST_CORNERS = 6
"""Of a polygon."""

_AGENT_HEIGHT, _AGENT_RADIUS, _AGENT_CLIMB = 1.8, 0.3, 0.6
_CELL = 0.3
_LINK_SIZE = 12
_VERTICES_AT = 148  # behind the headers of the file and the tile
_POLYGON = np.dtype(
    [
        ("first_link", "<u4"),
        ("corner", "<u2", (MOST_CORNERS,)),
        ("beyond", "<u2", (MOST_CORNERS,)),
        ("flags", "<u2"),
        ("count", "u1"),
        ("area", "u1"),
    ]
)


class Mesh(NamedTuple):
    """A navigation mesh of n polygons, which have negative area in (x, y).

    Attributes:
        vertices: float64 (m, 3) [m], CARLA's frame.
        corners: int32 (n, 6), rows of `vertices`; those from `size` on mean nothing.
        beyond: int32 (n, 6), polygon beyond the edge that begins at a corner, or -1.
        size: int32 (n,), corners of each polygon.
        area: int32 (n,), SIDEWALK_AREA, CROSSWALK_AREA or ROAD_AREA.
    """

    vertices: NDArray[np.float64]
    corners: NDArray[np.int32]
    beyond: NDArray[np.int32]
    size: NDArray[np.int32]
    area: NDArray[np.int32]


def decode(data: bytes) -> Mesh:
    """Read what `encode` has written; nothing gives a mesh without polygons."""
    polygon_count, vertex_count = struct.unpack_from("<2i", data, 48 + 24) if data else (0, 0)
    vertices = np.frombuffer(data, "<f4", 3 * vertex_count, _VERTICES_AT if data else 0).reshape(-1, 3)
    first = _VERTICES_AT + vertices.nbytes if data else 0
    polygons = np.frombuffer(data, _POLYGON, polygon_count, first)
    corners, beyond, size, area = (polygons[name].astype(np.int32) for name in ("corner", "beyond", "count", "area"))
    return Mesh(vertices[:, [0, 2, 1]].astype(np.float64), corners, beyond - 1, size, area)


def encode(vertices: NDArray[np.float64], polygons: list[list[int]], areas: list[int]) -> bytes:
    """Write a navigation mesh.

    Args:
        vertices: float64 (n, 3) [m], CARLA's frame.
        polygons: convex polygons of 3 to 6 rows of `vertices`; where two share an edge, walkers pass.
        areas: SIDEWALK_AREA, CROSSWALK_AREA or ROAD_AREA of each polygon.

    Raises:
        ValueError: there are more polygons or vertices than the format can number.
    """
    if len(polygons) > MOST_POLYGONS or len(vertices) > MOST_VERTICES:
        raise ValueError(
            f"{len(polygons)} polygons over {len(vertices)} vertices are too many: the format holds"
            f" {MOST_POLYGONS} over {MOST_VERTICES}"
        )
    polygons = face_up(vertices, polygons)
    low = vertices.min(axis=0) - (1.0, 1.0, 2.0)
    high = vertices.max(axis=0) + (1.0, 1.0, 4.0)
    beside = [[other + 1 for other in row] for row in neighbours(polygons)]
    links = sum(1 for row in beside for neighbour in row if neighbour) + 8
    triangles = sum(len(polygon) - 2 for polygon in polygons)
    tree = _bounding_volumes(vertices, polygons, low)
    bits = max((len(polygons) - 1).bit_length(), 1)
    tile = b"".join(
        [
            struct.pack(
                "<15i3f6ff",
                0x444E4156, 7, 0, 0, 0, 0,
                len(polygons), len(vertices), links, len(polygons), 0, triangles, len(tree), 0, len(polygons),
                _AGENT_HEIGHT, _AGENT_RADIUS, _AGENT_CLIMB,
                *_swap(low), *_swap(high), 1.0 / _CELL,
            ),
            np.ascontiguousarray(vertices[:, [0, 2, 1]], "<f4").tobytes(),
            *(_polygon(*row) for row in zip(polygons, beside, areas)),
            bytes(_LINK_SIZE * links),
            _detail(polygons),
            *tree,
        ]
    )  # fmt: skip
    width = float(max(high[0] - low[0], high[1] - low[1]))
    header = struct.pack("<3i3f2f2i", 0x4D534554, 1, 1, *_swap(low), width, width, 1, 1 << bits)
    return header + struct.pack("<Ii", 1 << bits, len(tile)) + tile


def _swap(point: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(point[0]), float(point[2]), float(point[1])


def face_up(vertices: NDArray[np.float64], polygons: list[list[int]]) -> list[list[int]]:
    """The polygons with negative area in (x, y), which Detour takes for facing up."""
    points = vertices[:, :2].tolist()
    return [polygon[::-1] if _doubled_area(points, polygon) > 0.0 else polygon for polygon in polygons]


def _doubled_area(points: list[list[float]], polygon: list[int]) -> float:
    # Large towns have a hundred thousand small polygons: as numbers they are done faster than as arrays.
    corners = [points[corner] for corner in polygon]
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(corners, corners[1:] + corners[:1]))


def neighbours(polygons: list[list[int]]) -> list[list[int]]:
    """For each edge of each polygon the polygon beyond it, -1 for none; all polygons must face up."""
    edges = {
        (corner, polygon[(k + 1) % len(polygon)]): index
        for index, polygon in enumerate(polygons)
        for k, corner in enumerate(polygon)
    }
    return [
        [edges.get((polygon[(k + 1) % len(polygon)], corner), -1) for k, corner in enumerate(polygon)]
        for polygon in polygons
    ]


def _polygon(corners: list[int], neighbours: list[int], area: int) -> bytes:
    fill = [0] * (MOST_CORNERS - len(corners))
    return struct.pack("<I6H6HHBB", 0xFFFFFFFF, *corners, *fill, *neighbours, *fill, _FLAGS[area], len(corners), area)


def _detail(polygons: list[list[int]]) -> bytes:
    """Detail meshes without own vertices: each polygon as a fan; edge flags tell the fan's inner edges."""
    meshes, fans, base = [], [], 0
    for polygon in polygons:
        count = len(polygon) - 2
        meshes.append(struct.pack("<IIBBxx", 0, base, 0, count))
        base += count
        for k in range(count):
            flags = (1 if k == 0 else 0) | 4 | (16 if k == count - 1 else 0)
            fans.append(struct.pack("<4B", 0, k + 1, k + 2, flags))
    return b"".join(meshes + fans)


def _bounding_volumes(
    vertices: NDArray[np.float64], polygons: list[list[int]], low: NDArray[np.float64]
) -> list[bytes]:
    """Tree of boxes in units of a cell; an inner node holds minus the number of nodes below it, itself included."""
    swapped, origin = vertices[:, [0, 2, 1]], np.array(_swap(low))
    boxes = np.array([(swapped[polygon].min(axis=0), swapped[polygon].max(axis=0)) for polygon in polygons])
    # Height gets some room: walkers are looked up from a little above or below.
    boxes[:, 0, 1] -= 1.0
    boxes[:, 1, 1] += 1.0
    scaled = np.clip((boxes - origin) / _CELL + np.array([[0.0], [1.0]]), 0, 65535).astype(np.int64)
    nodes: list[bytes] = []
    _split(scaled, np.arange(len(polygons)), nodes)
    return nodes


def _split(boxes: NDArray[np.int64], items: NDArray[np.int64], nodes: list[bytes]) -> None:
    least, most = boxes[items, 0].min(axis=0), boxes[items, 1].max(axis=0)
    if len(items) == 1:
        nodes.append(struct.pack("<6Hi", *least, *most, int(items[0])))
        return
    place = len(nodes)
    nodes.append(b"")
    axis = int(np.argmax(most - least))
    order = items[np.argsort(boxes[items, 0, axis], kind="stable")]
    _split(boxes, order[: len(order) // 2], nodes)
    _split(boxes, order[len(order) // 2 :], nodes)
    nodes[place] = struct.pack("<6Hi", *least, *most, place - len(nodes))
