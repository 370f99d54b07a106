"""Which traffic light or sign each vehicle is at, and what it sees there.

A vehicle at a stop or yield sign is shown a red light although it is at none: so CARLA's Traffic Manager learns that
it has to stop there and to keep to the order of arrival. As in CARLA a stop sign is red for the first two seconds and
while there is cross traffic, a yield sign only while there is cross traffic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.kernels import bare_entry, kernel
from minicarla.physics.state import Rows
from minicarla.town.town import STOP_ZONE_BEYOND, Signal
from minicarla.world.traffic_lights import GREEN, RED

STOP_TIME = 2.0
"""[s] For how long a stop sign is red for a vehicle that comes to it."""

LIGHT, SPEED_LIMIT, STOP, YIELD = range(4)
"""What a zone belongs to."""

_SIGNS = {"traffic.stop": STOP, "traffic.yield": YIELD}
_SAME_HEADING = math.cos(math.radians(60.0))
_LEVEL_REACH = 3.0
_WAITING_ENERGY = 0.125  # [J/kg] at 0.5 m/s
_BRAKING = 4.0  # [m/s^2]
_CELL = 16.0
_CROSSING_MARGIN = 1.0  # [m] around a vehicle: cross traffic is looked for every two metres


class SignalZones(NamedTuple):
    """Zones of `Town.signal_zones` as plain arrays with a grid over them (compressed sparse rows).

    `sort` is one of `LIGHT`, `SPEED_LIMIT`, `STOP` and `YIELD`; `light` the row of the traffic light, else -1; `limit`
    the speed limit [km/h], else 0; `crossing_start` and `crossing_stop` are the rows of `crossing` (n, 3) [m], where
    cross traffic of a sign is looked for.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    cos: NDArray[np.float64]
    sin: NDArray[np.float64]
    extent_x: NDArray[np.float64]
    extent_y: NDArray[np.float64]
    limit: NDArray[np.float32]
    sort: NDArray[np.int32]
    light: NDArray[np.int32]
    crossing_start: NDArray[np.int32]
    crossing_stop: NDArray[np.int32]
    crossing: NDArray[np.float64]
    origin_x: float
    origin_y: float
    columns: int
    rows: int
    starts: NDArray[np.int32]
    items: NDArray[np.int32]


def index_zones(zones: NDArray[np.void], signals: Sequence[Signal]) -> SignalZones:
    """Prepare the zones of traffic lights and of speed-limit, stop and yield signs (others are left out)."""
    sorts = np.array([_sort(signal) for signal in signals], np.int32)
    zones = zones[sorts[zones["signal"]] >= 0] if len(zones) else zones
    signal = zones["signal"].astype(int)
    sort = sorts[signal]
    light_row = np.cumsum(sorts == LIGHT, dtype=np.int32) - 1
    crossing_stop = np.cumsum([len(signal.crossing) for signal in signals], dtype=np.int32)
    crossing_start = crossing_stop - np.array([len(signal.crossing) for signal in signals], np.int32)
    starts, items, low_x, low_y, columns, rows = _grid(zones)
    fields = {name: np.ascontiguousarray(zones[name]) for name in ("x", "y", "z", "extent_x", "extent_y", "limit")}
    return SignalZones(
        cos=np.cos(zones["yaw"]),
        sin=np.sin(zones["yaw"]),
        sort=sort,
        light=np.where(sort == LIGHT, light_row[signal], -1).astype(np.int32),
        crossing_start=crossing_start[signal].astype(np.int32),
        crossing_stop=crossing_stop[signal].astype(np.int32),
        crossing=np.concatenate([np.zeros((0, 3)), *(signal.crossing for signal in signals)]),
        origin_x=low_x,
        origin_y=low_y,
        columns=columns,
        rows=rows,
        starts=starts,
        items=items,
        **fields,
    )


def _sort(signal: Signal) -> int:
    if signal.is_traffic_light:
        return LIGHT
    return SPEED_LIMIT if signal.value > 0.0 else _SIGNS.get(signal.type_id, -1)


def _grid(zones: NDArray[np.void]) -> tuple[NDArray[np.int32], NDArray[np.int32], float, float, int, int]:
    """Starts and items of the cells, and origin [m], columns and rows of a grid over the zones."""
    reach = np.hypot(zones["extent_x"], zones["extent_y"])
    low_x = float((zones["x"] - reach).min(initial=0.0))
    low_y = float((zones["y"] - reach).min(initial=0.0))
    first = np.floor(np.stack([zones["x"] - reach - low_x, zones["y"] - reach - low_y]) / _CELL).astype(int)
    last = np.floor(np.stack([zones["x"] + reach - low_x, zones["y"] + reach - low_y]) / _CELL).astype(int)
    columns, rows = (int(last[axis].max(initial=0)) + 1 for axis in range(2))
    cells: list[list[int]] = [[] for _ in range(columns * rows)]
    for index in range(len(zones)):
        for row in range(first[1, index], last[1, index] + 1):
            for column in range(first[0, index], last[0, index] + 1):
                cells[row * columns + column].append(index)
    starts = np.zeros(len(cells) + 1, np.int32)
    starts[1:] = np.cumsum([len(cell) for cell in cells])
    items = np.array([index for cell in cells for index in cell], np.int32)
    return starts, items, low_x, low_y, columns, rows


