"""The lanes of a town as traffic drives along them: middles, what follows on what, where to stop, what crosses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.town.lanes import BIDIRECTIONAL, DRIVABLE, Array, LaneTable, ReferenceLines, sample_lanes
from minicarla.town.opendrive import RoadMark, RoadNetwork, parse_opendrive
from minicarla.town.town import Signal

Integers = NDArray[np.int32]

NO_LINE, LIGHT_LINE, STOP_LINE, YIELD_LINE = range(4)
"""What a vehicle stops for at a lane's line."""

_TYPES = tuple(lane for lane in DRIVABLE if lane != BIDIRECTIONAL)  # lanes for turning in the middle lead nowhere
_SPACING = 1.0  # [m]
_NARROWEST = 1.5  # [m] Lanes that are nowhere wider begin or end there, and carry nobody.
_SAME_PLACE, _SAME_LEVEL = 0.8, 1.0  # [m] A lane follows on another whose end is so near to its begin
_CELL = 2.0  # [m] of the grid in which it is looked for
_SAME_HEADING = 0.7  # cosine
_WIDE_ENOUGH = 2.5  # [m] width of a lane to which vehicles change
_CROSSING_DISTANCE = 2.6  # [m] between the middles of two lanes that cross or run into each other
_BEND_REACH = 3  # points before and behind, for the radius of a bend
_SIDEWAYS = 3.5  # [m/s^2] in bends
_SLOWEST = 3.0  # [m/s] in the narrowest bend
_LINES = {"traffic.stop": STOP_LINE, "traffic.yield": YIELD_LINE}


class LaneGraph(NamedTuple):
    """All lanes that vehicles drive on; n of them, with m points in all.

    Attributes:
        point: float64 (m, 3) [m], middles of the lanes in the direction of travel.
        bend_speed: float64 (m,) [m/s] that the bend at a point allows.
        lane: int32 (m,), the lane of a point.
        left, right: int32 (m,), the lane beside a point to which vehicles may change there, or -1.
        start, size: int32 (n,), first point and number of points of each lane.
        spacing: float64 (n,) [m] between two points.
        length: float64 (n,) [m].
        next_start: int32 (n + 1,); the lanes that follow on lane i are `next_lane[next_start[i]:next_start[i + 1]]`.
        next_lane: int32.
        goes_on: bool (n,), whether one can drive on for ever from here.
        junction: int32 (n,), the junction that it is in, or -1.
        crossing_start, crossing: int32, as `next_start` and `next_lane`: lanes of the same junction that cross it, or
            end where it ends.
        line: int32 (n,), `NO_LINE`, `LIGHT_LINE`, `STOP_LINE` or `YIELD_LINE`.
        line_at: float64 (n,) [m] along the lane where the front stops, inf without a line.
        light: int32 (n,), row of the traffic light, or -1.
        limit: float64 (n,) [m/s], the speed limit that begins on the lane, inf without one.
        limit_at: float64 (n,) [m] along the lane where it begins, inf without one.
    """

    point: Array
    bend_speed: Array
    lane: Integers
    left: Integers
    right: Integers
    start: Integers
    size: Integers
    spacing: Array
    length: Array
    next_start: Integers
    next_lane: Integers
    goes_on: NDArray[np.bool_]
    junction: Integers
    crossing_start: Integers
    crossing: Integers
    line: Integers
    line_at: Array
    light: Integers
    limit: Array
    limit_at: Array


def build_lane_graph(opendrive: str, signals: Sequence[Signal]) -> LaneGraph:
    """Make the graph of a town.

    Args:
        opendrive: Its OpenDRIVE text.
        signals: Its traffic lights and signs; lights are numbered in their order.
    """
    network = parse_opendrive(opendrive)
    table = sample_lanes(network, ReferenceLines(network))
    ways = _Ways(table)
    size = np.array([len(points) for points in ways.points], np.int32)
    start = (np.cumsum(size) - size).astype(np.int32)
    following = ways.following()
    crossing = ways.crossing()
    line, line_at, light = _lines(ways, signals)
    limit, limit_at = _limits(ways, signals)
    return LaneGraph(
        point=np.concatenate([np.zeros((0, 3)), *ways.points]),
        bend_speed=np.concatenate([np.zeros(0), *map(_bend_speeds, ways.points)]),
        lane=np.repeat(np.arange(len(size), dtype=np.int32), size),
        left=ways.beside(network, -1),
        right=ways.beside(network, 1),
        start=start,
        size=size,
        spacing=ways.length / np.maximum(size - 1, 1),
        length=ways.length,
        next_start=_starts(following),
        next_lane=_items(following),
        goes_on=_without_dead_ends(following),
        junction=table.junction[ways.rows].astype(np.int32),
        crossing_start=_starts(crossing),
        crossing=_items(crossing),
        line=line,
        line_at=line_at,
        light=light,
        limit=limit,
        limit_at=limit_at,
    )


