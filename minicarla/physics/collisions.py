"""Collisions between everything that has a body: upright oriented boxes, impulses at contact points.

Once a tick the broad phase lists the pairs that could meet during it: moving bodies by strips of ground, static boxes
through their grid. Every substep the narrow phase looks at these pairs only.

Boxes are upright: a footprint turned by yaw, and an interval of height, so that what drives on a bridge does not
touch what drives below it. Of the axes that separate two boxes, the one on which they have overlapped for the
shortest time is the one they met on; that tells a head-on hit from a side swipe even where a fast body has entered
deeply within a substep.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from minicarla.physics.kernels import Record, entry, kernel
from minicarla.physics.obstacles import ObstacleGrid
from minicarla.physics.prop import standing_friction, yaw_inertia
from minicarla.physics.rigid_body import turn
from minicarla.physics.state import (
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

BODY = np.dtype(
    [
        # footprint and interval of height
        ("x", "f8"), ("y", "f8"), ("cosine", "f8"), ("sine", "f8"), ("extent_x", "f8"), ("extent_y", "f8"),
        ("radius", "f8"), ("low", "f8"), ("high", "f8"),
        # motion, inverse mass and inverse moment of inertia of the centre of mass; immovable bodies have 0
        ("vx", "f8"), ("vy", "f8"), ("vz", "f8"), ("wz", "f8"), ("lightness", "f8"), ("spinness", "f8"),
        ("centre_x", "f8"), ("centre_y", "f8"),
        ("awake", "f8"),
        # inverse mass of what is immovable until it is knocked over; force that has to be exceeded to push what stands
        ("yields", "f8"), ("hold", "f8"),
        # what a collision did: how far it was moved, whether anything changed
        ("shift_x", "f8"), ("shift_y", "f8"), ("shift_z", "f8"), ("hit", "f8"),
        ("loaded", "i8"),  # substep in which it was last brought up to date
    ]
)  # fmt: skip
"""What collisions need to know of a vehicle, walker, prop or obstacle."""
Body: TypeAlias = Record

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
PUSHING_SPEED = 0.5
"""What touches at less than this pushes rather than hits, m/s."""
WAKING_SPEED = 0.03
"""A sleeping vehicle does not move for pushes that would make it slower than this, m/s."""
SHOVING_SPEED = 0.15
"""A standing body is not moved by a much lighter one that would make it slower than this, m/s: nobody shoves a car."""
MUCH_LIGHTER = 5.0
STAGGER_SPEED = 1.5
"""A walker that is knocked to a change of speed above this is out of control for a while, m/s ..."""
STAGGER_TIME = 1.5
"""... for this long, seconds."""
LONGEST_RETURN = 20.0
"""Time that one has who is led by a client's navigation to walk back to where that wants it, seconds."""


@kernel
def load_vehicle(v: Vehicle, body: Body) -> None:
    """Fills a body from a record of `state.VEHICLE`."""
    r = v.rotation
    ex, ey, ez = v.extent_x, v.body_extent_y, v.extent_z
    offset_x, offset_y, offset_z = v.box_x, v.box_y, v.box_z
    # forward, level; straight up or down it does not matter which way
    flat = 1.0 / math.sqrt(r[0] * r[0] + r[3] * r[3] + 1e-12)
    cosine, sine = r[0] * flat, r[3] * flat
    tilted = r[8] < 0.94
    body.x = v.x + cosine * offset_x - sine * offset_y
    body.y = v.y + sine * offset_x + cosine * offset_y
    height = v.z + offset_z
    underside = v.clearance
    if tilted:
        # The upright box around a body that leans or lies.
        body.x = v.x + r[0] * offset_x + r[1] * offset_y + r[2] * offset_z
        body.y = v.y + r[3] * offset_x + r[4] * offset_y + r[5] * offset_z
        height = v.z + r[6] * offset_x + r[7] * offset_y + r[8] * offset_z
        ahead_x = abs(cosine * r[0] + sine * r[3]) * ex
        ahead_x += abs(cosine * r[1] + sine * r[4]) * ey + abs(cosine * r[2] + sine * r[5]) * ez
        across = abs(cosine * r[3] - sine * r[0]) * ex
        across += abs(cosine * r[4] - sine * r[1]) * ey + abs(cosine * r[5] - sine * r[2]) * ez
        ez = abs(r[6]) * ex + abs(r[7]) * ey + abs(r[8]) * ez
        ex, ey = ahead_x, across
        underside = 0.0
    body.low, body.high = height - ez + underside, height + ez
    body.cosine, body.sine, body.extent_x, body.extent_y = cosine, sine, ex, ey
    body.vx, body.vy, body.vz, body.wz = v.vx, v.vy, v.vz, v.wz
    body.lightness = v.lightness if v.physics else 0.0
    body.spinness = v.spinness_z if v.physics else 0.0
    body.centre_x = v.x + cosine * v.com_x - sine * v.com_y
    body.centre_y = v.y + sine * v.com_x + cosine * v.com_y
    body.awake = 0.0 if v.asleep else 1.0
    _load_rest(body)


