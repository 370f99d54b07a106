"""Where walkers go: sidewalks, the crosswalks that join them, crossings where a town has none, and ways straight over
the road for those whom `World.set_pedestrians_cross_factor` lets walk there.

A sidewalk is a strip of long quadrilaterals between "rungs" (one point on either edge). A crossing is a quadrilateral
between two pieces of strip edges, which are cut to its width, so that walkers pass over shared edges.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minicarla.labels import ROADS
from minicarla.physics.ground import Surface
from minicarla.town.detour import CROSSWALK_AREA, MOST_POLYGONS, ROAD_AREA, SIDEWALK_AREA, encode, face_up, neighbours
from minicarla.town.ground_mesh import label_at
from minicarla.town.lanes import SHOULDER, SIDEWALK, Array, LaneTable
from minicarla.town.opendrive import RoadNetwork
from minicarla.town.stretches import straight_stretches
from minicarla.town.surface import KERB

INSET = 0.3
"""[m] Walkers keep this far from the edges of a sidewalk: their radius."""

NARROWEST = 0.9
"""[m] Sidewalks narrower than this are no way."""

WELD = 0.7
"""[m] Ends of sidewalks this close are one place."""

CROSSWALK_REACH = 7.0
"""[m] From the end of a painted crosswalk to the sidewalk that it serves."""

CROSSING_WIDTH = 3.0
JOIN_REACH = 9.0
"""[m] Ends of sidewalks this close, without a road between them, are joined."""

WIDEST_CROSSING = 45.0
ARM_BEYOND = 1.5
"""[m] Middle of a crossing beyond the end of its road: vehicles that stop before the junction stand clear of it. Who
touches a standing vehicle can't walk on, in CARLA's navigation."""

ROAD_CROSSING_SPACING, WIDEST_ROAD_CROSSING = 40.0, 25.0
"""[m] Ways over a road away from junctions and crosswalks."""
_GRID = 10.0
_POLYGONS_OF_CROSSING = 5
"""At most: itself, and two pieces more of either strip."""


@dataclass
class _Strip:
    """A sidewalk: rungs (n, 2, 3), edge 0 and edge 1, in order along it; which crossings hang on its pieces."""

    rungs: Array
    fixed: set[int] = field(default_factory=set)


class _PointGrid:
    """Finds the points near a place; points can be added."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], list[int]] = {}

    def add(self, points: Array, first: int) -> None:
        """Add points (n, 3), numbered from `first` on."""
        for index, (u, v) in enumerate(np.floor(points[:, :2] / _GRID).astype(int).tolist(), first):
            self._cells.setdefault((u, v), []).append(index)

    def near(self, low: Array, high: Array) -> NDArray[np.int64]:
        """Numbers of the points in and around a rectangle."""
        (u0, v0), (u1, v1) = (np.floor(corner[:2] / _GRID).astype(int).tolist() for corner in (low, high))
        found = [index for u in range(u0, u1 + 1) for v in range(v0, v1 + 1) for index in self._cells.get((u, v), ())]
        return np.array(found, np.int64)


