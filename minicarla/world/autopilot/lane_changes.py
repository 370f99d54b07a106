"""When and how a driver changes to the lane beside its own, by the Traffic Manager's rules.

It changes round a vehicle 20 to 50 m ahead on its lane, to the right if there is room, else to the left; it changes at
random, or to the slower lane, as often as it has been told to. It does so where the markings let it and no junction is
near, and not again before it has driven for ten seconds. Unlike the Traffic Manager's, a driver looks for room beside
itself before all of these changes, and it leaves a lane that ends.
"""

from __future__ import annotations

import math

import numpy as np

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Integers, Rows
from minicarla.town.lane_graph import LaneGraph
from minicarla.world.autopilot.driver import LEVEL, draw, happens

_NEAREST_OBSTACLE, _FARTHEST_OBSTACLE = 20.0, 50.0  # [m] from middle to middle
_OBSTACLE_HEADING = 0.6  # cosine
_LEAST_SPEED = 5.0  # [m/s] for changes at random
_BETWEEN_SECONDS, _BETWEEN_CHANGES = 10.0, 10.0  # [s], [m]
_SECONDS, _SHORTEST, _LONGEST = 3.0, 10.0, 60.0  # [s], [m], [m] that a change takes
_ROOM, _ROOM_AHEAD, _ROOM_BEHIND = 2.0, 0.5, 1.5  # [m], [s], [s] to vehicles on the other lane
_CLOSING = 2.0  # [s] for which a faster vehicle comes nearer from behind
_BESIDE = 1.2  # [m] half of what has to be free of the other lane's width
_REACH = 80.0  # [m] within which vehicles are looked at
_LEFT, _RIGHT = 1, 2


@kernel
def change_lane(graph: LaneGraph, drivers: Rows, own: int, rows: Integers, vehicles: Rows, driver_of: Integers) -> None:
    """Put a driver on the lane beside its own if it wants to be there, may change and has the room.

    Args:
        graph: The lanes.
        drivers: Rows of `DRIVER`.
        own: The driver's row.
        rows: The row of each driver's vehicle.
        vehicles: Rows of `physics.state.VEHICLE`.
        driver_of: One more than the row of each vehicle's driver, 0 for vehicles that are not driven from here.
    """
    driver, vehicle = drivers[own], vehicles[rows[own]]
    wishes = _wishes(graph, driver, vehicle)
    length = min(max(_SECONDS * driver.speed, _SHORTEST), _LONGEST)
    if wishes == 0 or graph.junction[driver.lane] >= 0 or min(driver.entry_distance, driver.line_distance) < length:
        return
    if driver.since_change < max(_BETWEEN_SECONDS * driver.speed, _BETWEEN_CHANGES):
        return
    count = graph.size[driver.lane]
    point = graph.start[driver.lane] + min(int(driver.along / graph.spacing[driver.lane] + 0.5), count - 1)
    for side in (_RIGHT, _LEFT):
        lane = graph.right[point] if side == _RIGHT else graph.left[point]
        if wishes & side == 0 or lane < 0 or not graph.goes_on[lane]:
            continue
        along, across = _place_on(graph, lane, vehicle, driver.along * graph.length[lane] / graph.length[driver.lane])
        clear = _ROOM + _ROOM_AHEAD * driver.speed
        if driver.gap < np.inf:
            clear = max(clear, min(driver.gap + 2.0 * vehicle.extent_x, _FARTHEST_OBSTACLE))
        if _has_room(graph, drivers, own, rows, vehicles, driver_of, lane, along, clear):
            driver.lane, driver.along, driver.ahead_count = lane, along, 0
            driver.offset, driver.shift = across, across
            driver.shift_length = driver.shift_left = length
            driver.since_change = 0.0
            return


@kernel
def _wishes(graph: LaneGraph, driver: Record, vehicle: Record) -> int:
    """The sides to which a driver wants to change, `_LEFT` and `_RIGHT` added."""
    if not graph.goes_on[driver.lane]:
        return _LEFT + _RIGHT
    if driver.speed > _LEAST_SPEED:
        keeps_slow = happens(driver, driver.slow_lane_chance)
        right = happens(driver, driver.right_chance)
        left = happens(driver, driver.left_chance)
        if left and (keeps_slow or right):
            return _LEFT if draw(driver) < 0.5 else _RIGHT
        if left or keeps_slow or right:
            return _LEFT if left else _RIGHT
    distance = driver.gap + 2.0 * vehicle.extent_x
    if (
        driver.auto_lane_change
        and _NEAREST_OBSTACLE < distance < _FARTHEST_OBSTACLE
        and driver.gap_heading > _OBSTACLE_HEADING
        and driver.gap < driver.entry_distance
    ):
        return _LEFT + _RIGHT
    return 0


@kernel
def _place_on(graph: LaneGraph, lane: int, body: Record, along: float) -> tuple[float, float]:
    """How far along a lane a body's middle is, and how far to the right of the lane's middle [m].

    Args:
        graph: The lanes.
        lane: One of them.
        body: The body.
        along: Where on the lane to begin to look [m].
    """
    start, count, spacing = graph.start[lane], graph.size[lane], graph.spacing[lane]
    across = 0.0
    for _ in range(3):
        k = min(max(int(along / spacing), 0), count - 2)
        ahead_x = (graph.point[start + k + 1, 0] - graph.point[start + k, 0]) / spacing
        ahead_y = (graph.point[start + k + 1, 1] - graph.point[start + k, 1]) / spacing
        dx, dy = body.x - graph.point[start + k, 0], body.y - graph.point[start + k, 1]
        along = k * spacing + dx * ahead_x + dy * ahead_y
        across = dy * ahead_x - dx * ahead_y
    return along, across


@kernel
def _has_room(
    graph: LaneGraph,
    drivers: Rows,
    own: int,
    rows: Integers,
    vehicles: Rows,
    driver_of: Integers,
    lane: int,
    along: float,
    clear: float,
) -> bool:
    """Whether vehicles on a lane, or changing to it, leave room at a place on it, and for `clear` metres ahead."""
    driver, vehicle = drivers[own], vehicles[rows[own]]
    cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    for j in range(vehicles.shape[0]):
        body = vehicles[j]
        dx, dy = body.x - vehicle.x, body.y - vehicle.y
        if j == rows[own] or abs(dx) > _REACH or abs(dy) > _REACH or abs(body.z - vehicle.z) > LEVEL:
            continue
        there, across = _place_on(graph, lane, body, along + dx * cosine + dy * sine)
        comes = driver_of[j] > 0 and drivers[driver_of[j] - 1].lane == lane
        if not comes and abs(across) > _BESIDE + body.body_extent_y:
            continue
        speed = body.vx * cosine + body.vy * sine
        behind = _ROOM + _ROOM_BEHIND * max(speed, 0.0) + _CLOSING * max(speed - driver.speed, 0.0)
        lengths = vehicle.extent_x + body.extent_x
        if -behind - lengths < there - along < clear + lengths:
            return False
    return True
