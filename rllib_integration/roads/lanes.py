"""The town's lanes as arrays, and a fast answer to "on which lane is this car, and how well?".

`carla.Map` knows all of it, but a look-up through Python takes some 30 microseconds and gives one thing at a
time. Here the lanes are sampled once, which takes a fraction of a second, and a compiled look-up over the samples
takes about one microsecond. Works on any `carla.Map`; the server is not asked.

Frames and units are CARLA's: x, y, z in m, left-handed, z up; yaw from x towards y, positive to the right.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Container, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import carla
import numpy as np
from numba import njit
from numpy.typing import NDArray

from rllib_integration.roads.town_cache import TownMemory, entry_path, write_entry

logger = logging.getLogger(__name__)

Lane: TypeAlias = tuple[int, int, int]
"""Road, lane section, lane."""

SAMPLING_VERSION = 2
"""Part of the cache's key: raise it whenever the samples change."""

LANE_SPACING = 1.0
"""Distance between two samples of a lane (m): within 2 cm of the lane in a curve of 6 m radius."""

LARGE_TOWN_LENGTH = 200_000.0
"""Metres of lane above which a town is sampled at twice the spacing (Town11 to Town13)."""

LANE_SAMPLE = np.dtype(
    [
        ("x", "f4"),
        ("y", "f4"),
        ("z", "f4"),
        ("yaw", "f4"),  # [rad] direction of travel
        ("width", "f4"),
        ("s", "f4"),  # [m] along the road's reference line, from the start of the run
        ("road", "i4"),
        ("section", "i4"),
        ("lane", "i4"),
        ("kind", "i4"),  # carla.LaneType
        ("junction", "u1"),
        ("left_type", "u1"),  # carla.LaneMarkingType
        ("left_color", "u1"),  # carla.LaneMarkingColor
        ("right_type", "u1"),
        ("right_color", "u1"),
    ]
)
"""One cross-section of a lane: its middle, direction, width and markings."""

SIDE_SAMPLE = np.dtype([("sample", LANE_SAMPLE), ("run", "i4"), ("index", "i4"), ("side", "i1"), ("depth", "i1")])
"""A cross-section of a shoulder, parking lane, sidewalk... beside sample `index` of a run of driving lane.

`side` is -1 on the left, 1 on the right; `depth` counts lanes outwards from the driving lane, from 0.
"""

DRIVING = int(carla.LaneType.Driving)
SHOULDER = int(carla.LaneType.Shoulder)
PARKING = int(carla.LaneType.Parking)
SIDEWALK = int(carla.LaneType.Sidewalk)

_MAX_SIDE_LANES = 8
_REACH = 6.0  # [m] lanes whose middle is further away are not found; also the look-up grid's cell
_STOREY = 3.5  # [m] lanes further above or below are another storey's
_HEADING_COST = 2.0  # [m/rad] by which a lane's direction counts against its distance
_AGAINST_COST = 1000.0  # [m] added for lanes of the other direction


class SampledLanes(NamedTuple):
    """All lanes of a town.

    Attributes:
        driving: `(N,)` `LANE_SAMPLE`, run after run.
        starts: `(R + 1,)` first sample of each run; a run follows one lane from an entry of the map's topology to
            the end of its road, in the direction of travel. Runs are ordered by the height of their start.
        beside: `(M,)` `SIDE_SAMPLE`, the lanes that are not for driving.
    """

    driving: NDArray[np.void]
    starts: NDArray[np.int64]
    beside: NDArray[np.void]

    def save(self, path: Path) -> None:
        """Write the arrays into an existing folder."""
        for name, array in self._asdict().items():
            np.save(path / f"{name}.npy", array)


def sample_lanes(carla_map: carla.Map) -> SampledLanes:
    """Sample every lane of a map, `LANE_SPACING` apart; twice that in a very large town."""
    large = len(carla_map.generate_waypoints(100.0)) * 100.0 > LARGE_TOWN_LENGTH
    spacing = LANE_SPACING * (2.0 if large else 1.0)
    entries = sorted(_lane_entries(carla_map), key=lambda w: w.transform.location.z)
    driving: list[tuple[float, ...]] = []
    beside: list[tuple[tuple[float, ...], int, int, int, int]] = []
    starts = [0]
    for entry in entries:
        run = len(starts) - 1
        for index, (distance, waypoint) in enumerate(_follow(entry, spacing)):
            driving.append(_sample(waypoint, distance))
            for side, depth, neighbour in _lanes_beside(waypoint):
                beside.append((_sample(neighbour, distance), run, index, side, depth))
        starts.append(len(driving))
    return SampledLanes(np.array(driving, LANE_SAMPLE), np.array(starts, np.int64), np.array(beside, SIDE_SAMPLE))


