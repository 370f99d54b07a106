"""Drives vehicles inside the server: along lanes, behind others, to the lines of lights and signs, through junctions.

Each tick, before physics, it presses the pedals and turns the wheels of its vehicles as a client would; what they do
on the road is left to physics. The same world and the same seed give the same traffic, bit for bit.

A driver turns at random, and keeps its lane on the way. It follows what is ahead of it, stops at red lights and at
signs, and slows down for bends. A way through a junction is its own before it drives in: nobody else gets a lane that
crosses it meanwhile. Of those who wait for one, the first to come is the first to go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicarla.kernels.calls import DirectCall
from minicarla.physics.kernels import Record, entry, kernel
from minicarla.physics.state import Floats, Integers, Rows
from minicarla.town.lane_graph import LIGHT_LINE, NO_LINE, STOP_LINE, LaneGraph, build_lane_graph
from minicarla.world.traffic_lights import RED, YELLOW

if TYPE_CHECKING:
    from minicarla.town import Town
    from minicarla.world.actors import Actor
    from minicarla.world.simulation import Simulation

MOST_AHEAD = 16
"""Lanes that a vehicle has chosen beyond the one that it is on."""

MOST_HELD = 8
"""Lanes of junctions that a vehicle may have at a time: of the one that it leaves and of the next."""

STEP = 2.0
"""[m] Between two places of a way where it is looked whether somebody is there."""

MOST_PLACES = 36
"""Of them."""

_NEAREST_VIEW = 24.0  # [m]
_BRAKING = 3.0  # [m/s^2] that a vehicle counts with
_HARD_BRAKING = 4.5  # [m/s^2] below which it still stops for a light that has become yellow
_TOO_LATE = 6.0  # [m/s^2] above which it drives on at a light that is red
_REACTION = 0.4  # [s]
_HEADWAY = 0.8  # [s] behind a moving vehicle, beside the distance
_LIGHT_DISTANCE = 5.0  # [m] from the front to a light's stop waypoint: long vehicles that turn left need the room
_SIGN_DISTANCE = 0.4  # [m] the same of signs, whose zones are short
_ENTRY_DISTANCE = 1.5  # [m] from the front to a junction that it waits for
_ASIDE = 0.25  # [m] beside a vehicle where nobody may be
_FORESIGHT = 1.2  # [s] for which the way of those who are not driven from here is foreseen, straight on
_LONG_BASE, _SWING = 4.0, 0.8  # [m] between the axles of vehicles that swing out
_LEVEL = 3.0  # [m]
_LOST = 6.0  # [m] beside its lane
_PATIENCE = 4.0  # [s] after which nobody who comes later is let into a junction before it
_LONG = 12.0  # [s] of waiting after which those who stand in the junction are driven round, where there is room
_EXIT_ROOM = 2.0  # [m] besides its length that has to be free behind a junction
_CREEPING = 1.5  # [m/s]
_STANDING, _STOP_REACH = 0.1, 40.0  # [m/s], [m] within which a line may be what a queue waits for
_STUCK, _BETWEEN_ENDS = 90.0, 10.0  # [s]

DRIVER = np.dtype(
    [
        ("lane", np.int32),
        ("ahead", np.int32, (MOST_AHEAD,)),
        ("ahead_count", np.int32),
        ("at", np.float64),
        ("random", np.uint64),
        ("held", np.int32, (MOST_HELD,)),
        ("held_count", np.int32),
        ("waits", np.float64),
        ("claims", np.uint8),
        # what it has seen in this tick
        ("speed", np.float64),
        ("aside", np.float64),
        ("gap", np.float64),
        ("gap_speed", np.float64),
        ("bend", np.float64),
        ("entry", np.float64),
        ("exit", np.float64),
        ("line", np.float64),
        ("stands", np.float64),
        ("wish_count", np.int32),
        ("wish", np.int32, (MOST_HELD // 2,)),
    ],
    align=True,
)
"""A driver.

`lane` is where it is, -1 for nowhere, `ahead` what it has chosen, `at` how far its middle is along the lane [m];
`random` is the state of its random numbers. `held` are the lanes of junctions that are its own, `waits` is for how long
it has waited for some [s], `claims` whether those who came later have to wait for it.

