"""Roads, sidewalks and the terrain around them as a `physics.ground.Surface`.

1. Lanes are drawn into a grid of nodes; where several lanes overlap at about the same height (junctions) the heights
   are blended, the one whose centre is nearer counting most; where they differ by more, they are levels.
2. A road that crosses above another is a deck: from the crossing on, as far as `ABUTMENT` along it, the ground below
   is not the deck's but terrain, so that one can drive and look under a bridge.
3. The terrain joins the edges of the roads and is smooth between them (a harmonic function), down to a coarse grid
   far from roads; it ends `MARGIN` outside of the outermost roads.

A town is worked off in square blocks with a rim, so that memory stays bounded for towns of a hundred square kilometres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.labels import GROUND, ROADS, SIDEWALKS, TERRAIN
from minicarla.physics.ground import TILE_CELLS, Surface
from minicarla.town.lanes import BORDER, MEDIAN, NONE, SIDEWALK, Array, LaneTable

KERB = 0.12
"""[m] Sidewalks and medians lie this much above the road."""

MARGIN = 50.0
"""[m] Terrain reaches this far beyond the outermost roads."""

HOLE = 120.0
"""[m] Gaps in the terrain between roads up to about this wide are filled."""

CELLS = ((0.5, 9e6), (1.0, 2e8), (2.0, math.inf))
"""[m] Side of the cells for towns of less than so many square metres."""

LARGEST_HOLE = 1.5e6
"""[m^2] Land that is enclosed by roads is filled up to this size."""

LEVEL_GAP = 2.0
"""[m] Surfaces further apart in height than this are levels, not one surface."""

ABUTMENT = 12.0
"""[m] A deck is open below as far as this beyond the road that it crosses."""

BELOW_DECK = 0.4
"""[m] The ground stays at least this far below a deck."""

COARSE = 4.0
"""[m] Grid on which terrain is laid out between roads; at least `COARSE_CELLS` cells of the town's."""

COARSE_CELLS = 4

SMOOTHING = 200
"""Rounds of smoothing on a grid of `COARSE`; fewer on a coarser one, where each reaches further."""

BLOCK_TILES = 24
"""Tiles along one side of a block."""

GORE = 8.0
"""[m] Gaps up to this wide between the lanes of a junction are paved."""

LEVELS = 3
_RELAXATIONS = 60  # even, so that the result lands in the caller's array

Area = tuple[float, float, float, float]


@dataclass
class GroundQuads:
    """Quadrilaterals that carry.

    Attributes:
        corners: float64 (n, 4, 3) [m]: inner, inner of the next station, outer of the next station, outer.
        label: uint8 (n,), semantic tags.
        raised: float64 (n,) [m], how much the surface lies above the corners (kerbs).
        lane: int32 (n,), row of the lane.
        in_junction: bool (n,).
    """

    corners: Array
    label: NDArray[np.uint8]
    raised: NDArray[np.float64]
    lane: NDArray[np.int32]
    in_junction: NDArray[np.bool_]

    def __post_init__(self) -> None:
        self.low, self.high = self.corners[:, :, :2].min(axis=1), self.corners[:, :, :2].max(axis=1)
        self._by_x = np.argsort(self.low[:, 0], kind="stable")
        self._sorted_x = self.low[self._by_x, 0]
        self._widest = float((self.high[:, 0] - self.low[:, 0]).max(initial=0.0))

    def within(self, low: Array, high: Array) -> NDArray[np.int64]:
        """Rows of those whose bounding rectangle meets another one [m]."""
        first, last = np.searchsorted(self._sorted_x, (low[0] - self._widest, np.nextafter(high[0], np.inf)))
        near = np.sort(self._by_x[first:last])
        return near[np.all((self.high[near] >= low) & (self.low[near] <= high), axis=1)]


