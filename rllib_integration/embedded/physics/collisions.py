"""Collisions between everything that has a body: upright oriented boxes, impulses at contact points.

Once a tick the broad phase lists the pairs that could meet during it: moving bodies through a hashed grid, static
boxes through theirs. Every substep the narrow phase looks at these pairs only.

Boxes are upright: a footprint turned by yaw, and an interval of height, so that what drives on a bridge does not
touch what drives below it. Of the axes that separate two boxes, the one on which they have overlapped for the
shortest time is the one they met on; that tells a head-on hit from a side swipe even where a fast body has entered
deeply within a substep.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rllib_integration.embedded.physics.kernels import kernel
from rllib_integration.embedded.physics.obstacles import ObstacleGrid
from rllib_integration.embedded.physics.prop import yaw_inertia
from rllib_integration.embedded.physics.state import (
    OBSTACLE_KIND,
    PROP_KIND,
    VEHICLE_KIND,
    WALKER_KIND,
    Floats,
    Integers,
    Prop,
    Rows,
    Vehicle,
    Walker,
)

# Columns of a body: footprint, heights, motion of the centre of mass, inverse inertia, where the centre of mass lies.
X, Y, LOW, HIGH, COS, SIN, EX, EY = 0, 1, 2, 3, 4, 5, 6, 7
VX, VY, VZ, WZ, LIGHTNESS, SPINNESS, CX, CY = 8, 9, 10, 11, 12, 13, 14, 15
RADIUS, AWAKE, SHIFT_X, SHIFT_Y, SHIFT_Z, HIT, LOADED = 16, 17, 18, 19, 20, 21, 22
COLUMNS = 23

MARGIN = 0.2
"""Added to the reach of a body in the broad phase: room for what impulses of the same tick move, metres."""
RESTITUTION = 0.15
BOUNCING_SPEED = 1.0
"""Slower hits do not bounce, m/s."""
FRICTION = 0.4
SLOP = 0.005
"""Depth that is left after pushing two bodies apart, so that resting contacts do not flicker, metres."""
RESTING_OVERLAP = 0.05
"""Of two bodies that overlap in height by no more than this, one stands on the other, metres."""
WAKING_SPEED = 0.03
"""A sleeping vehicle does not move for pushes that would make it slower than this, m/s."""
SHOVING_SPEED = 0.15
"""A standing body is not moved by a much lighter one that would make it slower than this, m/s: nobody shoves a car."""
MUCH_LIGHTER = 5.0
STAGGER_SPEED = 1.5
"""A walker that is knocked to a change of speed above this is out of control for a while, m/s ..."""
STAGGER_TIME = 1.5
"""... for this long, seconds."""


@kernel
def load_vehicle(v: Vehicle, body: Floats) -> None:
    """Fills a body's columns from a record of `state.VEHICLE`."""
    r = v.rotation
    ex, ey, ez = v.extent_x, v.body_extent_y, v.extent_z
    offset_x, offset_y, offset_z = v.box_x, v.box_y, v.box_z
    # forward, level; straight up or down it does not matter which way
    flat = 1.0 / math.sqrt(r[0] * r[0] + r[3] * r[3] + 1e-12)
    cosine, sine = r[0] * flat, r[3] * flat
    tilted = r[8] < 0.94
    body[X] = v.x + cosine * offset_x - sine * offset_y
    body[Y] = v.y + sine * offset_x + cosine * offset_y
    height = v.z + offset_z
    underside = v.clearance
    if tilted:
        # The upright box around a body that leans or lies.
        body[X] = v.x + r[0] * offset_x + r[1] * offset_y + r[2] * offset_z
        body[Y] = v.y + r[3] * offset_x + r[4] * offset_y + r[5] * offset_z
        height = v.z + r[6] * offset_x + r[7] * offset_y + r[8] * offset_z
        ahead_x = abs(cosine * r[0] + sine * r[3]) * ex
        ahead_x += abs(cosine * r[1] + sine * r[4]) * ey + abs(cosine * r[2] + sine * r[5]) * ez
        across = abs(cosine * r[3] - sine * r[0]) * ex
        across += abs(cosine * r[4] - sine * r[1]) * ey + abs(cosine * r[5] - sine * r[2]) * ez
        ez = abs(r[6]) * ex + abs(r[7]) * ey + abs(r[8]) * ez
        ex, ey = ahead_x, across
        underside = 0.0
    body[LOW], body[HIGH] = height - ez + underside, height + ez
    body[COS], body[SIN], body[EX], body[EY] = cosine, sine, ex, ey
    body[VX], body[VY], body[VZ], body[WZ] = v.vx, v.vy, v.vz, v.wz
    body[LIGHTNESS] = v.lightness if v.physics else 0.0
    body[SPINNESS] = v.spinness_z if v.physics else 0.0
    body[CX] = v.x + cosine * v.com_x - sine * v.com_y
    body[CY] = v.y + sine * v.com_x + cosine * v.com_y
    body[AWAKE] = 0.0 if v.asleep else 1.0
    _load_rest(body)


