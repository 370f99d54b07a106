"""Every lane of a town as arrays: stations along it with both edges, in CARLA's world frame.

All roads are evaluated at once with NumPy. Formulas: OpenDRIVE 1.4, sections 5.3.4 (plan view), 5.3.5 (elevation),
5.3.7 (lanes). As in CARLA there is no superelevation, so a lane is level across.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicarla.town.opendrive import LINE, SPIRAL, Cubic, Road, RoadNetwork

Array = NDArray[np.float64]

LANE_TYPES = (
    "none",
    "driving",
    "shoulder",
    "sidewalk",
    "parking",
    "bidirectional",
    "median",
    "biking",
    "border",
    "restricted",
    "stop",
    "curb",
    "entry",
    "exit",
    "onramp",
    "offramp",
    "rail",
    "tram",
    "walking",
)
"""Lane types by their code; unknown ones count as "none"."""
NONE, DRIVING, SHOULDER, SIDEWALK, PARKING, BIDIRECTIONAL, MEDIAN, BIKING, BORDER = range(9)
DRIVABLE = tuple(LANE_TYPES.index(name) for name in ("driving", "bidirectional", "entry", "exit", "onramp", "offramp"))

_ROAD_STRIDE = 1e6
"""[m] Longer than any road: road index times this, plus s, sorts all records of all roads."""


@dataclass
class LaneTable:
    """All lanes (rows) and their stations.

    Lane fields, each of shape (lanes,): `road` index into the network's roads, `road_id`, `section` index within
    the road, `lane_id`, `type` code, `junction` id or -1, `start` and `count` of its stations, `forward` whether
    traffic runs with rising s.

    Station fields, each of shape (stations,) or (stations, 3): `s` [m] along the road, `inner` and `outer` edge
    points (the inner one is nearer to the reference line), `heading` [rad] of the reference line in CARLA's
    frame, `lane` the row it belongs to. Both edges are in CARLA's world frame [m].
    """

    road: NDArray[np.int32]
    road_id: NDArray[np.int32]
    section: NDArray[np.int32]
    lane_id: NDArray[np.int32]
    type: NDArray[np.int8]
    junction: NDArray[np.int32]
    start: NDArray[np.int32]
    count: NDArray[np.int32]
    s: Array
    inner: Array
    outer: Array
    heading: Array
    lane: NDArray[np.int32]

    @property
    def forward(self) -> NDArray[np.bool_]:
        """Whether traffic on the lane runs with rising s (right-hand traffic: negative ids)."""
        return self.lane_id < 0

    @property
    def centre(self) -> Array:
        """Middle points (stations, 3) [m]."""
        return 0.5 * (self.inner + self.outer)

    def stations(self, row: int) -> slice:
        """The stations of a lane, in order of rising s."""
        return slice(int(self.start[row]), int(self.start[row] + self.count[row]))


class ReferenceLines:
    """Evaluates the reference lines, elevations and lane offsets of all roads of a network."""

    def __init__(self, network: RoadNetwork) -> None:
        roads = network.roads
        pieces = [(index, piece) for index, road in enumerate(roads) for piece in road.geometry]
        self._key = np.array([index * _ROAD_STRIDE + piece.s for index, piece in pieces])
        self._pose = np.array([(p.s, p.x, p.y, p.heading, p.length, p.kind) for _, p in pieces])
        self._shape = np.zeros((len(pieces), 9))
        for row, (_, piece) in enumerate(pieces):
            self._shape[row, : len(piece.shape)] = piece.shape
        self._elevation = CubicTable([road.elevation for road in roads])
        self._offset = CubicTable([road.lane_offset for road in roads])

    def pose(self, road: NDArray[np.int32], s: Array) -> tuple[Array, Array, Array]:
        """Points of the reference line: x, y [m] and heading [rad], in OpenDRIVE's frame."""
        row = np.searchsorted(self._key, road * _ROAD_STRIDE + s + 1e-9, side="right") - 1
        row = np.maximum(row, 0)
        start, x0, y0, heading, length, kind = self._pose[row].T
        ds = np.clip(s - start, 0.0, length)
        u, v, turn = ds.copy(), np.zeros_like(ds), np.zeros_like(ds)
        shape = self._shape[row]
        arc = (kind == LINE) & (np.abs(shape[:, 0]) > 1e-12)
        if arc.any():
            k, d = shape[arc, 0], ds[arc]
            u[arc], v[arc], turn[arc] = np.sin(k * d) / k, (1.0 - np.cos(k * d)) / k, k * d
        spiral = kind == SPIRAL
        if spiral.any():
            u[spiral], v[spiral], turn[spiral] = _spiral(shape[spiral], ds[spiral], length[spiral])
        cubic = kind > SPIRAL
        if cubic.any():
            u[cubic], v[cubic], turn[cubic] = _parametric(shape[cubic], ds[cubic], length[cubic])
        cos, sin = np.cos(heading), np.sin(heading)
        return x0 + u * cos - v * sin, y0 + u * sin + v * cos, heading + turn

    def elevation(self, road: NDArray[np.int32], s: Array) -> Array:
        """Height of the road [m]."""
        return self._elevation(road, s)

    def offset(self, road: NDArray[np.int32], s: Array) -> Array:
        """Lane offset: t [m, to the left] of the centre lane."""
        return self._offset(road, s)

    def carla_points(self, road: NDArray[np.int32], s: Array, t: Array) -> tuple[Array, Array]:
        """World points (n, 3) [m] at road coordinates (s, t), and the line's heading [rad]; CARLA's frame."""
        x, y, heading = self.pose(road, s)
        points = np.column_stack([x - t * np.sin(heading), -(y + t * np.cos(heading)), self.elevation(road, s)])
        return points, -heading