@kernel
def load_walker(w: Walker, body: Body) -> None:
    """Fills a body from a record of `state.WALKER`; walkers do not turn when they are hit."""
    if w.fallen == 0.0:
        _load_box(w, body, 1.0, 0.0)
    else:
        _load_box(w, body, math.cos(w.yaw), math.sin(w.yaw))
        # The upright box around one that falls or lies.
        upright, lying = abs(math.cos(w.pitch)), abs(math.sin(w.pitch))
        half_height = w.extent_z * upright + w.extent_x * lying
        body.extent_x = w.extent_z * lying + w.extent_x * upright
        body.low, body.high = w.z + w.box_z - half_height, w.z + w.box_z + half_height
        body.radius = math.sqrt(body.extent_x * body.extent_x + body.extent_y * body.extent_y)
    body.lightness = 1.0 / w.mass if w.physics or w.stagger > 0.0 or w.astray > 0.0 else 0.0
    body.yields = 1.0 / w.mass if w.led else 0.0
    body.spinness = 0.0
    body.wz = 0.0
    body.awake = 1.0


@kernel
def load_prop(p: Prop, body: Body) -> None:
    """Fills a body from a record of `state.PROP`."""
    _load_box(p, body, math.cos(p.yaw), math.sin(p.yaw))
    body.lightness = 1.0 / p.mass if p.physics else 0.0
    body.spinness = 1.0 / yaw_inertia(p) if p.physics else 0.0
    body.hold = standing_friction(p)
    body.awake = 1.0 if p.physics and not p.asleep else 0.0


@kernel
def _load_box(actor: Record, body: Body, cosine: float, sine: float) -> None:
    body.x = actor.x + cosine * actor.box_x - sine * actor.box_y
    body.y = actor.y + sine * actor.box_x + cosine * actor.box_y
    height = actor.z + actor.box_z
    body.low, body.high = height - actor.extent_z, height + actor.extent_z
    body.cosine, body.sine, body.extent_x, body.extent_y = cosine, sine, actor.extent_x, actor.extent_y
    body.vx, body.vy, body.vz, body.wz = actor.vx, actor.vy, actor.vz, actor.wz
    body.centre_x, body.centre_y = body.x, body.y
    _load_rest(body)


@kernel
def _load_rest(body: Body) -> None:
    body.yields = body.hold = 0.0
    body.radius = math.sqrt(body.extent_x * body.extent_x + body.extent_y * body.extent_y)
    body.shift_x = body.shift_y = body.shift_z = body.hit = 0.0


@kernel
def load_obstacle(o: Record, body: Body) -> None:
    """Fills a body from a record of `obstacles.OBSTACLE`."""
    body.x, body.y = o.x, o.y
    body.centre_x, body.centre_y = o.x, o.y
    body.vx = body.vy = body.vz = body.wz = 0.0
    body.lightness = body.spinness = body.awake = 0.0
    body.low, body.high = o.z - o.extent_z, o.z + o.extent_z
    body.cosine, body.sine, body.extent_x, body.extent_y = math.cos(o.yaw), math.sin(o.yaw), o.extent_x, o.extent_y
    _load_rest(body)