@kernel
def load_walker(w: Walker, body: Floats) -> None:
    """Fills a body's columns from a record of `state.WALKER`; walkers do not turn when they are hit."""
    _load_box(w, body, 1.0, 0.0)
    body[LIGHTNESS] = 1.0 / w.mass if w.physics else 0.0
    body[SPINNESS] = 0.0
    body[WZ] = 0.0
    body[AWAKE] = 1.0


@kernel
def load_prop(p: Prop, body: Floats) -> None:
    """Fills a body's columns from a record of `state.PROP`."""
    _load_box(p, body, math.cos(p.yaw), math.sin(p.yaw))
    body[LIGHTNESS] = 1.0 / p.mass if p.physics else 0.0
    body[SPINNESS] = 1.0 / yaw_inertia(p) if p.physics else 0.0
    body[AWAKE] = 1.0 if p.physics and not p.asleep else 0.0


@kernel
def _load_box(actor: Any, body: Floats, cosine: float, sine: float) -> None:
    body[X] = actor.x + cosine * actor.box_x - sine * actor.box_y
    body[Y] = actor.y + sine * actor.box_x + cosine * actor.box_y
    height = actor.z + actor.box_z
    body[LOW], body[HIGH] = height - actor.extent_z, height + actor.extent_z
    body[COS], body[SIN], body[EX], body[EY] = cosine, sine, actor.extent_x, actor.extent_y
    body[VX], body[VY], body[VZ], body[WZ] = actor.vx, actor.vy, actor.vz, actor.wz
    body[CX], body[CY] = body[X], body[Y]
    _load_rest(body)


@kernel
def _load_rest(body: Floats) -> None:
    body[RADIUS] = math.sqrt(body[EX] * body[EX] + body[EY] * body[EY])
    body[SHIFT_X] = body[SHIFT_Y] = body[SHIFT_Z] = body[HIT] = 0.0


@kernel
def load_obstacle(o: Any, body: Floats) -> None:
    """Fills a body's columns from a record of `obstacles.OBSTACLE`."""
    body[X], body[Y] = o.x, o.y
    body[CX], body[CY] = o.x, o.y
    body[VX] = body[VY] = body[VZ] = body[WZ] = 0.0
    body[LIGHTNESS] = body[SPINNESS] = body[AWAKE] = 0.0
    body[LOW], body[HIGH] = o.z - o.extent_z, o.z + o.extent_z
    body[COS], body[SIN], body[EX], body[EY] = math.cos(o.yaw), math.sin(o.yaw), o.extent_x, o.extent_y
    _load_rest(body)


@kernel
def store_vehicle(v: Vehicle, body: Floats) -> None:
    """Writes what a collision changed back to a record of `state.VEHICLE`."""
    v.x += body[SHIFT_X]
    v.y += body[SHIFT_Y]
    v.z += body[SHIFT_Z]
    v.vx, v.vy, v.vz, v.wz = body[VX], body[VY], body[VZ], body[WZ]
    v.asleep = 0
    v.rest_time = 0.0


@kernel
def store_walker(w: Walker, body: Floats) -> None:
    """Writes what a collision changed back to a record of `state.WALKER`."""
    w.x += body[SHIFT_X]
    w.y += body[SHIFT_Y]
    w.z += body[SHIFT_Z]
    change = math.sqrt((body[VX] - w.vx) ** 2 + (body[VY] - w.vy) ** 2)
    # Walking into a wall takes no more than one's own speed away; being hit gives more.
    if change > STAGGER_SPEED and body[VX] ** 2 + body[VY] ** 2 > w.vx * w.vx + w.vy * w.vy:
        w.stagger = STAGGER_TIME
    w.vx, w.vy, w.vz = body[VX], body[VY], body[VZ]


