"""The town as a list of coloured quadrilaterals in drawing order, out of `carla.Map` alone.

What is drawn, in which order and how large follows the bird view that this integration has always had: first the
shoulders, parking lanes and sidewalks of all lanes, then lane by lane the road, its markings and its arrows, lower
roads first. Road surfaces reach 0.2 m beyond their lanes, so that neighbours meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import carla
import numpy as np
from numpy.typing import NDArray

from rllib_integration.roads.lanes import PARKING, SHOULDER, SIDEWALK, SampledLanes

DRAWING_VERSION = 3
"""Part of the cache's key: raise it whenever the drawing changes."""

SURFACES = ("ground", "shoulder", "parking", "sidewalk", "road", "white", "yellow", "blue", "green", "red")
"""What a point of the map can show; the index is the surface's number. The last five are lane markings."""

GROUND_SURFACE, SHOULDER_SURFACE, PARKING_SURFACE, SIDEWALK_SURFACE, ROAD_SURFACE = range(5)
_WHITE_SURFACE = 5

PALETTE = np.array(
    [
        (85, 87, 83),  # Tango aluminium 4
        (66, 62, 64),
        (66, 62, 64),
        (136, 138, 133),  # aluminium 3
        (46, 52, 54),  # aluminium 5
        (186, 189, 182),  # aluminium 2
        (252, 175, 62),  # orange 0
        (114, 159, 207),  # sky blue 0
        (138, 226, 52),  # chameleon 0
        (239, 41, 41),  # scarlet red 0
    ],
    np.uint8,
)
"""RGB of each surface."""

GROWTH = 0.35  # [m] surfaces reach beyond their lanes
_LINE_WIDTH = 0.28  # [m]
_DOUBLE_LINE_GAP = 0.4  # [m] between the middles of a double line's two lines
_DASH_LENGTH = 1.1  # [m]
_DASH_PERIOD = 3.0  # [m]
_ARROW_PERIOD = 20.0  # [m]
_ARROW_LENGTH = 2.0  # [m]
_ARROW_HEAD = (0.75, 0.5)  # [m] back and sideways
_ARROW_STROKE = 0.56  # [m]

_MARKING_SURFACES = {
    int(carla.LaneMarkingColor.White): 5,
    int(carla.LaneMarkingColor.Yellow): 6,
    int(carla.LaneMarkingColor.Blue): 7,
    int(carla.LaneMarkingColor.Green): 8,
    int(carla.LaneMarkingColor.Red): 9,
}

_Type = carla.LaneMarkingType
_MARKING_LINES: dict[int, tuple[bool, ...]] = {
    int(_Type.Solid): (True,),
    int(_Type.Broken): (False,),
    int(_Type.SolidSolid): (True, True),
    int(_Type.BrokenBroken): (False, False),
    int(_Type.SolidBroken): (False, True),
    int(_Type.BrokenSolid): (True, False),
}
"""Which lines a marking has, from the lane's edge outwards; True = solid. Other types are not paint."""

_SIDE_SURFACES = ((SHOULDER, SHOULDER_SURFACE), (PARKING, PARKING_SURFACE), (SIDEWALK, SIDEWALK_SURFACE))


class MapDrawing(NamedTuple):
    """Quadrilaterals in drawing order.

    Attributes:
        quads: `float32 (Q, 4, 2)` corners x, y (m) in turn around a convex shape.
        surfaces: `uint8 (Q,)` index into `SURFACES`.
        heights: `float32 (Q,)` z (m) of the lane that each belongs to.
    """

    quads: NDArray[np.float32]
    surfaces: NDArray[np.uint8]
    heights: NDArray[np.float32]