class CubicTable:
    """Piecewise cubic polynomials of many owners, evaluated together."""

    def __init__(self, pieces: list[list[Cubic]]) -> None:
        rows = [(owner * _ROAD_STRIDE + c[0], *c) for owner, cubics in enumerate(pieces) for c in _covering(cubics)]
        self._rows = np.array(rows).reshape(-1, 6)

    def __call__(self, owner: NDArray[np.int32], s: Array) -> Array:
        """Values at s [m] for the owner (a row number) of each point."""
        row = np.searchsorted(self._rows[:, 0], owner * _ROAD_STRIDE + s + 1e-9, side="right") - 1
        _, start, a, b, c, d = self._rows[row].T
        ds = s - start
        return a + ds * (b + ds * (c + ds * d))


def _covering(cubics: list[Cubic]) -> list[Cubic]:
    """The pieces, made to begin at 0: before the first one its start value holds."""
    if not cubics:
        return [(0.0, 0.0, 0.0, 0.0, 0.0)]
    if cubics[0][0] > 0.0:
        return [(0.0, cubics[0][1], 0.0, 0.0, 0.0), *cubics]
    return cubics


def _spiral(shape: Array, ds: Array, length: Array) -> tuple[Array, Array, Array]:
    """Clothoid: the heading is quadratic in the length run; its point by Gauss-Legendre quadrature."""
    start, change = shape[:, 0], (shape[:, 1] - shape[:, 0]) / np.maximum(length, 1e-9)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    run = 0.5 * ds[:, None] * (nodes + 1.0)
    angle = run * (start[:, None] + 0.5 * change[:, None] * run)
    u = 0.5 * ds * (np.cos(angle) @ weights)
    v = 0.5 * ds * (np.sin(angle) @ weights)
    return u, v, ds * (start + 0.5 * change * ds)


def _parametric(shape: Array, ds: Array, length: Array) -> tuple[Array, Array, Array]:
    """Parametric cubics; the parameter at a length run is found on a fine polyline, as the client does."""
    au, bu, cu, du, av, bv, cv, dv = shape[:, :8].T[:, :, None]
    p = np.linspace(0.0, 1.0, 129) * shape[:, 8:9]
    u, v = au + p * (bu + p * (cu + p * du)), av + p * (bv + p * (cv + p * dv))
    run = np.cumsum(np.hypot(np.diff(u, axis=1), np.diff(v, axis=1)), axis=1)
    run = np.concatenate([np.zeros((len(run), 1)), run], axis=1)
    goal = np.minimum(ds, run[:, -1])[:, None]
    after = np.clip((run < goal).sum(axis=1), 1, run.shape[1] - 1)
    row = np.arange(len(run))
    before = run[row, after - 1]
    share = (goal[:, 0] - before) / np.maximum(run[row, after] - before, 1e-12)
    at = p[row, after - 1] + share * (p[row, after] - p[row, after - 1])
    au, bu, cu, du, av, bv, cv, dv = shape[:, :8].T
    turn = np.arctan2(bv + at * (2 * cv + 3 * at * dv), bu + at * (2 * cu + 3 * at * du))
    return au + at * (bu + at * (cu + at * du)), av + at * (bv + at * (cv + at * dv)), turn