@kernel
def store_vehicle(v: Vehicle, body: Body, h: float) -> None:
    """Writes what a collision changed back to a record of `state.VEHICLE`.

    Within the substep, of `h` seconds, it has turned as it would have without the collision: that is taken back, so
    that a car that pushes against a pole does not turn while its angular velocity says that it stands.
    """
    r = v.rotation
    before_x, before_y = r[0] * v.com_x + r[1] * v.com_y, r[3] * v.com_x + r[4] * v.com_y
    turn(r, 0.0, 0.0, body.wz - v.wz, h)
    v.x += before_x - r[0] * v.com_x - r[1] * v.com_y
    v.y += before_y - r[3] * v.com_x - r[4] * v.com_y
    v.x += body.shift_x
    v.y += body.shift_y
    v.z += body.shift_z
    v.vx, v.vy, v.vz, v.wz = body.vx, body.vy, body.vz, body.wz
    v.asleep = 0
    v.rest_time = 0.0


@kernel
def store_walker(w: Walker, body: Body) -> None:
    """Writes what a collision changed back to a record of `state.WALKER`."""
    w.x += body.shift_x
    w.y += body.shift_y
    w.z += body.shift_z
    change = math.sqrt((body.vx - w.vx) ** 2 + (body.vy - w.vy) ** 2)
    # Walking into a wall takes no more than one's own speed away; being hit gives more.
    if change > STAGGER_SPEED and body.vx**2 + body.vy**2 > w.vx * w.vx + w.vy * w.vy:
        w.stagger = math.inf if w.mortal else max(w.stagger, STAGGER_TIME)
        w.astray = LONGEST_RETURN if w.led else 0.0
        if w.fall == 0.0:
            w.fall = 1.0 if body.vx * math.cos(w.yaw) + body.vy * math.sin(w.yaw) > 0.0 else -1.0
    w.vx, w.vy, w.vz = body.vx, body.vy, body.vz


@kernel
def store_prop(p: Prop, body: Body) -> None:
    """Writes what a collision changed back to a record of `state.PROP`."""
    p.x += body.shift_x
    p.y += body.shift_y
    p.z += body.shift_z
    p.vx, p.vy, p.vz, p.wz = body.vx, body.vy, body.vz, body.wz
    p.asleep = 0


@kernel
def load_rest(walkers: Rows, props: Rows, bodies: Rows, first: int) -> None:
    """Fills the bodies of walkers and props, which lie from row `first` on."""
    for i in range(len(walkers)):
        load_walker(walkers[i], bodies[first + i])
    for i in range(len(props)):
        load_prop(props[i], bodies[first + len(walkers) + i])
    for i in range(first, len(bodies)):
        bodies[i].loaded = 0


@kernel
def _load(vehicles: Rows, walkers: Rows, props: Rows, bodies: Rows, i: int, substep: int) -> None:
    if bodies[i].loaded == substep:
        return
    bodies[i].loaded = substep
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


@entry
def find_pairs(
    vehicles: Rows,
    walkers: Rows,
    props: Rows,
    obstacles: Rows,
    grid: ObstacleGrid,
    bodies: Rows,
    dt: float,
    gravity: float,
) -> Integers:
    """Pairs that could meet within a tick.

    Returns:
        int64 (n, 3): body; smaller body or ``-1 - row`` of an obstacle; contact of this tick, -1 so far. Ordered by
        body, then bodies before obstacles, then by partner.
    """
    count = len(bodies) - 1
    strips = np.empty(2 * count + 2, np.int64)
    below = np.empty(count, np.int64)
    reach = np.empty(count)
    room = 4 * count + 16
    while True:
        pairs = np.empty((room, 3), np.int64)
        found = _list_pairs(vehicles, walkers, props, obstacles, grid, bodies, dt, gravity, strips, below, reach, pairs)
        if found <= room:
            return pairs[:found]
        room = 2 * found


