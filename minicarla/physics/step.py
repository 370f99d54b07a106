"""One tick of physics: the only entry that the world calls."""

from __future__ import annotations

import math

import numpy as np

from minicarla.physics import prop, vehicle, walker
from minicarla.physics.collisions import BODY, collide, find_pairs, load_rest, load_vehicle
from minicarla.physics.ground import Surface
from minicarla.physics.kernels import entry, kernel
from minicarla.physics.obstacles import ObstacleGrid
from minicarla.physics.state import Integers, Rows

LONGEST_SUBSTEP = 0.02
"""Springs and tyres need substeps no longer than this, whatever the settings say; seconds."""
CALM_SUBSTEP = 0.025
"""Longest substep of a vehicle that stands firmly on four wheels with nothing near it, seconds: halving it moves the
car by less than a thousandth of its way."""
MOST_EXTRA_SUBSTEPS = 60
"""Bound for what a single fast body may cost."""

begin_vehicle, advance_vehicle, end_vehicle = vehicle.begin_tick, vehicle.advance, vehicle.end_tick
is_calm = vehicle.is_calm
begin_walker, advance_walker, end_walker = walker.begin_tick, walker.advance, walker.end_tick
begin_prop, advance_prop, end_prop = prop.begin_tick, prop.advance, prop.end_tick


@kernel
def begin(
    vehicles: Rows, walkers: Rows, props: Rows, bodies: Rows, busy: Integers, dt: float, wheel_step: float
) -> None:
    """Begins the tick of every body.

    Args:
        vehicles, walkers, props: The state.
        bodies: `collisions.BODY`, one an actor; filled.
        busy: One a vehicle: 1 for those that do not stand firmly, and so need every substep.
        dt: Length of the tick, seconds.
        wheel_step: Length of the substeps that were asked for, seconds.
    """
    for i in range(len(vehicles)):
        v = vehicles[i]
        begin_vehicle(v, dt, wheel_step)
        load_vehicle(v, bodies[i])
        bodies[i].loaded = 0
        busy[i] = not is_calm(v)
    for i in range(len(walkers)):
        begin_walker(walkers[i], dt)
    for i in range(len(props)):
        begin_prop(props[i], dt)
    load_rest(walkers, props, bodies, len(vehicles))


@kernel
def count_substeps(bodies: Rows, pairs: Integers, dt: float, substep: float, max_substeps: int) -> int:
    """Substeps of a tick under CARLA's settings, but enough for springs to be stable and for nothing to tunnel."""
    wanted = min(max(math.ceil(dt / substep - 1e-6), 1), max_substeps)
    wanted = max(wanted, math.ceil(dt / LONGEST_SUBSTEP - 1e-6))
    # Within a substep no body that could hit another moves further than the middle of it.
    fastest = 0.0
    for pair in range(len(pairs)):
        for side in range(2):
            if pairs[pair, side] >= 0:
                b = bodies[pairs[pair, side]]
                way = (abs(b.vx) + abs(b.vy) + abs(b.vz)) * dt
                fastest = max(fastest, way / (0.1 + 0.6 * min(b.extent_x, b.extent_y)))
    return max(wanted, min(math.ceil(fastest - 1e-6), MOST_EXTRA_SUBSTEPS))


@kernel
def drive_calm(vehicles: Rows, busy: Integers, surface: Surface, dt: float, substeps: int, gravity: float) -> None:
    """The whole tick of the vehicles that need no short substeps."""
    substeps = min(substeps, math.ceil(dt / CALM_SUBSTEP - 1e-6))
    for i in range(len(vehicles)):
        if not busy[i]:
            for _ in range(substeps):
                advance_vehicle(vehicles[i], surface, dt / substeps, gravity)
            end_vehicle(vehicles[i], dt)


@entry
def step(
    vehicles: Rows,
    walkers: Rows,
    props: Rows,
    obstacles: Rows,
    obstacle_grid: ObstacleGrid,
    surface: Surface,
    contacts: Rows,
    dt: float,
    substep: float,
    max_substeps: int,
    gravity: float,
) -> int:
    """Advances everything by one tick, in place. The same input gives the same bits.

    Args:
        vehicles: Rows of `state.VEHICLE`.
        walkers: Rows of `state.WALKER`.
        props: Rows of `state.PROP`.
        obstacles: Rows of `obstacles.OBSTACLE`.
        obstacle_grid: Their grid.
        surface: The ground.
        contacts: Rows of `state.CONTACT`, written from the first on.
        dt: Length of the tick, seconds.
        substep: Longest substep asked for (CARLA's `max_substep_delta_time`), seconds.
        max_substeps: Most substeps asked for. More are made where stability or speed demand it, fewer for vehicles
            that have nothing near them (`CALM_SUBSTEP`).
        gravity: m/s^2.

    Returns:
        How many contacts there were; what did not fit into `contacts` is not reported.
    """
    bodies = np.empty(len(vehicles) + len(walkers) + len(props) + 1, BODY)
    busy = np.empty(len(vehicles), np.int64)
    asked = min(max(math.ceil(dt / substep - 1e-6), 1), max_substeps)
    begin(vehicles, walkers, props, bodies, busy, dt, dt / asked)
    pairs = find_pairs(vehicles, walkers, props, obstacles, obstacle_grid, bodies, dt, gravity)
    for pair in range(len(pairs)):
        for side in range(2):
            if 0 <= pairs[pair, side] < len(vehicles):
                busy[pairs[pair, side]] = 1
    substeps = count_substeps(bodies, pairs, dt, substep, max_substeps)
    h = dt / substeps
    drive_calm(vehicles, busy, surface, dt, substeps, gravity)
    touched: int = np.int64(0)  # type: ignore[assignment]
    for number in range(1, substeps + 1):
        for i in range(len(vehicles)):
            if busy[i]:
                advance_vehicle(vehicles[i], surface, h, gravity)
        for i in range(len(walkers)):
            advance_walker(walkers[i], surface, h, gravity)
        for i in range(len(props)):
            advance_prop(props[i], surface, h, gravity)
        if len(pairs):
            touched = collide(vehicles, walkers, props, obstacles, bodies, pairs, contacts, touched, number, h)
    for i in range(len(vehicles)):
        if busy[i]:
            end_vehicle(vehicles[i], dt)
    for i in range(len(walkers)):
        end_walker(walkers[i], dt)
    for i in range(len(props)):
        end_prop(props[i], dt)
    return int(touched)
