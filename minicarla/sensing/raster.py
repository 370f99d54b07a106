"""Which surface is seen at every sample of a picture: triangles into a buffer of inverse depths and numbers.

A picture's samples are `ids` int32 (H, W), the number of the nearest triangle (-1: none), and `nearness` float32
(H, W), 1 / depth along the optical axis [1/m] (0: nothing). Camera frame: x forward, y right, z up; the pinhole
projection is column = centre_x + focal * y / x, row = centre_y - focal * z / x, in samples.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import INLINE, INNER, KERNEL

NEAR = 0.08
"""[m] Depth at which triangles are cut off."""

FARTHEST = 1e7
"""[m] Nothing is drawn farther away than this, nor what has no place at all (NaN)."""

SMALLEST = 0.5
"""[pixels] Scenery that would look smaller than this is left out."""


TILE = 8
"""[samples] Side of the squares by which it is decided whether a chunk of scenery is hidden."""

OCCLUSION_ROUNDS = (40.0, 80.0, 160.0)
"""[m] Once all scenery nearer than this is drawn, what it hides is left out."""


_BEHIND, _LEFT, _RIGHT, _ABOVE, _BELOW = 1, 2, 4, 8, 16
"""Sides of the picture beyond which a vertex may lie."""


class Camera(NamedTuple):
    """A pinhole over a grid of samples.

    Attributes:
        position: float64 (3,) [m] in the world.
        axes: float64 (3, 3), rows forward, right, up in the world.
        focal: [samples] distance of the picture plane.
        width, height: samples across and down.
    """

    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    focal: float
    width: int
    height: int


class StaticMesh(NamedTuple):
    """The town's triangles, sorted into square chunks and, within one, from the largest to the smallest.

    Attributes:
        vertices: float32 (V, 3) [m] world; those of one chunk are neighbours.
        triangles: int32 (T, 3).
        reach: float32 (T,) [m] size of what the triangle belongs to, falling within a chunk.
        vertex_stop: int32 (T,): the triangles of its chunk up to this one use vertices before this one.
        culled: uint8 (T,), 1 if it is seen from its front only.
        chunk_vertex, chunk_triangle: int32 (C + 1,), where the chunks begin.
        chunk_box: float32 (C, 6): middle and half sizes.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    reach: NDArray[np.float32]
    vertex_stop: NDArray[np.int32]
    culled: NDArray[np.uint8]
    chunk_vertex: NDArray[np.int32]
    chunk_triangle: NDArray[np.int32]
    chunk_box: NDArray[np.float32]