What it sees: its `speed` [m/s], how far it is `aside` of its lane [m], the `gap` [m] to who is ahead and their speed,
the speed that the next `bend` allows, the way of its front to the next junction (`entry`) and to a `line` that holds it
up, of its middle to the junction's `exit` [m], and the lanes that it needs there, `wish`. `stands` is for how long it
has stood without a red light or a sign before it [s].
"""


@kernel
def _draw(driver: Record) -> float:
    """A random number, 0 <= x < 1 (xorshift64*)."""
    x = driver.random
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    driver.random = x
    return float((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def _find_lane(graph: LaneGraph, driver: Record, vehicle: Record) -> bool:
    """Put a driver on the lane that its vehicle is on; whether there is one near."""
    cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    best, found = 36.0, -1
    for k in range(graph.point.shape[0] - 1):
        dx = vehicle.x - graph.point[k, 0]
        dy = vehicle.y - graph.point[k, 1]
        square = dx * dx + dy * dy
        if square >= best or abs(vehicle.z - graph.point[k, 2]) > _LEVEL:
            continue
        lane = graph.lane[k]
        first = k if graph.lane[k + 1] == lane else k - 1
        ahead_x = graph.point[first + 1, 0] - graph.point[first, 0]
        ahead_y = graph.point[first + 1, 1] - graph.point[first, 1]
        if ahead_x * cosine + ahead_y * sine > 0.5 * math.sqrt(ahead_x * ahead_x + ahead_y * ahead_y):
            best, found = square, k
    if found < 0:
        return False
    driver.lane = graph.lane[found]
    driver.at = (found - graph.start[driver.lane]) * graph.spacing[driver.lane]
    driver.ahead_count = 0
    driver.held_count = 0
    return True


@kernel
def _choose_ahead(graph: LaneGraph, driver: Record, view: float) -> None:
    """Choose lanes at random until the way is as long as the view, measured from the vehicle's middle."""
    lane = driver.lane
    length = graph.length[lane] - driver.at
    for k in range(driver.ahead_count):
        lane = driver.ahead[k]
        length += graph.length[lane]
    while length < view and driver.ahead_count < MOST_AHEAD:
        first, last = graph.next_start[lane], graph.next_start[lane + 1]
        good = 0
        for k in range(first, last):
            good += graph.goes_on[graph.next_lane[k]]
        if last == first:
            return
        chosen = int(_draw(driver) * (good if good else last - first))
        for k in range(first, last):
            if good and not graph.goes_on[graph.next_lane[k]]:
                continue
            if chosen == 0:
                lane = graph.next_lane[k]
                break
            chosen -= 1
        driver.ahead[driver.ahead_count] = lane
        driver.ahead_count += 1
        length += graph.length[lane]


@kernel
def _advance(graph: LaneGraph, driver: Record, vehicle: Record) -> None:
    """Follow the vehicle along the lanes that were chosen."""
    for _ in range(4):
        lane = driver.lane
        start, count, spacing = graph.start[lane], graph.size[lane], graph.spacing[lane]
        k = min(max(int(driver.at / spacing), 0), count - 2)
        ahead_x = (graph.point[start + k + 1, 0] - graph.point[start + k, 0]) / spacing
        ahead_y = (graph.point[start + k + 1, 1] - graph.point[start + k, 1]) / spacing
        dx = vehicle.x - graph.point[start + k, 0]
        dy = vehicle.y - graph.point[start + k, 1]
        along = k * spacing + dx * ahead_x + dy * ahead_y
        driver.aside = dy * ahead_x - dx * ahead_y
        settled = abs(along - driver.at) < spacing
        driver.at = max(along, 0.0)
        if driver.at > graph.length[lane] and driver.ahead_count:
            driver.at -= graph.length[lane]
            driver.lane = driver.ahead[0]
            for n in range(driver.ahead_count - 1):
                driver.ahead[n] = driver.ahead[n + 1]
            driver.ahead_count -= 1
        elif settled:
            return


@kernel
def _place(graph: LaneGraph, driver: Record, along: float, place: Floats) -> int:
    """x, y and z [m] of the way so far ahead of the vehicle's middle, into `place`; returns the lane there."""
    lane, at, number = driver.lane, driver.at + along, 0
    while at > graph.length[lane] and number < driver.ahead_count:
        at -= graph.length[lane]
        lane = driver.ahead[number]
        number += 1
    start, spacing = graph.start[lane], graph.spacing[lane]
    k = min(max(int(at / spacing), 0), graph.size[lane] - 2)
    share = at / spacing - k
    for axis in range(3):
        a, b = graph.point[start + k, axis], graph.point[start + k + 1, axis]
        place[axis] = a + share * (b - a)
    return int(lane)