def _lane_entries(carla_map: carla.Map) -> list[carla.Waypoint]:
    """Where driving lanes begin: the entries of the map's topology, and the begins of lanes that lead nowhere."""
    entries: dict[tuple[int, int, int, float], carla.Waypoint] = {}
    for entry, _ in carla_map.get_topology():
        entries.setdefault((entry.road_id, entry.section_id, entry.lane_id, round(entry.s, 2)), entry)
    known = {key[:3] for key in entries}
    begins: dict[tuple[int, int, int], carla.Waypoint] = {}
    for waypoint in carla_map.generate_waypoints(LANE_SPACING):
        lane = (waypoint.road_id, waypoint.section_id, waypoint.lane_id)
        if lane not in known:
            # Lanes with positive numbers are driven against their road's direction.
            begin = begins.setdefault(lane, waypoint)
            if (waypoint.s > begin.s) == (waypoint.lane_id > 0):
                begins[lane] = waypoint
    return [*entries.values(), *begins.values()]


def _follow(entry: carla.Waypoint, spacing: float) -> Iterator[tuple[float, carla.Waypoint]]:
    """The waypoints of a lane to the end of its road with their distance from `entry`; shorter steps at the end."""
    waypoint, distance = entry, 0.0
    yield distance, waypoint
    while spacing > 0.04:
        following = waypoint.next(spacing)
        if following and following[0].road_id == entry.road_id:
            waypoint = following[0]
            distance += spacing
            yield distance, waypoint
        else:
            spacing /= 2.0


def _lanes_beside(waypoint: carla.Waypoint) -> Iterator[tuple[int, int, carla.Waypoint]]:
    """The lanes to the left and to the right that are not for driving, up to the next driving lane."""
    for side in (-1, 1):
        neighbour = waypoint.get_left_lane() if side < 0 else waypoint.get_right_lane()
        for depth in range(_MAX_SIDE_LANES):
            if neighbour is None or neighbour.lane_type == carla.LaneType.Driving:
                break
            yield side, depth, neighbour
            neighbour = neighbour.get_left_lane() if side < 0 else neighbour.get_right_lane()


def _sample(waypoint: carla.Waypoint, distance: float) -> tuple[float, ...]:
    transform = waypoint.transform
    location = transform.location
    left, right = waypoint.left_lane_marking, waypoint.right_lane_marking
    return (
        location.x,
        location.y,
        location.z,
        math.radians(transform.rotation.yaw),
        waypoint.lane_width,
        distance,
        waypoint.road_id,
        waypoint.section_id,
        waypoint.lane_id,
        int(waypoint.lane_type),
        waypoint.is_junction,
        int(left.type) if left else int(carla.LaneMarkingType.NONE),
        int(left.color) if left else 0,
        int(right.type) if right else int(carla.LaneMarkingType.NONE),
        int(right.color) if right else 0,
    )


def town_lanes(carla_map: carla.Map, folder: Path | None = None) -> SampledLanes:
    """The lanes of a town: from this process, from the cache, or sampled now and cached.

    Args:
        carla_map: The town.
        folder: Cache folder; the user's own is the default.
    """
    return _LANES.get(carla_map, lambda: _load_or_sample(carla_map, folder), folder)


_LANES: TownMemory[SampledLanes] = TownMemory()


def _load_or_sample(carla_map: carla.Map, folder: Path | None) -> SampledLanes:
    path = entry_path("lanes", SAMPLING_VERSION, carla_map, folder)
    if path.exists():
        return SampledLanes(*(np.load(path / f"{name}.npy") for name in SampledLanes._fields))
    lanes = sample_lanes(carla_map)
    write_entry(path, lanes.save)
    return lanes


class LanePosition(NamedTuple):
    """Where a pose is in relation to a lane.

    Attributes:
        lateral: Distance from the lane's middle, m, positive to the right of it.
        heading_error: Direction of the pose less that of the lane, degrees in [-180, 180), positive to the right.
        width: Width of the lane, m.
        is_junction: Whether the lane is within a junction.
        is_driving: Whether it is a driving lane, else a parking lane.
        road_id: OpenDRIVE road.
        section_id: Lane section of the road.
        lane_id: OpenDRIVE lane.
        x: Foot of the perpendicular on the lane's middle, m.
        y: Same, m.
        z: Same, m.
        yaw: Direction of the lane there, degrees.
    """

    lateral: float
    heading_error: float
    width: float
    is_junction: bool
    is_driving: bool
    road_id: int
    section_id: int
    lane_id: int
    x: float
    y: float
    z: float
    yaw: float

    @property
    def on_lane(self) -> bool:
        """Whether the place is within the lane's width."""
        return abs(self.lateral) <= self.width / 2.0