@kernel
def _list_pairs(
    vehicles: Rows,
    walkers: Rows,
    props: Rows,
    obstacles: Rows,
    grid: ObstacleGrid,
    bodies: Rows,
    dt: float,
    gravity: float,
    strips: Integers,
    below: Integers,
    reach: Floats,
    pairs: Integers,
) -> int:
    """Writes the pairs that fit into `pairs`; returns how many there are, or more.

    Bodies are sorted into strips across the longer side of the place where they are. Strips are so wide that what is
    within reach of a body lies in its own strip or in those beside it.
    """
    count = len(bodies) - 1
    drop = gravity * dt * dt
    largest = 1.0
    low_x = low_y = math.inf
    high_x = high_y = -math.inf
    for i in range(count):
        b = bodies[i]
        reach[i] = b.radius + math.sqrt(b.vx * b.vx + b.vy * b.vy) * dt + MARGIN
        largest = max(largest, reach[i])
        low_x, high_x = min(low_x, b.x), max(high_x, b.x)
        low_y, high_y = min(low_y, b.y), max(high_y, b.y)
    along_x = high_x - low_x > high_y - low_y
    low = low_x if along_x else low_y
    length = high_x - low_x if along_x else high_y - low_y
    # Comparisons that also hold the strips together should a pose not be a number.
    number = 1
    if length > 2.0 * largest:
        number = int(length / (2.0 * largest)) if length < 4.0 * largest * count else 2 * count
    per_metre = number / max(length, 1.0)
    for strip in range(number + 1):
        strips[strip] = -1
    found = 0
    for i in range(count):
        if not _collides(vehicles, walkers, props, i):
            continue
        b = bodies[i]
        climb = abs(b.vz) * dt + drop + MARGIN
        moves = b.awake * b.lightness > 0.0
        first = found
        at = ((b.x if along_x else b.y) - low) * per_metre
        place = int(at) if 0.0 <= at < number else number
        for strip in range(max(place - 1, 0), min(place + 2, number + 1)):
            j = strips[strip]
            while j >= 0:
                o = bodies[j]
                dx, dy, apart = o.x - b.x, o.y - b.y, reach[i] + reach[j]
                if dx * dx + dy * dy < apart * apart:
                    up = climb + abs(o.vz) * dt
                    if (
                        (moves or o.awake * o.lightness > 0.0)
                        and b.low - up < o.high
                        and o.low - up < b.high
                        and _could_meet(b, o, dt)
                    ):
                        found = _insert(pairs, first, found, i, j)
                j = below[j]
        below[i] = strips[place]
        strips[place] = i
        if moves:
            found = _list_obstacles(obstacles, grid, b, i, reach[i], climb, pairs, found)
    return found


@kernel
def _insert(pairs: Integers, first: int, found: int, body: int, partner: int) -> int:
    """Notes a pair so that the partners of a body are in ascending order from row `first` on."""
    if found < len(pairs):
        row = found
        while row > first and pairs[row - 1, 1] > partner:
            pairs[row, 1] = pairs[row - 1, 1]
            row -= 1
        pairs[row, 1] = partner
        pairs[found, 0], pairs[found, 2] = body, -1
    return found + 1


@kernel
def _could_meet(a: Body, b: Body, dt: float) -> bool:
    """Whether two boxes are no further apart than they could approach within a tick."""
    dx, dy = a.x - b.x, a.y - b.y
    vx, vy = a.vx - b.vx, a.vy - b.vy
    way = math.sqrt(vx * vx + vy * vy) * dt + 2.0 * MARGIN
    c = abs(a.cosine * b.cosine + a.sine * b.sine)
    s = abs(a.cosine * b.sine - a.sine * b.cosine)
    return (
        abs(dx * a.cosine + dy * a.sine) < a.extent_x + b.extent_x * c + b.extent_y * s + way
        and abs(dy * a.cosine - dx * a.sine) < a.extent_y + b.extent_x * s + b.extent_y * c + way
        and abs(dx * b.cosine + dy * b.sine) < b.extent_x + a.extent_x * c + a.extent_y * s + way
        and abs(dy * b.cosine - dx * b.sine) < b.extent_y + a.extent_x * s + a.extent_y * c + way
    )


@kernel
def _list_obstacles(
    obstacles: Rows,
    grid: ObstacleGrid,
    body: Body,
    index: int,
    reach: float,
    climb: float,
    pairs: Integers,
    found: int,
) -> int:
    first_pair = found
    per_metre = 1.0 / grid.cell
    first_column = max(math.floor((body.x - reach - grid.origin_x) * per_metre), 0)
    last_column = min(math.floor((body.x + reach - grid.origin_x) * per_metre), grid.columns - 1)
    first_row = max(math.floor((body.y - reach - grid.origin_y) * per_metre), 0)
    last_row = min(math.floor((body.y + reach - grid.origin_y) * per_metre), grid.rows - 1)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            place = row * grid.columns + column
            for at in range(grid.starts[place], grid.starts[place + 1]):
                item = np.int64(grid.items[at])
                o = obstacles[item]
                if o.z - o.extent_z > body.high + climb or o.z + o.extent_z < body.low - climb:
                    continue
                apart = reach + math.sqrt(o.extent_x * o.extent_x + o.extent_y * o.extent_y)
                dx, dy = o.x - body.x, o.y - body.y
                if dx * dx + dy * dy > apart * apart:
                    continue
                cosine, sine = math.cos(o.yaw), math.sin(o.yaw)
                if (
                    abs(dx * cosine + dy * sine) > o.extent_x + reach
                    or abs(dy * cosine - dx * sine) > o.extent_y + reach
                ):
                    continue
                known = False
                for pair in range(first_pair, min(found, len(pairs))):
                    known = known or pairs[pair, 1] == -1 - item
                if known:
                    continue
                if found < len(pairs):
                    pairs[found, 0], pairs[found, 1], pairs[found, 2] = index, -1 - item, -1
                found += 1
    return found