class _Course(NamedTuple):
    """Where a lane goes: middle, direction, width and height at rising distances from its start."""

    distance: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    yaw: NDArray[np.float64]  # unwrapped
    width: NDArray[np.float64]
    z: NDArray[np.float64]

    @classmethod
    def of(cls, samples: NDArray[np.void]) -> _Course:
        columns = {name: samples[name].astype(np.float64) for name in ("s", "x", "y", "width", "z")}
        yaw = np.unwrap(samples["yaw"].astype(np.float64))
        return cls(columns["s"], columns["x"], columns["y"], yaw, columns["width"], columns["z"])

    def at(self, distance: NDArray[np.float64]) -> _Course:
        """The course at other distances, interpolated."""
        return _Course(distance, *(np.interp(distance, self.distance, column) for column in self[1:]))

    def denser(self, spacing: float) -> _Course:
        """The course at points at most so many metres apart, which lie on its bends rather than on their chords."""
        steps = np.hypot(np.diff(self.x), np.diff(self.y))
        count = max(1, math.ceil(float(steps.max()) / spacing))
        share = np.arange(len(steps) * count) % count / count
        first = np.repeat(np.arange(len(steps)), count)
        cubic = _hermite(share)
        slope = np.stack([np.cos(self.yaw), np.sin(self.yaw)])
        x, y = (
            cubic[0] * line[first] + cubic[1] * line[first + 1]
            + steps[first] * (cubic[2] * along[first] + cubic[3] * along[first + 1])
            for line, along in zip((self.x, self.y), slope)
        )  # fmt: skip
        at = self.distance[first] + share * np.diff(self.distance)[first]
        yaw, width, z = (np.interp(at, self.distance, column) for column in (self.yaw, self.width, self.z))
        inner = _Course(at, x, y, yaw, width, z)
        return _Course(*(np.r_[column, last[-1]] for column, last in zip(inner, self)))

    def longer(self, by: float) -> _Course:
        """The course, straight on at both ends for `by` metres."""
        begin, end = (np.array([column[i] for column in self]) for i in (0, -1))
        for point, ahead in ((begin, -by), (end, by)):
            point[:3] += ahead * np.array([1.0, math.cos(point[3]), math.sin(point[3])])
        return _Course(*(np.r_[first, column, last] for first, column, last in zip(begin, self, end)))

    def offset(self, sideways: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """`(n, 2)` points `sideways` metres to the right of the middle."""
        x, y = self.x - np.sin(self.yaw) * sideways, self.y + np.cos(self.yaw) * sideways
        return np.stack([x, y], axis=1)

    def strip(self, left: NDArray[np.float64] | float, right: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """`(n - 1, 4, 2)` quadrilaterals between two offsets to the right of the middle."""
        a, b = self.offset(left), self.offset(right)
        return np.stack([a[:-1], a[1:], b[1:], b[:-1]], axis=1)


def _hermite(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a cubic's two ends and of its two slopes, `(4, n)`."""
    one = 1.0 - share
    return np.stack([one**2 * (1 + 2 * share), share**2 * (3 - 2 * share), share * one**2, -(share**2) * one])


_Piece = tuple[NDArray[np.float64], int, NDArray[np.float64]]  # quads, surface, heights


def draw_map(lanes: SampledLanes) -> MapDrawing:
    """Draw the town's lanes."""
    pieces = list(_side_lanes(lanes))
    for run in range(len(lanes.starts) - 1):
        samples = lanes.driving[lanes.starts[run] : lanes.starts[run + 1]]
        if len(samples) < 2:
            continue
        course = _Course.of(samples)
        pieces.append(_surface(course, ROAD_SURFACE))
        if not samples["junction"][0]:
            pieces.extend(_markings(course, samples["left_type"], samples["left_color"], -1))
            pieces.extend(_markings(course, samples["right_type"], samples["right_color"], 1))
            pieces.extend(_arrows(course))
    return _joined(pieces)


def draw_roads(lanes: SampledLanes, spacing: float) -> MapDrawing:
    """The driving lanes alone, `GROWTH` wider and longer than they are, in pieces of at most `spacing` (m)."""
    runs = [lanes.driving[begin:end] for begin, end in pairwise(lanes.starts) if end - begin > 1]
    return _joined([_surface(_Course.of(run).denser(spacing), ROAD_SURFACE) for run in runs])


def _joined(pieces: list[_Piece]) -> MapDrawing:
    counts = [len(quads) for quads, _, _ in pieces]
    return MapDrawing(
        np.concatenate([quads for quads, _, _ in pieces]).astype(np.float32),
        np.repeat(np.array([surface for _, surface, _ in pieces], np.uint8), counts),
        np.concatenate([heights for _, _, heights in pieces]).astype(np.float32),
    )


def _side_lanes(lanes: SampledLanes) -> Iterator[_Piece]:
    """Shoulders, parking lanes and sidewalks, in the order of the lanes they lie beside."""
    # Inside junctions they would lie across the roads.
    beside = lanes.beside[lanes.driving["junction"][lanes.starts[lanes.beside["run"]]] == 0]
    kind = beside["sample"]["kind"]
    surface = np.zeros(len(beside), np.uint8)
    for lane_type, number in _SIDE_SURFACES:
        surface[kind == lane_type] = number
    beside, surface = beside[surface > 0], surface[surface > 0]
    if not len(beside):
        return
    # The n-th lane of a kind goes on in the n-th of its kind, also where lanes between them begin or end.
    order = np.lexsort((beside["depth"], surface, beside["index"], beside["side"], beside["run"]))
    beside, surface = beside[order], surface[order]
    group = np.stack([beside["run"], beside["side"], beside["index"], surface], axis=1)
    first = np.r_[True, np.any(group[1:] != group[:-1], axis=1)]
    ordinal = np.arange(len(beside)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    order = np.lexsort((beside["index"], ordinal, beside["side"], surface, beside["run"]))
    beside, surface, ordinal = beside[order], surface[order], ordinal[order]
    strand = np.stack([beside["run"], beside["side"], surface, ordinal, beside["index"]], axis=1)
    joined = np.all(strand[1:, :4] == strand[:-1, :4], axis=1) & (np.diff(strand[:, 4]) == 1)
    cuts = np.r_[0, np.flatnonzero(~joined) + 1, len(beside)]
    for begin, end in pairwise(cuts):
        if end - begin > 1:
            yield _surface(_Course.of(beside["sample"][begin:end]), int(surface[begin]))


def _surface(course: _Course, surface: int) -> _Piece:
    """A lane's whole width and a little more, so that it meets its neighbours."""
    grown = course.longer(GROWTH)
    half = grown.width / 2.0 + GROWTH
    return grown.strip(-half, half), surface, grown.z[1:]


def _markings(course: _Course, types: NDArray[np.uint8], colors: NDArray[np.uint8], side: int) -> Iterator[_Piece]:
    """The lines on one side of a lane; a new kind of marking begins where the last one ended."""
    change = np.flatnonzero((types[1:] != types[:-1]) | (colors[1:] != colors[:-1]))
    begins, ends = np.r_[0, change], np.r_[change, len(types) - 1]
    for begin, end in zip(begins, ends):
        surface = _MARKING_SURFACES.get(int(colors[end]))
        lines = _MARKING_LINES.get(int(types[end]), ())
        if surface is None or end <= begin:
            continue
        for number, solid in enumerate(lines):
            beyond = number * _DOUBLE_LINE_GAP
            part = _Course(*(column[begin : end + 1] for column in course))
            if solid:
                yield _line(part, side, beyond, surface)
            else:
                yield from _dashes(part, side, beyond, surface)


def _line(course: _Course, side: int, beyond: float, surface: int) -> _Piece:
    middle = side * (course.width / 2.0 + beyond)
    return course.strip(middle - _LINE_WIDTH / 2.0, middle + _LINE_WIDTH / 2.0), surface, course.z[1:]


def _dashes(course: _Course, side: int, beyond: float, surface: int) -> Iterator[_Piece]:
    starts = np.arange(course.distance[0], course.distance[-1] - _DASH_LENGTH, _DASH_PERIOD)
    if not len(starts):
        return
    middle = course.at((starts[:, None] + np.array([0.0, 0.5, 1.0]) * _DASH_LENGTH).ravel())
    quads, surface, heights = _line(middle, side, beyond, surface)
    within = np.arange(len(quads)) % 3 < 2  # every third strip joins two dashes
    yield quads[within], surface, heights[within]


def _arrows(course: _Course) -> Iterator[_Piece]:
    """Arrows in the direction of travel, their feet 20 m apart."""
    feet = course.at(np.arange(_ARROW_PERIOD, course.distance[-1], _ARROW_PERIOD))
    back, sideways = _ARROW_HEAD
    strokes = (
        ((0.0, 0.0), (_ARROW_LENGTH, 0.0)),
        ((_ARROW_LENGTH - back, sideways), (_ARROW_LENGTH, 0.0)),
        ((_ARROW_LENGTH - back, -sideways), (_ARROW_LENGTH, 0.0)),
    )
    for x, y, yaw, z in zip(feet.x, feet.y, feet.yaw, feet.z):
        quads = np.array([_stroke(x, y, yaw, begin, end) for begin, end in strokes])
        yield quads, _WHITE_SURFACE, np.full(len(quads), z)


def _stroke(
    x: float, y: float, yaw: float, begin: tuple[float, float], end: tuple[float, float]
) -> NDArray[np.float64]:
    """A thick line between two points (forward, right) of a pose."""
    forward = np.array([math.cos(yaw), math.sin(yaw)])
    right = np.array([-forward[1], forward[0]])
    a = np.array([x, y]) + begin[0] * forward + begin[1] * right
    b = np.array([x, y]) + end[0] * forward + end[1] * right
    along = (b - a) / np.linalg.norm(b - a)
    half = _ARROW_STROKE / 2.0 * np.array([-along[1], along[0]])
    return np.array([a - half, b - half, b + half, a + half])