class _Grid(NamedTuple):
    """Samples by place: cell `(row, column)` holds `items[starts[k]:starts[k + 1]]` with k counted by rows."""

    origin_x: float
    origin_y: float
    rows: int
    columns: int
    starts: NDArray[np.int64]
    items: NDArray[np.int64]


LaneChoice: TypeAlias = NDArray[np.bool_]
"""Of an index's samples, those that lie on some lanes."""


class LaneIndex:
    """Looks up lanes by place and direction, about a microsecond each.

    Driving and parking lanes are found whose middle is at most 6 m away and whose height differs by at most 3.5 m
    (another storey's are not found).

    Args:
        lanes: The town's lanes.
    """

    def __init__(self, lanes: SampledLanes) -> None:
        parking = lanes.beside["sample"][lanes.beside["sample"]["kind"] == PARKING]
        samples = np.concatenate([lanes.driving, parking])
        bend = np.concatenate([_bends(lanes), np.zeros(len(parking))])
        # Runs of one lane overlap where the topology has several entries on a road.
        place = np.stack([np.round(samples["x"] * 5), np.round(samples["y"] * 5), samples["lane"]], axis=1)
        _, kept = np.unique(place, axis=0, return_index=True)
        self._samples = samples[kept]
        columns = [self._samples[name].astype(np.float64) for name in ("x", "y", "z", "yaw", "width")]
        self._table = np.ascontiguousarray(np.stack([*columns, bend[kept]], axis=1))
        self._driving = self._samples["kind"] == DRIVING
        self._all: LaneChoice = np.ones_like(self._driving)
        self._spacing = _spacing(lanes)
        self._grid = _make_grid(self._table[:, :2])
        self._asked = (math.nan, math.nan, math.nan)
        self._answer = False

    @classmethod
    def for_map(cls, carla_map: carla.Map, folder: Path | None = None) -> LaneIndex:
        """The index of a town; made once in a process, out of cached samples where there are any."""
        return _INDICES.get(carla_map, lambda: cls(town_lanes(carla_map, folder)), folder)

    def locate(self, x: float, y: float, z: float, yaw: float, among: LaneChoice | None = None) -> LanePosition | None:
        """The lane that a pose follows best, or None where there is none within reach.

        Lanes are compared by distance and direction (2 m for each radian), which tells the lanes of a junction
        apart; lanes of the other direction are taken only where there is none of one's own.

        Args:
            x: Place, m.
            y: Place, m.
            z: Height, m.
            yaw: Direction, degrees.
            among: Leave all other lanes out; of `choose`.
        """
        heading = math.radians(yaw)
        chosen = self._all if among is None else among
        number, lateral, error = _best_lane(self._table, chosen, self._grid, self._spacing, x, y, z, heading)
        if number < 0:
            return None
        sample = self._samples[number]
        _, _, height, _, width, _ = self._table[number]
        lane_yaw = heading - error
        return LanePosition(
            lateral,
            math.degrees(error),
            float(width),
            bool(sample["junction"]),
            bool(self._driving[number]),
            int(sample["road"]),
            int(sample["section"]),
            int(sample["lane"]),
            x + math.sin(lane_yaw) * lateral,
            y - math.cos(lane_yaw) * lateral,
            float(height),
            math.degrees(lane_yaw),
        )

    def choose(self, lanes: Container[Lane]) -> LaneChoice:
        """Some of the lanes, for `locate`."""
        keys = np.stack([self._samples[name] for name in ("road", "section", "lane")], axis=1)
        each, number = np.unique(keys, axis=0, return_inverse=True)
        return np.array([tuple(key) in lanes for key in each.tolist()])[number.ravel()]

    def on_road(self, x: float, y: float, z: float) -> bool:
        """Whether a place (m) is on a driving or parking lane, of any direction."""
        if self._asked != (x, y, z):  # metrics and experiment ask after the same hero
            self._answer = bool(_on_any_lane(self._table, self._grid, self._spacing, x, y, z))
            self._asked = x, y, z
        return self._answer


_INDICES: TownMemory[LaneIndex] = TownMemory()