@kernel
def store_prop(p: Prop, body: Floats) -> None:
    """Writes what a collision changed back to a record of `state.PROP`."""
    p.x += body[SHIFT_X]
    p.y += body[SHIFT_Y]
    p.z += body[SHIFT_Z]
    p.vx, p.vy, p.vz, p.wz = body[VX], body[VY], body[VZ], body[WZ]
    p.asleep = 0


@kernel
def load_all(vehicles: Rows, walkers: Rows, props: Rows) -> Floats:
    """Bodies of all actors: float64 (vehicles + walkers + props + 1, COLUMNS); the last one is for an obstacle."""
    bodies = np.zeros((len(vehicles) + len(walkers) + len(props) + 1, COLUMNS))
    for i in range(len(bodies) - 1):
        _load(vehicles, walkers, props, bodies, i, -1)
    return bodies


@kernel
def _load(vehicles: Rows, walkers: Rows, props: Rows, bodies: Floats, i: int, substep: int) -> None:
    if bodies[i, LOADED] == substep:
        return
    bodies[i, LOADED] = substep
    row = i
    if row < len(vehicles):
        load_vehicle(vehicles[row], bodies[i])
        return
    row -= len(vehicles)
    if row < len(walkers):
        load_walker(walkers[row], bodies[i])
        return
    load_prop(props[row - len(walkers)], bodies[i])


@kernel
def _collides(vehicles: Rows, walkers: Rows, props: Rows, i: int) -> bool:
    row = i
    if row < len(vehicles):
        return vehicles[row].collisions != 0
    row -= len(vehicles)
    if row < len(walkers):
        return walkers[row].collisions != 0
    return props[row - len(walkers)].collisions != 0


@kernel
def _grown(array: Integers) -> Integers:
    # Written out: slices would make compiling three seconds longer.
    larger = np.empty((2 * array.shape[0], 3), np.int64)
    for i in range(array.shape[0]):
        larger[i, 0], larger[i, 1], larger[i, 2] = array[i, 0], array[i, 1], array[i, 2]
    return larger


@kernel
def find_pairs(
    vehicles: Rows,
    walkers: Rows,
    props: Rows,
    obstacles: Rows,
    grid: ObstacleGrid,
    bodies: Floats,
    dt: float,
    gravity: float,
) -> Integers:
    """Pairs that could meet within a tick.

    Returns:
        int64 (n, 3): body; smaller body or ``-1 - row`` of an obstacle; contact of this tick, -1 so far. Ordered by
        body.
    """
    count = len(bodies) - 1
    reach = np.empty(count)
    drop = gravity * dt * dt
    largest = 1.0
    for i in range(count):
        b = bodies[i]
        speed = math.sqrt(b[VX] * b[VX] + b[VY] * b[VY])
        reach[i] = b[RADIUS] + speed * dt + MARGIN
        largest = max(largest, reach[i])
    cell = 2.0 * largest
    buckets = 64
    while buckets < 2 * count:
        buckets *= 2
    head = np.empty(buckets, np.int64)
    for i in range(buckets):
        head[i] = -1
    chain = np.empty(count, np.int64)
    cells = np.empty((count, 2), np.int64)
    pairs = np.empty((4 * count + 16, 3), np.int64)
    found = np.int64(0)
    for i in range(count):
        if not _collides(vehicles, walkers, props, i):
            continue
        b = bodies[i]
        column, line = math.floor(b[X] / cell), math.floor(b[Y] / cell)
        cells[i, 0], cells[i, 1] = column, line
        climb = abs(b[VZ]) * dt + drop + MARGIN
        for near_column in range(column - 1, column + 2):
            for near_line in range(line - 1, line + 2):
                j = head[_bucket(near_column, near_line, buckets)]
                while j >= 0:
                    if cells[j, 0] == near_column and cells[j, 1] == near_line:
                        o = bodies[j]
                        dx, dy, apart = o[X] - b[X], o[Y] - b[Y], reach[i] + reach[j]
                        up = climb + abs(o[VZ]) * dt
                        if (
                            dx * dx + dy * dy < apart * apart
                            and b[LOW] - up < o[HIGH]
                            and o[LOW] - up < b[HIGH]
                            and (b[AWAKE] * b[LIGHTNESS] > 0.0 or o[AWAKE] * o[LIGHTNESS] > 0.0)
                            and _could_meet(b, o, dt)
                        ):
                            if found == len(pairs):
                                pairs = _grown(pairs)
                            pairs[found, 0], pairs[found, 1], pairs[found, 2] = i, j, -1
                            found += 1
                    j = chain[j]
        bucket = _bucket(column, line, buckets)
        chain[i] = head[bucket]
        head[bucket] = i
        if b[AWAKE] * b[LIGHTNESS] > 0.0:
            pairs, found = _find_obstacles(obstacles, grid, b, i, reach[i], climb, pairs, found)
    return pairs[:found]