@kernel
def _look_at_lanes(graph: LaneGraph, driver: Record, view: float, half_length: float, braking: float) -> None:
    """Note the next line and the next junction of the way, and what its bends allow."""
    driver.line, driver.entry, driver.exit, driver.wish_count = np.inf, np.inf, np.inf, 0
    driver.bend = np.inf
    lane, before = driver.lane, -driver.at
    was_inside = graph.junction[lane] >= 0
    for number in range(-1, driver.ahead_count):
        if number >= 0:
            before += graph.length[lane]
            lane = driver.ahead[number]
        if before > view:
            break
        inside = graph.junction[lane] >= 0
        if inside and not was_inside and driver.entry == np.inf:
            driver.entry = before - half_length
        if inside and driver.entry < np.inf and driver.exit == np.inf and driver.wish_count < MOST_HELD // 2:
            driver.wish[driver.wish_count] = lane
            driver.wish_count += 1
        if not inside and driver.entry < np.inf and driver.exit == np.inf:
            driver.exit = before
        was_inside = inside
        start, spacing = graph.start[lane], graph.spacing[lane]
        first = max(int(-before / spacing), 0)
        last = min(int((view - before) / spacing) + 1, graph.size[lane])
        for k in range(first, last, 2):
            way = max(before + k * spacing, 0.0)
            allowed = graph.bend_speed[start + k]
            driver.bend = min(driver.bend, math.sqrt(allowed * allowed + 2.0 * braking * way))


@kernel
def _has_lane(driver: Record, lane: int) -> bool:
    found = False
    for k in range(driver.held_count):
        found = found or driver.held[k] == lane
    return found


@kernel
def _has_way(driver: Record) -> bool:
    """Whether the way through the next junction is its own."""
    has_all = True
    for k in range(driver.wish_count):
        has_all = has_all and _has_lane(driver, driver.wish[k])
    return has_all


@kernel
def _give_way(driver: Record) -> None:
    """Give the lanes of the next junction back."""
    kept = 0
    for k in range(driver.held_count):
        is_next = False
        for n in range(driver.wish_count):
            is_next = is_next or driver.wish[n] == driver.held[k]
        if not is_next or driver.held[k] == driver.lane:
            driver.held[kept] = driver.held[k]
            kept += 1
    driver.held_count = kept


@kernel
def _look_for_lines(graph: LaneGraph, driver: Record, lights: Rows, status: Record, half_length: float) -> None:
    """Note how far the front is from the next line that holds the vehicle up."""
    lane, before = driver.lane, -driver.at
    for number in range(-1, driver.ahead_count):
        if number >= 0:
            before += graph.length[lane]
            lane = driver.ahead[number]
        if graph.line[lane] == NO_LINE:
            continue
        way = before + graph.line_at[lane] - half_length
        if way < -1.2:
            continue
        needed = 0.5 * driver.speed * driver.speed
        kind = graph.line[lane]
        if kind == LIGHT_LINE:
            state = lights[graph.light[lane]].state
            holds = state == RED or (state == YELLOW and needed < _HARD_BRAKING * max(way, 0.0))
            if state == RED and _has_way(driver) and needed > _TOO_LATE * max(way, 0.0):
                holds = False
        elif kind == STOP_LINE:
            holds = status.sign_time == 0.0 or status.light_state == RED
        else:
            holds = status.light_state == RED and status.has_light == 0
        if holds:
            driver.line = way - (_LIGHT_DISTANCE if kind == LIGHT_LINE else _SIGN_DISTANCE)
            return
        if kind != LIGHT_LINE:
            return


@kernel
def _covers(body: Record, length: float, width: float, x: float, y: float, cosine: float, sine: float) -> bool:
    dx, dy = x - body.x, y - body.y
    along = dx * cosine + dy * sine
    across = dy * cosine - dx * sine
    return -body.extent_x - 0.2 < along < length and abs(across) < width


@kernel
def _look_for_bodies(
    bodies: Rows, own: int, is_driven: Integers, driver: Record, vehicle: Record, way: Floats, count: int, walk: bool
) -> None:
    """Note the gap to the nearest body on the way, and its speed along it."""
    reach = count * STEP + 3.0
    margin = vehicle.body_extent_y + _ASIDE
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
        length = max(body.extent_x + 0.2, STEP - body.extent_x)  # nobody falls between two places
        if walk or not is_driven[j]:
            along = body.vx * cosine + body.vy * sine
            length += max(along, 0.0) * _FORESIGHT
        for k in range(count):
            # From the front on: beside the vehicle itself others may be.
            if way[k, 3] < 0.6 * vehicle.extent_x:
                continue
            if abs(body.z - way[k, 2]) > _LEVEL or not _covers(body, length, width, way[k, 0], way[k, 1], cosine, sine):
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
            break