@bare_entry
def look_at_signals(
    zones: SignalZones, vehicles: Rows, lights: Rows, light_ids: NDArray[np.uint32], status: Rows, dt: float
) -> None:
    """Note for every vehicle the traffic light or sign that its front stands at, and the speed limit that it passes.

    The Traffic Manager takes a light that was green when a vehicle came to it for green until the vehicle has left
    it. One that could not go meanwhile, because its way was blocked, would pass at red: who can still stop at the line
    is away from its light for one tick and so sees it anew.

    Args:
        zones: `SignalZones`.
        vehicles: structured array with x, y, z [m], yaw [rad], vx, vy [m/s] and extent_x, extent_y [m] (half sizes).
        lights: `TrafficLights.rows`.
        light_ids: uint32, actor ids of the lights.
        status: structured array with has_light, light_id (0 away from lights), light_state (green then), saw_green,
            sign_time [s] at a stop or yield sign, and speed_limit [km/h] (changed only where a sign is passed), one
            row a vehicle.
        dt: length of the tick [s].
    """
    for i in range(vehicles.shape[0]):
        vehicle = vehicles[i]
        heading_x = math.cos(vehicle.yaw)
        heading_y = math.sin(vehicle.yaw)
        x = vehicle.x + vehicle.extent_x * heading_x
        y = vehicle.y + vehicle.extent_x * heading_y
        sign, sign_time = -1, status[i].sign_time
        saw_green, status[i].saw_green = status[i].saw_green, 0
        status[i].has_light, status[i].light_id = 0, 0
        status[i].light_state, status[i].sign_time = GREEN, 0.0
        u = (x - zones.origin_x) / _CELL
        v = (y - zones.origin_y) / _CELL
        if not (u >= 0.0 and v >= 0.0 and u < zones.columns and v < zones.rows):
            continue
        cell = int(v) * zones.columns + int(u)
        nearest, nearest_light, way = math.inf, 0, 0.0
        for k in range(zones.starts[cell], zones.starts[cell + 1]):
            zone = zones.items[k]
            dx = x - zones.x[zone]
            dy = y - zones.y[zone]
            along = dx * zones.cos[zone] + dy * zones.sin[zone]
            across = dy * zones.cos[zone] - dx * zones.sin[zone]
            if abs(along) > zones.extent_x[zone] or abs(across) > zones.extent_y[zone]:
                continue
            if abs(vehicle.z - zones.z[zone]) > _LEVEL_REACH:
                continue
            if heading_x * zones.cos[zone] + heading_y * zones.sin[zone] < _SAME_HEADING:
                continue
            sort = zones.sort[zone]
            if sort == SPEED_LIMIT:
                status[i].speed_limit = zones.limit[zone]
            elif sort != LIGHT:
                sign = zone
            elif abs(across) < nearest:
                nearest, nearest_light = abs(across), zones.light[zone]
                way = zones.extent_x[zone] - STOP_ZONE_BEYOND - along
                status[i].has_light = 1
                status[i].light_id = light_ids[nearest_light]
                status[i].light_state = lights[nearest_light].state
        if status[i].has_light:
            if status[i].light_state == GREEN:
                status[i].saw_green = 1
            elif saw_green:
                energy = 0.5 * (vehicle.vx * vehicle.vx + vehicle.vy * vehicle.vy)
                if energy < way * _BRAKING or (status[i].light_state == RED and energy < _WAITING_ENERGY):
                    status[i].has_light, status[i].light_id, status[i].light_state = 0, 0, GREEN
                else:
                    status[i].saw_green = 1
        elif sign >= 0:
            status[i].sign_time = sign_time + dt
            if (zones.sort[sign] == STOP and sign_time < STOP_TIME) or _is_crossed(zones, sign, vehicles, i):
                status[i].light_state = RED


@kernel
def _is_crossed(zones: SignalZones, zone: int, vehicles: Rows, own: int) -> bool:
    """Whether another vehicle is on a lane that crosses those which a sign lets go."""
    for i in range(vehicles.shape[0]):
        vehicle = vehicles[i]
        if i == own or abs(vehicle.x - zones.x[zone]) > 100.0 or abs(vehicle.y - zones.y[zone]) > 100.0:
            continue
        cosine = math.cos(vehicle.yaw)
        sine = math.sin(vehicle.yaw)
        for k in range(zones.crossing_start[zone], zones.crossing_stop[zone]):
            dx = zones.crossing[k, 0] - vehicle.x
            dy = zones.crossing[k, 1] - vehicle.y
            if (
                abs(dx * cosine + dy * sine) < vehicle.extent_x + _CROSSING_MARGIN
                and abs(dy * cosine - dx * sine) < vehicle.extent_y + _CROSSING_MARGIN
                and abs(zones.crossing[k, 2] - vehicle.z) < _LEVEL_REACH
            ):
                return True
    return False