@kernel
def _could_meet(a: Floats, b: Floats, dt: float) -> bool:
    """Whether two boxes are no further apart than they could approach within a tick."""
    dx, dy = a[X] - b[X], a[Y] - b[Y]
    vx, vy = a[VX] - b[VX], a[VY] - b[VY]
    way = math.sqrt(vx * vx + vy * vy) * dt + 2.0 * MARGIN
    c = abs(a[COS] * b[COS] + a[SIN] * b[SIN])
    s = abs(a[COS] * b[SIN] - a[SIN] * b[COS])
    return (
        abs(dx * a[COS] + dy * a[SIN]) < a[EX] + b[EX] * c + b[EY] * s + way
        and abs(dy * a[COS] - dx * a[SIN]) < a[EY] + b[EX] * s + b[EY] * c + way
        and abs(dx * b[COS] + dy * b[SIN]) < b[EX] + a[EX] * c + a[EY] * s + way
        and abs(dy * b[COS] - dx * b[SIN]) < b[EY] + a[EX] * s + a[EY] * c + way
    )


@kernel
def _bucket(column: int, line: int, buckets: int) -> int:
    return (column * 73856093 ^ line * 19349663) & (buckets - 1)


@kernel
def _find_obstacles(
    obstacles: Rows,
    grid: ObstacleGrid,
    body: Floats,
    index: int,
    reach: float,
    climb: float,
    pairs: Integers,
    found: int,
) -> tuple[Integers, int]:
    first_pair = found
    first_column = max(math.floor((body[X] - reach - grid.origin_x) / grid.cell), 0)
    last_column = min(math.floor((body[X] + reach - grid.origin_x) / grid.cell), grid.columns - 1)
    first_row = max(math.floor((body[Y] - reach - grid.origin_y) / grid.cell), 0)
    last_row = min(math.floor((body[Y] + reach - grid.origin_y) / grid.cell), grid.rows - 1)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            place = row * grid.columns + column
            for at in range(grid.starts[place], grid.starts[place + 1]):
                item = np.int64(grid.items[at])
                o = obstacles[item]
                if o.z - o.extent_z > body[HIGH] + climb or o.z + o.extent_z < body[LOW] - climb:
                    continue
                apart = reach + math.sqrt(o.extent_x * o.extent_x + o.extent_y * o.extent_y)
                dx, dy = o.x - body[X], o.y - body[Y]
                if dx * dx + dy * dy > apart * apart:
                    continue
                cosine, sine = math.cos(o.yaw), math.sin(o.yaw)
                if (
                    abs(dx * cosine + dy * sine) > o.extent_x + reach
                    or abs(dy * cosine - dx * sine) > o.extent_y + reach
                ):
                    continue
                known = False
                for pair in range(first_pair, found):
                    known = known or pairs[pair, 1] == -1 - item
                if known:
                    continue
                if found == len(pairs):
                    pairs = _grown(pairs)
                pairs[found, 0], pairs[found, 1], pairs[found, 2] = index, -1 - item, -1
                found += 1
    return pairs, found