def sample_lanes(network: RoadNetwork, lines: ReferenceLines, step: float = 2.0) -> LaneTable:
    """Sample all lanes (the centre lane apart) of a network.

    Args:
        network: the roads.
        lines: their reference lines.
        step: [m] greatest distance between stations; curves are sampled twice as densely.
    """
    sections = [
        (r, k, section.s, road.sections[k + 1].s if k + 1 < len(road.sections) else road.length)
        for r, road in enumerate(network.roads)
        for k, section in enumerate(road.sections)
    ]
    sections = [item for item in sections if item[3] - item[2] > 1e-3]
    lanes = [
        (index, r, k, lane_id)
        for index, (r, k, _, _) in enumerate(sections)
        for lane_id in sorted(network.roads[r].sections[k].lanes, key=lambda i: (abs(i), i))
        if lane_id != 0
    ]
    bounds = np.array([(low, high) for _, _, low, high in sections])
    curved = np.array([_is_curved(network.roads[r], low, high) for r, _, low, high in sections])
    intervals = np.maximum(np.ceil((bounds[:, 1] - bounds[:, 0]) / np.where(curved, step / 2, step)), 1).astype(int)
    lane_section = np.array([index for index, *_ in lanes])
    count = intervals[lane_section] + 1
    start = np.cumsum(count) - count
    lane = np.repeat(np.arange(len(lanes), dtype=np.int32), count)
    place = (np.arange(len(lane)) - start[lane]) / intervals[lane_section][lane]
    low, high = bounds[lane_section][lane].T
    s = low + place * (high - low)
    inside = np.minimum(s, high - 1e-6)
    road = np.array([r for _, r, _, _ in lanes], np.int32)
    inner, outer = _lane_edges(network, lines, lanes, lane, start, count, inside, low)
    inner_points, heading = lines.carla_points(road[lane], s, inner)
    outer_points, _ = lines.carla_points(road[lane], s, outer)
    return LaneTable(
        road=road,
        road_id=np.array([network.roads[r].id for r in road], np.int32),
        section=np.array([k for _, _, k, _ in lanes], np.int32),
        lane_id=np.array([lane_id for *_, lane_id in lanes], np.int32),
        type=np.array([_type_code(network.roads[r].sections[k].lanes[i].type) for _, r, k, i in lanes], np.int8),
        junction=np.array([network.roads[r].junction for r in road], np.int32),
        start=start.astype(np.int32),
        count=count.astype(np.int32),
        s=s,
        inner=inner_points,
        outer=outer_points,
        heading=heading,
        lane=lane,
    )


def _lane_edges(
    network: RoadNetwork,
    lines: ReferenceLines,
    lanes: list[tuple[int, int, int, int]],
    lane: NDArray[np.int32],
    start: NDArray[np.int64],
    count: NDArray[np.int64],
    s: Array,
    section_start: Array,
) -> tuple[Array, Array]:
    """t [m] of both edges of every station: widths add up from the centre lane outwards."""
    widths = CubicTable([network.roads[r].sections[k].lanes[i].widths for _, r, k, i in lanes])
    width = np.maximum(widths(lane, s - section_start), 0.0)
    road = np.array([r for _, r, _, _ in lanes], np.int32)
    centre = lines.offset(road[lane], s)
    inner, outer = centre.copy(), centre.copy()
    neighbour = {(index, lane_id): row for row, (index, _, _, lane_id) in enumerate(lanes)}
    for row, (index, _, _, lane_id) in enumerate(lanes):
        side = 1 if lane_id > 0 else -1
        here = slice(start[row], start[row] + count[row])
        beside = neighbour.get((index, lane_id - side))
        if beside is not None:
            inner[here] = outer[start[beside] : start[beside] + count[beside]]
        outer[here] = inner[here] + side * width[here]
    return inner, outer


def _is_curved(road: Road, low: float, high: float) -> bool:
    pieces = [p for p in road.geometry if p.s < high and p.s + p.length > low]
    bent = any(p.kind != LINE or abs(p.shape[0]) > 2e-3 for p in pieces)
    hilly = any(abs(c[3]) > 1e-3 or abs(c[4]) > 1e-5 for c in road.elevation)
    return bent or hilly


def _type_code(name: str) -> int:
    key = name.lower()
    return LANE_TYPES.index(key) if key in LANE_TYPES else NONE
