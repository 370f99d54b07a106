"""A driver: which lanes it is on and has chosen, what it sees, what it has reserved."""

from __future__ import annotations

import math

import numpy as np

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Floats
from minicarla.town.lane_graph import LaneGraph
from minicarla.world.autopilot.manners import CHANCES

MOST_AHEAD = 16
"""Lanes that a driver has chosen beyond its own, at most."""

MOST_HELD = 8
"""Lanes of junctions that are reserved for a driver, at most: of the junction that it leaves and of the next."""

LEVEL = 3.0
"""[m] of height within which two things are on the same road."""

BRAKING = 3.0
"""[m/s^2] that a driver plans with."""

DRIVER = np.dtype(
    [
        ("lane", np.int32),
        ("ahead", np.int32, (MOST_AHEAD,)),
        ("ahead_count", np.int32),
        ("along", np.float64),
        ("random", np.uint64),
        # its manners
        ("speed_share", np.float64),
        ("distance", np.float64),
        ("auto_lane_change", np.uint8),
        *((chance, np.float64) for chance in CHANCES),
        # junctions
        ("held", np.int32, (MOST_HELD,)),
        ("held_count", np.int32),
        ("waiting", np.float64),
        ("insists", np.uint8),
        # changing lanes
        ("shift", np.float64),
        ("shift_length", np.float64),
        ("shift_left", np.float64),
        ("since_change", np.float64),
        # what it sees in this tick
        ("speed", np.float64),
        ("offset", np.float64),
        ("sees_vehicles", np.uint8),
        ("gap", np.float64),
        ("gap_speed", np.float64),
        ("gap_heading", np.float64),
        ("bend_speed", np.float64),
        ("entry_distance", np.float64),
        ("exit_distance", np.float64),
        ("line_distance", np.float64),
        ("standing", np.float64),
        ("needed_count", np.int32),
        ("needed", np.int32, (MOST_HELD // 2,)),
    ],
    align=True,
)
"""A driver.

Where it is: its `lane` (-1 for none), the lanes chosen `ahead`, and how far `along` the lane its middle is [m].
`random` is the state of its random numbers.

Its manners: its `speed_share` of the speed limit, the `distance` to the vehicle ahead while standing [m], whether it
drives round vehicles (`auto_lane_change`), and its chances in each tick to want to change to the lane to the left, to
the right, or to the slower lane, and to see no lights, signs, vehicles or walkers.

Junctions: `held` are the lanes of junctions that are reserved for it, `waiting` is
how long it has waited for some [s], and `insists` whether drivers that came later have to wait for it.

Changing lanes: it began `shift` metres to the right of its new lane, of the `shift_length` metres that it takes
`shift_left` are left, and it has driven `since_change` metres since it began.

What it sees: whether it `sees_vehicles` in this tick; its `speed` [m/s]; its `offset` from the middle of its way [m];
the `gap` to the body ahead [m], that body's speed, and the cosine between its heading and the way, 0 for walkers; the
speed that the next bend allows; the distances of its front to the next junction and to the line at which it has to
stop, and of its middle to the junction's exit [m]; the lanes `needed` in that junction. `standing` is how long it has
stood without a red light or a sign before it [s].
"""


@kernel
def draw(driver: Record) -> float:
    """A random number, 0 <= x < 1 (xorshift64*)."""
    x = driver.random
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    driver.random = x
    return float((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def happens(driver: Record, chance: float) -> bool:
    """Whether something happens whose chance is known; nothing is drawn for what never does."""
    return chance > 0.0 and draw(driver) < chance


@kernel
def find_lane(graph: LaneGraph, driver: Record, vehicle: Record) -> bool:
    """Put a driver on the nearest lane of its direction; False where there is none within 6 m."""
    cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    best, found = 36.0, -1
    for k in range(graph.point.shape[0] - 1):
        dx = vehicle.x - graph.point[k, 0]
        dy = vehicle.y - graph.point[k, 1]
        square = dx * dx + dy * dy
        if square >= best or abs(vehicle.z - graph.point[k, 2]) > LEVEL:
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
    driver.along = (found - graph.start[driver.lane]) * graph.spacing[driver.lane]
    driver.ahead_count = 0
    driver.held_count = 0
    driver.shift_left = 0.0
    return True


@kernel
def choose_ahead(graph: LaneGraph, driver: Record, view: float) -> None:
    """Choose lanes at random until the way ahead of the vehicle's middle is as long as the view."""
    lane = driver.lane
    length = graph.length[lane] - driver.along
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
        chosen = int(draw(driver) * (good if good else last - first))
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
def shift_at(driver: Record, along: float) -> float:
    """How far beside the middle of its lane a driver's way is, `along` metres ahead: to the right [m]."""
    left = driver.shift_left - along
    if left <= 0.0:
        return 0.0
    share = min(left / driver.shift_length, 1.0)
    return float(driver.shift * share * share * (3.0 - 2.0 * share))


@kernel
def advance(graph: LaneGraph, driver: Record, vehicle: Record) -> None:
    """Move a driver along its chosen lanes to where its vehicle is now."""
    for _ in range(4):
        lane = driver.lane
        start, count, spacing = graph.start[lane], graph.size[lane], graph.spacing[lane]
        k = min(max(int(driver.along / spacing), 0), count - 2)
        ahead_x = (graph.point[start + k + 1, 0] - graph.point[start + k, 0]) / spacing
        ahead_y = (graph.point[start + k + 1, 1] - graph.point[start + k, 1]) / spacing
        dx = vehicle.x - graph.point[start + k, 0]
        dy = vehicle.y - graph.point[start + k, 1]
        along = k * spacing + dx * ahead_x + dy * ahead_y
        driver.offset = dy * ahead_x - dx * ahead_y
        settled = abs(along - driver.along) < spacing
        driver.along = max(along, 0.0)
        if driver.along > graph.length[lane] and driver.ahead_count:
            driver.along -= graph.length[lane]
            driver.lane = driver.ahead[0]
            for n in range(driver.ahead_count - 1):
                driver.ahead[n] = driver.ahead[n + 1]
            driver.ahead_count -= 1
        elif settled:
            return


@kernel
def place_ahead(graph: LaneGraph, driver: Record, along: float, place: Floats) -> int:
    """Write x, y and z [m] of the way, `along` metres ahead of the vehicle's middle, into `place`.

    Returns:
        The lane there.
    """
    lane, at, number = driver.lane, driver.along + along, 0
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
    shift = shift_at(driver, along) / spacing
    if shift != 0.0:
        place[0] -= shift * (graph.point[start + k + 1, 1] - graph.point[start + k, 1])
        place[1] += shift * (graph.point[start + k + 1, 0] - graph.point[start + k, 0])
    return int(lane)