def lane_quads(lanes: LaneTable) -> GroundQuads:
    """The surfaces of all lanes that have one, as quadrilaterals between neighbouring stations."""
    first = np.flatnonzero(lanes.lane[:-1] == lanes.lane[1:])
    kind = lanes.type[lanes.lane[first]]
    first = first[kind != NONE]
    kind = lanes.type[lanes.lane[first]]
    inner, outer = lanes.inner, lanes.outer
    corners = np.stack([inner[first], inner[first + 1], outer[first + 1], outer[first]], axis=1)
    wide = np.maximum(
        np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1), np.linalg.norm(corners[:, 2] - corners[:, 1], axis=1)
    )
    label = np.full(len(kind), ROADS, np.uint8)
    label[kind == SIDEWALK] = SIDEWALKS
    label[(kind == MEDIAN) | (kind == BORDER)] = GROUND
    keep = wide > 0.02
    raised = np.where((label == SIDEWALKS) | (kind == MEDIAN), KERB, 0.0)
    lane = lanes.lane[first][keep]
    return GroundQuads(corners[keep], label[keep], raised[keep], lane, lanes.junction[lane] >= 0)


def build_surface(quads: GroundQuads, lots: Sequence[Area] = ()) -> tuple[Surface, Array]:
    """Lay the ground of a town.

    Args:
        quads: everything that carries.
        lots: terrain to pave: low x and y, high x and y [m].

    Returns:
        The ground, and quadrilaterals (n, 4, 3) of the pavement outside of lanes: lots, gaps in junctions.
    """
    low, high = quads.low.min(axis=0) - MARGIN - 8.0, quads.high.max(axis=0) + MARGIN + 8.0
    area = float(np.prod(high - low))
    cell = next(size for size, largest in CELLS if area < largest)
    side = cell * TILE_CELLS
    origin = np.floor(low / side) * side
    columns, rows = (np.ceil((high - origin) / side)).astype(int)
    coarse = _CoarseTerrain(quads, origin, columns * side, rows * side, max(COARSE, COARSE_CELLS * cell))
    tiles = _TileStore(rows, columns)
    for row in range(0, rows, BLOCK_TILES):
        for column in range(0, columns, BLOCK_TILES):
            _build_block(tiles, quads, lots, coarse, origin, cell, row, column)
    surface = Surface(float(origin[0]), float(origin[1]), cell, *tiles.arrays())
    return surface, np.concatenate(tiles.gores) if tiles.gores else np.zeros((0, 4, 3))


