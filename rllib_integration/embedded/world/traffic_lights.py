"""Traffic lights in time, and which signal each vehicle is at.

As in CARLA the lights of a junction are a group whose phases (OpenDRIVE controllers) take turns: green, yellow, red,
and when the red time has passed the next phase becomes green. All other phases are red meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.embedded.town.town import Signal

RED, YELLOW, GREEN, OFF, UNKNOWN = range(5)
"""CARLA's TrafficLightState."""

GREEN_TIME, YELLOW_TIME, RED_TIME = 10.0, 3.0, 2.0
"""[s] CARLA's default times; red is the time until the next phase becomes green."""

_SAME_HEADING = math.cos(math.radians(60.0))
_LEVEL_REACH = 3.0
_CELL = 16.0


class TrafficLights:
    """State of all signals of a town; arrays have one entry a signal (row), signs included.

    Attributes:
        state: uint8, CARLA's TrafficLightState; UNKNOWN for signs.
        green_time, yellow_time, red_time: float32 [s].
        elapsed: float32 [s] since the light took its state.
        frozen: uint8.
        pole_index: uint32.
        group: int32, index of the light's group, -1 for signs.
    """

    def __init__(self, signals: Sequence[Signal]) -> None:
        count = len(signals)
        lights = np.array([signal.is_traffic_light for signal in signals], bool)
        self.group = np.array([signal.group for signal in signals], np.int32)
        self.phase = np.array([signal.controller for signal in signals], np.int32)
        self.pole_index = np.array([signal.pole_index for signal in signals], np.uint32)
        self.state = np.where(lights, RED, UNKNOWN).astype(np.uint8)
        self.green_time = np.where(lights, GREEN_TIME, 0.0).astype(np.float32)
        self.yellow_time = np.where(lights, YELLOW_TIME, 0.0).astype(np.float32)
        self.red_time = np.where(lights, RED_TIME, 0.0).astype(np.float32)
        self.elapsed = np.zeros(count, np.float32)
        self.frozen = np.zeros(count, np.uint8)
        groups = int(self.group.max(initial=-1)) + 1
        order = np.argsort(np.where(self.group < 0, groups, self.group), kind="stable")
        self._members = order[: int(lights.sum())].astype(np.int32)
        self._starts = np.zeros(groups + 1, np.int32)
        self._starts[1:] = np.cumsum(np.bincount(self.group[self.group >= 0], minlength=groups))
        self._phases = np.array([self.phase[self.members(g)].max(initial=0) + 1 for g in range(groups)], np.int32)
        self._active = np.zeros(groups, np.int32)
        self._stage = np.full(groups, GREEN, np.uint8)
        self._timer = np.zeros(groups)
        self._group_frozen = np.zeros(groups, np.uint8)
        self.reset_all()

    def members(self, group: int) -> NDArray[np.int32]:
        """Rows of the lights of a group."""
        return self._members[self._starts[group] : self._starts[group + 1]]

    def group_rows(self, row: int) -> list[int]:
        """Rows of all lights that switch together with this one, itself included."""
        group = int(self.group[row])
        return [int(member) for member in self.members(group)] if group >= 0 else [row]

    def step(self, dt: float) -> None:
        """Let `dt` seconds pass."""
        _step(
            self._members,
            self._starts,
            self.phase,
            self._phases,
            self._active,
            self._stage,
            self._timer,
            self._group_frozen,
            self.state,
            self.green_time,
            self.yellow_time,
            self.red_time,
            self.elapsed,
            float(dt),
        )

    def set_state(self, row: int, state: int) -> None:
        """Show a state on one light, until its phase changes next (for good if frozen)."""
        self.state[row] = state
        self.elapsed[row] = 0.0

    def set_green_time(self, row: int, seconds: float) -> None:
        """Set the green time of the light's phase [s]."""
        self.green_time[self._same_phase(row)] = max(seconds, 0.0)

    def set_yellow_time(self, row: int, seconds: float) -> None:
        """Set the yellow time of the light's phase [s]."""
        self.yellow_time[self._same_phase(row)] = max(seconds, 0.0)

    def set_red_time(self, row: int, seconds: float) -> None:
        """Set the red time of the light's phase [s]."""
        self.red_time[self._same_phase(row)] = max(seconds, 0.0)

    def freeze(self, row: int, frozen: bool) -> None:
        """Stop, or go on with, the cycle of the light's group."""
        group = int(self.group[row])
        if group >= 0:
            self._group_frozen[group] = frozen
            self.frozen[self.members(group)] = frozen

    def freeze_all(self, frozen: bool) -> None:
        """Stop, or go on with, all cycles."""
        self._group_frozen[:] = frozen
        self.frozen[self._members] = frozen

    def reset_group(self, row: int) -> None:
        """Begin the cycle of the light's group anew."""
        group = int(self.group[row])
        if group >= 0:
            self._reset(group)

    def reset_all(self) -> None:
        """Begin all cycles anew."""
        for group in range(len(self._active)):
            self._reset(group)

    def _reset(self, group: int) -> None:
        members = self.members(group)
        self._active[group], self._stage[group], self._timer[group] = 0, GREEN, 0.0
        self.state[members] = np.where(self.phase[members] == 0, GREEN, RED)
        self.elapsed[members] = 0.0

    def _same_phase(self, row: int) -> NDArray[np.bool_]:
        if self.group[row] < 0:
            return np.arange(len(self.group)) == row
        return np.asarray((self.group == self.group[row]) & (self.phase == self.phase[row]))


