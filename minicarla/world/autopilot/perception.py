"""What a driver sees ahead: junctions, bends, lines of lights and signs, vehicles and walkers."""

from __future__ import annotations

import math

import numpy as np

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Floats, Integers, Rows
from minicarla.town.lane_graph import LIGHT_LINE, NO_LINE, STOP_LINE, LaneGraph
from minicarla.world.autopilot.driver import LEVEL, MOST_HELD, happens
from minicarla.world.autopilot.junctions import holds_way
from minicarla.world.traffic_lights import RED, YELLOW

STEP = 2.0
"""[m] between two places of the way that are checked for bodies."""

_HARD_BRAKING = 4.5  # [m/s^2] below which it still stops for a light that has become yellow
_TOO_LATE = 6.0  # [m/s^2] above which it drives on at a light that is red
_LIGHT_DISTANCE = 5.0  # [m] from the front to a light's stop waypoint: long vehicles that turn left need the room
_SIGN_DISTANCE = 0.4  # [m] the same of signs, whose zones are short
_SLOWING = 3.5  # [s] at the wanted speed, before lights and signs
_AT_LIGHTS, _AT_SIGNS = 15.0 / 3.6, 10.0 / 3.6  # [m/s]
_SIDE_ROOM = 0.25  # [m] kept free beside a vehicle
_FORESIGHT = 1.2  # [s] for which bodies that are not driven from here are assumed to go straight on


@kernel
def note_lanes(graph: LaneGraph, driver: Record, view: float, half_length: float, braking: float) -> None:
    """Note the next junction of the way, the lanes needed there, and the speed that bends allow."""
    driver.line_distance, driver.entry_distance, driver.exit_distance, driver.needed_count = np.inf, np.inf, np.inf, 0
    driver.bend_speed = np.inf
    lane, before = driver.lane, -driver.along
    was_inside = graph.junction[lane] >= 0
    for number in range(-1, driver.ahead_count):
        if number >= 0:
            before += graph.length[lane]
            lane = driver.ahead[number]
        if before > view:
            break
        inside = graph.junction[lane] >= 0
        if inside and not was_inside and driver.entry_distance == np.inf:
            driver.entry_distance = before - half_length
        if (
            inside
            and driver.entry_distance < np.inf
            and driver.exit_distance == np.inf
            and driver.needed_count < MOST_HELD // 2
        ):
            driver.needed[driver.needed_count] = lane
            driver.needed_count += 1
        if not inside and driver.entry_distance < np.inf and driver.exit_distance == np.inf:
            driver.exit_distance = before
        was_inside = inside
        start, spacing = graph.start[lane], graph.spacing[lane]
        first = max(int(-before / spacing), 0)
        last = min(int((view - before) / spacing) + 1, graph.size[lane])
        for k in range(first, last, 2):
            way = max(before + k * spacing, 0.0)
            allowed = graph.bend_speed[start + k]
            driver.bend_speed = min(driver.bend_speed, math.sqrt(allowed * allowed + 2.0 * braking * way))


@kernel
def note_line(graph: LaneGraph, driver: Record, lights: Rows, status: Record, half_length: float) -> None:
    """Note the distance from the front to the next line at which the vehicle has to stop."""
    sees_lights, sees_signs = not happens(driver, driver.lights_chance), not happens(driver, driver.signs_chance)
    lane, before = driver.lane, -driver.along
    for number in range(-1, driver.ahead_count):
        if number >= 0:
            before += graph.length[lane]
            lane = driver.ahead[number]
        if graph.line[lane] == NO_LINE or not (sees_lights if graph.line[lane] == LIGHT_LINE else sees_signs):
            continue
        way = before + graph.line_at[lane] - half_length
        if way < -1.2:
            continue
        needed = 0.5 * driver.speed * driver.speed
        kind = graph.line[lane]
        if kind == LIGHT_LINE:
            state = lights[graph.light[lane]].state
            holds = state == RED or (state == YELLOW and needed < _HARD_BRAKING * max(way, 0.0))
            if state == RED and holds_way(driver) and needed > _TOO_LATE * max(way, 0.0):
                holds = False
        elif kind == STOP_LINE:
            holds = status.sign_time == 0.0 or status.light_state == RED
        else:
            holds = status.light_state == RED and status.has_light == 0
        if holds:
            driver.line_distance = way - (_LIGHT_DISTANCE if kind == LIGHT_LINE else _SIGN_DISTANCE)
            return
        if kind != LIGHT_LINE:
            return