def _bends(lanes: SampledLanes) -> NDArray[np.float64]:
    """Curvature (rad/m, positive to the right) at every driving sample."""
    bends = np.zeros(len(lanes.driving))
    for begin, end in pairwise(lanes.starts):
        if end - begin > 2:
            run = lanes.driving[begin:end]
            x, y = run["x"].astype(np.float64), run["y"].astype(np.float64)
            length = np.maximum(np.hypot(np.diff(x), np.diff(y)), 1e-3)
            yaw = np.unwrap(run["yaw"].astype(np.float64))
            bends[begin:end] = np.gradient(yaw, np.r_[0.0, np.cumsum(length)])
    return np.clip(bends, -0.5, 0.5)


def _spacing(lanes: SampledLanes) -> float:
    """Distance between two samples of a lane (m)."""
    steps = np.diff(lanes.driving["s"])
    return float(steps[steps > 0].max(initial=LANE_SPACING))


def _make_grid(places: NDArray[np.float64]) -> _Grid:
    low = places.min(axis=0) - _REACH
    columns, rows = (np.floor((places.max(axis=0) - low) / _REACH) + 2).astype(int)
    cell = np.floor((places - low) / _REACH).astype(np.int64)
    number = cell[:, 1] * columns + cell[:, 0]
    starts = np.r_[0, np.cumsum(np.bincount(number, minlength=rows * columns))]
    return _Grid(float(low[0]), float(low[1]), int(rows), int(columns), starts, np.argsort(number, kind="stable"))


@njit(cache=True)
def _offset_from(sample: NDArray[np.float64], x: float, y: float) -> tuple[float, float]:
    """Distance ahead of a sample along its lane and to the right of the lane's middle there."""
    dx, dy = x - sample[0], y - sample[1]
    c, s = math.cos(sample[3]), math.sin(sample[3])
    ahead = dx * c + dy * s
    return ahead, dy * c - dx * s - 0.5 * sample[5] * ahead * ahead


@njit(cache=True)
def _best_lane(
    table: NDArray[np.float64],
    wanted: NDArray[np.bool_],
    grid: _Grid,
    spacing: float,
    x: float,
    y: float,
    z: float,
    heading: float,
) -> tuple[int, float, float]:
    """Number of the wanted sample whose lane a pose follows best (-1: none), lateral offset (m), heading (rad)."""
    best, best_cost, best_lateral, best_error = -1, np.inf, 0.0, 0.0
    row, column = int((y - grid.origin_y) // _REACH), int((x - grid.origin_x) // _REACH)
    for i in range(max(row - 1, 0), min(row + 2, grid.rows)):
        for j in range(max(column - 1, 0), min(column + 2, grid.columns)):
            cell = i * grid.columns + j
            for n in grid.items[grid.starts[cell] : grid.starts[cell + 1]]:
                sample = table[n]
                if not wanted[n] or abs(z - sample[2]) > _STOREY:
                    continue
                ahead, lateral = _offset_from(sample, x, y)
                if abs(ahead) > spacing or abs(lateral) > _REACH:
                    continue
                error = heading - sample[3] - sample[5] * ahead
                error -= 2.0 * math.pi * math.floor(error / (2.0 * math.pi) + 0.5)
                # Measured from its edge, a lane ends where the next one begins, however wide the two are. Of the
                # samples of one lane the nearest is the most exact.
                cost = abs(lateral) - 0.5 * sample[4] + 0.1 * abs(ahead) + _HEADING_COST * abs(error)
                if abs(error) >= math.pi / 2.0:
                    cost += _AGAINST_COST
                if cost < best_cost:
                    best, best_cost = n, cost
                    best_lateral, best_error = lateral, error
    return best, best_lateral, best_error


@njit(cache=True)
def _on_any_lane(table: NDArray[np.float64], grid: _Grid, spacing: float, x: float, y: float, z: float) -> bool:
    row, column = int((y - grid.origin_y) // _REACH), int((x - grid.origin_x) // _REACH)
    for i in range(max(row - 1, 0), min(row + 2, grid.rows)):
        for j in range(max(column - 1, 0), min(column + 2, grid.columns)):
            cell = i * grid.columns + j
            for n in grid.items[grid.starts[cell] : grid.starts[cell + 1]]:
                sample = table[n]
                if abs(z - sample[2]) > _STOREY:
                    continue
                ahead, lateral = _offset_from(sample, x, y)
                if abs(ahead) <= spacing and abs(lateral) <= sample[4] / 2.0:
                    return True
    return False