@kernel
def collide(
    vehicles: Rows,
    walkers: Rows,
    props: Rows,
    obstacles: Rows,
    bodies: Rows,
    pairs: Integers,
    contacts: Rows,
    contact_count: int,
    substep: int,
    h: float,
) -> int:
    """Keeps the listed pairs apart after a substep and notes what touched.

    Args:
        vehicles, walkers, props, obstacles: The state.
        bodies: One `BODY` an actor and one for an obstacle; brought up to date here.
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
        back_x, back_y = way_back(bodies[a], bodies[other], nx, ny)
        jx, jy, jz, closing = exchange(bodies[a], bodies[other], nx, ny, nz, x, y, h)
        push_apart(bodies[a], bodies[other], back_x, back_y, nz, depth)
        _store(vehicles, walkers, props, bodies, a, h)
        if b >= 0:
            _store(vehicles, walkers, props, bodies, b, h)
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
            c.z = 0.5 * (max(bodies[a].low, bodies[other].low) + min(bodies[a].high, bodies[other].high))
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
def _store(vehicles: Rows, walkers: Rows, props: Rows, bodies: Rows, i: int, h: float) -> None:
    body = bodies[i]
    if body.hit == 0.0:
        return
    row = i
    if row < len(vehicles):
        store_vehicle(vehicles[row], body, h)
    elif row < len(vehicles) + len(walkers):
        store_walker(walkers[row - len(vehicles)], body)
    else:
        store_prop(props[row - len(vehicles) - len(walkers)], body)
    body.x += body.shift_x
    body.y += body.shift_y
    body.centre_x += body.shift_x
    body.centre_y += body.shift_y
    body.low += body.shift_z
    body.high += body.shift_z
    body.shift_x = body.shift_y = body.shift_z = body.hit = 0.0


@kernel
def find_contact(a: Body, b: Body, h: float) -> tuple[float, float, float, float]:
    """Where two bodies overlap.

    Args:
        a, b: Records of `BODY`.
        h: Length of the substep that brought them here, seconds.

    Returns:
        Depth (0 if they are apart) and the unit normal from b to a.
    """
    dx, dy = a.x - b.x, a.y - b.y
    reach = a.radius + b.radius
    overlap_z = min(a.high, b.high) - max(a.low, b.low)
    if overlap_z <= 0.0 or dx * dx + dy * dy > reach * reach:
        return 0.0, 0.0, 0.0, 0.0
    approach_x, approach_y = b.vx - a.vx, b.vy - a.vy
    # extents of each box along the other's axes
    c = abs(a.cosine * b.cosine + a.sine * b.sine)
    s = abs(a.cosine * b.sine - a.sine * b.cosine)
    shallow = entered = math.inf
    shallow_x = shallow_y = entered_x = entered_y = 0.0
    entered_depth = 0.0
    for axis in range(4):
        if axis == 0:
            ux, uy, total = a.cosine, a.sine, a.extent_x + b.extent_x * c + b.extent_y * s
        elif axis == 1:
            ux, uy, total = -a.sine, a.cosine, a.extent_y + b.extent_x * s + b.extent_y * c
        elif axis == 2:
            ux, uy, total = b.cosine, b.sine, b.extent_x + a.extent_x * c + a.extent_y * s
        else:
            ux, uy, total = -b.sine, b.cosine, b.extent_y + a.extent_x * s + a.extent_y * c
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
    above = 1.0 if a.low + a.high >= b.low + b.high else -1.0
    falling = (b.vz - a.vz) * above
    landed = falling * 1.5 * h > overlap_z and overlap_z < entered * falling
    if landed or (overlap_z < RESTING_OVERLAP and overlap_z < shallow):
        return overlap_z, 0.0, 0.0, above
    if entered <= 1.5 * h:
        return entered_depth, entered_x, entered_y, 0.0
    return shallow, shallow_x, shallow_y, 0.0


@kernel
def contact_point(a: Body, b: Body) -> tuple[float, float]:
    """Middle of the corners of either box that lie in the other, in the ground plane."""
    sum_x, sum_y, count = 0.0, 0.0, 0
    for which in range(2):
        inner, outer = (a, b) if which == 0 else (b, a)
        for corner in range(4):
            x = inner.extent_x if corner & 1 else -inner.extent_x
            y = inner.extent_y if corner & 2 else -inner.extent_y
            at_x = inner.x + inner.cosine * x - inner.sine * y
            at_y = inner.y + inner.sine * x + inner.cosine * y
            dx, dy = at_x - outer.x, at_y - outer.y
            along, across = dx * outer.cosine + dy * outer.sine, dy * outer.cosine - dx * outer.sine
            if abs(along) <= outer.extent_x + 1e-9 and abs(across) <= outer.extent_y + 1e-9:
                sum_x += at_x
                sum_y += at_y
                count += 1
    if count:
        return sum_x / count, sum_y / count
    # Crossed boxes: the point of each that is nearest to the other's middle.
    ax, ay = _nearest(a, b.x, b.y)
    bx, by = _nearest(b, a.x, a.y)
    return 0.5 * (ax + bx), 0.5 * (ay + by)


@kernel
def _nearest(body: Body, x: float, y: float) -> tuple[float, float]:
    dx, dy = x - body.x, y - body.y
    along = min(max(dx * body.cosine + dy * body.sine, -body.extent_x), body.extent_x)
    across = min(max(dy * body.cosine - dx * body.sine, -body.extent_y), body.extent_y)
    return body.x + body.cosine * along - body.sine * across, body.y + body.sine * along + body.cosine * across


@kernel
def exchange(
    a: Body, b: Body, nx: float, ny: float, nz: float, x: float, y: float, h: float
) -> tuple[float, float, float, float]:
    """Exchanges the impulse of a hit: along the normal with restitution, across it with dry friction.

    Args:
        a, b: Bodies; their velocities change.
        nx, ny, nz: Unit normal from b to a.
        x, y: Contact point.
        h: Length of the substep, seconds.

    Returns:
        Impulse on a (N s, world; b gets the opposite) and the speed at which they closed (0: they did not).
    """
    arm_ax, arm_ay, arm_bx, arm_by = x - a.centre_x, y - a.centre_y, x - b.centre_x, y - b.centre_y
    speed_x = a.vx - a.wz * arm_ay - b.vx + b.wz * arm_by
    speed_y = a.vy + a.wz * arm_ax - b.vy - b.wz * arm_bx
    speed_z = a.vz - b.vz
    closing = -(speed_x * nx + speed_y * ny + speed_z * nz)
    if closing <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    _knock_over(a, b, closing)
    _knock_over(b, a, closing)
    _ignore_weak_push(a, b, closing)
    _ignore_weak_push(b, a, closing)
    bounce = RESTITUTION if closing > BOUNCING_SPEED and nz == 0.0 else 0.0
    turn_a, turn_b = arm_ax * ny - arm_ay * nx, arm_bx * ny - arm_by * nx
    _hold_against(a, b, turn_b, closing, h)
    _hold_against(b, a, turn_a, closing, h)
    softness = a.lightness + b.lightness + turn_a * turn_a * a.spinness + turn_b * turn_b * b.spinness
    if softness <= 0.0:
        return 0.0, 0.0, 0.0, closing
    # What friction below a standing body takes away in the next substep is made up for: it does not part the two.
    held = h * (a.hold * a.lightness + b.hold * b.lightness)
    impulse = ((1.0 + bounce) * closing + held) / softness
    slide_x, slide_y = speed_x + closing * nx, speed_y + closing * ny
    slide = math.sqrt(slide_x * slide_x + slide_y * slide_y)
    rub_x = rub_y = 0.0
    if slide > 1e-9:
        tx, ty = slide_x / slide, slide_y / slide
        turn_a, turn_b = arm_ax * ty - arm_ay * tx, arm_bx * ty - arm_by * tx
        softness = a.lightness + b.lightness + turn_a * turn_a * a.spinness + turn_b * turn_b * b.spinness
        rub = min(FRICTION * impulse, slide / softness)
        rub_x, rub_y = -tx * rub, -ty * rub
    jx, jy, jz = impulse * nx + rub_x, impulse * ny + rub_y, impulse * nz
    _push(a, jx, jy, jz, arm_ax, arm_ay)
    _push(b, -jx, -jy, -jz, arm_bx, arm_by)
    return jx, jy, jz, closing


@kernel
def _knock_over(body: Body, other: Body, closing: float) -> None:
    """A body that only yields to hard hits is hit with its mass, not as something immovable."""
    if body.lightness > 0.0 or body.yields == 0.0 or other.lightness == 0.0:
        return
    if closing * body.yields > STAGGER_SPEED * (body.yields + other.lightness):
        body.lightness = body.yields


@kernel
def _ignore_weak_push(body: Body, other: Body, closing: float) -> None:
    """A body that sleeps or stands stays where it is when the push is too weak."""
    if body.lightness == 0.0 or other.lightness == 0.0:
        return
    gain = closing * body.lightness / (body.lightness + other.lightness)
    weak = WAKING_SPEED if body.awake == 0.0 else 0.0
    standing = body.vx * body.vx + body.vy * body.vy < SHOVING_SPEED * SHOVING_SPEED
    if standing and other.lightness > MUCH_LIGHTER * body.lightness:
        weak = SHOVING_SPEED
    if gain < weak:
        body.lightness = body.spinness = 0.0


@kernel
def _hold_against(body: Body, other: Body, turn: float, closing: float, h: float) -> None:
    """A body that stands stays where it is while friction below it bears the push of the other one.

    Args:
        body: Who may stand.
        other: Who pushes.
        turn: Lever of the push about the other's centre of mass, metres.
        closing: Speed at which they close, m/s.
        h: Length of the substep, seconds.
    """
    if body.hold == 0.0 or body.lightness == 0.0 or other.lightness == 0.0:
        return
    if closing <= body.hold * h * (other.lightness + turn * turn * other.spinness):
        body.lightness = body.spinness = 0.0


@kernel
def _push(body: Body, jx: float, jy: float, jz: float, arm_x: float, arm_y: float) -> None:
    if body.lightness == 0.0:
        return
    body.vx += jx * body.lightness
    body.vy += jy * body.lightness
    body.vz += jz * body.lightness
    body.wz += (arm_x * jy - arm_y * jx) * body.spinness
    body.hit = 1.0


@kernel
def way_back(a: Body, b: Body, nx: float, ny: float) -> tuple[float, float]:
    """Way on which a slow body goes back out of another, for every metre along the normal: the one that it came.

    Along the normal itself a car that pushes against an oblique wall would be moved along it bit by bit.

    Args:
        a, b: Bodies before they exchange an impulse.
        nx, ny: Unit normal from b to a.
    """
    speed_x, speed_y = a.vx - b.vx, a.vy - b.vy
    leaving = speed_x * nx + speed_y * ny
    square = speed_x * speed_x + speed_y * speed_y
    if leaving >= 0.0 or square > PUSHING_SPEED * PUSHING_SPEED or square > 4.0 * leaving * leaving:
        return nx, ny
    return speed_x / leaving, speed_y / leaving


@kernel
def push_apart(a: Body, b: Body, nx: float, ny: float, nz: float, depth: float) -> None:
    """Moves two overlapping bodies apart; the lighter one gives way more.

    Args:
        a, b: Bodies after they have exchanged an impulse.
        nx, ny, nz: Way of a for every metre of depth.
        depth: How far they overlap, metres.
    """
    total = a.lightness + b.lightness
    if total <= 0.0 or depth <= SLOP:
        return
    way = (depth - SLOP) * (0.9 if depth > 0.1 else 0.5)
    if a.lightness > 0.0:
        share = way * a.lightness / total
        a.shift_x, a.shift_y, a.shift_z = share * nx, share * ny, share * nz
        a.hit = 1.0
    if b.lightness > 0.0:
        share = way * b.lightness / total
        b.shift_x, b.shift_y, b.shift_z = -share * nx, -share * ny, -share * nz
        b.hit = 1.0