@kernel
def allowed_speed(graph: LaneGraph, driver: Record, most: float) -> float:
    """The speed at which the Traffic Manager comes to the lights and signs ahead, and to a lower limit [m/s].

    It falls evenly with the distance, over the last seconds before them, whatever a light shows.

    Args:
        graph: The lanes.
        driver: The driver.
        most: The speed that it wants to drive here [m/s].
    """
    reach = _SLOWING * most
    allowed, lane, before = most, driver.lane, -driver.along
    for number in range(-1, driver.ahead_count):
        if number >= 0:
            before += graph.length[lane]
            lane = driver.ahead[number]
        if before > reach:
            break
        kind = graph.line[lane]
        way = before + graph.line_at[lane]
        if kind != NO_LINE and 0.0 < way < reach:
            slowest = min(_AT_LIGHTS if kind == LIGHT_LINE else _AT_SIGNS, most)
            allowed = min(allowed, slowest + (most - slowest) * way / reach)
        way = before + graph.limit_at[lane]
        if 0.0 < way < reach:
            slowest = min(driver.speed_share * graph.limit[lane], most)
            allowed = min(allowed, slowest + (most - slowest) * way / reach)
    return float(allowed)


@kernel
def _covers(body: Record, length: float, width: float, x: float, y: float, cosine: float, sine: float) -> bool:
    """Whether a place lies on a body, made longer ahead and wider."""
    dx, dy = x - body.x, y - body.y
    along = dx * cosine + dy * sine
    across = dy * cosine - dx * sine
    return -body.extent_x - 0.2 < along < length and abs(across) < width


@kernel
def note_gap(
    bodies: Rows,
    own: int,
    driver_of: Integers,
    driver: Record,
    vehicle: Record,
    way: Floats,
    count: int,
    walk: bool,
) -> None:
    """Note the gap to the nearest body on the way, and the body's speed along the way."""
    reach = count * STEP + 3.0
    margin = vehicle.body_extent_y + _SIDE_ROOM
    if driver.speed < 1.0:
        margin -= 0.15
    heading_x, heading_y = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    for j in range(bodies.shape[0]):
        if j == own:
            continue
        body = bodies[j]
        dx, dy = body.x - vehicle.x, body.y - vehicle.y
        if abs(dx) > reach or abs(dy) > reach or abs(body.z - vehicle.z) > 8.0:
            continue
        if dx * heading_x + dy * heading_y < 0.0 and dx * dx + dy * dy > 100.0:
            continue
        cosine, sine = math.cos(body.yaw), math.sin(body.yaw)
        width = body.extent_y + margin
        length = max(body.extent_x + 0.2, STEP - body.extent_x)  # no body is missed between two places
        if walk or not driver_of[j]:
            along = body.vx * cosine + body.vy * sine
            length += max(along, 0.0) * _FORESIGHT
        for k in range(count):
            # Bodies beside the vehicle are not in its way.
            if way[k, 3] < 0.6 * vehicle.extent_x:
                continue
            if abs(body.z - way[k, 2]) > LEVEL or not _covers(body, length, width, way[k, 0], way[k, 1], cosine, sine):
                continue
            if k == 0:
                low = high = way[k, 3]
            else:
                low, high = way[k - 1, 3], way[k, 3]
            for _ in range(4):
                middle = 0.5 * (low + high)
                share = (middle - way[k, 3]) / STEP + 1.0
                if k == 0:
                    break
                x = way[k - 1, 0] + share * (way[k, 0] - way[k - 1, 0])
                y = way[k - 1, 1] + share * (way[k, 1] - way[k - 1, 1])
                if _covers(body, length, width, x, y, cosine, sine):
                    high = middle
                else:
                    low = middle
            gap = high - vehicle.extent_x
            to = min(k + 1, count - 1)
            after = max(to - 1, 0)
            ahead_x, ahead_y = way[to, 0] - way[after, 0], way[to, 1] - way[after, 1]
            size = math.sqrt(ahead_x * ahead_x + ahead_y * ahead_y)
            along = (body.vx * ahead_x + body.vy * ahead_y) / max(size, 1e-6)
            if gap < driver.gap:
                driver.gap, driver.gap_speed = gap, max(along, 0.0)
                driver.gap_heading = 0.0 if walk else (cosine * ahead_x + sine * ahead_y) / max(size, 1e-6)
            break