@kernel
def _is_taken(graph: LaneGraph, drivers: Rows, own: int) -> bool:
    """Whether somebody holds, or claims, a lane that crosses the way through the junction."""
    me = drivers[own]
    for other in range(drivers.shape[0]):
        him = drivers[other]
        if other == own:
            continue
        claims = him.claims and him.waits > me.waits
        if me.waits > _LONG and him.speed < 0.2:
            continue  # who stands may stand for it
        if him.held_count == 0 and not claims:
            continue
        for k in range(me.wish_count):
            lane = me.wish[k]
            for n in range(graph.crossing_start[lane], graph.crossing_start[lane + 1]):
                crossed = graph.crossing[n]
                for m in range(him.held_count):
                    if him.held[m] == crossed:
                        return True
                for m in range(him.wish_count if claims else 0):
                    if him.wish[m] == crossed:
                        return True
    return False


@kernel
def _let_go(graph: LaneGraph, driver: Record, half_length: float) -> None:
    """Give back what lies behind the vehicle; keep what it is on, even if nobody has given it to it."""
    inside = graph.junction[driver.lane] >= 0
    kept = 0
    for k in range(driver.held_count):
        lane = driver.held[k]
        is_needed = lane == driver.lane
        for n in range(driver.ahead_count):
            is_needed = is_needed or driver.ahead[n] == lane
        if not is_needed and not inside and driver.at < half_length + 0.5:
            is_needed = True
        if is_needed:
            driver.held[kept] = lane
            kept += 1
    driver.held_count = kept
    if inside and kept < MOST_HELD and not _has_lane(driver, driver.lane):
        driver.held[kept] = driver.lane
        driver.held_count = kept + 1


@kernel
def _safe_speed(gap: float, speed_there: float) -> float:
    """From which it stops behind what brakes as hard as it does (Gipps 1981, equation 2)."""
    brake = _BRAKING * _REACTION
    square = brake * brake + speed_there * speed_there + 2.0 * _BRAKING * gap
    return math.sqrt(square) - brake if square > brake * brake else 0.0


@kernel
def _steer(graph: LaneGraph, driver: Record, vehicle: Record, place: Floats) -> None:
    """Towards a place of the way ahead of the rear axle (pure pursuit, Coulter 1992)."""
    rear, front = vehicle.wheel_x[2], vehicle.wheel_x[0]
    view = min(max(2.0 + 0.45 * driver.speed, front - rear + 1.2), 20.0)
    _place(graph, driver, view + rear, place)
    cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    dx = place[0] - (vehicle.x + rear * cosine)
    dy = place[1] - (vehicle.y + rear * sine)
    across = dy * cosine - dx * sine
    if front - rear > _LONG_BASE:
        across -= _SWING * driver.aside  # in bends its middle would run far inside
    square = max(dx * dx + dy * dy, 1.0)
    angle = math.atan(2.0 * (front - rear) * across / square)
    lock = max(vehicle.wheel_max_steer[0], vehicle.wheel_max_steer[1])
    factor = vehicle.steering_factor[0]
    for k in range(1, vehicle.steering_count):
        low, high = vehicle.steering_speed[k - 1], vehicle.steering_speed[k]
        if driver.speed >= low:
            share = min((driver.speed - low) / max(high - low, 1e-6), 1.0)
            factor = vehicle.steering_factor[k - 1]
            factor += share * (vehicle.steering_factor[k] - vehicle.steering_factor[k - 1])
    vehicle.steer = min(max(angle / max(lock * factor, 1e-3), -1.0), 1.0)


