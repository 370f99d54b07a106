"""One tick of all drivers: they look ahead, share the junctions, and act."""

from __future__ import annotations

import math

import numpy as np

from minicarla.physics.kernels import entry
from minicarla.physics.state import Integers, Rows
from minicarla.town.lane_graph import LaneGraph
from minicarla.world.autopilot.control import safe_speed, set_pedals, steer
from minicarla.world.autopilot.driver import BRAKING, advance, choose_ahead, find_lane, happens, place_ahead, shift_at
from minicarla.world.autopilot.junctions import holds_way, release_passed, share_junctions
from minicarla.world.autopilot.lane_changes import change_lane
from minicarla.world.autopilot.perception import STEP, allowed_speed, note_gap, note_lanes, note_line

_MOST_PLACES = 36  # of the way that are checked for bodies
_NEAREST_VIEW = 24.0  # [m]
_HEADWAY = 0.8  # [s] behind a moving vehicle, beside the distance
_ENTRY_DISTANCE = 1.5  # [m] from the front to a junction that it waits for
_LOST = 6.0  # [m] beside its lane
_STANDING, _STOP_REACH = 0.1, 40.0  # [m/s], [m] within which a line may be what a queue waits for


@entry
def drive(
    graph: LaneGraph,
    drivers: Rows,
    rows: Integers,
    vehicles: Rows,
    status: Rows,
    walkers: Rows,
    lights: Rows,
    dt: float,
) -> None:
    """Set pedals and wheels of all vehicles for the next tick.

    Args:
        graph: The lanes.
        drivers: Rows of `DRIVER`.
        rows: int64, the row of each driver's vehicle.
        vehicles: Rows of `physics.state.VEHICLE`.
        status: Rows of `actors.VEHICLE_STATUS`.
        walkers: Rows of `physics.state.WALKER`.
        lights: Rows of `traffic_lights.LIGHT`.
        dt: Length of the tick [s].
    """
    count = drivers.shape[0]
    driver_of = np.zeros(vehicles.shape[0], np.int64)
    way = np.empty((_MOST_PLACES, 4))
    place = np.empty(3)
    for i in range(count):
        driver_of[rows[i]] = i + 1
    for i in range(count):
        driver, vehicle = drivers[i], vehicles[rows[i]]
        cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
        driver.speed = max(vehicle.vx * cosine + vehicle.vy * sine, 0.0)
        if driver.lane >= 0:
            driver.shift_left -= driver.speed * dt
            driver.since_change += driver.speed * dt
            advance(graph, driver, vehicle)
            driver.offset -= shift_at(driver, 0.0)
        if (driver.lane < 0 or abs(driver.offset) > _LOST) and not find_lane(graph, driver, vehicle):
            driver.lane = -1
            continue
        change_lane(graph, drivers, i, rows, vehicles, driver_of)
        stop = 0.5 * driver.speed * driver.speed / BRAKING
        view = min(_NEAREST_VIEW + 1.5 * driver.speed + stop, STEP * (_MOST_PLACES - 1))
        choose_ahead(graph, driver, view + 30.0)
        release_passed(graph, driver, vehicle.extent_x)
        note_lanes(graph, driver, view, vehicle.extent_x, BRAKING)
        note_line(graph, driver, lights, status[rows[i]], vehicle.extent_x)
        places = min(int(view / STEP) + 1, _MOST_PLACES)
        for k in range(places):
            way[k, 3] = k * STEP
            place_ahead(graph, driver, way[k, 3], place)
            for axis in range(3):
                way[k, axis] = place[axis]
        driver.gap, driver.gap_speed = np.inf, 0.0
        driver.sees_vehicles = not happens(driver, driver.vehicles_chance)
        if driver.sees_vehicles:
            note_gap(vehicles, rows[i], driver_of, driver, vehicle, way, places, False)
        if not happens(driver, driver.walkers_chance):
            note_gap(walkers, -1, driver_of, driver, vehicle, way, places, True)
    share_junctions(graph, drivers, rows, vehicles, dt)
    for i in range(count):
        driver, vehicle = drivers[i], vehicles[rows[i]]
        if driver.lane < 0:
            set_pedals(vehicle, driver.speed, 0.0)
            continue
        wanted = allowed_speed(graph, driver, driver.speed_share * status[rows[i]].speed_limit / 3.6)
        wanted = min(wanted, driver.bend_speed)
        if driver.gap < np.inf:
            room = driver.gap - driver.distance - _HEADWAY * min(driver.speed, driver.gap_speed)
            wanted = min(wanted, safe_speed(room, driver.gap_speed))
        stop = driver.line_distance
        if driver.entry_distance < np.inf and driver.sees_vehicles and not holds_way(driver):
            stop = min(stop, driver.entry_distance - _ENTRY_DISTANCE)
        if driver.ahead_count == 0:
            stop = min(stop, graph.length[driver.lane] - driver.along - vehicle.extent_x)
        if stop < np.inf:
            wanted = min(wanted, safe_speed(stop, 0.0))
        is_still = driver.speed < _STANDING and driver.line_distance > _STOP_REACH
        driver.standing = driver.standing + dt if is_still else 0.0
        steer(graph, driver, vehicle, place)
        set_pedals(vehicle, driver.speed, wanted)
