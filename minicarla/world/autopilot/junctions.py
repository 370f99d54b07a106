"""Reservations: before it enters a junction, a driver reserves the lanes of its way."""

from __future__ import annotations

import numpy as np

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Integers, Rows
from minicarla.town.lane_graph import LaneGraph
from minicarla.world.autopilot.driver import BRAKING, MOST_HELD

_PATIENCE = 4.0  # [s] of waiting after which no driver that came later gets the junction first
_LONG = 12.0  # [s] of waiting after which vehicles that stand in the junction are driven round, where there is room
_EXIT_ROOM = 2.0  # [m] besides its length that has to be free behind a junction
_CREEPING = 1.5  # [m/s]


@kernel
def _holds(driver: Record, lane: int) -> bool:
    """Whether a lane of a junction is reserved for a driver."""
    found = False
    for k in range(driver.held_count):
        found = found or driver.held[k] == lane
    return found


@kernel
def holds_way(driver: Record) -> bool:
    """Whether all lanes that a driver needs in the next junction are reserved for it."""
    has_all = True
    for k in range(driver.needed_count):
        has_all = has_all and _holds(driver, driver.needed[k])
    return has_all


@kernel
def _release_next(driver: Record) -> None:
    """Release the lanes of the next junction."""
    kept = 0
    for k in range(driver.held_count):
        is_next = False
        for n in range(driver.needed_count):
            is_next = is_next or driver.needed[n] == driver.held[k]
        if not is_next or driver.held[k] == driver.lane:
            driver.held[kept] = driver.held[k]
            kept += 1
    driver.held_count = kept


@kernel
def release_passed(graph: LaneGraph, driver: Record, half_length: float) -> None:
    """Release lanes that lie behind the vehicle. The lane under it stays reserved, or is reserved now."""
    inside = graph.junction[driver.lane] >= 0
    kept = 0
    for k in range(driver.held_count):
        lane = driver.held[k]
        is_needed = lane == driver.lane
        for n in range(driver.ahead_count):
            is_needed = is_needed or driver.ahead[n] == lane
        if not is_needed and not inside and driver.along < half_length + 0.5:
            is_needed = True
        if is_needed:
            driver.held[kept] = lane
            kept += 1
    driver.held_count = kept
    if inside and kept < MOST_HELD and not _holds(driver, driver.lane):
        driver.held[kept] = driver.lane
        driver.held_count = kept + 1


@kernel
def _is_crossed(graph: LaneGraph, drivers: Rows, own: int) -> bool:
    """Whether another driver has reserved a lane that crosses the way, or insists on one and has waited longer."""
    driver = drivers[own]
    for other in range(drivers.shape[0]):
        there = drivers[other]
        if other == own:
            continue
        insists = there.insists and there.waiting > driver.waiting
        if driver.waiting > _LONG and there.speed < 0.2:
            continue  # it may stand there because this vehicle waits
        if there.held_count == 0 and not insists:
            continue
        for k in range(driver.needed_count):
            lane = driver.needed[k]
            for n in range(graph.crossing_start[lane], graph.crossing_start[lane + 1]):
                crossed = graph.crossing[n]
                for m in range(there.held_count):
                    if there.held[m] == crossed:
                        return True
                for m in range(there.needed_count if insists else 0):
                    if there.needed[m] == crossed:
                        return True
    return False


@kernel
def share_junctions(graph: LaneGraph, drivers: Rows, rows: Integers, vehicles: Rows, dt: float) -> None:
    """Reserve lanes of junctions for the drivers that come to them, the longest waiting first."""
    count = drivers.shape[0]
    for i in range(count):
        driver = drivers[i]
        if driver.lane < 0:
            driver.held_count, driver.needed_count, driver.waiting, driver.insists = 0, 0, 0.0, 0
            continue
        is_held_up = driver.line_distance < driver.entry_distance + 2.0
        if is_held_up and driver.entry_distance > 0.0:
            _release_next(driver)
        if is_held_up or holds_way(driver):
            driver.waiting = 0.0
        elif driver.speed < _CREEPING and driver.entry_distance < 8.0:
            driver.waiting += dt
        driver.insists = driver.waiting > _PATIENCE
    # Each sees the reservations of those before it.
    done = 0
    last = np.inf
    while done < count:
        longest = -1.0
        for i in range(count):
            if longest < drivers[i].waiting < last:
                longest = drivers[i].waiting
        if longest < 0.0:
            return
        for i in range(count):
            if drivers[i].waiting == longest:
                _reserve(graph, drivers, i, vehicles[rows[i]])
                done += 1
        last = longest


@kernel
def _reserve(graph: LaneGraph, drivers: Rows, own: int, vehicle: Record) -> None:
    """Reserve the lanes that a driver needs in the next junction, if it is near and they are free."""
    driver = drivers[own]
    if driver.lane < 0 or holds_way(driver) or driver.line_distance < driver.entry_distance + 2.0:
        return
    if driver.entry_distance > 6.0 + 1.0 * driver.speed + 0.5 * driver.speed * driver.speed / BRAKING:
        return
    crosses = False
    for k in range(driver.needed_count):
        lane = driver.needed[k]
        crosses = crosses or graph.crossing_start[lane + 1] > graph.crossing_start[lane]
    if crosses:
        if driver.gap < driver.entry_distance:
            return  # a body is on the way to it
        room = driver.gap + vehicle.extent_x - driver.exit_distance
        if driver.gap_speed < _CREEPING and room < 2.0 * vehicle.extent_x + _EXIT_ROOM:
            return
        if _is_crossed(graph, drivers, own):
            return
    for k in range(driver.needed_count):
        if not _holds(driver, driver.needed[k]) and driver.held_count < MOST_HELD:
            driver.held[driver.held_count] = driver.needed[k]
            driver.held_count += 1
    driver.waiting, driver.insists = 0.0, 0