@njit(cache=True)
def _step(  # type: ignore[no-untyped-def]
    members, starts, phase, phases, active, stage, timer, frozen, state, green, yellow, red, elapsed, dt
):
    for k in range(members.shape[0]):
        elapsed[members[k]] += dt
    for group in range(active.shape[0]):
        if frozen[group]:
            continue
        timer[group] += dt
        # A long tick may pass several stages; times of zero must not keep it here for ever.
        for _ in range(3 * phases[group]):
            limit = 0.0
            for k in range(starts[group], starts[group + 1]):
                row = members[k]
                if phase[row] == active[group]:
                    times = green if stage[group] == 2 else yellow if stage[group] == 1 else red
                    limit = times[row]
                    break
            if timer[group] < limit - 1e-9:
                break
            timer[group] -= limit
            if stage[group] == 2:
                stage[group] = 1
            elif stage[group] == 1:
                stage[group] = 0
            else:
                stage[group] = 2
                active[group] = (active[group] + 1) % phases[group]
            for k in range(starts[group], starts[group + 1]):
                row = members[k]
                if phase[row] == active[group]:
                    state[row] = stage[group]
                    elapsed[row] = timer[group]


class SignalZones(NamedTuple):
    """Zones of `Town.signal_zones` as plain arrays with a grid over them (compressed sparse rows)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    cos: NDArray[np.float64]
    sin: NDArray[np.float64]
    extent_x: NDArray[np.float64]
    extent_y: NDArray[np.float64]
    limit: NDArray[np.float32]
    signal: NDArray[np.int32]
    origin_x: float
    origin_y: float
    columns: int
    rows: int
    starts: NDArray[np.int32]
    items: NDArray[np.int32]


def index_zones(zones: NDArray[np.void], signals: Sequence[Signal]) -> SignalZones:
    """Prepare the zones of traffic lights and speed-limit signs (those of other signs are left out)."""
    useful = np.array(
        [zone["limit"] > 0 or signals[int(zone["signal"])].is_traffic_light for zone in zones], bool
    ).reshape(-1)
    zones = zones[useful]
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
    fields = {name: np.ascontiguousarray(zones[name]) for name in ("x", "y", "z", "extent_x", "extent_y", "limit")}
    return SignalZones(
        cos=np.cos(zones["yaw"]),
        sin=np.sin(zones["yaw"]),
        signal=np.ascontiguousarray(zones["signal"]),
        origin_x=low_x,
        origin_y=low_y,
        columns=columns,
        rows=rows,
        starts=starts,
        items=np.array([index for cell in cells for index in cell], np.int32),
        **fields,
    )


@njit(cache=True)
def find_signals_ahead(  # type: ignore[no-untyped-def]
    zones: SignalZones, vehicles, light_row: NDArray[np.int32], speed_limit: NDArray[np.float32]
) -> None:
    """Find for every vehicle the traffic light that it stands at, and the speed limit that it passes.

    Args:
        zones: from `index_zones`.
        vehicles: structured array with x, y, z [m], yaw [rad] and extent_x [m] (half length).
        light_row: int32 (n,), set to the row of the signal, -1 where there is none.
        speed_limit: float32 (n,) [km/h], changed only for vehicles that pass a sign.
    """
    for i in range(vehicles.shape[0]):
        light_row[i] = -1
        heading_x = math.cos(vehicles[i]["yaw"])
        heading_y = math.sin(vehicles[i]["yaw"])
        x = vehicles[i]["x"] + vehicles[i]["extent_x"] * heading_x
        y = vehicles[i]["y"] + vehicles[i]["extent_x"] * heading_y
        u = (x - zones.origin_x) / _CELL
        v = (y - zones.origin_y) / _CELL
        if not (u >= 0.0 and v >= 0.0 and u < zones.columns and v < zones.rows):
            continue
        cell = int(v) * zones.columns + int(u)
        nearest = math.inf
        for k in range(zones.starts[cell], zones.starts[cell + 1]):
            zone = zones.items[k]
            dx = x - zones.x[zone]
            dy = y - zones.y[zone]
            along = dx * zones.cos[zone] + dy * zones.sin[zone]
            across = dy * zones.cos[zone] - dx * zones.sin[zone]
            if abs(along) > zones.extent_x[zone] or abs(across) > zones.extent_y[zone]:
                continue
            if abs(vehicles[i]["z"] - zones.z[zone]) > _LEVEL_REACH:
                continue
            if heading_x * zones.cos[zone] + heading_y * zones.sin[zone] < _SAME_HEADING:
                continue
            if zones.limit[zone] > 0.0:
                speed_limit[i] = zones.limit[zone]
            elif abs(across) < nearest:
                nearest = abs(across)
                light_row[i] = zones.signal[zone]
