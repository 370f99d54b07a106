"""What carries, as triangles for cameras: lanes with kerbs, bridges, terrain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.labels import BRIDGE, GROUND, ROADS, SIDEWALKS, TERRAIN
from minicarla.physics.ground import TILE_CELLS, Surface, ground_at
from minicarla.town.lanes import BIKING, BORDER, MEDIAN, NONE, PARKING, SHOULDER, SIDEWALK, LaneTable
from minicarla.town.mesh import Array, MeshBuilder
from minicarla.town.stretches import straight_stretches
from minicarla.town.surface import KERB

DECK_THICKNESS = 0.8

ROAD_COLOUR = (78, 78, 80)
SIDEWALK_COLOUR = (150, 146, 140)
KERB_COLOUR = (170, 168, 162)
CONCRETE_COLOUR = (140, 138, 134)
_LANE_COLOURS = {
    SHOULDER: (86, 85, 84),
    PARKING: (70, 70, 74),
    BIKING: (110, 74, 66),
    SIDEWALK: SIDEWALK_COLOUR,
    MEDIAN: (104, 118, 74),
    BORDER: (120, 114, 100),
}
_GRASS, _DRY = np.array([88, 112, 58]), np.array([112, 112, 70])

_FINE_SPAN, _COARSE_SPAN = 4, 16
"""Cells along the squares that terrain is drawn in, near other things and far from them."""

_OVERLAP = 0.02
"""[m] By how much lanes reach into their neighbours."""

_SUNK = 0.15
"""[m] Terrain dives this much below the edges of lanes, which are drawn from the exact road geometry."""


@njit()
def label_at(surface, x, y, z):  # type: ignore[no-untyped-def]
    """Semantic tags of the ground below points (n,)."""
    out = np.zeros(len(x), np.uint8)
    for i in range(len(x)):
        out[i] = ground_at(surface, x[i], y[i], z[i])[4]
    return out


def add_lanes(mesh: MeshBuilder, lanes: LaneTable, surface: Surface) -> None:
    """Add the surfaces of all lanes, the kerbs of raised ones, and the lower sides of bridges."""
    first, last = straight_stretches(lanes.lane, lanes.inner, lanes.outer, 0.015, 20.0)
    kind = lanes.type[lanes.lane[first]]
    level = (kind != NONE) & (kind != SIDEWALK) & (kind != MEDIAN)
    quads = _overlapping(_quads(lanes, first[level], last[level]))
    labels = np.where(kind[level] == BORDER, GROUND, ROADS).astype(np.uint8)
    mesh.add_quads(_upward(quads), labels, _colours(kind[level]))
    _add_deck_undersides(mesh, quads, surface)
    # Raised lanes are cut finely, because roads of junctions may cover pieces of them.
    first, last = straight_stretches(lanes.lane, lanes.inner, lanes.outer, 0.015, 4.0)
    kind = lanes.type[lanes.lane[first]]
    raised = (kind == SIDEWALK) | (kind == MEDIAN)
    quads, kind = _quads(lanes, first[raised], last[raised]), kind[raised]
    middle = quads.mean(axis=1)
    wide = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1) + np.linalg.norm(quads[:, 2] - quads[:, 1], axis=1) > 0.1
    free = wide & (label_at(surface, middle[:, 0], middle[:, 1], middle[:, 2] + 0.3) != ROADS)
    quads, kind = quads[free] + (0.0, 0.0, KERB), kind[free]
    labels = np.where(kind == MEDIAN, GROUND, SIDEWALKS).astype(np.uint8)
    mesh.add_quads(_upward(quads), labels, _colours(kind))
    for a, b in ((0, 1), (2, 3)):
        foot_a, foot_b = (quads[:, k] - (0.0, 0.0, KERB + 0.05) for k in (a, b))
        mesh.add_quads(np.stack([quads[:, a], quads[:, b], foot_b, foot_a], axis=1), labels, KERB_COLOUR)


def _overlapping(quads: Array) -> Array:
    """The same quadrilaterals, each a little longer and wider.

    Neighbouring lanes are cut at different places, which leaves cracks of millimetres between them, through which
    single samples of a picture would see what lies below.
    """
    ends = quads - quads[:, [1, 0, 3, 2]]
    sides = quads - quads[:, [3, 2, 1, 0]]
    moved = quads.copy()
    for way in (ends, sides):
        length = np.linalg.norm(way, axis=2, keepdims=True)
        moved += np.divide(_OVERLAP * way, length, out=np.zeros_like(way), where=length > 0.05)
    return moved


def _quads(lanes: LaneTable, first: NDArray[np.int64], last: NDArray[np.int64]) -> Array:
    return np.stack([lanes.inner[first], lanes.inner[last], lanes.outer[last], lanes.outer[first]], axis=1)


def _colours(kind: NDArray[np.int8]) -> NDArray[np.uint8]:
    table = np.tile(np.array(ROAD_COLOUR, np.uint8), (64, 1))
    for code, colour in _LANE_COLOURS.items():
        table[code] = colour
    return table[kind]


def _upward(quads: Array) -> Array:
    """The same quadrilaterals, wound so that all face upward (counter-clockwise seen from +z in x, y, z)."""
    a, b = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    down = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0
    turned = quads.copy()
    turned[down] = quads[down][:, ::-1]
    return turned


def _add_deck_undersides(mesh: MeshBuilder, quads: Array, surface: Surface) -> None:
    """Close the lower sides and flanks of lanes that lie above other ground."""
    middle = quads.mean(axis=1)
    below = _heights(surface, middle[:, 0], middle[:, 1], middle[:, 2] - 1.5)
    deck = np.isfinite(below) & (middle[:, 2] - below > 1.5)
    quads = quads[deck]
    lowered = quads - (0.0, 0.0, DECK_THICKNESS)
    mesh.add_quads(_upward(lowered)[:, ::-1], BRIDGE, CONCRETE_COLOUR)
    for a, b in ((0, 1), (2, 3)):
        mesh.add_quads(
            np.stack([quads[:, a], quads[:, b], lowered[:, b], lowered[:, a]], axis=1), BRIDGE, CONCRETE_COLOUR
        )


@njit()
def _heights(surface, x, y, z):  # type: ignore[no-untyped-def]
    """Heights of the ground at points, strictly of levels below them: -inf where there is none."""
    out = np.empty(len(x))
    for i in range(len(x)):
        height = ground_at(surface, x[i], y[i], z[i])[0]
        out[i] = height if height <= z[i] + 0.6 else -np.inf
    return out


def add_gores(mesh: MeshBuilder, gores: Array) -> None:
    """Add the paved gaps between the lanes of junctions (n, 4, 3)."""
    mesh.add_quads(_upward(gores) - (0.0, 0.0, 0.03), ROADS, ROAD_COLOUR)


def add_terrain(mesh: MeshBuilder, surface: Surface, seed: int) -> None:
    """Add the terrain."""
    lowest = _lowest_tiles(surface)
    nodes, quads = _terrain_quads(surface.height, surface.label, lowest)
    nodes[:, :2] = (surface.origin_x, surface.origin_y) + nodes[:, :2] * surface.cell
    if len(quads):
        noise = np.random.default_rng(seed).random(len(quads))[:, None]
        colours = (_GRASS + (_DRY - _GRASS) * 0.5 * noise).astype(np.uint8)
        triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        mesh.add(nodes, triangles, TERRAIN, np.concatenate([colours, colours]))


def _lowest_tiles(surface: Surface) -> NDArray[np.int32]:
    """The lowest tile of each place."""
    lowest = surface.tile_first.copy()
    while True:
        following = np.where(lowest >= 0, surface.tile_next[lowest], -1)
        if not (following >= 0).any():
            return lowest
        lowest = np.where(following >= 0, following, lowest)


@njit()
def _is_terrain(label, lowest, v, u):  # type: ignore[no-untyped-def]
    """Whether a cell, counted over all tiles, is terrain."""
    row = v // TILE_CELLS
    column = u // TILE_CELLS
    if v < 0 or u < 0 or row >= lowest.shape[0] or column >= lowest.shape[1]:
        return False
    tile = lowest[row, column]
    return tile >= 0 and label[tile, v - row * TILE_CELLS, u - column * TILE_CELLS] == TERRAIN


@njit()
def _is_plain(height, label, tile, v, u):  # type: ignore[no-untyped-def]
    """Whether a coarse square of a tile is nothing but evenly sloped terrain."""
    field = height[tile]
    a = field[v, u]
    slope_u = (field[v, u + _COARSE_SPAN] - a) / _COARSE_SPAN
    slope_v = (field[v + _COARSE_SPAN, u] - a) / _COARSE_SPAN
    for dv in range(_COARSE_SPAN + 1):
        for du in range(_COARSE_SPAN + 1):
            if not abs(a + slope_u * du + slope_v * dv - field[v + dv, u + du]) < 0.03:
                return False
    for dv in range(_COARSE_SPAN):
        for du in range(_COARSE_SPAN):
            if label[tile, v + dv, u + du] != TERRAIN:
                return False
    return True


@njit()
def _terrain_quads(height, label, lowest):  # type: ignore[no-untyped-def]
    """Squares that hold terrain, with corners on lanes sunk: nodes (n, 3), of which x and y are in cells; their rows
    (m, 4)."""
    tiles = 0
    for row in range(lowest.shape[0]):
        for column in range(lowest.shape[1]):
            if lowest[row, column] >= 0:
                tiles += 1
    per_tile = TILE_CELLS // _FINE_SPAN
    index = np.full((lowest.shape[0] * per_tile + 1, lowest.shape[1] * per_tile + 1), -1, np.int32)
    nodes = np.empty((tiles * (per_tile + 1) ** 2, 3))
    quads = np.empty((tiles * per_tile**2, 4), np.int64)
    counts = np.zeros(2, np.int64)
    for row in range(lowest.shape[0]):
        for column in range(lowest.shape[1]):
            if lowest[row, column] < 0:
                continue
            for v in range(0, TILE_CELLS, _COARSE_SPAN):
                for u in range(0, TILE_CELLS, _COARSE_SPAN):
                    plain = _is_plain(height, label, lowest[row, column], v, u)
                    step = _COARSE_SPAN if plain else _FINE_SPAN
                    for dv in range(0, _COARSE_SPAN, step):
                        for du in range(0, _COARSE_SPAN, step):
                            _add_square(
                                height, label, lowest, row, column, v + dv, u + du, step, index, nodes, quads, counts
                            )
    return nodes[: counts[0]], quads[: counts[1]]


@njit()
def _add_square(  # type: ignore[no-untyped-def]
    height, label, lowest, row, column, v, u, span, index, nodes, quads, counts
):
    tile = lowest[row, column]
    top = row * TILE_CELLS + v
    left = column * TILE_CELLS + u
    wanted = False
    # Cells beside the square count too: a cell that is mostly road may leave a strip of terrain.
    for dv in range(-1, span + 1):
        for du in range(-1, span + 1):
            wanted = wanted or _is_terrain(label, lowest, top + dv, left + du)
    if not wanted:
        return
    for dv in (0, span):
        for du in (0, span):
            if np.isnan(height[tile, v + dv, u + du]):
                return
    for k in range(4):
        dv = span if k >= 2 else 0
        du = span if k == 1 or k == 2 else 0
        a = (top + dv) // _FINE_SPAN
        b = (left + du) // _FINE_SPAN
        if index[a, b] < 0:
            index[a, b] = counts[0]
            free = True
            for ov in (-1, 0):
                for ou in (-1, 0):
                    free = free and _is_terrain(label, lowest, top + dv + ov, left + du + ou)
            nodes[counts[0], 0] = left + du
            nodes[counts[0], 1] = top + dv
            nodes[counts[0], 2] = height[tile, v + dv, u + du] - (0.0 if free else _SUNK)
            counts[0] += 1
        quads[counts[1], k] = index[a, b]
    counts[1] += 1