@kernel
def _press(vehicle: Record, speed: float, wanted: float) -> None:
    vehicle.hand_brake, vehicle.reverse, vehicle.manual, vehicle.ackermann = 0, 0, 0, 0
    vehicle.throttle, vehicle.brake = 0.0, 0.0
    if wanted < 0.2 and speed < 1.0:
        vehicle.brake = 0.6
    elif wanted >= speed - 0.3:
        vehicle.throttle = min(max(0.12 + 0.008 * speed + 0.45 * (wanted - speed), 0.0), 0.85)
    else:
        vehicle.brake = min(0.7 * (speed - wanted - 0.1), 1.0)


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
    speed_share: float,
    distance: float,
) -> None:
    """Decide what the vehicles do in the tick to come.

    Args:
        graph: The lanes.
        drivers: Rows of `DRIVER`.
        rows: int64, the row of each driver's vehicle.
        vehicles: Rows of `physics.state.VEHICLE`.
        status: Rows of `actors.VEHICLE_STATUS`.
        walkers: Rows of `physics.state.WALKER`.
        lights: Rows of `traffic_lights.LIGHT`.
        dt: Length of the tick [s].
        speed_share: Of the speed limit.
        distance: To the vehicle ahead while standing [m].
    """
    count = drivers.shape[0]
    is_driven = np.zeros(vehicles.shape[0], np.int64)
    way = np.empty((MOST_PLACES, 4))
    place = np.empty(3)
    for i in range(count):
        is_driven[rows[i]] = 1
    for i in range(count):
        driver, vehicle = drivers[i], vehicles[rows[i]]
        cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
        driver.speed = max(vehicle.vx * cosine + vehicle.vy * sine, 0.0)
        if driver.lane >= 0:
            _advance(graph, driver, vehicle)
        if (driver.lane < 0 or abs(driver.aside) > _LOST) and not _find_lane(graph, driver, vehicle):
            driver.lane = -1
            continue
        stop = 0.5 * driver.speed * driver.speed / _BRAKING
        view = min(_NEAREST_VIEW + 1.5 * driver.speed + stop, STEP * (MOST_PLACES - 1))
        _choose_ahead(graph, driver, view + 30.0)
        _let_go(graph, driver, vehicle.extent_x)
        _look_at_lanes(graph, driver, view, vehicle.extent_x, _BRAKING)
        _look_for_lines(graph, driver, lights, status[rows[i]], vehicle.extent_x)
        places = min(int(view / STEP) + 1, MOST_PLACES)
        for k in range(places):
            way[k, 3] = k * STEP
            _place(graph, driver, way[k, 3], place)
            for axis in range(3):
                way[k, axis] = place[axis]
        driver.gap, driver.gap_speed = np.inf, 0.0
        _look_for_bodies(vehicles, rows[i], is_driven, driver, vehicle, way, places, False)
        _look_for_bodies(walkers, -1, is_driven, driver, vehicle, way, places, True)
    _share_junctions(graph, drivers, rows, vehicles, dt)
    for i in range(count):
        driver, vehicle = drivers[i], vehicles[rows[i]]
        if driver.lane < 0:
            _press(vehicle, driver.speed, 0.0)
            continue
        wanted = min(speed_share * status[rows[i]].speed_limit / 3.6, driver.bend)
        if driver.gap < np.inf:
            room = driver.gap - distance - _HEADWAY * min(driver.speed, driver.gap_speed)
            wanted = min(wanted, _safe_speed(room, driver.gap_speed))
        stop = driver.line
        if driver.entry < np.inf and not _has_way(driver):
            stop = min(stop, driver.entry - _ENTRY_DISTANCE)
        if driver.ahead_count == 0:
            stop = min(stop, graph.length[driver.lane] - driver.at - vehicle.extent_x)
        if stop < np.inf:
            wanted = min(wanted, _safe_speed(stop, 0.0))
        is_still = driver.speed < _STANDING and driver.line > _STOP_REACH
        driver.stands = driver.stands + dt if is_still else 0.0
        _steer(graph, driver, vehicle, place)
        _press(vehicle, driver.speed, wanted)


@kernel
def _share_junctions(graph: LaneGraph, drivers: Rows, rows: Integers, vehicles: Rows, dt: float) -> None:
    """Give the lanes of junctions to those who come to them: first to whom has waited longest."""
    count = drivers.shape[0]
    for i in range(count):
        driver = drivers[i]
        if driver.lane < 0:
            driver.held_count, driver.wish_count, driver.waits, driver.claims = 0, 0, 0.0, 0
            continue
        is_held_up = driver.line < driver.entry + 2.0
        if is_held_up and driver.entry > 0.0:
            _give_way(driver)
        if is_held_up or _has_way(driver):
            driver.waits = 0.0
        elif driver.speed < _CREEPING and driver.entry < 8.0:
            driver.waits += dt
        driver.claims = driver.waits > _PATIENCE
    # Who has been given something in this round counts for those after it, so each is asked in the order of waiting.
    done = 0
    last = np.inf
    while done < count:
        longest = -1.0
        for i in range(count):
            if longest < drivers[i].waits < last:
                longest = drivers[i].waits
        if longest < 0.0:
            return
        for i in range(count):
            if drivers[i].waits == longest:
                _ask_for_junction(graph, drivers, i, vehicles[rows[i]])
                done += 1
        last = longest


