"""One tick of physics: the only entry that the world calls."""

from __future__ import annotations

import math

import numpy as np

from rllib_integration.embedded.physics import prop, vehicle, walker
from rllib_integration.embedded.physics.collisions import collide, find_pairs, load_all
from rllib_integration.embedded.physics.ground import Surface
from rllib_integration.embedded.physics.kernels import kernel
from rllib_integration.embedded.physics.obstacles import ObstacleGrid
from rllib_integration.embedded.physics.state import Integers, Rows

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
def count_substeps(vehicles: Rows, props: Rows, dt: float, substep: float, max_substeps: int) -> int:
    """Substeps of a tick under CARLA's settings, but enough for springs to be stable and for nothing to tunnel."""
    wanted = min(max(math.ceil(dt / substep - 1e-6), 1), max_substeps)
    wanted = max(wanted, math.ceil(dt / LONGEST_SUBSTEP - 1e-6))
    # Within a substep no body moves further than the middle of what it could hit.
    fastest = 0.0
    for i in range(len(vehicles)):
        v = vehicles[i]
        way = (abs(v.vx) + abs(v.vy) + abs(v.vz)) * dt
        fastest = max(fastest, way / (0.1 + 0.6 * min(v.extent_x, v.extent_y)))
    for i in range(len(props)):
        p = props[i]
        if p.physics:
            way = (abs(p.vx) + abs(p.vy) + abs(p.vz)) * dt
            fastest = max(fastest, way / (0.1 + 0.6 * min(p.extent_x, p.extent_y)))
    return max(wanted, min(math.ceil(fastest - 1e-6), MOST_EXTRA_SUBSTEPS))


@kernel
def find_busy(vehicles: Rows, pairs: Integers) -> Integers:
    """Which vehicles need every substep: those that could touch something and those that do not stand firmly."""
    busy = np.empty(len(vehicles), np.int64)
    for i in range(len(vehicles)):
        busy[i] = not is_calm(vehicles[i])
    for pair in range(len(pairs)):
        for side in range(2):
            if 0 <= pairs[pair, side] < len(vehicles):
                busy[pairs[pair, side]] = 1
    return busy


@kernel
def step(
    vehicles: Rows,
    walkers: Rows,
    props: Rows,
    obstacles: Rows,
    obstacle_grid: ObstacleGrid,
    surface: Surface,
    dt: float,
    substep: float,
    max_substeps: int,
    gravity: float,
    contacts: Rows,
) -> int:
    """Advances everything by one tick, in place. The same input gives the same bits.

    Args:
        vehicles: Rows of `state.VEHICLE`.
        walkers: Rows of `state.WALKER`.
        props: Rows of `state.PROP`.
        obstacles: Rows of `obstacles.OBSTACLE`.
        obstacle_grid: Their grid.
        surface: The ground.
        dt: Length of the tick, seconds.
        substep: Longest substep asked for (CARLA's `max_substep_delta_time`), seconds.
        max_substeps: Most substeps asked for. More are made where stability or speed demand it, fewer for vehicles
            that have nothing near them (`CALM_SUBSTEP`).
        gravity: m/s^2.
        contacts: Rows of `state.CONTACT`, written from the first on.

    Returns:
        How many contacts there were; what did not fit into `contacts` is not reported.
    """
    for i in range(len(vehicles)):
        begin_vehicle(vehicles[i], dt)
    for i in range(len(walkers)):
        begin_walker(walkers[i], dt)
    for i in range(len(props)):
        begin_prop(props[i], dt)
    bodies = load_all(vehicles, walkers, props)
    pairs = find_pairs(vehicles, walkers, props, obstacles, obstacle_grid, bodies, dt, gravity)
    touched = np.int64(0)
    substeps = count_substeps(vehicles, props, dt, substep, max_substeps)
    h = dt / substeps
    busy = find_busy(vehicles, pairs)
    calm_substeps = min(substeps, math.ceil(dt / CALM_SUBSTEP - 1e-6))
    for i in range(len(vehicles)):
        if not busy[i]:
            for _ in range(calm_substeps):
                advance_vehicle(vehicles[i], surface, dt / calm_substeps, gravity)
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
        end_vehicle(vehicles[i], dt)
    for i in range(len(walkers)):
        end_walker(walkers[i], dt)
    for i in range(len(props)):
        end_prop(props[i], dt)
    return int(touched)