class MeshPool(NamedTuple):
    """All meshes of actors, one behind the other; mesh m owns triangles [first[m], first[m + 1]).

    Attributes:
        vertices: float32 (V, 3).
        triangles: int32 (T, 3).
        normal: float32 (T, 3).
        colour: uint8 (T, 3).
        material, label: uint8 (T,), see `mesh.Mesh`.
        first, first_vertex: int32 (M + 1,).
        radius: float32 (M,) [m], of the ball around the origin that holds the mesh.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    normal: NDArray[np.float32]
    colour: NDArray[np.uint8]
    material: NDArray[np.uint8]
    label: NDArray[np.uint8]
    first: NDArray[np.int32]
    first_vertex: NDArray[np.int32]
    radius: NDArray[np.float32]


INSTANCE = np.dtype(
    [
        ("position", np.float64, (3,)),
        ("rotation", np.float64, (3, 3)),
        ("velocity", np.float64, (3,)),
        ("turn", np.float64, (3,)),
        ("size", np.float64, (3,)),
        ("ground", np.float64),
        ("near_mesh", np.int32),
        ("far_mesh", np.int32),
        ("coarse", np.float32),
        ("slot", np.int32),
        ("colour", np.uint8, (3,)),
        ("label", np.uint8),
        ("lamps", np.uint8),
        ("glow", np.float32, (3,)),
        ("casts_shadow", np.uint8),
        ("object_id", np.uint32),
    ],
    align=True,
)
"""A mesh put into the world: middle of its box, columns of rotation = its axes, motion, half sizes, height of the
ground under it, meshes by detail, radius [pixels] below which the far one will do, first number of its triangles,
paint, tag, lamps that are on (bits of mesh materials), light it gives off, id."""


@njit(**INNER)
def fill(x0, y0, w0, x1, y1, w1, x2, y2, w2, number, nearness, ids):
    """Write one triangle, given by columns, rows and nearness of its corners, wherever it is the nearest."""
    height, width = ids.shape
    top = max(math.ceil(min(y0, y1, y2) - 0.5), 0)
    bottom = min(math.ceil(max(y0, y1, y2) - 0.5), height)
    if top >= bottom:
        return
    left = max(math.ceil(min(x0, x1, x2) - 0.5), 0)
    right = min(math.ceil(max(x0, x1, x2) - 0.5), width)
    if left >= right:
        return
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area < 0.0:
        x1, x2, y1, y2, w1, w2 = x2, x1, y2, y1, w2, w1
        area = -area
    if area < 1e-7:
        return
    a0, a1, a2 = y1 - y2, y2 - y0, y0 - y1
    b0, b1, b2 = x2 - x1, x0 - x2, x1 - x0
    s0 = -b0 / a0 if a0 != 0.0 else 0.0
    s1 = -b1 / a1 if a1 != 0.0 else 0.0
    s2 = -b2 / a2 if a2 != 0.0 else 0.0
    inverse = 1.0 / area
    step_x = (w0 * a0 + w1 * a1 + w2 * a2) * inverse
    step_y = (w0 * b0 + w1 * b1 + w2 * b2) * inverse
    origin = w0 - step_x * x0 - step_y * y0
    for row in range(top, bottom):
        y = row + 0.5
        low, high = float(left), float(right)
        edge = x1 + (y - y1) * s0
        if a0 > 0.0:
            low = max(low, edge - 0.5)
        elif a0 < 0.0:
            high = min(high, edge - 0.5)
        edge = x2 + (y - y2) * s1
        if a1 > 0.0:
            low = max(low, edge - 0.5)
        elif a1 < 0.0:
            high = min(high, edge - 0.5)
        edge = x0 + (y - y0) * s2
        if a2 > 0.0:
            low = max(low, edge - 0.5)
        elif a2 < 0.0:
            high = min(high, edge - 0.5)
        first, last = math.ceil(low), math.ceil(high)
        if first >= last:
            continue
        value = origin + step_x * (first + 0.5) + step_y * y
        # Without a sign, a column need not be looked at for counting from the end.
        for column in range(np.uint64(first), np.uint64(last)):
            near = np.float32(value)
            if near > nearness[row, column]:
                nearness[row, column] = near
                ids[row, column] = number
            value += step_x


@njit(**INNER)
def _clipped(corners, focal, centre_x, centre_y, number, nearness, ids):
    """`fill` for a triangle in the camera's frame that reaches nearer than `NEAR`.

    corners: float32 (7, 3), the triangle, then four rows of scratch.
    """
    points = corners[3:]
    count = 0
    for corner in range(3):
        after = (corner + 1) % 3
        here, there = corners[corner, 0], corners[after, 0]
        if here >= NEAR:
            for axis in range(3):
                points[count, axis] = corners[corner, axis]
            count += 1
        if (here >= NEAR) != (there >= NEAR):
            share = (NEAR - here) / (there - here)
            points[count, 0] = NEAR
            points[count, 1] = corners[corner, 1] + share * (corners[after, 1] - corners[corner, 1])
            points[count, 2] = corners[corner, 2] + share * (corners[after, 2] - corners[corner, 2])
            count += 1
    for corner in range(count):
        points[corner, 0] = 1.0 / points[corner, 0]
        points[corner, 1] = centre_x + focal * points[corner, 1] * points[corner, 0]
        points[corner, 2] = centre_y - focal * points[corner, 2] * points[corner, 0]
    for corner in range(1, count - 1):
        fill(
            points[0, 1], points[0, 2], points[0, 0], points[corner, 1], points[corner, 2], points[corner, 0],
            points[corner + 1, 1], points[corner + 1, 2], points[corner + 1, 0], number, nearness, ids,
        )  # fmt: skip


@njit(**INNER)
def _draw(
    triangles, first, stop, base, culled, cull_all, view, sides, offset, focal, centre_x, centre_y, nearness, ids,
    corners,
):  # fmt: skip
    """Draw triangles [first, stop) whose vertices, less `offset`, are columns of `view` and `sides`, see `_project`."""
    ahead, right, up, columns, rows, near = view[0], view[1], view[2], view[3], view[4], view[5]
    for triangle in range(first, stop):
        a, b, c = triangles[triangle, 0] - offset, triangles[triangle, 1] - offset, triangles[triangle, 2] - offset
        if sides[a] & sides[b] & sides[c]:
            continue
        cull = cull_all or culled[triangle]
        if (sides[a] | sides[b] | sides[c]) & _BEHIND:
            if cull:
                xa, xb, xc = ahead[a], ahead[b], ahead[c]
                nx = (right[b] - right[a]) * (up[c] - up[a]) - (up[b] - up[a]) * (right[c] - right[a])
                ny = (up[b] - up[a]) * (xc - xa) - (xb - xa) * (up[c] - up[a])
                nz = (xb - xa) * (right[c] - right[a]) - (right[b] - right[a]) * (xc - xa)
                if nx * xa + ny * right[a] + nz * up[a] > 0.0:
                    continue
            for axis in range(3):
                corners[0, axis], corners[1, axis], corners[2, axis] = view[axis, a], view[axis, b], view[axis, c]
            _clipped(corners, focal, centre_x, centre_y, base + triangle - first, nearness, ids)
            continue
        x0, y0, x1, y1 = float(columns[a]), float(rows[a]), float(columns[b]), float(rows[b])
        x2, y2 = float(columns[c]), float(rows[c])
        if cull and (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) < 0.0:
            continue
        fill(
            x0, y0, float(near[a]), x1, y1, float(near[b]), x2, y2, float(near[c]), base + triangle - first, nearness,
            ids,
        )  # fmt: skip


@njit(**INNER)
def _project(vertices, turn, origin, place, focal, centre_x, centre_y, view, sides):
    """Bring vertices into the picture, each line by itself so that several are computed at once.

    Args:
        vertices: float32 (n, 3).
        turn: float64 (3, 3), rows are the camera's axes in the vertices' frame.
        origin: float64 (3,), subtracted from the vertices.
        place: float64 (3,), of that origin in the camera's frame.
        focal, centre_x, centre_y: [samples] of the camera.
        view: float32 (6, n or more), receives x, y, z in the camera's frame, column, row, 1 / x.
        sides: uint8 (n or more,), receives beyond which sides of the picture they lie; behind it, that alone.
    """
    count = len(vertices)
    left, top = np.float32(origin[0]), np.float32(origin[1])
    low = np.float32(origin[2])
    for axis in range(3):
        line, start = view[axis], np.float32(place[axis])
        a, b, c = np.float32(turn[axis, 0]), np.float32(turn[axis, 1]), np.float32(turn[axis, 2])
        for i in range(count):
            line[i] = start + a * (vertices[i, 0] - left) + b * (vertices[i, 1] - top) + c * (vertices[i, 2] - low)
    ahead, right, up, columns, rows, near = view[0], view[1], view[2], view[3], view[4], view[5]
    scale, across, down = np.float32(focal), np.float32(centre_x), np.float32(centre_y)
    one, nearest, zero = np.float32(1.0), np.float32(NEAR), np.float32(0.0)
    for i in range(count):
        near[i] = one / ahead[i]
    for i in range(count):
        columns[i] = across + scale * right[i] * near[i]
    for i in range(count):
        rows[i] = down - scale * up[i] * near[i]
    width, height = across + across, down + down
    for i in range(count):
        beyond = (_LEFT if columns[i] < zero else 0) | (_RIGHT if columns[i] > width else 0)
        beyond |= (_ABOVE if rows[i] < zero else 0) | (_BELOW if rows[i] > height else 0)
        sides[i] = _BEHIND if ahead[i] < nearest else beyond


@njit(**INNER)
def _sort(order, distance, count):
    """Sort both by the first `count` distances (Shell's sort: numpy's own takes seconds to compile)."""
    gap = 301
    while gap > 0:
        for place in range(gap, count):
            chunk, away = order[place], distance[place]
            hole = place
            while hole >= gap and distance[hole - gap] > away:
                order[hole], distance[hole] = order[hole - gap], distance[hole - gap]
                hole -= gap
            order[hole], distance[hole] = chunk, away
        gap = gap // 3 if gap > 1 else 0


@njit(**INNER)
def _visible_chunks(camera, boxes, order, distance):
    """Chunks that the picture may show, nearest first: their number; `order` gets them, `distance` their depth."""
    axes, place = camera.axes, camera.position
    tan_x, tan_y = 0.5 * camera.width / camera.focal, 0.5 * camera.height / camera.focal
    count = 0
    for chunk in range(len(boxes)):
        px, py, pz = boxes[chunk, 0] - place[0], boxes[chunk, 1] - place[1], boxes[chunk, 2] - place[2]
        hx, hy, hz = boxes[chunk, 3], boxes[chunk, 4], boxes[chunk, 5]
        x = axes[0, 0] * px + axes[0, 1] * py + axes[0, 2] * pz
        half_x = abs(axes[0, 0]) * hx + abs(axes[0, 1]) * hy + abs(axes[0, 2]) * hz
        far = x + half_x
        if far < NEAR:
            continue
        y = axes[1, 0] * px + axes[1, 1] * py + axes[1, 2] * pz
        half_y = abs(axes[1, 0]) * hx + abs(axes[1, 1]) * hy + abs(axes[1, 2]) * hz
        if abs(y) - half_y > far * tan_x:
            continue
        z = axes[2, 0] * px + axes[2, 1] * py + axes[2, 2] * pz
        half_z = abs(axes[2, 0]) * hx + abs(axes[2, 1]) * hy + abs(axes[2, 2]) * hz
        if abs(z) - half_z > far * tan_y:
            continue
        dx, dy, dz = max(abs(px) - hx, 0.0), max(abs(py) - hy, 0.0), max(abs(pz) - hz, 0.0)
        order[count] = chunk
        distance[count] = math.sqrt(dx * dx + dy * dy + dz * dz)
        count += 1
    _sort(order, distance, count)
    return count


@njit(**INNER)
def _farthest(nearness, least, tiles):
    """Write the smallest nearness of every square of `TILE` samples: what is farther than that is hidden there.

    least: float32 (width,), scratch.
    """
    height, width = nearness.shape
    for row in range(tiles.shape[0]):
        least[:] = np.float32(math.inf)
        for j in range(row * TILE, min((row + 1) * TILE, height)):
            line = nearness[j]
            for i in range(width):
                least[i] = min(least[i], line[i])
        for column in range(tiles.shape[1]):
            smallest = np.float32(math.inf)
            for i in range(column * TILE, min((column + 1) * TILE, width)):
                smallest = min(smallest, least[i])
            tiles[row, column] = smallest


@njit(**INNER)
def _hidden(camera, boxes, chunk, tiles):
    """Whether all of a chunk's box lies behind what is drawn already."""
    axes, place, focal = camera.axes, camera.position, camera.focal
    left, right, top, bottom, near = math.inf, -math.inf, math.inf, -math.inf, 0.0
    for corner in range(8):
        px = boxes[chunk, 0] - place[0] + (boxes[chunk, 3] if corner & 1 else -boxes[chunk, 3])
        py = boxes[chunk, 1] - place[1] + (boxes[chunk, 4] if corner & 2 else -boxes[chunk, 4])
        pz = boxes[chunk, 2] - place[2] + (boxes[chunk, 5] if corner & 4 else -boxes[chunk, 5])
        x = axes[0, 0] * px + axes[0, 1] * py + axes[0, 2] * pz
        if x < 1.0:
            return False
        inverse = 1.0 / x
        column = 0.5 * camera.width + focal * inverse * (axes[1, 0] * px + axes[1, 1] * py + axes[1, 2] * pz)
        row = 0.5 * camera.height - focal * inverse * (axes[2, 0] * px + axes[2, 1] * py + axes[2, 2] * pz)
        left, right, top, bottom = min(left, column), max(right, column), min(top, row), max(bottom, row)
        near = max(near, inverse)
    first, last = max(int(left) // TILE, 0), min(int(max(right, 0.0)) // TILE, tiles.shape[1] - 1)
    for row in range(max(int(top) // TILE, 0), min(int(max(bottom, 0.0)) // TILE, tiles.shape[0] - 1) + 1):
        for column in range(first, last + 1):
            if tiles[row, column] < near:
                return False
    return True


@njit(**INLINE)
def _same_surface(one, other):
    return other > 0.6 * one and one > 0.6 * other


@njit(**INLINE)
def _is_crack(here, one, other):
    """Whether a sample that shows nothing lies between two of one surface."""
    return here <= 0.0 and one > 0.0 and _same_surface(one, other)


@njit(**INNER)
def _number_empty(here, above, below, ids):
    """Number the samples of a row that show nothing; returns whether there may be cracks."""
    width = len(here)
    for column in range(width):
        ids[column] = ids[column] if here[column] > 0.0 else -1
    cracks = 0
    for column in range(1, width - 1):
        cracks |= 1 if _is_crack(here[column], above[column], below[column]) else 0
        cracks |= 1 if _is_crack(here[column], here[column - 1], here[column + 1]) else 0
    return cracks > 0


@njit(**INNER)
def _finish_empty(nearness, ids):
    """Number the samples that show nothing, but give those between two of one surface to that surface.

    Triangles that meet along a line but not at their corners leave cracks, through which single samples look.
    """
    height, width = ids.shape
    for row in range(height):
        is_border = row in (0, height - 1)
        here = nearness[row]
        above, below = nearness[row if is_border else row - 1], nearness[row if is_border else row + 1]
        if not _number_empty(here, above, below, ids[row]) or is_border:
            continue
        for column in range(1, width - 1):
            if here[column] > 0.0:
                continue
            if above[column] > 0.0 and _same_surface(above[column], below[column]):
                here[column] = np.float32(0.5) * (above[column] + below[column])
                ids[row, column] = ids[row + 1, column]
            elif here[column - 1] > 0.0 and _same_surface(here[column - 1], here[column + 1]):
                here[column] = np.float32(0.5) * (here[column - 1] + here[column + 1])
                ids[row, column] = ids[row, column - 1]


@njit(**KERNEL)
def draw_static(camera, mesh, samples, nearness, ids):
    """Draw the town, after the actors, and number what stays empty.

    `samples` squared make a pixel, by which it is decided what is too small.
    """
    axes, place, focal = camera.axes, camera.position, camera.focal
    centre_x, centre_y = 0.5 * camera.width, 0.5 * camera.height
    chunks = len(mesh.chunk_box)
    order = np.empty(chunks, np.int64)
    distance = np.empty(chunks)
    count = _visible_chunks(camera, mesh.chunk_box, order, distance)
    corners = np.empty((7, 3), np.float32)
    largest = 0
    for chunk in range(chunks):
        largest = max(largest, mesh.chunk_vertex[chunk + 1] - mesh.chunk_vertex[chunk])
    view, sides = np.empty((6, largest), np.float32), np.empty(largest, np.uint8)
    tiles = np.empty(((camera.height + TILE - 1) // TILE, (camera.width + TILE - 1) // TILE), np.float32)
    least, nowhere = np.empty(camera.width, np.float32), np.zeros(3)
    rounds = 0
    for place_in_order in range(count):
        chunk = order[place_in_order]
        if rounds < len(OCCLUSION_ROUNDS) and distance[place_in_order] > OCCLUSION_ROUNDS[rounds]:
            rounds += 1
            _farthest(nearness, least, tiles)
        if rounds > 0 and _hidden(camera, mesh.chunk_box, chunk, tiles):
            continue
        first, stop = np.int64(mesh.chunk_triangle[chunk]), np.int64(mesh.chunk_triangle[chunk + 1])
        smallest = distance[place_in_order] * SMALLEST * samples / focal
        if mesh.reach[stop - 1] < smallest:
            low, high = first, stop
            while low < high:
                middle = (low + high) // 2
                if mesh.reach[middle] >= smallest:
                    low = middle + 1
                else:
                    high = middle
            stop = low
        if stop <= first:
            continue
        offset = np.int64(mesh.chunk_vertex[chunk])
        vertices = mesh.vertices[offset : np.int64(mesh.vertex_stop[stop - 1])]
        _project(vertices, axes, place, nowhere, focal, centre_x, centre_y, view, sides)
        _draw(
            mesh.triangles, first, stop, first, mesh.culled, False, view, sides, offset, focal, centre_x, centre_y,
            nearness, ids, corners,
        )  # fmt: skip
    _finish_empty(nearness, ids)


@njit(**KERNEL)
def draw_instances(camera, pool, instances, base, samples, nearness, ids):
    """Draw the actors; their triangles are numbered from `base` + their slot on, the far mesh after the near one."""
    axes, place, focal = camera.axes, camera.position, camera.focal
    centre_x, centre_y = 0.5 * camera.width, 0.5 * camera.height
    tan_x, tan_y = centre_x / focal, centre_y / focal
    spread_x, spread_y = math.sqrt(1.0 + tan_x * tan_x), math.sqrt(1.0 + tan_y * tan_y)
    corners = np.empty((7, 3), np.float32)
    largest = 0
    for mesh in range(len(pool.radius)):
        largest = max(largest, pool.first_vertex[mesh + 1] - pool.first_vertex[mesh])
    view, sides = np.empty((6, largest), np.float32), np.empty(largest, np.uint8)
    nothing = np.zeros(1, np.uint8)
    turn, middle, nowhere = np.empty((3, 3)), np.empty(3), np.zeros(3)
    for instance in range(len(instances)):
        body = instances[instance]
        px, py, pz = body["position"][0] - place[0], body["position"][1] - place[1], body["position"][2] - place[2]
        x = axes[0, 0] * px + axes[0, 1] * py + axes[0, 2] * pz
        y = axes[1, 0] * px + axes[1, 1] * py + axes[1, 2] * pz
        z = axes[2, 0] * px + axes[2, 1] * py + axes[2, 2] * pz
        scale = 1.0
        lamp = body["glow"][0] + body["glow"][1] + body["glow"][2] > 0.0
        away = math.sqrt(px * px + py * py + pz * pz)
        straight = body["rotation"][0, 0] + body["rotation"][1, 1] + body["rotation"][2, 2]
        if not (away < FARTHEST and abs(straight) < 4.0):
            continue
        near_mesh, far_mesh = body["near_mesh"], body["far_mesh"]
        radius = pool.radius[near_mesh]
        if lamp:
            scale = min(max(1.0, 0.9 * away * samples / focal / radius), 2.2)
        radius *= scale
        if x < -radius or abs(y) - radius * spread_x > max(x, 0.0) * tan_x + radius:
            continue
        if abs(z) - radius * spread_y > max(x, 0.0) * tan_y + radius:
            continue
        if not lamp and radius < SMALLEST * samples * away / focal:
            continue
        mesh, number = near_mesh, base + body["slot"]
        if radius * focal < body["coarse"] * away * samples and far_mesh != near_mesh:
            mesh = far_mesh
            number += pool.first[near_mesh + 1] - pool.first[near_mesh]
        for i in range(3):
            for j in range(3):
                turn[i, j] = scale * (
                    axes[i, 0] * body["rotation"][0, j]
                    + axes[i, 1] * body["rotation"][1, j]
                    + axes[i, 2] * body["rotation"][2, j]
                )
        offset = np.int64(pool.first_vertex[mesh])
        middle[0], middle[1], middle[2] = x, y, z
        vertices = pool.vertices[offset : np.int64(pool.first_vertex[mesh + 1])]
        _project(vertices, turn, nowhere, middle, focal, centre_x, centre_y, view, sides)
        _draw(
            pool.triangles, np.int64(pool.first[mesh]), np.int64(pool.first[mesh + 1]), number, nothing, True, view,
            sides, offset, focal, centre_x, centre_y, nearness, ids, corners,
        )  # fmt: skip


@njit(**KERNEL)
def draw_shadows(camera, instances, sun, samples, nearness, shadow):
    """Mark the samples on which bodies cast their shadow: uint8 (H, W), 1 where the sun does not come.

    The shadow of a body is the outline of its box on the ground, drawn out away from the sun by the body's height.
    """
    axes, place, focal = camera.axes, camera.position, camera.focal
    corners = np.empty((6, 3))
    for instance in range(len(instances)):
        body = instances[instance]
        if not body["casts_shadow"]:
            continue
        px, py, pz = body["position"][0] - place[0], body["position"][1] - place[1], body["position"][2] - place[2]
        reach = 2.0 * max(body["size"][0], body["size"][1], body["size"][2])
        x = axes[0, 0] * px + axes[0, 1] * py + axes[0, 2] * pz
        away = math.sqrt(px * px + py * py + pz * pz)
        if not (x >= -reach and away <= 120.0) or reach * focal < 6.0 * away * samples:
            continue
        stretch = min(2.0 * body["size"][2] / max(sun[2], 0.1), 12.0)
        _shadow_outline(body, -sun[0] * stretch, -sun[1] * stretch, corners)
        _fill_shadow(camera, corners, nearness, shadow)


@njit(**INLINE)
def _shadow_outline(body, shift_x, shift_y, corners):
    """Six corners (convex, world) of the ground under a box and under its copy shifted by the sun."""
    fx, fy = body["rotation"][0, 0], body["rotation"][1, 0]
    length = math.sqrt(fx * fx + fy * fy) + 1e-9
    fx, fy = fx / length, fy / length
    along, across = shift_x * fx + shift_y * fy, shift_y * fx - shift_x * fy
    half_x, half_y = body["size"][0] * 0.97, body["size"][1] * 0.92
    sx, sy = (1.0 if along >= 0.0 else -1.0), (1.0 if across >= 0.0 else -1.0)
    front, back = sx * half_x, -sx * half_x
    near, far = -sy * half_y, sy * half_y
    outline = (
        (back, near),
        (front, near),
        (front + along, near + across),
        (front + along, far + across),
        (back + along, far + across),
        (back, far),
    )
    for corner in range(6):
        u, v = outline[corner]
        corners[corner, 0] = body["position"][0] + u * fx - v * fy
        corners[corner, 1] = body["position"][1] + u * fy + v * fx
        corners[corner, 2] = body["ground"]


@njit(**KERNEL)
def _fill_shadow(camera, corners, nearness, shadow):
    axes, place, focal = camera.axes, camera.position, camera.focal
    height, width = shadow.shape
    columns, rows, near = np.empty(6), np.empty(6), np.empty(6)
    for corner in range(6):
        px, py, pz = corners[corner, 0] - place[0], corners[corner, 1] - place[1], corners[corner, 2] - place[2]
        x = max(axes[0, 0] * px + axes[0, 1] * py + axes[0, 2] * pz, 0.3)
        near[corner] = 1.0 / x
        columns[corner] = 0.5 * width + focal * (axes[1, 0] * px + axes[1, 1] * py + axes[1, 2] * pz) / x
        rows[corner] = 0.5 * height - focal * (axes[2, 0] * px + axes[2, 1] * py + axes[2, 2] * pz) / x
    highest, lowest = math.inf, -math.inf
    for corner in range(6):
        highest, lowest = min(highest, rows[corner]), max(lowest, rows[corner])
    top, bottom = max(math.ceil(highest - 0.5), 0), min(math.ceil(lowest - 0.5), height)
    for row in range(top, bottom):
        y = row + 0.5
        low, high, near_low, near_high = math.inf, -math.inf, 0.0, 0.0
        for corner in range(6):
            after = (corner + 1) % 6
            y0, y1 = rows[corner], rows[after]
            if (y0 <= y) == (y1 <= y):
                continue
            share = (y - y0) / (y1 - y0)
            x = columns[corner] + share * (columns[after] - columns[corner])
            w = near[corner] + share * (near[after] - near[corner])
            if x < low:
                low, near_low = x, w
            if x > high:
                high, near_high = x, w
        if high <= low:
            continue
        slope = (near_high - near_low) / (high - low)
        for column in range(max(math.ceil(low - 0.5), 0), min(math.ceil(high - 0.5), width)):
            w = near_low + slope * (column + 0.5 - low)
            if abs(nearness[row, column] - w) < 0.06 * w + 0.15 * w * w:
                shadow[row, column] = 1
