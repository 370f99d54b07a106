"""Road markings as quadrilaterals: lane lines, crosswalk stripes, stop lines."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from minicarla.town.lanes import Array, LaneTable, ReferenceLines
from minicarla.town.opendrive import RoadMark, RoadNetwork, RoadObject
from minicarla.town.stretches import straight_stretches
from minicarla.town.town import STOP_ZONE_BEYOND, Signal

DASH, GAP = 3.0, 4.5
"""[m] Lengths of the dashes of broken lines and of the gaps between them."""

PAIR_SPACING = 0.2
"""[m] Between the middles of double lines."""

ABOVE_ROAD = 0.012
"""[m] Markings lie this much above the road."""

STOP_LINE_DEPTH = 0.4
STRIPE, STRIPE_GAP = 0.5, 0.6

COLOURS = {
    "white": (215, 215, 210),
    "standard": (215, 215, 210),
    "yellow": (214, 168, 42),
    "blue": (70, 110, 190),
    "green": (80, 160, 70),
    "red": (190, 50, 45),
}

Quads = list[tuple[Array, tuple[int, int, int]]]


def lane_lines(network: RoadNetwork, lanes: LaneTable) -> Quads:
    """Quadrilaterals (n, 4, 3) of all lane lines, by colour; edges 0-1 and 3-2 run along the line."""
    found: dict[str, list[Array]] = {}
    drawn_centres: set[tuple[int, int]] = set()
    for row in range(len(lanes.road)):
        road, section = int(lanes.road[row]), int(lanes.section[row])
        lane_id = int(lanes.lane_id[row])
        records = network.roads[road].sections[section]
        stations = lanes.stations(row)
        edges = [(records.lanes[lane_id].marks, lanes.outer[stations])]
        if abs(lane_id) == 1 and (road, section) not in drawn_centres and 0 in records.lanes:
            drawn_centres.add((road, section))
            edges.append((records.lanes[0].marks, lanes.inner[stations]))
        s = lanes.s[stations]
        for marks, edge in edges:
            for mark, low, high in _spans(marks, records.s, s):
                for quads in _line_quads(mark, edge, s, low, high):
                    found.setdefault(mark.color, []).append(quads)
    return [(np.concatenate(parts), COLOURS.get(colour, COLOURS["white"])) for colour, parts in found.items()]


def _spans(marks: list[RoadMark], section_start: float, s: Array) -> list[tuple[RoadMark, float, float]]:
    """The visible marks, each with the stretch of road [m] on which it holds."""
    spans = []
    for index, mark in enumerate(marks):
        low = section_start + mark.s
        high = section_start + marks[index + 1].s if index + 1 < len(marks) else float(s[-1])
        if high - low > 0.05 and any(word in mark.type for word in ("solid", "broken")):
            spans.append((mark, max(low, float(s[0])), min(high, float(s[-1]))))
    return spans


def _line_quads(mark: RoadMark, edge: Array, s: Array, low: float, high: float) -> list[Array]:
    kinds = mark.type.split()
    offsets = [0.0] if len(kinds) == 1 else [PAIR_SPACING / 2, -PAIR_SPACING / 2]
    quads = []
    for kind, offset in zip(kinds, offsets):
        if kind == "broken":
            first = math.ceil((low - DASH) / (DASH + GAP))
            starts = np.arange(first, math.ceil(high / (DASH + GAP))) * (DASH + GAP)
            pieces = [(max(a, low), min(a + DASH, high)) for a in starts]
        else:
            pieces = [(low, high)]
        for a, b in pieces:
            if b - a > 0.1:
                quads.append(_strip(edge, s, a, b, offset, mark.width))
    return quads


def _strip(edge: Array, s: Array, low: float, high: float, offset: float, width: float) -> Array:
    """Quadrilaterals along an edge line, cut at its stations where it bends."""
    inside = s[(s > low + 0.05) & (s < high - 0.05)]
    at = np.concatenate([[low], inside, [high]])
    points = np.column_stack([np.interp(at, s, edge[:, k]) for k in range(3)])
    points = points[_bends(points)]
    along = np.gradient(points[:, :2], axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    normal = np.column_stack([-along[:, 1], along[:, 0], np.zeros(len(points))])
    # s runs along the reference line; OpenDRIVE's "left of" is to the right in CARLA's mirrored frame.
    left = points + normal * (offset - width / 2) + (0.0, 0.0, ABOVE_ROAD)
    right = points + normal * (offset + width / 2) + (0.0, 0.0, ABOVE_ROAD)
    return np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)


def _bends(points: Array) -> NDArray[np.int64]:
    """Rows of the points that are needed to follow a line closely."""
    first, _ = straight_stretches(np.zeros(len(points), np.int32), points, points, 0.015, 20.0)
    return np.append(first, len(points) - 1)


def crosswalk_polygons(network: RoadNetwork, lines: ReferenceLines) -> list[Array]:
    """Outlines (n, 3) [m] of all crosswalks in CARLA's frame."""
    polygons = []
    for index, road in enumerate(network.roads):
        for item in road.objects:
            if item.type == "crosswalk" and len(item.outline) >= 3:
                polygons.append(_object_outline(index, item, lines))
    return polygons