@kernel
def collide(
    vehicles: Rows,
    walkers: Rows,
    props: Rows,
    obstacles: Rows,
    bodies: Floats,
    pairs: Integers,
    contacts: Rows,
    contact_count: int,
    substep: int,
    h: float,
) -> int:
    """Keeps the listed pairs apart after a substep and notes what touched.

    Args:
        vehicles, walkers, props, obstacles: The state.
        bodies: From `load_all`; brought up to date here.
        pairs: From `find_pairs`; their contacts are noted here.
        contacts: Array of `state.CONTACT`, filled up to `contact_count`.
        contact_count: Contacts so far in this tick.
        substep: Its number in the tick.
        h: Its length, seconds.

    Returns:
        Contacts after this substep.
    """
    for pair in range(len(pairs)):
        a, b = pairs[pair, 0], pairs[pair, 1]
        _load(vehicles, walkers, props, bodies, a, substep)
        if b >= 0:
            _load(vehicles, walkers, props, bodies, b, substep)
            other = b
        else:
            other = len(bodies) - 1
            load_obstacle(obstacles[-1 - b], bodies[other])
        depth, nx, ny, nz = find_contact(bodies[a], bodies[other], h)
        if depth <= 0.0:
            continue
        x, y = contact_point(bodies[a], bodies[other])
        jx, jy, jz, closing = exchange(bodies[a], bodies[other], nx, ny, nz, x, y)
        push_apart(bodies[a], bodies[other], nx, ny, nz, depth)
        _store(vehicles, walkers, props, bodies, a)
        if b >= 0:
            _store(vehicles, walkers, props, bodies, b)
        if closing <= 0.0:
            continue
        if pairs[pair, 2] < 0:
            if contact_count == len(contacts):
                continue
            pairs[pair, 2] = contact_count
            contact_count += 1
            c = contacts[pairs[pair, 2]]
            c.kind_a, c.row_a = _kind_and_row(vehicles, walkers, a)
            c.kind_b, c.row_b = _kind_and_row(vehicles, walkers, b)
            c.nx, c.ny, c.nz = nx, ny, nz
            c.x, c.y = x, y
            c.z = 0.5 * (max(bodies[a, LOW], bodies[other, LOW]) + min(bodies[a, HIGH], bodies[other, HIGH]))
            c.impulse_x = c.impulse_y = c.impulse_z = 0.0
            c.speed = closing
        c = contacts[pairs[pair, 2]]
        c.impulse_x += jx
        c.impulse_y += jy
        c.impulse_z += jz
    return contact_count


@kernel
def _kind_and_row(vehicles: Rows, walkers: Rows, i: int) -> tuple[int, int]:
    if i < 0:
        return OBSTACLE_KIND, -1 - i
    if i < len(vehicles):
        return VEHICLE_KIND, i
    if i < len(vehicles) + len(walkers):
        return WALKER_KIND, i - len(vehicles)
    return PROP_KIND, i - len(vehicles) - len(walkers)


@kernel
def _store(vehicles: Rows, walkers: Rows, props: Rows, bodies: Floats, i: int) -> None:
    body = bodies[i]
    if body[HIT] == 0.0:
        return
    row = i
    if row < len(vehicles):
        store_vehicle(vehicles[row], body)
    elif row < len(vehicles) + len(walkers):
        store_walker(walkers[row - len(vehicles)], body)
    else:
        store_prop(props[row - len(vehicles) - len(walkers)], body)
    body[X] += body[SHIFT_X]
    body[Y] += body[SHIFT_Y]
    body[CX] += body[SHIFT_X]
    body[CY] += body[SHIFT_Y]
    body[LOW] += body[SHIFT_Z]
    body[HIGH] += body[SHIFT_Z]
    body[SHIFT_X] = body[SHIFT_Y] = body[SHIFT_Z] = body[HIT] = 0.0