@kernel
def _ask_for_junction(graph: LaneGraph, drivers: Rows, own: int, vehicle: Record) -> None:
    driver = drivers[own]
    if driver.lane < 0 or _has_way(driver) or driver.line < driver.entry + 2.0:
        return
    if driver.entry > 6.0 + 1.0 * driver.speed + 0.5 * driver.speed * driver.speed / _BRAKING:
        return
    crosses = False
    for k in range(driver.wish_count):
        lane = driver.wish[k]
        crosses = crosses or graph.crossing_start[lane + 1] > graph.crossing_start[lane]
    if crosses:
        if driver.gap < driver.entry:
            return  # somebody is before it
        room = driver.gap + vehicle.extent_x - driver.exit
        if driver.gap_speed < _CREEPING and room < 2.0 * vehicle.extent_x + _EXIT_ROOM:
            return
        if _is_taken(graph, drivers, own):
            return
    for k in range(driver.wish_count):
        if not _has_lane(driver, driver.wish[k]) and driver.held_count < MOST_HELD:
            driver.held[driver.held_count] = driver.wish[k]
            driver.held_count += 1
    driver.waits, driver.claims = 0.0, 0


class Autopilot:
    """Drives the vehicles that were handed to it; an observer of a simulation.

    Args:
        simulation: Whose vehicles.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._drive = DirectCall(drive)
        self._town: Town | None = None
        self._graph: LaneGraph
        self.episode_ends()

    def take(self, actors: Sequence[Actor], seed: int, speed_share: float, distance: float) -> None:
        """Drive these vehicles from now on, and no others.

        Args:
            actors: The vehicles.
            seed: Decides where they turn.
            speed_share: Of the speed limit.
            distance: To the vehicle ahead while standing [m].
        """
        self._actors = list(actors)
        town = self._simulation.full_town if actors else self._town
        if town is not None and town is not self._town:
            self._town, self._graph = town, build_lane_graph(town.opendrive, town.signals)
        self._table: Rows | None = None
        self._rows: Integers = np.zeros(0, np.int64)
        self._drivers = np.zeros(len(actors), DRIVER)
        self._drivers["lane"] = -1
        self._drivers["random"] = np.random.default_rng(seed).integers(1, 2**63, len(actors), np.uint64)
        self._speed_share, self._distance = speed_share, distance
        self._next_end = 0.0

    def before_tick(self, dt: float) -> None:
        """Press the pedals and turn the wheels of the vehicles."""
        if not self._actors:
            return
        self._forget_ended()
        episode = self._simulation.episode
        vehicles = episode.vehicles
        bodies = (vehicles.rows, vehicles.companion, episode.walkers.rows, episode.lights.rows)
        self._drive((self._graph, self._drivers, self._rows, *bodies), dt, self._speed_share, self._distance)

    def _forget_ended(self) -> None:
        """Follow the vehicles' rows, which change when others end."""
        vehicles = self._simulation.episode.vehicles
        if self._table is vehicles.rows:  # a new view after every change
            return
        living = np.array([actor.row >= 0 for actor in self._actors], bool)
        self._actors = [actor for actor in self._actors if actor.row >= 0]
        self._drivers = self._drivers[living]
        self._rows = np.array([actor.row for actor in self._actors], np.int64)
        self._table = vehicles.rows

    def after_tick(self) -> None:
        """Take away who is stuck, as the Traffic Manager does: one at a time, the one that has stood longest."""
        elapsed = self._simulation.episode.elapsed
        if not self._actors or elapsed < self._next_end:
            return
        longest = int(self._drivers["stands"].argmax())
        self._next_end = elapsed + 1.0
        if self._drivers["stands"][longest] > _STUCK:
            self._simulation.destroy(self._actors[longest])
            self._next_end = elapsed + _BETWEEN_ENDS

    def episode_ends(self) -> None:
        """Forget all vehicles."""
        self.take([], seed=0, speed_share=1.0, distance=0.0)