def build_navigation(network: RoadNetwork, lanes: LaneTable, surface: Surface, crosswalks: list[Array]) -> bytes:
    """Make the navigation mesh of a town, in the format of the client's walkers; empty if there is nowhere to walk."""
    for tolerance, spacing in ((0.06, 16.0), (0.2, 40.0), (0.6, 120.0)):
        strips = _strips(lanes, surface, tolerance, spacing)
        if sum(len(strip.rungs) for strip in strips) < 0.45 * MOST_POLYGONS:
            break
    if not strips:
        return b""
    mesh = _Mesh(strips)
    for polygon in crosswalks:
        mesh.cross(*_crosswalk_ends(polygon), CROSSWALK_REACH)
    for start, end, width in _arm_crossings(network, lanes, crosswalks):
        mesh.cross(start, end, width, CROSSWALK_REACH)
    mesh.join_neighbours(surface)
    mesh.join_components()
    # Last, as everything has to be within reach of those, too, who stay off the roads.
    room = (MOST_POLYGONS - 3 * len(mesh.crossings)) // 2 - sum(len(strip.rungs) for strip in mesh.strips)
    for start, end in _road_crossings(lanes)[: max(room // 5, 0)]:
        mesh.cross(start, end, CROSSING_WIDTH, 1.5, ROAD_AREA)
    return encode(*mesh.polygons())


def _strips(lanes: LaneTable, surface: Surface, tolerance: float, spacing: float) -> list[_Strip]:
    """The sidewalks, without the pieces that lie on roads and without repeats (ways through junctions share theirs).

    A town without any sidewalk has its walkers on the shoulders of its roads. `tolerance` [m] is how far an edge may be
    from the true one, `spacing` [m] the greatest distance of rungs.
    """
    on_sidewalks = bool((lanes.type == SIDEWALK).any())
    strips = []
    taken, grid = _GrowingPoints(), _PointGrid()
    for first, last in _groups(lanes, SIDEWALK if on_sidewalks else SHOULDER):
        inner, outer = lanes.inner[lanes.stations(first)], lanes.outer[lanes.stations(last)]
        width = np.linalg.norm(outer - inner, axis=1)
        middle = 0.5 * (inner + outer)
        if _share_taken(middle, taken.points, grid) > 0.6:
            continue
        grid.add(middle, taken.count)
        taken.add(middle)
        walkable = width > NARROWEST
        if on_sidewalks:
            walkable &= label_at(surface, middle[:, 0], middle[:, 1], middle[:, 2] + 0.3) != ROADS
        inset = np.minimum(INSET, 0.3 * width)[:, None] * (outer - inner) / np.maximum(width, 1e-6)[:, None]
        edges = np.stack([inner + inset, outer - inset], axis=1) + (0.0, 0.0, KERB if on_sidewalks else 0.0)
        strips += [_strip(edges[run], tolerance, spacing) for run in _runs(walkable)]
    return strips


def _groups(lanes: LaneTable, kind: int) -> list[tuple[int, int]]:
    """First and last lane of each set of lanes of a kind side by side; those outside junctions come first."""
    rows = {
        (int(lanes.road[row]), int(lanes.section[row]), int(lanes.lane_id[row])): int(row)
        for row in np.flatnonzero(lanes.type == kind)
    }
    groups = []
    for (road, section, lane), row in rows.items():
        side = 1 if lane > 0 else -1
        if (road, section, lane - side) in rows:
            continue
        last = row
        while (road, section, lane + side) in rows:
            lane += side
            last = rows[road, section, lane]
        groups.append((row, last))
    return sorted(groups, key=lambda group: lanes.junction[group[0]] >= 0)


class _GrowingPoints:
    """Points (n, 3) that get more."""

    def __init__(self) -> None:
        self.points, self.count = np.zeros((1024, 3)), 0

    def add(self, points: Array) -> None:
        """Append points (n, 3)."""
        while self.count + len(points) > len(self.points):
            self.points = np.concatenate([self.points, np.zeros_like(self.points)])
        self.points[self.count : self.count + len(points)] = points
        self.count += len(points)


def _share_taken(points: Array, taken: Array, grid: _PointGrid) -> float:
    """Share of the points that lie within 0.8 m of other ones."""
    low, high = points.min(axis=0) - 1.0, points.max(axis=0) + 1.0
    near = taken[grid.near(low, high)]
    near = near[np.all((near >= low) & (near <= high), axis=1)]
    if len(near) == 0:
        return 0.0
    distance = np.linalg.norm(points[:, None] - near[None], axis=2).min(axis=1)
    return float((distance < 0.8).mean())


def _strip(edges: Array, tolerance: float, spacing: float) -> _Strip:
    first, last = straight_stretches(
        np.zeros(len(edges), np.int32),
        np.ascontiguousarray(edges[:, 0]),
        np.ascontiguousarray(edges[:, 1]),
        tolerance,
        spacing,
    )
    return _Strip(edges[np.append(first, last[-1])])


def _runs(mask: NDArray[np.bool_]) -> list[slice]:
    """Stretches of at least two neighbouring stations that are set."""
    padded = np.concatenate([[False], mask, [False]]).astype(np.int8)
    starts, stops = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1)
    return [slice(int(a), int(b)) for a, b in zip(starts, stops) if b - a >= 2]


def _crosswalk_ends(polygon: Array) -> tuple[Array, Array, float]:
    """Both ends of the middle line of a crosswalk, and its width."""
    middle = polygon.mean(axis=0)
    _, _, axes = np.linalg.svd(polygon[:, :2] - middle[:2])
    along = (polygon[:, :2] - middle[:2]) @ axes[0]
    width = float(np.ptp((polygon[:, :2] - middle[:2]) @ axes[1]))
    ends = [middle + np.append(axes[0] * reach, 0.0) for reach in (along.min(), along.max())]
    return ends[0], ends[1], min(max(width, 1.5), 4.0)


def _arm_crossings(network: RoadNetwork, lanes: LaneTable, crosswalks: list[Array]) -> list[tuple[Array, Array, float]]:
    """Crossings where roads with sidewalks on both sides meet junctions, if no crosswalk is nearby."""
    painted = np.array([polygon.mean(axis=0) for polygon in crosswalks]).reshape(-1, 3)
    crossings = []
    for (road_index, section), rows in _between_sidewalks(lanes).items():
        road = network.roads[road_index]
        begins, is_last = section == 0, section == len(road.sections) - 1
        for link, is_there, s in ((road.predecessor, begins, 0.0), (road.successor, is_last, road.length)):
            if link is None or link.kind != "junction" or not is_there:
                continue
            ends = [_beyond(lanes, row, s, ARM_BEYOND) for row in rows]
            middle = 0.5 * (ends[0] + ends[1])
            if len(painted) == 0 or np.linalg.norm(painted - middle, axis=1).min() > 15.0:
                crossings.append((ends[0], ends[1], CROSSING_WIDTH))
    return crossings


def _between_sidewalks(lanes: LaneTable) -> dict[tuple[int, int], list[int]]:
    """Road and section of every piece of road with sidewalks on both sides: rows of the two."""
    sides: dict[tuple[int, int], dict[int, int]] = {}
    for row in np.flatnonzero((lanes.type == SIDEWALK) & (lanes.junction < 0)):
        key = (int(lanes.road[row]), int(lanes.section[row]))
        sides.setdefault(key, {})[int(np.sign(lanes.lane_id[row]))] = int(row)
    return {key: list(rows.values()) for key, rows in sides.items() if len(rows) == 2}


def _road_crossings(lanes: LaneTable) -> list[tuple[Array, Array]]:
    """Lines over roads with sidewalks on both sides, away from their ends."""
    crossings = []
    for rows in _between_sidewalks(lanes).values():
        s = lanes.s[lanes.stations(rows[0])]
        for place in np.arange(s[0] + 0.5 * ROAD_CROSSING_SPACING, s[-1] - 15.0, ROAD_CROSSING_SPACING):
            start, end = (_at(lanes, row, float(place)) for row in rows)
            if np.hypot(*(end - start)[:2]) < WIDEST_ROAD_CROSSING:
                crossings.append((start, end))
    return crossings


def _at(lanes: LaneTable, row: int, s: float) -> Array:
    stations = lanes.stations(row)
    return np.array([np.interp(s, lanes.s[stations], lanes.inner[stations][:, k]) for k in range(3)])


def _beyond(lanes: LaneTable, row: int, s: float, distance: float) -> Array:
    """The point at a distance [m] behind an end of a lane, straight on."""
    end, before = _at(lanes, row, s), _at(lanes, row, s - 1.0 if s > 0.0 else 1.0)
    return end + (end - before) * (distance / max(float(np.hypot(*(end - before)[:2])), 0.1))


class _Mesh:
    """Strips with welded ends, and crossings between them."""

    def __init__(self, strips: list[_Strip]) -> None:
        self.strips = strips
        self.crossings: list[tuple[list[Array], int]] = []
        self._index_points()

    def _index_points(self) -> None:
        """Points of all strip edges every metre or so, for finding the nearest."""
        points, owners = [], []
        for index, strip in enumerate(self.strips):
            for edge in range(2):
                line = strip.rungs[:, edge]
                run = _run(line)
                at = np.linspace(0.0, run[-1], max(int(run[-1]), 1) + 1)
                points.append(np.column_stack([np.interp(at, run, line[:, k]) for k in range(3)]))
                owners.append(np.column_stack([np.full(len(at), index), np.full(len(at), edge), at]))
        self._points, self._owners = np.concatenate(points), np.concatenate(owners)
        self._grid = _PointGrid()
        self._grid.add(self._points, 0)

    def _around(self, point: Array, reach: float) -> NDArray[np.int64]:
        return self._grid.near(point - reach, point + reach)

    def nearest(self, point: Array, reach: float) -> tuple[int, int, float] | None:
        """The strip, edge and distance along it that is nearest to a point, or None."""
        near = self._around(point, reach)
        offset = self._points[near] - point
        distance = np.hypot(offset[:, 0], offset[:, 1]) + np.where(np.abs(offset[:, 2]) > 2.5, np.inf, 0.0)
        if len(near) == 0 or distance.min() > reach:
            return None
        strip, edge, at = self._owners[near[np.argmin(distance)]]
        return int(strip), int(edge), float(at)

    def cross(self, start: Array, end: Array, width: float, reach: float, area: int = CROSSWALK_AREA) -> bool:
        """Join the strips at both ends of a line by a crossing; False if there is none at either end."""
        first, second = self.nearest(start, reach), self.nearest(end, reach)
        if first is None or second is None or first[:2] == second[:2]:
            return False
        a, b = self._border(*first, end, width), self._border(*second, start, width)
        if a is None or b is None:
            return False
        # The corners in an order that does not cross itself.
        if np.dot((a[1] - a[0])[:2], (b[1] - b[0])[:2]) < 0:
            b = b[::-1]
        self.crossings.append(([a[0], a[1], b[1], b[0]], area))
        return True

    def _border(self, index: int, edge: int, at: float, goal: Array, width: float) -> list[Array] | None:
        """Corners of the piece of a strip's border, near a place on one edge, from which one goes to `goal`.

        At the end of a strip that leads there this is its last rung; else a piece of the edge on that side.
        """
        rungs = self.strips[index].rungs
        runs = [_run(rungs[:, side]) for side in range(2)]
        for k, before in ((0, 1), (-1, -2)):
            middle = rungs[k].mean(axis=0)
            outward, way = (middle - rungs[before].mean(axis=0))[:2], (goal - middle)[:2]
            leads_there = np.dot(outward, way) > 0.7 * np.hypot(*outward) * np.hypot(*way)
            if abs(at - runs[edge][k]) < 1.0 and leads_there and not self._goes_on(index, middle):
                return [rungs[k, 0].copy(), rungs[k, 1].copy()]
        places = [at / runs[edge][-1] * run[-1] for run in runs]
        points = [self._point(index, side, places[side]) for side in range(2)]
        side = int(np.argmin([np.hypot(*(goal - point)[:2]) for point in points]))
        return self._cut(index, side, places[side], width)

    def _goes_on(self, index: int, point: Array) -> bool:
        """Whether another strip lies at the end of one, which then is no border."""
        near = self._around(point, WELD)
        offset = self._points[near] - point
        close = (np.hypot(offset[:, 0], offset[:, 1]) < 2.0 * WELD) & (np.abs(offset[:, 2]) < 1.0)
        return bool((self._owners[near[close], 0] != index).any())

    def _point(self, index: int, edge: int, at: float) -> Array:
        """The point at a distance along an edge."""
        line = self.strips[index].rungs[:, edge]
        return np.array([np.interp(at, _run(line), line[:, axis]) for axis in range(3)])

    def _cut(self, index: int, edge: int, at: float, width: float) -> list[Array] | None:
        """Cut a strip so that a piece of about `width` around `at` begins and ends with rungs; its edge's corners."""
        strip = self.strips[index]
        run = _run(strip.rungs[:, edge])
        low, high = max(at - width / 2, 0.0), min(at + width / 2, float(run[-1]))
        if high - low < min(width, float(run[-1])) - 1e-6:
            low = 0.0 if low == 0.0 else max(high - width, 0.0)
            high = min(low + width, float(run[-1]))
        if high - low < 0.5:
            return None
        # Rungs of other crossings stay; this one then takes the piece between them that holds its middle.
        inside = [k for k in range(len(run)) if low + 0.3 < run[k] < high - 0.3]
        kept = [run[k] for k in inside if k in strip.fixed or abs(self._bend(strip, k)) > 0.4]
        if kept:
            bounds = [low, *kept, high]
            gaps = [(bounds[k + 1] - bounds[k], k) for k in range(len(bounds) - 1)]
            _, best = max(gaps)
            low, high = bounds[best], bounds[best + 1]
        self._remove(strip, [k for k in range(len(run)) if low + 0.3 < run[k] < high - 0.3])
        return [self._rung_at(strip, edge, place) for place in (low, high)]

    def _bend(self, strip: _Strip, k: int) -> float:
        """How far [m] a rung lies beside the line through its neighbours."""
        if k == 0 or k == len(strip.rungs) - 1:
            return 0.0
        a, b, c = strip.rungs[k - 1 : k + 2].mean(axis=1)[:, :2]
        along = (c - a) / max(float(np.hypot(*(c - a))), 1e-9)
        return float(along[0] * (b - a)[1] - along[1] * (b - a)[0])

    def _remove(self, strip: _Strip, rungs: list[int]) -> None:
        for k in sorted(rungs, reverse=True):
            if 0 < k < len(strip.rungs) - 1 and k not in strip.fixed:
                strip.rungs = np.delete(strip.rungs, k, axis=0)
                strip.fixed = {other - 1 if other > k else other for other in strip.fixed}

    def _rung_at(self, strip: _Strip, edge: int, at: float) -> Array:
        """The rung at a distance along one edge, made if there is none within 0.3 m; returns its point."""
        run = _run(strip.rungs[:, edge])
        # An edge that lost rungs is shorter than it was.
        at = min(at, float(run[-1]))
        k = int(np.argmin(np.abs(run - at)))
        if abs(run[k] - at) > 0.3:
            k = int(np.searchsorted(run, at))
            share = (at - run[k - 1]) / (run[k] - run[k - 1])
            rung = strip.rungs[k - 1] + share * (strip.rungs[k] - strip.rungs[k - 1])
            strip.rungs = np.insert(strip.rungs, k, rung, axis=0)
            strip.fixed = {other + 1 if other >= k else other for other in strip.fixed}
        strip.fixed.add(k)
        return strip.rungs[k, edge].copy()

    def join_neighbours(self, surface: Surface) -> None:
        """Join ends of sidewalks that lie close to other sidewalks, with no road between them."""
        _, _, component = self._weld()
        for index in range(len(self.strips)):
            for k in (0, -1):
                rung = self.strips[index].rungs[k]
                middle = rung.mean(axis=0)
                found = self._nearest_other(middle, component, index, JOIN_REACH)
                if found is None:
                    continue
                other, edge, at = found
                goal = self._point(other, edge, at)
                way = middle + np.linspace(0.1, 0.9, 7)[:, None] * (goal - middle)
                labels = label_at(surface, way[:, 0].copy(), way[:, 1].copy(), way[:, 2] + 0.3)
                if (labels == ROADS).any():
                    continue
                corners = self._cut(other, edge, at, 1.6)
                if corners is None:
                    continue
                if np.dot((corners[1] - corners[0])[:2], (rung[1] - rung[0])[:2]) < 0:
                    corners = corners[::-1]
                self.crossings.append(([rung[0].copy(), rung[1].copy(), corners[1], corners[0]], SIDEWALK_AREA))
                component[component == component[other]] = component[index]

    def _nearest_other(
        self, point: Array, component: NDArray[np.int64], index: int, reach: float
    ) -> tuple[int, int, float] | None:
        """As `nearest`, among the strips of other components."""
        near = self._around(point, reach)
        owners = self._owners[near, 0].astype(int)
        offset = self._points[near] - point
        distance = np.hypot(offset[:, 0], offset[:, 1])
        distance[(component[owners] == component[index]) | (np.abs(offset[:, 2]) > 1.0)] = np.inf
        if len(near) == 0 or distance.min() > reach:
            return None
        best = near[np.argmin(distance)]
        strip, edge, at = self._owners[best]
        return int(strip), int(edge), float(at)

    def join_components(self) -> None:
        """Lead a crossing from every part that stands alone to the nearest other one, straight over the road."""
        before = 2 * len(self.strips)
        tried: set[tuple[int, int]] = set()  # first point and number of points of parts that a crossing did not help
        while True:
            _, _, component = self._weld()
            found, sizes = np.unique(component, return_counts=True)
            if len(found) == 1 or len(found) > 0.9 * before:
                return
            before = len(found)
            owner = component[self._owners[:, 0].astype(int)]
            order = np.argsort(owner, kind="stable")
            bounds = np.searchsorted(owner[order], [found, found + 1])
            # Where the format has no room for all of them, the largest parts are joined.
            room = MOST_POLYGONS - sum(len(strip.rungs) for strip in self.strips) - len(self.crossings)
            parts = np.argsort(sizes)[:-1]
            for place in parts[max(len(parts) - max(room, 0) // _POLYGONS_OF_CROSSING, 0) :]:
                points = order[slice(*bounds[:, place])]
                if (int(points[0]), len(points)) not in tried:
                    tried.add((int(points[0]), len(points)))
                    self._join_component(points, int(found[place]), owner)

    def _join_component(self, mine: NDArray[np.int64], part: int, owner: NDArray[np.int64]) -> None:
        """Join a part, whose points are `mine`; `owner` tells the part of every point."""
        best, pair = WIDEST_CROSSING, None
        for k in mine[:: max(1, len(mine) // 200)]:
            others = self._around(self._points[k], best)
            others = others[owner[others] != part]
            if len(others) == 0:
                continue
            offset = self._points[others] - self._points[k]
            distance = np.hypot(offset[:, 0], offset[:, 1]) + 4.0 * np.abs(offset[:, 2])
            nearest = int(np.argmin(distance))
            if distance[nearest] < best:
                best, pair = float(distance[nearest]), (int(k), int(others[nearest]))
        if pair is not None:
            self.cross(self._points[pair[0]], self._points[pair[1]], CROSSING_WIDTH, 0.5)

    def _weld(self) -> tuple[Array, list[list[int]], NDArray[np.int64]]:
        """Give close points one number: vertices, polygons of all strips and crossings, component of each strip."""
        vertices: list[Array] = []
        cells: dict[tuple[int, int], list[int]] = {}

        def number(point: Array, reach: float) -> int:
            u, v = int(point[0] // WELD), int(point[1] // WELD)
            near = [k for a in (-1, 0, 1) for b in (-1, 0, 1) for k in cells.get((u + a, v + b), [])]
            offsets = [(np.abs(vertices[k] - point), k) for k in near]
            distances = [(float(np.hypot(offset[0], offset[1])), k) for offset, k in offsets if offset[2] < 1.0]
            # The nearest, as sidewalks that overlap have points close to each other.
            distance, k = min(distances, default=(np.inf, -1))
            if distance < reach:
                return k
            vertices.append(point)
            cells.setdefault((u, v), []).append(len(vertices) - 1)
            return len(vertices) - 1

        polygons: list[list[int]] = []
        owner: list[int] = []
        for index, strip in enumerate(self.strips):
            last = len(strip.rungs) - 1
            numbers = []
            for k, rung in enumerate(strip.rungs):
                reach = min(WELD, 0.6 * float(np.hypot(*(rung[1] - rung[0])[:2]))) if k in (0, last) else 0.02
                numbers.append([number(point, reach) for point in rung])
            for a, b in itertools.pairwise(numbers):
                polygons.append([a[0], b[0], b[1], a[1]])
                owner.append(index)
        for corners, _ in self.crossings:
            polygons.append([number(corner, 0.35) for corner in corners])
            owner.append(-1)
        points = np.array(vertices)
        polygons = face_up(points, polygons)
        return points, polygons, self._components(polygons, owner)

    def _components(self, polygons: list[list[int]], owner: list[int]) -> NDArray[np.int64]:
        """Number of the connected part that each strip belongs to."""
        part = _connected_parts(polygons)
        component = np.zeros(len(self.strips), np.int64)
        for index, strip in enumerate(owner):
            if strip >= 0:
                component[strip] = part[index]
        return component

    def polygons(self) -> tuple[Array, list[list[int]], list[int]]:
        """Vertices, polygons without repeated corners, and their areas."""
        vertices, polygons, _ = self._weld()
        strip_count = len(polygons) - len(self.crossings)
        areas = [SIDEWALK_AREA] * strip_count + [area for _, area in self.crossings]
        kept, kept_areas = [], []
        for polygon, area in zip(polygons, areas):
            corners = list(dict.fromkeys(polygon))
            if len(corners) < 3 or _is_flat(vertices[corners]):
                continue
            kept.append(corners)
            kept_areas.append(area)
        return vertices, *_without_islands(kept, kept_areas)


def _connected_parts(polygons: list[list[int]]) -> list[int]:
    """For each polygon the number of the part it belongs to; one walks over edges that two polygons share."""
    parent = list(range(len(polygons)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for index, row in enumerate(neighbours(polygons)):
        for other in row:
            if other >= 0:
                parent[root(index)] = root(other)
    return [root(k) for k in range(len(polygons))]


def _without_islands(polygons: list[list[int]], areas: list[int]) -> tuple[list[list[int]], list[int]]:
    """Leave out crossings from which no sidewalk can be reached.

    The client looks for another goal while a walker's way has no point on a sidewalk: on such a crossing for ever,
    until its stack overflows.
    """
    part = _connected_parts(polygons)
    walkable = {part[k] for k, area in enumerate(areas) if area == SIDEWALK_AREA}
    kept = [k for k in range(len(polygons)) if part[k] in walkable]
    return [polygons[k] for k in kept], [areas[k] for k in kept]


def _is_flat(points: Array) -> bool:
    """Whether a polygon has (nearly) no area."""
    x, y = points[:, 0], points[:, 1]
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) < 0.05


def _run(line: Array) -> Array:
    """Distance along a line at each of its points [m]."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