@kernel
def find_contact(a: Floats, b: Floats, h: float) -> tuple[float, float, float, float]:
    """Where two bodies overlap.

    Args:
        a, b: Bodies, shape (COLUMNS,).
        h: Length of the substep that brought them here, seconds.

    Returns:
        Depth (0 if they are apart) and the unit normal from b to a.
    """
    dx, dy = a[X] - b[X], a[Y] - b[Y]
    reach = a[RADIUS] + b[RADIUS]
    overlap_z = min(a[HIGH], b[HIGH]) - max(a[LOW], b[LOW])
    if overlap_z <= 0.0 or dx * dx + dy * dy > reach * reach:
        return 0.0, 0.0, 0.0, 0.0
    approach_x, approach_y = b[VX] - a[VX], b[VY] - a[VY]
    # extents of each box along the other's axes
    c = abs(a[COS] * b[COS] + a[SIN] * b[SIN])
    s = abs(a[COS] * b[SIN] - a[SIN] * b[COS])
    shallow = entered = math.inf
    shallow_x = shallow_y = entered_x = entered_y = 0.0
    entered_depth = 0.0
    for axis in range(4):
        if axis == 0:
            ux, uy, total = a[COS], a[SIN], a[EX] + b[EX] * c + b[EY] * s
        elif axis == 1:
            ux, uy, total = -a[SIN], a[COS], a[EY] + b[EX] * s + b[EY] * c
        elif axis == 2:
            ux, uy, total = b[COS], b[SIN], b[EX] + a[EX] * c + a[EY] * s
        else:
            ux, uy, total = -b[SIN], b[COS], b[EY] + a[EX] * s + a[EY] * c
        distance = dx * ux + dy * uy
        if distance < 0.0:
            ux, uy, distance = -ux, -uy, -distance
        overlap = total - distance
        if overlap <= 0.0:
            return 0.0, 0.0, 0.0, 0.0
        if overlap < shallow:
            shallow, shallow_x, shallow_y = overlap, ux, uy
        closing = approach_x * ux + approach_y * uy
        if closing > 1e-3 and overlap / closing < entered:
            entered, entered_depth, entered_x, entered_y = overlap / closing, overlap, ux, uy
    above = 1.0 if a[LOW] + a[HIGH] >= b[LOW] + b[HIGH] else -1.0
    falling = (b[VZ] - a[VZ]) * above
    landed = falling * 1.5 * h > overlap_z and overlap_z < entered * falling
    if landed or (overlap_z < RESTING_OVERLAP and overlap_z < shallow):
        return overlap_z, 0.0, 0.0, above
    if entered <= 1.5 * h:
        return entered_depth, entered_x, entered_y, 0.0
    return shallow, shallow_x, shallow_y, 0.0


@kernel
def contact_point(a: Floats, b: Floats) -> tuple[float, float]:
    """Middle of the corners of either box that lie in the other, in the ground plane."""
    sum_x, sum_y, count = 0.0, 0.0, 0
    for turn in range(2):
        inner, outer = (a, b) if turn == 0 else (b, a)
        for corner in range(4):
            x = inner[EX] if corner & 1 else -inner[EX]
            y = inner[EY] if corner & 2 else -inner[EY]
            at_x = inner[X] + inner[COS] * x - inner[SIN] * y
            at_y = inner[Y] + inner[SIN] * x + inner[COS] * y
            dx, dy = at_x - outer[X], at_y - outer[Y]
            along, across = dx * outer[COS] + dy * outer[SIN], dy * outer[COS] - dx * outer[SIN]
            if abs(along) <= outer[EX] + 1e-9 and abs(across) <= outer[EY] + 1e-9:
                sum_x += at_x
                sum_y += at_y
                count += 1
    if count:
        return sum_x / count, sum_y / count
    # Crossed boxes: the point of each that is nearest to the other's middle.
    ax, ay = _nearest(a, b[X], b[Y])
    bx, by = _nearest(b, a[X], a[Y])
    return 0.5 * (ax + bx), 0.5 * (ay + by)


@kernel
def _nearest(body: Floats, x: float, y: float) -> tuple[float, float]:
    dx, dy = x - body[X], y - body[Y]
    along = min(max(dx * body[COS] + dy * body[SIN], -body[EX]), body[EX])
    across = min(max(dy * body[COS] - dx * body[SIN], -body[EY]), body[EY])
    return body[X] + body[COS] * along - body[SIN] * across, body[Y] + body[SIN] * along + body[COS] * across


