"""Rays through the world: the ground's height field, the static boxes of the town, the boxes of the actors."""

# mypy: allow-untyped-defs
from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.physics.ground import TILE_CELLS, Surface
from minicarla.physics.obstacles import ObstacleGrid
from minicarla.sensing.compiling import BARE, INLINE, INNER

NOTHING, GROUND, STATIC, MOVING = -1, 0, 1, 2
"""What a ray met."""

_MARCH_STEP = 0.4
"""[m] Shortest step along the ground while looking for it: below the side of a height-field cell."""

_MARCH_SLOPE = 0.35
"""Slope of the ground that longer steps allow for."""

GRAZE = 1e-12


class Hits(NamedTuple):
    """What rays met, one entry a ray.

    Attributes:
        distance: float64 [m]; the ray's range where it met nothing.
        kind: int8, `NOTHING`, `GROUND`, `STATIC` or `MOVING`.
        target: int32, semantic tag of the ground, row of the obstacle, or row of the moving box.
        cosine: float64, of the angle between the ray and the surface's normal, 0..1.
    """

    distance: NDArray[np.float64]
    kind: NDArray[np.int8]
    target: NDArray[np.int32]
    cosine: NDArray[np.float64]


def tile_bounds(height: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lowest and highest node of every ground tile: float32 (tiles, 2); holes (NaN) do not count."""
    nodes = height.reshape(len(height), -1)
    low = np.fmin.reduce(nodes, axis=1, initial=np.float32(np.inf))
    return np.stack([low, np.fmax.reduce(nodes, axis=1, initial=np.float32(-np.inf))], axis=1)


@njit(**INLINE)
def _slab(origin, direction, extent, near, far, axis, hit_axis):
    """Clip [near, far] of a ray to one pair of a box's planes; returns near, far, axis of entry."""
    if abs(direction) < GRAZE:
        if abs(origin) > extent:
            return 1.0, 0.0, hit_axis
        return near, far, hit_axis
    inverse = 1.0 / direction
    first = (-extent - origin) * inverse
    second = (extent - origin) * inverse
    if first > second:
        first, second = second, first
    if first > near:
        near = first
        hit_axis = axis
    return near, min(far, second), hit_axis


@njit(**INLINE)
def _static_box(ox, oy, oz, dx, dy, dz, box, inflate, limit):
    """Distance to an upright box and the cosine of incidence; `limit` if missed or begun inside."""
    cos, sin = math.cos(box["yaw"]), math.sin(box["yaw"])
    px, py, pz = ox - box["x"], oy - box["y"], oz - box["z"]
    lx, ly = px * cos + py * sin, py * cos - px * sin
    vx, vy = dx * cos + dy * sin, dy * cos - dx * sin
    near, far, axis = _slab(lx, vx, box["extent_x"] + inflate, 0.0, limit, 0, -1)
    if near > far:
        return limit, 0.0
    near, far, axis = _slab(ly, vy, box["extent_y"] + inflate, near, far, 1, axis)
    if near > far:
        return limit, 0.0
    near, far, axis = _slab(pz, dz, box["extent_z"] + inflate, near, far, 2, axis)
    if near > far or axis < 0:
        return limit, 0.0
    return near, abs(vx) if axis == 0 else abs(vy) if axis == 1 else abs(dz)


@njit(**INLINE)
def _moving_box(ox, oy, oz, dx, dy, dz, box, inflate, limit):
    """As `_static_box`, for a row of `actors.MOVING_BOX`, which may lean."""
    px, py, pz = ox - box["x"], oy - box["y"], oz - box["z"]
    near, far, axis, cosine = 0.0, limit, -1, 0.0
    for side in range(3):
        ax, ay, az = box["axes"][side, 0], box["axes"][side, 1], box["axes"][side, 2]
        speed = dx * ax + dy * ay + dz * az
        before = axis
        near, far, axis = _slab(
            px * ax + py * ay + pz * az, speed, box["extent"][side] + inflate, near, far, side, axis
        )
        if near > far:
            return limit, 0.0
        if axis != before:
            cosine = abs(speed)
    if axis < 0:
        return limit, 0.0
    return near, cosine


@njit(**INLINE)
def _height(field, u, v):
    """Bilinear height in one tile at (u, v) cells from its corner; NaN in a hole."""
    u = min(max(u, 0.0), TILE_CELLS - 1e-9)
    v = min(max(v, 0.0), TILE_CELLS - 1e-9)
    iu, iv = int(u), int(v)
    fu, fv = u - iu, v - iv
    low = field[iv, iu] + fu * (field[iv, iu + 1] - field[iv, iu])
    high = field[iv + 1, iu] + fu * (field[iv + 1, iu + 1] - field[iv + 1, iu])
    return low + fv * (high - low)


@njit(**INLINE)
def _tile_hit(field, low, high, u0, v0, du, dv, oz, dz, cell, start, end):
    """First distance in [start, end] at which the ray is below the tile's height field, else -1.

    u0, v0: the ray's origin in cells from the tile's corner; du, dv: cells a metre of ray.
    """
    if dz < 0.0:
        start = max(start, (high - oz) / dz)
        end = min(end, (low - 0.01 - oz) / dz + 1e-3)
    elif dz > 0.0:
        end = min(end, (high - oz) / dz)
    elif oz > high:
        return -1.0
    if start > end:
        return -1.0
    across = math.sqrt(du * du + dv * dv) * cell
    t = start
    before_t, before = -1.0, 0.0
    while True:
        gap = oz + dz * t - _height(field, u0 + du * t, v0 + dv * t)
        if gap <= 0.0:
            if before_t < 0.0:
                return t if gap > -0.6 and t > 0.0 else -1.0
            return before_t + (t - before_t) * before / (before - gap)
        if t >= end:
            return -1.0
        if gap == gap:
            before_t, before = t, gap
            t += max(gap / (max(-dz, 0.0) + _MARCH_SLOPE * across + GRAZE), _MARCH_STEP)
        else:
            before_t = -1.0
            t += _MARCH_STEP
        t = min(t, end)


@njit(**INLINE)
def _ground(surface, bounds, ox, oy, oz, dx, dy, dz, limit):
    """Distance to the ground, its label and the cosine of incidence; `limit` and -1 where there is none."""
    rows, columns = surface.tile_first.shape
    side = surface.cell * TILE_CELLS
    x, y = (ox - surface.origin_x) / side, (oy - surface.origin_y) / side
    vx, vy = dx / side, dy / side
    t = 0.0
    for start, speed, count in ((x, vx, columns), (y, vy, rows)):
        if abs(speed) < GRAZE:
            if start < 0.0 or start >= count:
                return limit, -1, 0.0
        else:
            t = max(t, min(-start / speed, (count - start) / speed))
    column = min(max(math.floor(x + vx * t), 0), columns - 1)
    row = min(max(math.floor(y + vy * t), 0), rows - 1)
    right, down = (1 if vx > 0.0 else -1), (1 if vy > 0.0 else -1)
    next_x = ((column + (right > 0)) - x) / vx if abs(vx) > GRAZE else math.inf
    next_y = ((row + (down > 0)) - y) / vy if abs(vy) > GRAZE else math.inf
    while t < limit:
        end = min(next_x, next_y, limit)
        tile = surface.tile_first[row, column]
        best = limit
        while tile >= 0:
            if min(oz + dz * t, oz + dz * end) <= bounds[tile, 1]:
                u0, v0 = (x - column) * TILE_CELLS, (y - row) * TILE_CELLS
                hit = _tile_hit(
                    surface.height[tile], bounds[tile, 0], bounds[tile, 1], u0, v0,
                    vx * TILE_CELLS, vy * TILE_CELLS, oz, dz, surface.cell, t, end,
                )  # fmt: skip
                if 0.0 <= hit < best:
                    best = hit
                    u = min(max(u0 + vx * TILE_CELLS * hit, 0.0), TILE_CELLS - 1e-9)
                    v = min(max(v0 + vy * TILE_CELLS * hit, 0.0), TILE_CELLS - 1e-9)
                    field = surface.height[tile]
                    iu, iv = int(u), int(v)
                    slope_x = (field[iv, iu + 1] - field[iv, iu]) / surface.cell
                    slope_y = (field[iv + 1, iu] - field[iv, iu]) / surface.cell
                    label = int(surface.label[tile, iv, iu])
                    cosine = abs(dx * slope_x + dy * slope_y - dz) / math.sqrt(1.0 + slope_x**2 + slope_y**2)
            tile = surface.tile_next[tile]
        if best < limit:
            return best, label, cosine
        if next_x < next_y:
            t = next_x
            next_x += 1.0 / abs(vx)
            column += right
        else:
            t = next_y
            next_y += (1.0 / abs(vy)) if abs(vy) > GRAZE else math.inf
            row += down
        if column < 0 or row < 0 or column >= columns or row >= rows:
            break
    return limit, -1, 0.0


@njit(**INLINE)
def _statics(obstacles, grid, ox, oy, oz, dx, dy, dz, inflate, limit):
    """Distance to the nearest static box, its row and the cosine of incidence; `limit` and -1 without one."""
    x, y = (ox - grid.origin_x) / grid.cell, (oy - grid.origin_y) / grid.cell
    vx, vy = dx / grid.cell, dy / grid.cell
    t, stop = 0.0, limit
    margin = math.ceil(inflate / grid.cell)
    for start, speed, count in ((x, vx, grid.columns), (y, vy, grid.rows)):
        if abs(speed) < GRAZE:
            if start < 0.0 or start >= count:
                return limit, -1, 0.0
        else:
            t = max(t, min(-start / speed, (count - start) / speed))
            stop = min(stop, max(-start / speed, (count - start) / speed))
    best, index, cosine = limit, -1, 0.0
    if t > stop or len(obstacles) == 0:
        return best, index, cosine
    column = min(max(math.floor(x + vx * t), 0), grid.columns - 1)
    row = min(max(math.floor(y + vy * t), 0), grid.rows - 1)
    right, down = (1 if vx > 0.0 else -1), (1 if vy > 0.0 else -1)
    next_x = ((column + (right > 0)) - x) / vx if abs(vx) > GRAZE else math.inf
    next_y = ((row + (down > 0)) - y) / vy if abs(vy) > GRAZE else math.inf
    while t < best:
        for j in range(max(row - margin, 0), min(row + margin + 1, grid.rows)):
            for i in range(max(column - margin, 0), min(column + margin + 1, grid.columns)):
                cell = j * grid.columns + i
                for item in range(grid.starts[cell], grid.starts[cell + 1]):
                    box = grid.items[item]
                    distance, incidence = _static_box(ox, oy, oz, dx, dy, dz, obstacles[box], inflate, best)
                    if distance < best:
                        best, index, cosine = distance, box, incidence
        if next_x < next_y:
            t = next_x
            next_x += 1.0 / abs(vx)
            column += right
        else:
            t = next_y
            next_y += (1.0 / abs(vy)) if abs(vy) > GRAZE else math.inf
            row += down
        if column < 0 or row < 0 or column >= grid.columns or row >= grid.rows:
            break
    return best, index, cosine


@njit(**INNER)
def _near_boxes(boxes, ox, oy, oz, limit, skip_kind, skip_row, near):
    """Write the rows of the moving boxes that rays of length `limit` from a point may meet; returns how many."""
    count = 0
    for row in range(len(boxes)):
        box = boxes[row]
        if box["kind"] == skip_kind and box["row"] == skip_row:
            continue
        away = math.sqrt((box["x"] - ox) ** 2 + (box["y"] - oy) ** 2 + (box["z"] - oz) ** 2)
        if away < limit + box["radius"]:
            near[count] = row
            count += 1
    return count


@njit(**BARE)
def cast(
    origin, directions, limit, inflate, surface, bounds, obstacles, grid, boxes, skip_kind, skip_row, see_ground,
    see_static, near, distance, kind, index, cosine,
):  # fmt: skip
    """Send rays from one point and write what each meets first (see `Hits`).

    Args:
        origin: float64 (3,) [m].
        directions: float64 (n, 3), unit vectors in the world.
        limit: [m] range.
        inflate: [m] added to every box's half sizes: a swept ball instead of a thin ray.
        surface, bounds: the ground and its `tile_bounds`.
        obstacles, grid: static boxes and their grid.
        boxes: rows of `actors.MOVING_BOX`; those of (skip_kind, skip_row) are not seen.
        see_ground, see_static: whether these count.
        near: int32 (boxes,), scratch.
        distance, kind, index, cosine: the columns of `Hits` to fill.
    """
    ox, oy, oz = origin[0], origin[1], origin[2]
    somewhere = abs(ox) < 1e7 and abs(oy) < 1e7 and abs(oz) < 1e7
    nearby = _near_boxes(boxes, ox, oy, oz, limit + inflate, skip_kind, skip_row, near)
    for ray in range(len(directions)):
        dx, dy, dz = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        best, what, where, incidence = limit, NOTHING, -1, 0.0
        if not (somewhere and abs(dx * dx + dy * dy + dz * dz - 1.0) < 1e-3):
            distance[ray], kind[ray], index[ray], cosine[ray] = best, what, where, incidence
            continue
        for place in range(nearby):
            row = near[place]
            box = boxes[row]
            px, py, pz = box["x"] - ox, box["y"] - oy, box["z"] - oz
            along = px * dx + py * dy + pz * dz
            reach = box["radius"] + 1.8 * inflate
            if along < -reach or px * px + py * py + pz * pz - along * along > reach * reach:
                continue
            found, cos_found = _moving_box(ox, oy, oz, dx, dy, dz, box, inflate, best)
            if found < best:
                best, what, where, incidence = found, MOVING, row, cos_found
        if see_static:
            found, row, cos_found = _statics(obstacles, grid, ox, oy, oz, dx, dy, dz, inflate, best)
            if row >= 0:
                best, what, where, incidence = found, STATIC, row, cos_found
        if see_ground:
            found, label, cos_found = _ground(surface, bounds, ox, oy, oz, dx, dy, dz, best)
            if label >= 0:
                best, what, where, incidence = found, GROUND, label, cos_found
        distance[ray], kind[ray], index[ray], cosine[ray] = best, what, where, incidence


@njit(**BARE)
def fan(elevations, azimuths, rotation, local, world):
    """Unit vectors of a scanner's rays, row by row of equal elevation.

    Args:
        elevations: float64 (c,) [rad].
        azimuths: float64 (n,) [rad].
        rotation: float64 (3, 3), columns are the scanner's axes in the world.
        local, world: float64 (c * n, 3), receive the vectors in the scanner's frame and in the world's.
    """
    count = len(azimuths)
    for column in range(count):
        local[column, 0], local[column, 1] = math.cos(azimuths[column]), math.sin(azimuths[column])
    for channel in range(len(elevations) - 1, -1, -1):
        level, up = math.cos(elevations[channel]), math.sin(elevations[channel])
        for column in range(count):
            ray = channel * count + column
            x, y = level * local[column, 0], level * local[column, 1]
            local[ray, 0], local[ray, 1], local[ray, 2] = x, y, up
            for axis in range(3):
                world[ray, axis] = rotation[axis, 0] * x + rotation[axis, 1] * y + rotation[axis, 2] * up


def cast_rays(
    origin: NDArray[np.float64],
    directions: NDArray[np.float64],
    limit: float,
    surface: Surface,
    bounds: NDArray[np.float32],
    obstacles: NDArray[np.void],
    grid: ObstacleGrid,
    boxes: NDArray[np.void],
    skip: tuple[int, int] = (-1, -1),
    inflate: float = 0.0,
    see_ground: bool = True,
    see_static: bool = True,
) -> Hits:
    """`cast` with fresh columns; see there."""
    count = len(directions)
    hits = Hits(np.empty(count), np.empty(count, np.int8), np.empty(count, np.int32), np.empty(count))
    cast(
        np.ascontiguousarray(origin, np.float64), directions, limit, inflate, surface, bounds, obstacles, grid,
        boxes, skip[0], skip[1], see_ground, see_static, np.empty(len(boxes), np.int32), *hits,
    )  # fmt: skip
    return hits