class _CoarseTerrain:
    """Terrain on a coarse grid of `spacing` metres: where there is any, and how high."""

    def __init__(self, quads: GroundQuads, origin: Array, width: float, height: float, spacing: float) -> None:
        self.origin = origin
        self._spacing = spacing
        shape = (math.ceil(height / spacing) + 1, math.ceil(width / spacing) + 1)
        total, weight = np.zeros(shape), np.zeros(shape)
        lowest = np.full(shape, np.inf)
        middle = quads.corners.mean(axis=1)
        points = np.concatenate([middle, quads.corners.reshape(-1, 3)])
        nodes = np.rint((points[:, :2] - origin) / spacing).astype(np.int64)
        _add_points(nodes, points[:, 2].copy(), LEVEL_GAP, lowest, total, weight)
        known = weight > 0
        rounds = math.ceil(SMOOTHING * (COARSE / spacing) ** 2)
        self.height = _fill_smoothly(np.where(known, total / np.maximum(weight, 1.0), 0.0), known, rounds)
        self.mask = _terrain_mask(known, spacing).astype(np.float32)

    def is_empty(self, low: Array, high: Array) -> bool:
        """Whether there is no terrain at all in a rectangle."""
        (u0, v0), (u1, v1) = (np.floor((corner - self.origin) / self._spacing).astype(int) for corner in (low, high))
        return not self.mask[max(v0, 0) : max(v1 + 2, 0), max(u0, 0) : max(u1 + 2, 0)].any()

    def sample(self, low: Array, cell: float, shape: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Heights and existence at the nodes of a finer grid whose first node is `low`."""
        v, u = (np.arange(n, dtype=np.float32) * np.float32(cell / self._spacing) for n in shape)
        offset = (low - self.origin) / self._spacing
        grid_u, grid_v = np.meshgrid(u + np.float32(offset[0]), v + np.float32(offset[1]))
        fine = cv2.remap(self.height, grid_u, grid_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.remap(self.mask, grid_u, grid_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(fine, np.float32), np.asarray(inside > 0.5)


@njit()
def _add_points(nodes, heights, gap, lowest, total, weight):  # type: ignore[no-untyped-def]
    """Sum up heights at grid nodes (column, row), of the lowest level only: it shapes the land below a crossing."""
    for k in range(len(nodes)):
        u, v = nodes[k]
        lowest[v, u] = min(lowest[v, u], heights[k])
    for k in range(len(nodes)):
        u, v = nodes[k]
        if heights[k] < lowest[v, u] + gap:
            total[v, u] += heights[k]
            weight[v, u] += 1.0


def _terrain_mask(known: NDArray[np.bool_], spacing: float) -> NDArray[np.bool_]:
    """Within MARGIN of a road, with the gaps between roads filled and no holes."""
    distance = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5) * spacing
    near = (distance < MARGIN).astype(np.uint8)
    size = int(HOLE / spacing) | 1
    closed = cv2.morphologyEx(
        cv2.copyMakeBorder(near, size, size, size, size, cv2.BORDER_CONSTANT),
        cv2.MORPH_CLOSE,
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)),
    )[size:-size, size:-size]
    land = np.maximum(closed, near)
    outside = cv2.copyMakeBorder(1 - land, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, parts, sizes, _ = cv2.connectedComponentsWithStats(outside, connectivity=4)
    lake = sizes[:, cv2.CC_STAT_AREA] * spacing**2 < LARGEST_HOLE
    lake[0] = True  # the part that is no gap at all
    lake[parts[0, 0]] = False
    return np.asarray(lake[parts][1:-1, 1:-1])


def _fill_smoothly(value: Array, known: NDArray[np.bool_], rounds: int) -> NDArray[np.float32]:
    """Heights everywhere: the known ones, and between them averages over ever larger squares, then smoothed."""
    levels = [(value * known, known.astype(float))]
    while min(levels[-1][0].shape) > 2:
        total, weight = levels[-1]
        size = ((total.shape[1] + 1) // 2, (total.shape[0] + 1) // 2)
        levels.append(tuple(cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (total, weight)))  # type: ignore[arg-type]
    filled = levels[-1][0] / np.maximum(levels[-1][1], 1e-9)
    for total, weight in levels[-2::-1]:
        up = cv2.resize(filled, (total.shape[1], total.shape[0]), interpolation=cv2.INTER_LINEAR)
        filled = np.where(weight > 1e-6, total / np.maximum(weight, 1e-9), up)
    field = filled.astype(np.float32)
    _relax(field, known, rounds)
    return field


class _TileStore:
    """Collects tiles; those at the same place are linked from high to low."""

    def __init__(self, rows: int, columns: int) -> None:
        self.first = np.full((rows, columns), -1, np.int32)
        self.next: list[int] = []
        self.height: list[NDArray[np.float32]] = []
        self.label: list[NDArray[np.uint8]] = []
        self.gores: list[Array] = []

    def add(self, row: int, column: int, height: NDArray[np.float32], label: NDArray[np.uint8]) -> None:
        """Put a tile on top of those at its place."""
        self.next.append(int(self.first[row, column]))
        self.first[row, column] = len(self.height)
        self.height.append(height)
        self.label.append(label)

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.uint8]]:
        """The last four fields of a Surface."""
        return (self.first, np.array(self.next, np.int32), np.stack(self.height), np.stack(self.label))


def _build_block(
    tiles: _TileStore,
    quads: GroundQuads,
    lots: Sequence[Area],
    coarse: _CoarseTerrain,
    origin: Array,
    cell: float,
    row: int,
    column: int,
) -> None:
    """Make the tiles of one block; its rim repeats the neighbours' so that the edges agree."""
    rim = math.ceil((ABUTMENT + 4.0) / cell) + _RELAXATIONS
    row_end, column_end = (
        min(start + BLOCK_TILES, end) for start, end in zip((row, column), tiles.first.shape, strict=True)
    )
    shape = ((row_end - row) * TILE_CELLS + 1 + 2 * rim, (column_end - column) * TILE_CELLS + 1 + 2 * rim)
    low = origin + cell * (np.array([column, row]) * TILE_CELLS - rim)
    if coarse.is_empty(low, low + cell * np.array(shape[::-1])):
        return
    terrain, exists = coarse.sample(low, cell, shape)
    if not exists.any():
        return
    heights, labels, in_junction = _draw(quads, low, cell, shape)
    _extract_decks(heights, labels, max(1, round(ABUTMENT / cell)))
    ground, ground_label = _lay_ground(heights, labels, terrain, exists)
    gore = _pave_gores(heights[0], in_junction, ground_label, cell)
    for lot in lots:
        gore |= _pave_lot(lot, ground_label, low, cell)
    if gore.any():
        inner = (
            slice(rim, rim + (row_end - row) * TILE_CELLS + 1),
            slice(rim, rim + (column_end - column) * TILE_CELLS + 1),
        )
        tiles.gores.append(_gore_quads(gore[inner], ground[inner], low + cell * rim, cell))
    for level in range(LEVELS):
        field, label = (ground, ground_label) if level == 0 else (heights[level], labels[level])
        there = np.isfinite(field)
        if not there.any():
            continue
        tags = _cell_labels(label)
        for r in range(row, row_end):
            for c in range(column, column_end):
                top, left = rim + (r - row) * TILE_CELLS, rim + (c - column) * TILE_CELLS
                nodes = slice(top, top + TILE_CELLS + 1), slice(left, left + TILE_CELLS + 1)
                if there[nodes].any():
                    cells = slice(top, top + TILE_CELLS), slice(left, left + TILE_CELLS)
                    tiles.add(r, c, field[nodes].astype(np.float32), tags[cells].copy())


def _cell_labels(node_label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cells take the label that most of their nodes have; roads win a draw, then sidewalks."""
    best = node_label[:-1, :-1].copy()
    votes = np.zeros(best.shape, np.uint8)
    for tag in (TERRAIN, GROUND, SIDEWALKS, ROADS):
        nodes = (node_label == tag).view(np.uint8)
        count = nodes[:-1, :-1] + nodes[:-1, 1:] + nodes[1:, :-1] + nodes[1:, 1:]
        better = (count >= votes) & (count > 0)
        np.copyto(best, tag, where=better)
        np.copyto(votes, count, where=better)
    return best


def _draw(
    quads: GroundQuads, low: Array, cell: float, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw quadrilaterals into levels.

    Returns:
        Heights (LEVELS, rows, columns), NaN = nothing, lowest first; their labels; which nodes are in a junction.
    """
    high = low + cell * (np.array(shape[::-1]) - 1)
    near = quads.within(low, high)
    total = np.zeros((LEVELS, *shape))
    weight = np.zeros((LEVELS, *shape))
    label = np.zeros((LEVELS, *shape), np.uint8)
    raised = np.zeros((LEVELS, *shape), np.float32)
    in_junction = np.zeros(shape, np.bool_)
    corners = quads.corners[near].copy()
    corners[:, :, 0] = (corners[:, :, 0] - low[0]) / cell
    corners[:, :, 1] = (corners[:, :, 1] - low[1]) / cell
    # Roads before sidewalks: the first to come decides a node's label and whether it is raised.
    order = np.argsort(_rank(quads.label[near]), kind="stable")
    _draw_quads(
        corners[order],
        quads.label[near][order],
        quads.raised[near][order],
        quads.in_junction[near][order],
        total,
        weight,
        label,
        raised,
        in_junction,
        LEVEL_GAP,
    )
    drawn = weight > 0
    heights = np.full(total.shape, np.nan, np.float32)
    heights[drawn] = (total[drawn] / weight[drawn]).astype(np.float32) + raised[drawn]
    if not weight[1].any():
        return heights, label, in_junction
    # Few nodes have several levels.
    several = weight[1] > 0
    stacked, tags = heights[:, several], label[:, several]
    order_up = np.argsort(np.where(np.isnan(stacked), np.inf, stacked), axis=0, kind="stable")
    heights[:, several] = np.take_along_axis(stacked, order_up, axis=0)
    label[:, several] = np.take_along_axis(tags, order_up, axis=0)
    return heights, label, in_junction


def _rank(label: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Order in which labels claim a node: roads, sidewalks, other ground."""
    return np.select([label == ROADS, label == SIDEWALKS], [0, 1], 2)


@njit()
def _draw_quads(  # type: ignore[no-untyped-def]
    corners, quad_label, quad_raised, quad_junction, total, weight, label, raised, in_junction, gap
):
    """Add each quadrilateral, as two triangles, to the nodes in it."""
    levels = total.shape[0]
    across = np.array([0.0, 0.0, 1.0, 1.0])
    for q in range(corners.shape[0]):
        for half in range(2):
            i1 = 1 + half
            i2 = 2 + half
            ax, ay, az, at = corners[q, 0, 0], corners[q, 0, 1], corners[q, 0, 2], across[0]
            bx, by, bz, bt = corners[q, i1, 0], corners[q, i1, 1], corners[q, i1, 2], across[i1]
            cx, cy, cz, ct = corners[q, i2, 0], corners[q, i2, 1], corners[q, i2, 2], across[i2]
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if abs(area) < 1e-9:
                continue
            u0 = max(0, math.ceil(min(ax, bx, cx) - 1e-6))
            u1 = min(total.shape[2] - 1, math.floor(max(ax, bx, cx) + 1e-6))
            v0 = max(0, math.ceil(min(ay, by, cy) - 1e-6))
            v1 = min(total.shape[1] - 1, math.floor(max(ay, by, cy) + 1e-6))
            for v in range(v0, v1 + 1):
                for u in range(u0, u1 + 1):
                    wb = ((u - ax) * (cy - ay) - (v - ay) * (cx - ax)) / area
                    wc = ((bx - ax) * (v - ay) - (by - ay) * (u - ax)) / area
                    wa = 1.0 - wb - wc
                    if wa < -1e-6 or wb < -1e-6 or wc < -1e-6:
                        continue
                    z = wa * az + wb * bz + wc * cz
                    t = wa * at + wb * bt + wc * ct
                    in_junction[v, u] |= quad_junction[q]
                    share = max(0.02, 1.0 - abs(2.0 * t - 1.0)) ** 2
                    for k in range(levels):
                        if weight[k, v, u] == 0.0:
                            label[k, v, u] = quad_label[q]
                            raised[k, v, u] = quad_raised[q]
                        elif abs(total[k, v, u] / weight[k, v, u] - z) > gap:
                            continue
                        elif label[k, v, u] != quad_label[q]:
                            # A sidewalk below a road's edge must not pull the road's height.
                            break
                        total[k, v, u] += share * z
                        weight[k, v, u] += share
                        break


def _extract_decks(heights: NDArray[np.float32], labels: NDArray[np.uint8], reach: int) -> None:
    """Lift bridges out of the lowest level: heights[0] keeps what rests on the earth, heights[1:] the decks.

    A deck is followed along its own surface for `reach` nodes from where it crosses something lower; two more nodes
    stay on both levels, so that cells at the joint are whole on either.
    """
    if not np.isfinite(heights[1]).any():
        return
    for level in range(LEVELS - 2, -1, -1):
        upper = heights[level + 1]
        distance = np.where(np.isfinite(upper), 0, 10_000).astype(np.int32)
        reached = upper.copy()
        _follow(heights[level], reached, distance, reach + 2)
        spread = (distance > 0) & (distance <= reach + 2)
        upper[spread] = heights[level][spread]
        labels[level + 1][spread] = labels[level][spread]
        lifted = (distance > 0) & (distance <= reach)
        heights[level][lifted] = np.nan
        labels[level][lifted] = 0


@njit()
def _follow(lower, reached, distance, reach):  # type: ignore[no-untyped-def]
    """Flood from known deck nodes over `lower` wherever it continues the deck's surface."""
    rows, columns = lower.shape
    front = [(0, 0)]
    front.clear()
    for v in range(rows):
        for u in range(columns):
            if distance[v, u] == 0:
                front.append((v, u))
    for d in range(1, reach + 1):
        following = [(0, 0)]
        following.clear()
        for v, u in front:
            for dv, du in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                a = v + dv
                b = u + du
                if a < 0 or b < 0 or a >= rows or b >= columns or distance[a, b] <= d:
                    continue
                z = lower[a, b]
                if z == z and abs(z - reached[v, u]) < 0.4:
                    distance[a, b] = d
                    reached[a, b] = z
                    following.append((a, b))
        front = following


def _pave_gores(
    road: NDArray[np.float32], in_junction: NDArray[np.bool_], label: NDArray[np.uint8], cell: float
) -> NDArray[np.bool_]:
    """Call the gaps between the lanes of a junction road: connecting roads do not tile the whole of it.

    Returns:
        The nodes that became road.
    """
    gore = np.zeros(road.shape, np.bool_)
    paved = (in_junction & np.isfinite(road) & (label == ROADS)).astype(np.uint8)
    if paved.any():
        size = round(GORE / cell) | 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        closed = cv2.morphologyEx(paved, cv2.MORPH_CLOSE, kernel)
        gore = (closed > 0) & (label == TERRAIN)
        label[gore] = ROADS
    return gore


def _pave_lot(lot: Area, label: NDArray[np.uint8], low: Array, cell: float) -> NDArray[np.bool_]:
    """Call the terrain of a rectangle road; returns the nodes that became road."""
    x, y = (low[axis] + cell * np.arange(label.shape[1 - axis]) for axis in (0, 1))
    inside = ((y >= lot[1]) & (y <= lot[3]))[:, None] & ((x >= lot[0]) & (x <= lot[2]))
    paved = inside & (label == TERRAIN)
    label[paved] = ROADS
    return paved


def _gore_quads(gore: NDArray[np.bool_], ground: NDArray[np.float32], low: Array, cell: float) -> Array:
    """Cells that touch a paved gap, joined along x in runs of up to eight, as quadrilaterals (n, 4, 3)."""
    cells = gore[:-1, :-1] | gore[1:, :-1] | gore[:-1, 1:] | gore[1:, 1:]
    starts = cells & ~np.pad(cells, ((0, 0), (1, 0)))[:, :-1]
    starts[:, ::8] |= cells[:, ::8]
    stops = cells & ~np.pad(cells, ((0, 0), (0, 1)))[:, 1:]
    stops[:, 7::8] |= cells[:, 7::8]
    row, first = np.nonzero(starts)
    _, last = np.nonzero(stops)
    corners = [(row, first), (row, last + 1), (row + 1, last + 1), (row + 1, first)]
    points = [np.column_stack([low[0] + u * cell, low[1] + v * cell, ground[v, u]]) for v, u in corners]
    quads = np.stack(points, axis=1)
    return quads[np.isfinite(quads[:, :, 2]).all(axis=1)]


def _lay_ground(
    heights: NDArray[np.float32],
    labels: NDArray[np.uint8],
    terrain: NDArray[np.float32],
    exists: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The lowest level: roads that rest on the earth, and terrain that joins them and stays below decks."""
    fixed = np.isfinite(heights[0])
    ground = np.where(fixed, heights[0], terrain)
    lid = np.where(np.isfinite(heights[1]), heights[1] - BELOW_DECK, np.inf).astype(np.float32)
    ground[~fixed] = np.minimum(ground, lid)[~fixed]
    _relax(ground, fixed, _RELAXATIONS)
    ground[~fixed] = np.minimum(ground, lid)[~fixed]
    ground[~(exists | fixed)] = np.nan
    label = np.where(fixed, labels[0], TERRAIN).astype(np.uint8)
    return ground, label


@njit()
def _relax(field, fixed, rounds):  # type: ignore[no-untyped-def]
    """Move free nodes to the mean of their neighbours, `rounds` times (Jacobi): edges of roads are joined smoothly."""
    rows, columns = field.shape
    other = field.copy()
    quarter = np.float32(0.25)
    for _ in range(rounds):
        for v in range(rows):
            here, above, below = field[v], field[max(v - 1, 0)], field[min(v + 1, rows - 1)]
            kept, out = fixed[v], other[v]
            for u in (0, columns - 1):
                mean = quarter * (here[max(u - 1, 0)] + here[min(u + 1, columns - 1)] + above[u] + below[u])
                out[u] = here[u] if kept[u] else mean
            # Slices, all indexed alike, are what the compiler makes vector instructions of.
            left, middle, right = here[:-2], here[1:-1], here[2:]
            top, bottom, held, inner = above[1:-1], below[1:-1], kept[1:-1], out[1:-1]
            for u in range(columns - 2):
                mean = quarter * (left[u] + right[u] + top[u] + bottom[u])
                inner[u] = middle[u] if held[u] else mean
        field, other = other, field