def _object_outline(road: int, item: RoadObject, lines: ReferenceLines) -> Array:
    point, heading = lines.carla_points(np.array([road], np.int32), np.array([item.s]), np.array([item.t]))
    corners = np.array(item.outline)
    if len(corners) > 3 and np.allclose(corners[0], corners[-1], atol=1e-3):
        corners = corners[:-1]
    # CARLA's y axis is mirrored, so headings and v change sign.
    angle = float(heading[0]) - item.heading
    cos, sin = math.cos(angle), math.sin(angle)
    u, v = corners[:, 0], -corners[:, 1]
    z = point[0, 2] + item.z_offset + corners[:, 2]
    return np.column_stack([point[0, 0] + u * cos - v * sin, point[0, 1] + u * sin + v * cos, z])


def crosswalk_stripes(polygons: list[Array]) -> Array:
    """Zebra stripes (n, 4, 3) of crosswalks, along the traffic that crosses them."""
    quads = []
    for polygon in polygons:
        (cx, cy), (width, depth), angle = cv2.minAreaRect(polygon[:, :2].astype(np.float32))
        if width < depth:
            width, depth, angle = depth, width, angle + 90.0
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        count = max(int((width - STRIPE) / (STRIPE + STRIPE_GAP)) + 1, 1)
        middles = (np.arange(count) - 0.5 * (count - 1)) * (STRIPE + STRIPE_GAP)
        height = _plane(polygon)
        for middle in middles:
            corners = [(middle - STRIPE / 2, v) for v in (-depth / 2, depth / 2)]
            corners += [(middle + STRIPE / 2, v) for v in (depth / 2, -depth / 2)]
            flat = np.array([(cx + a * cos - b * sin, cy + a * sin + b * cos) for a, b in corners])
            quads.append(np.column_stack([flat, height(flat) + ABOVE_ROAD]))
    return np.array(quads).reshape(-1, 4, 3)


def _plane(polygon: Array) -> Callable[[Array], Array]:
    """Least-squares plane through a polygon's corners, as a function of (n, 2) points."""
    middle = polygon.mean(axis=0)
    slope, *_ = np.linalg.lstsq(polygon[:, :2] - middle[:2], polygon[:, 2] - middle[2], rcond=None)
    return lambda points: middle[2] + (points - middle[:2]) @ slope


def stop_lines(signals: list[Signal], zones: NDArray[np.void]) -> Array:
    """Stop lines (n, 4, 3) across the lanes of traffic lights and stop signs, where their zones say that one stops."""
    quads = []
    seen: set[tuple[int, int]] = set()
    for zone in zones:
        signal = signals[int(zone["signal"])]
        if not (signal.is_traffic_light or signal.type_id == "traffic.stop"):
            continue
        forward = np.array([math.cos(zone["yaw"]), math.sin(zone["yaw"])])
        right = np.array([-forward[1], forward[0]])
        line = np.array([zone["x"], zone["y"]]) + forward * (zone["extent_x"] - STOP_ZONE_BEYOND)
        key = (round(float(line[0]) * 2), round(float(line[1]) * 2))
        if key in seen:
            continue
        seen.add(key)
        front, back, half = line - 0.3 * forward, line - (0.3 + STOP_LINE_DEPTH) * forward, zone["extent_y"] - 0.1
        flat = [back - right * half, back + right * half, front + right * half, front - right * half]
        quads.append([(*point, zone["z"] + ABOVE_ROAD) for point in flat])
    return np.array(quads).reshape(-1, 4, 3)