@kernel
def exchange(
    a: Floats, b: Floats, nx: float, ny: float, nz: float, x: float, y: float
) -> tuple[float, float, float, float]:
    """Exchanges the impulse of a hit: along the normal with restitution, across it with dry friction.

    Args:
        a, b: Bodies; their velocities change.
        nx, ny, nz: Unit normal from b to a.
        x, y: Contact point.

    Returns:
        Impulse on a (N s, world; b gets the opposite) and the speed at which they closed (0: they did not).
    """
    arm_ax, arm_ay, arm_bx, arm_by = x - a[CX], y - a[CY], x - b[CX], y - b[CY]
    speed_x = a[VX] - a[WZ] * arm_ay - b[VX] + b[WZ] * arm_by
    speed_y = a[VY] + a[WZ] * arm_ax - b[VY] - b[WZ] * arm_bx
    speed_z = a[VZ] - b[VZ]
    closing = -(speed_x * nx + speed_y * ny + speed_z * nz)
    if closing <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    _ignore_weak_push(a, b, closing)
    _ignore_weak_push(b, a, closing)
    bounce = RESTITUTION if closing > BOUNCING_SPEED and nz == 0.0 else 0.0
    turn_a, turn_b = arm_ax * ny - arm_ay * nx, arm_bx * ny - arm_by * nx
    softness = a[LIGHTNESS] + b[LIGHTNESS] + turn_a * turn_a * a[SPINNESS] + turn_b * turn_b * b[SPINNESS]
    if softness <= 0.0:
        return 0.0, 0.0, 0.0, closing
    impulse = (1.0 + bounce) * closing / softness
    slide_x, slide_y = speed_x + closing * nx, speed_y + closing * ny
    slide = math.sqrt(slide_x * slide_x + slide_y * slide_y)
    rub_x = rub_y = 0.0
    if slide > 1e-9:
        tx, ty = slide_x / slide, slide_y / slide
        turn_a, turn_b = arm_ax * ty - arm_ay * tx, arm_bx * ty - arm_by * tx
        softness = a[LIGHTNESS] + b[LIGHTNESS] + turn_a * turn_a * a[SPINNESS] + turn_b * turn_b * b[SPINNESS]
        rub = min(FRICTION * impulse, slide / softness)
        rub_x, rub_y = -tx * rub, -ty * rub
    jx, jy, jz = impulse * nx + rub_x, impulse * ny + rub_y, impulse * nz
    _push(a, jx, jy, jz, arm_ax, arm_ay)
    _push(b, -jx, -jy, -jz, arm_bx, arm_by)
    return jx, jy, jz, closing


@kernel
def _ignore_weak_push(body: Floats, other: Floats, closing: float) -> None:
    """A body that sleeps or stands stays where it is when the push is too weak."""
    if body[LIGHTNESS] == 0.0 or other[LIGHTNESS] == 0.0:
        return
    gain = closing * body[LIGHTNESS] / (body[LIGHTNESS] + other[LIGHTNESS])
    weak = WAKING_SPEED if body[AWAKE] == 0.0 else 0.0
    standing = body[VX] * body[VX] + body[VY] * body[VY] < SHOVING_SPEED * SHOVING_SPEED
    if standing and other[LIGHTNESS] > MUCH_LIGHTER * body[LIGHTNESS]:
        weak = SHOVING_SPEED
    if gain < weak:
        body[LIGHTNESS] = body[SPINNESS] = 0.0


@kernel
def _push(body: Floats, jx: float, jy: float, jz: float, arm_x: float, arm_y: float) -> None:
    if body[LIGHTNESS] == 0.0:
        return
    body[VX] += jx * body[LIGHTNESS]
    body[VY] += jy * body[LIGHTNESS]
    body[VZ] += jz * body[LIGHTNESS]
    body[WZ] += (arm_x * jy - arm_y * jx) * body[SPINNESS]
    body[HIT] = 1.0


@kernel
def push_apart(a: Floats, b: Floats, nx: float, ny: float, nz: float, depth: float) -> None:
    """Moves two overlapping bodies apart along the normal; the lighter one gives way more."""
    total = a[LIGHTNESS] + b[LIGHTNESS]
    if total <= 0.0 or depth <= SLOP:
        return
    way = (depth - SLOP) * (0.9 if depth > 0.1 else 0.5)
    if a[LIGHTNESS] > 0.0:
        share = way * a[LIGHTNESS] / total
        a[SHIFT_X], a[SHIFT_Y], a[SHIFT_Z] = share * nx, share * ny, share * nz
        a[HIT] = 1.0
    if b[LIGHTNESS] > 0.0:
        share = way * b[LIGHTNESS] / total
        b[SHIFT_X], b[SHIFT_Y], b[SHIFT_Z] = -share * nx, -share * ny, -share * nz
        b[HIT] = 1.0
