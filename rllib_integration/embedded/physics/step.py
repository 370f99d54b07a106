"""One tick of physics: the only entry that the world calls."""

from __future__ import annotations

import math

from numba import njit

from rllib_integration.embedded.physics import prop, vehicle, walker

LONGEST_SUBSTEP = 0.02
"""Springs and tyres need substeps no longer than this, whatever the settings say; seconds."""

begin_vehicle, advance_vehicle, end_vehicle = vehicle.begin_tick, vehicle.advance, vehicle.end_tick
begin_walker, advance_walker, end_walker = walker.begin_tick, walker.advance, walker.end_tick
begin_prop, advance_prop, end_prop = prop.begin_tick, prop.advance, prop.end_tick


@njit(cache=True)
def count_substeps(dt, substep, max_substeps):  # type: ignore[no-untyped-def]
    """Substeps of a tick under CARLA's settings, but never so few that springs could explode."""
    wanted = min(max(int(math.ceil(dt / substep - 1e-6)), 1), max_substeps)
    return max(wanted, int(math.ceil(dt / LONGEST_SUBSTEP - 1e-6)))


@njit(cache=True)
def step(vehicles, walkers, props, obstacles, obstacle_grid, surface, dt, substep, max_substeps, gravity, contacts):  # type: ignore[no-untyped-def]
    for i in range(len(vehicles)):
        begin_vehicle(vehicles[i], dt)
    for i in range(len(walkers)):
        begin_walker(walkers[i], dt)
    for i in range(len(props)):
        begin_prop(props[i], dt)
    substeps = count_substeps(dt, substep, max_substeps)
    h = dt / substeps
    for _ in range(substeps):
        for i in range(len(vehicles)):
            if vehicles[i].physics:
                advance_vehicle(vehicles[i], surface, h, gravity)
        for i in range(len(walkers)):
            advance_walker(walkers[i], surface, h, gravity)
        for i in range(len(props)):
            advance_prop(props[i], surface, h, gravity)
    for i in range(len(vehicles)):
        end_vehicle(vehicles[i], dt)
    for i in range(len(walkers)):
        end_walker(walkers[i], dt)
    for i in range(len(props)):
        end_prop(props[i], dt)
    return 0