class _Ways:
    """The middles of the drivable lanes, in the direction of travel and evenly spaced."""

    def __init__(self, table: LaneTable) -> None:
        self._table = table
        rows, self.points, self.runs, self._stations = [], [], [], []
        lengths = []
        for row in np.flatnonzero(np.isin(table.type, _TYPES)).tolist():
            stations = table.stations(row)
            inner, outer = table.inner[stations], table.outer[stations]
            middle = 0.5 * (inner + outer)
            run = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(middle[:, :2], axis=0).T))])
            if np.hypot(*(outer - inner)[:, :2].T).max() < _NARROWEST or run[-1] < 0.1:
                continue
            at = np.linspace(0.0, run[-1], max(int(np.ceil(run[-1] / _SPACING)), 1) + 1)
            points = np.column_stack([np.interp(at, run, middle[:, axis]) for axis in range(3)])
            rows.append(row)
            s = np.interp(at, run, table.s[stations])
            self.points.append(points if table.forward[row] else points[::-1])
            self._stations.append(s if table.forward[row] else s[::-1])
            self.runs.append(run)
            lengths.append(run[-1])
        self.rows = np.array(rows, np.int64)
        self.length = np.array(lengths)
        self.junction = table.junction[self.rows]
        self._numbers = defaultdict(list)
        for lane, row in enumerate(self.rows):
            self._numbers[int(table.road_id[row]), int(table.lane_id[row])].append(lane)
        self.begin = np.array([points[0] for points in self.points]).reshape(-1, 3)
        self.end = np.array([points[-1] for points in self.points]).reshape(-1, 3)

    def following(self) -> list[list[int]]:
        """The lanes that begin where a lane ends, and go on as it does."""
        first = np.array([points[1, :2] - points[0, :2] for points in self.points]).reshape(-1, 2)
        last = np.array([points[-1, :2] - points[-2, :2] for points in self.points]).reshape(-1, 2)
        first /= np.maximum(np.hypot(*first.T), 1e-9)[:, None]
        last /= np.maximum(np.hypot(*last.T), 1e-9)[:, None]
        cells = defaultdict(list)
        for lane, (column, row) in enumerate(np.floor(self.begin[:, :2] / _CELL).astype(int).tolist()):
            cells[column, row].append(lane)
        found = []
        for lane, (column, row) in enumerate(np.floor(self.end[:, :2] / _CELL).astype(int).tolist()):
            around = [cells.get((column + i, row + j), ()) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            near = np.array(sorted(other for cell in around for other in cell), np.int64)
            apart = self.begin[near] - self.end[lane]
            follows = (np.hypot(apart[:, 0], apart[:, 1]) < _SAME_PLACE) & (np.abs(apart[:, 2]) < _SAME_LEVEL)
            found.append(near[follows & (first[near] @ last[lane] > _SAME_HEADING)].tolist())
        return found

    def beside(self, network: RoadNetwork, side: int) -> Integers:
        """For each point the lane beside it that a vehicle may change to there, or -1.

        Args:
            network: It has the markings.
            side: -1 for the left, 1 for the right.
        """
        table = self._table
        keys = zip(table.road[self.rows].tolist(), table.section[self.rows].tolist(), table.lane_id[self.rows].tolist())
        lanes = {key: lane for lane, key in enumerate(keys)}
        found = [np.zeros(0, np.int32)]
        for (road, section, own), lane in lanes.items():
            other = own + (side if own > 0 else -side)
            target = lanes.get((road, section, other), -1)  # none beyond the middle of the road, where the id is 0
            s = self._stations[lane]
            if target < 0 or self.junction[lane] >= 0:
                found.append(np.full(len(s), -1, np.int32))
                continue
            between = network.roads[road].sections[section]
            marks = between.lanes[min(own, other, key=abs)].marks
            open_there = _may_change(marks, s - between.s, other > own) & (self._width(target, s) > _WIDE_ENOUGH)
            found.append(np.where(open_there, target, -1).astype(np.int32))
        return np.concatenate(found)

    def _width(self, lane: int, s: Array) -> Array:
        """Width of a lane [m] at places along its road."""
        stations = self._table.stations(int(self.rows[lane]))
        across = (self._table.outer[stations] - self._table.inner[stations])[:, :2]
        return np.interp(s, self._table.s[stations], np.hypot(*across.T))

    def places(self, signal: Signal) -> Iterator[tuple[int, float]]:
        """The lanes on which vehicles come to a signal, and how far along each [m]."""
        table = self._table
        for road_id, lane_id, s in signal.stop_lanes:
            for lane in self._numbers.get((road_id, lane_id), ()):
                along = table.s[table.stations(int(self.rows[lane]))]
                if along[0] - 0.01 <= s <= along[-1] + 0.01:
                    run = float(np.interp(s, along, self.runs[lane]))
                    yield lane, run if table.forward[self.rows[lane]] else self.length[lane] - run

    def crossing(self) -> list[list[int]]:
        """The lanes of a junction that cross a lane of it; not those that begin where it does."""
        found: list[list[int]] = [[] for _ in self.points]
        for junction in np.unique(self.junction[self.junction >= 0]):
            members = np.flatnonzero(self.junction == junction).tolist()
            for place, one in enumerate(members):
                for other in members[place + 1 :]:
                    if self._cross(one, other):
                        found[one].append(other)
                        found[other].append(one)
        return found

    def _cross(self, one: int, other: int) -> bool:
        if np.hypot(*(self.begin[one] - self.begin[other])[:2]) < _SAME_PLACE:
            return False
        apart = self.points[one][:, None] - self.points[other][None]
        near = np.hypot(apart[..., 0], apart[..., 1]) < _CROSSING_DISTANCE
        return bool((near & (np.abs(apart[..., 2]) < 3.0)).any())


def _may_change(marks: Sequence[RoadMark], s: Array, rises: bool) -> NDArray[np.bool_]:
    """Where a marking lets vehicles change to the lane beyond, whose id is greater, or smaller; all may without one.

    Args:
        marks: The marking, from section to section.
        s: Places, from the road section's start [m].
        rises: Whether the id is greater.
    """
    allowed = ("both", "increase" if rises else "decrease")
    may = np.ones(len(s), bool)
    for mark in marks:
        may[s >= mark.s - 1e-6] = mark.lane_change in allowed
    return may


def _bend_speeds(points: Array) -> Array:
    """What the bends of a lane allow, from the circle through each point and those a few metres away [m/s]."""
    index = np.arange(len(points))
    a = points[np.maximum(index - _BEND_REACH, 0), :2]
    b = points[:, :2]
    c = points[np.minimum(index + _BEND_REACH, len(points) - 1), :2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    sides = np.hypot(*(b - a).T) * np.hypot(*(c - b).T) * np.hypot(*(c - a).T)
    curvature = np.where(sides > 1e-9, 2.0 * np.abs(area) / np.maximum(sides, 1e-9), 0.0)
    return np.maximum(np.sqrt(_SIDEWAYS / np.maximum(curvature, 1e-6)), _SLOWEST)


def _without_dead_ends(following: list[list[int]]) -> NDArray[np.bool_]:
    goes_on = np.ones(len(following), bool)
    before = -1
    while before != (before := int(goes_on.sum())):
        for lane, ahead in enumerate(following):
            goes_on[lane] &= any(goes_on[one] for one in ahead)
    return goes_on


def _lines(ways: _Ways, signals: Sequence[Signal]) -> tuple[Integers, Array, Integers]:
    """For each lane what stands at its line, how far along it the line is, and the row of the light."""
    line, light = np.zeros(len(ways.rows), np.int32), np.full(len(ways.rows), -1, np.int32)
    line_at = np.full(len(ways.rows), np.inf)
    lights = 0
    for signal in signals:
        kind = LIGHT_LINE if signal.is_traffic_light else _LINES.get(signal.type_id, NO_LINE)
        for lane, along in ways.places(signal) if kind else ():
            if line[lane] != LIGHT_LINE:
                line[lane], light[lane] = kind, lights if signal.is_traffic_light else -1
                line_at[lane] = along
        lights += signal.is_traffic_light
    return line, line_at, light


def _limits(ways: _Ways, signals: Sequence[Signal]) -> tuple[Array, Array]:
    """For each lane the speed limit that begins on it [m/s], the lowest if there are several, and how far along."""
    limit, limit_at = np.full(len(ways.rows), np.inf), np.full(len(ways.rows), np.inf)
    for signal in signals:
        for lane, along in ways.places(signal) if signal.value > 0.0 and not signal.is_traffic_light else ():
            if signal.value / 3.6 < limit[lane]:
                limit[lane], limit_at[lane] = signal.value / 3.6, along
    return limit, limit_at


def _starts(groups: list[list[int]]) -> Integers:
    return np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.int32)


def _items(groups: list[list[int]]) -> Integers:
    return np.array([item for group in groups for item in group], np.int32)
