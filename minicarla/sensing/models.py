"""The shapes of actors: vehicles by class and size, walkers that walk, the better known props."""

from __future__ import annotations

import functools
import hashlib
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.sensing.actors import shape_of
from minicarla.sensing.mesh import (
    BOX_FACES,
    GLASS,
    HEADLIGHT,
    LEFT_BLINKER,
    PAINT,
    PLAIN,
    REVERSE_LIGHT,
    RIGHT_BLINKER,
    SIREN,
    TAIL_LIGHT,
    Colour,
    Mesh,
    MeshBuilder,
)
from minicarla.sensing.view import Joints

Size = tuple[float, float, float]
"""Half sizes [m]: length, width, height."""

_WINDOW = ((34, 42, 50), GLASS)
_BODY = ((255, 255, 255), PAINT)
_SILL = ((36, 36, 38), PLAIN)
_TYRE = (26, 26, 28)
_RIM, _GAP = (168, 170, 174), (62, 63, 66)
_SPOKES = 5
_GRILLE = (28, 29, 31)
_LAMP = (235, 236, 225)
_REAR_LAMP = (150, 16, 18)
_AMBER = (205, 120, 20)

WALK_POSES = 8
"""Poses of one step cycle of a walker."""
_STEP_CYCLE = 1.4
"""[m] that a walker comes forward in it."""


def walk_pose(walker: np.void) -> int:
    """The pose of a walker (a row of `physics.state.WALKER`): arms and legs swing with the distance it has come."""
    if walker["vx"] ** 2 + walker["vy"] ** 2 <= 0.04:
        return WALK_POSES
    way = walker["x"] * math.cos(walker["yaw"]) + walker["y"] * math.sin(walker["yaw"])
    return int(way / _STEP_CYCLE * WALK_POSES) % WALK_POSES


def limb_angles(pose: int) -> tuple[float, float]:
    """How far a walker's right leg and right arm swing forward in a pose, in radians; the left ones swing back."""
    leg = 0.0 if pose >= WALK_POSES else math.sin(2.0 * math.pi * pose / WALK_POSES) * 0.42
    return leg, -0.8 * leg


class Wheel(NamedTuple):
    """A wheel of a vehicle's mesh.

    Attributes:
        place: middle in the mesh's frame [m].
        radius, half: of it, and half its width [m].
        rim: share of the radius.
        number: wheel of `physics.state` with which it turns.
    """

    place: tuple[float, float, float]
    radius: float
    half: float
    rim: float
    number: int


class _Body(MeshBuilder):
    """The mesh of an actor, and the wheels that belong to it but turn by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.wheels: list[Wheel] = []

    def wheel(self, place: tuple[float, float, float], radius: float, half: float, rim: float, front: bool) -> None:
        """Add a wheel; those in the middle turn with the left ones."""
        self.wheels.append(Wheel(place, radius, half, rim, (0 if front else 2) + (place[1] > 0.0)))


@functools.lru_cache(maxsize=512)
def model(type_id: str, size: Size, detail: int, pose: int = 0) -> Mesh:
    """The mesh of a blueprint around the middle of its bounding box, without its `wheels`.

    Args:
        type_id: blueprint id.
        size: half sizes of its bounding box [m].
        detail: 1 near, 0 far.
        pose: for walkers, step pose 0..`WALK_POSES` - 1; `WALK_POSES` stands.
    """
    return _body(type_id, size, detail, pose).build()


@functools.lru_cache(maxsize=512)
def wheels(type_id: str, size: Size) -> tuple[Wheel, ...]:
    """The wheels of a vehicle with a bounding box of these half sizes [m]."""
    return tuple(_body(type_id, size, 0, 0).wheels)


def _body(type_id: str, size: Size, detail: int, pose: int) -> _Body:
    shape = shape_of(type_id)
    builder = _Body()
    if shape == "walker":
        _walker(builder, type_id, size, pose, detail)
    elif shape == "prop":
        _prop(builder, type_id, size, detail)
    else:
        _VEHICLES[shape](builder, type_id, size, detail)
    return builder


@functools.lru_cache(maxsize=512)
def wheel_mesh(radius: float, half: float, rim: float, detail: int) -> Mesh:
    """A wheel around its middle, its axle along y: radius, half width [m], rim as a share of the radius."""
    builder = MeshBuilder()
    builder.cylinder((0.0, 0.0, 0.0), radius, half, 1, _TYRE, sides=14 if detail else 8)
    if detail:
        angle = np.arange(2 * _SPOKES) * math.pi / _SPOKES
        for side in (1.0, -1.0):
            across = np.full(len(angle), side * (half + 0.004))
            ring = np.column_stack([rim * radius * np.cos(angle), across, rim * radius * np.sin(angle)])
            points = np.concatenate([[(0.0, side * (half + 0.02), 0.0)], ring])
            for first, colour in ((0, _RIM), (1, _GAP)):
                faces = [(0, 1 + i, 1 + (i + 1) % len(ring)) for i in range(first, len(ring), 2)]
                builder.convex(points, faces, colour)
    return builder.build()


def _car(builder: _Body, type_id: str, size: Size, detail: int) -> None:
    """A saloon, hatchback or sports car: hull, glass house, wheels and lamps from fractions of the box."""
    profile = next((found for key, found in _CAR_PROFILES.items() if key in type_id), _SALOON)
    _hull(builder, size, profile, detail)
    _wheels(builder, size, 0.6, -0.58, min(0.36, size[2] * 0.47))
    _lamps(builder, size, -0.36, -0.16, detail)
    if "police" in type_id:
        _siren(builder, size)


_SALOON = {"bonnet": 0.02, "screen": 0.36, "roof_front": 0.08, "roof_back": -0.42, "boot": -0.78, "deck": 0.1}
_HATCH = {"bonnet": 0.02, "screen": 0.44, "roof_front": 0.14, "roof_back": -0.72, "boot": -0.95, "deck": 0.1}
_SUV = {"bonnet": 0.14, "screen": 0.42, "roof_front": 0.2, "roof_back": -0.82, "boot": -0.96, "deck": 0.16}
_COUPE = {"bonnet": -0.04, "screen": 0.26, "roof_front": -0.06, "roof_back": -0.36, "boot": -0.84, "deck": 0.06}
_CAR_PROFILES = {
    "a2": _HATCH, "c3": _HATCH, "micra": _HATCH, "cooper": _HATCH, "leon": _HATCH, "microlino": _HATCH,
    "prius": _HATCH, "etron": _SUV, "patrol": _SUV, "wrangler": _SUV, "mustang": _COUPE, ".tt": _COUPE,
    "coupe": _COUPE, "charger": _COUPE,
}  # fmt: skip


def _hull(builder: MeshBuilder, size: Size, profile: dict[str, float], detail: int) -> None:
    length, width, height = size
    floor, belt = -0.72 * height, profile["bonnet"] * height
    deck = profile["deck"] * height
    waist = 0.5 * (floor + belt)

    def outline(half: float, low: float, top: float) -> list[tuple[float, float]]:
        middle = low + 0.45 * (top - low)
        points = [(0.0, low), (half * 0.9, low), (half, middle), (half * 0.95, top - 0.06 * height), (half * 0.8, top)]
        return [*points, (0.0, top + 0.015 * height)]

    ends = [
        (1.0, 0.78, floor + 0.16 * height, waist + 0.08 * height),
        (0.95, 0.92, floor, belt - 0.16 * height),
        (0.7, 1.0, floor, belt - 0.04 * height),
        (profile["screen"], 1.0, floor, belt + 0.06 * height),
        (-0.2, 1.0, floor, belt + 0.1 * height),
        (profile["roof_back"] - 0.1, 1.0, floor, deck + 0.06 * height),
        (-0.93, 0.95, floor, deck),
        (-1.0, 0.84, floor + 0.16 * height, waist + 0.16 * height),
    ]
    stations = [(x * length, outline(half * width, low, top)) for x, half, low, top in ends]
    if not detail:
        stations = [stations[i] for i in (0, 1, 3, 6, 7)]
    builder.loft(stations, [_SILL, _SILL, _BODY, _BODY, _BODY], caps=_BODY)
    _glass_house(builder, size, profile, belt, deck, detail)


def _glass_house(
    builder: MeshBuilder, size: Size, profile: dict[str, float], belt: float, deck: float, detail: int
) -> None:
    length, width, height = size
    base, roof = 0.9 * width, 0.68 * width
    front, back = profile["screen"] * length, profile["boot"] * length
    roof_front, roof_back = profile["roof_front"] * length, profile["roof_back"] * length
    low_front, low_back, top = belt + 0.03 * height, deck, height
    right = [
        (front, base, low_front), (back, base, low_back), (roof_back, roof, top - 0.03 * height),
        (roof_front, roof, top - 0.05 * height),
    ]  # fmt: skip
    builder.mirrored([right[0], right[1], right[2], right[3]], *_BODY)
    inner = [_towards(right, corner, 0.13) for corner in range(4)]
    builder.mirrored([(x, y + 0.012, z) for x, y, z in inner], *_WINDOW)
    _across(builder, right[3], right[0], _BODY)
    _across(builder, _mix(right[3], right[0], 0.06), _mix(right[3], right[0], 0.95), _WINDOW, 0.9, 0.012)
    _across(builder, right[1], right[2], _BODY)
    _across(builder, _mix(right[1], right[2], 0.1), _mix(right[1], right[2], 0.9), _WINDOW, 0.88, -0.012)
    crown = (0.5 * (roof_front + roof_back), 0.0, top)
    for a, b in ((right[3], _flip(right[3])), (_flip(right[3]), _flip(right[2])), (_flip(right[2]), right[2])):
        _facet(builder, a, b, crown, _BODY)
    _facet(builder, right[2], right[3], crown, _BODY)
    if detail:
        for side in (1.0, -1.0):
            builder.box((front - 0.02, side * (width * 0.97), low_front + 0.08), (0.05, 0.05, 0.05), *_BODY)


def _facet(builder: MeshBuilder, a, b, c, what) -> None:  # type: ignore[no-untyped-def]
    """One triangle that looks upward."""
    points = np.array([a, b, c])
    up = np.cross(points[1] - points[0], points[2] - points[0])[2] > 0.0
    builder.add(points, [(0, 1, 2) if up else (0, 2, 1)], *what)


def _flip(point):  # type: ignore[no-untyped-def]
    return point[0], -point[1], point[2]


def _mix(a, b, share: float):  # type: ignore[no-untyped-def]
    return tuple(p + (q - p) * share for p, q in zip(a, b))


def _towards(corners, corner: int, share: float):  # type: ignore[no-untyped-def]
    """A corner moved towards the middle of its polygon."""
    middle = tuple(sum(axis) / len(corners) for axis in zip(*corners))
    return _mix(corners[corner], middle, share)


def _across(builder: MeshBuilder, upper, lower, what, narrow: float = 1.0, lift: float = 0.0) -> None:  # type: ignore[no-untyped-def]
    """A pane across the car between two points of its right side and their mirror images, looking up and out."""
    (xu, yu, zu), (xl, yl, zl) = upper, lower
    points = np.array([(xu, yu * narrow, zu), (xu, -yu * narrow, zu), (xl, -yl * narrow, zl), (xl, yl * narrow, zl)])
    points[:, 0] += lift
    points[:, 2] += abs(lift)
    up = np.cross(points[1] - points[0], points[2] - points[0])[2] > 0.0
    builder.add(points, [(0, 1, 2), (0, 2, 3)] if up else [(0, 2, 1), (0, 3, 2)], *what)


def _wheels(builder: _Body, size: Size, front: float, back: float, radius: float) -> None:
    length, width, height = size
    for x in (front, back):
        for side in (1.0, -1.0):
            builder.wheel((x * length, side * (width - 0.125), radius - height), radius, 0.115, 0.62, x > 0.0)


def _lamps(builder: MeshBuilder, size: Size, low: float, high: float, detail: int, inset: float = 0.82) -> None:
    """Head, tail and turning lamps a little in front of and behind the hull."""
    length, width, height = size
    z = 0.5 * (low + high) * height - 0.1 * height
    half = max(0.05, 0.09 * height)
    for side in (1.0, -1.0):
        y = side * width * (inset - 0.18)
        builder.box((length - 0.01, y, z), (0.03, 0.16 * width, half), _LAMP, HEADLIGHT)
        builder.box((0.01 - length, y, z + 0.06 * height), (0.03, 0.16 * width, half), _REAR_LAMP, TAIL_LIGHT)
        if detail:
            blinker = RIGHT_BLINKER if side > 0.0 else LEFT_BLINKER
            for x in (0.95, -0.955):
                builder.box((x * length, side * width * inset, z), (0.04, 0.05, half * 0.7), _AMBER, blinker)
            # Parts of the lamps in front and behind: the outer third turns, the inner one of those behind reverses.
            part, outer, inner = (0.03, 0.05 * width, half), y + side * 0.11 * width, y - side * 0.11 * width
            builder.box((length - 0.004, outer, z), part, _AMBER, blinker)
            builder.box((0.004 - length, outer, z + 0.06 * height), part, _AMBER, blinker)
            builder.box((0.004 - length, inner, z + 0.06 * height), part, _LAMP, REVERSE_LIGHT)
    if detail:
        builder.box((length * 0.992, 0.0, z - 0.1 * height), (0.02, 0.3 * width, 0.1 * height), _GRILLE)
        for x in (length, -length):
            builder.box((x * 0.996, 0.0, z - 0.22 * height), (0.015, 0.26, 0.06), (225, 225, 220))


def _siren(builder: MeshBuilder, size: Size) -> None:
    for side, colour in ((0.16, (190, 20, 25)), (-0.16, (20, 40, 200))):
        builder.box((-0.12 * size[0], side * size[1], size[2] - 0.04), (0.09, 0.15 * size[1], 0.05), colour, SIREN)


def _pickup(builder: _Body, type_id: str, size: Size, detail: int) -> None:
    """Flat planes rising to one ridge: an angular pickup."""
    length, width, height = size
    floor = -0.62 * height
    half = [(0.0, floor), (0.92 * width, floor), (width, 0.05 * height), (0.9 * width, 0.22 * height)]
    ends = [(1.0, -0.3, 0.9), (0.85, -0.04, 1.0), (-0.9, 0.0, 1.0), (-1.0, 0.0, 0.95)]
    stations = [
        (x * length, [(y * w, z + (drop * height if i > 1 else 0.0)) for i, (y, z) in enumerate(half)])
        for x, drop, w in ends
    ]
    builder.loft(stations, [_SILL, _BODY, _BODY], caps=_BODY)
    right = [(0.55, 0.9, 0.2), (-0.95, 0.9, 0.24), (-0.05, 0.72, 0.97), (0.05, 0.72, 1.0)]
    corners = [(x * length, y * width, z * height) for x, y, z in right]
    builder.mirrored(corners, *_BODY)
    builder.mirrored([(x, y + 0.012, z) for x, y, z in (_towards(corners, i, 0.3) for i in range(4))], *_WINDOW)
    _across(builder, corners[3], corners[0], _WINDOW)
    _across(builder, corners[1], corners[2], _BODY)
    _across(builder, corners[2], corners[3], _BODY)
    _wheels(builder, size, 0.62, -0.62, 0.44)
    _lamps(builder, size, 0.1, 0.3, detail)


def _box_vehicle(
    builder: _Body, size: Size, nose: float, slope: float, window: tuple[float, float], radius: float,
    detail: int, axles: tuple[float, ...] = (0.66, -0.6), rows: int = 1,
) -> None:  # fmt: skip
    """A tall vehicle in one volume: `nose` is the length of the bonnet, `slope` that of the wind screen (fractions)."""
    length, width, height = size
    floor, belt = -0.78 * height, window[0] * height

    def outline(top: float, half: float = 1.0) -> list[tuple[float, float]]:
        return [(0.0, floor), (half * 0.96 * width, floor), (half * width, floor + 0.3 * height),
                (half * width, top - 0.06 * height), (half * 0.9 * width, top), (0.0, top)]  # fmt: skip

    stations = [
        (length, outline(belt - 0.1 * height, 0.94)),
        (length * (1.0 - nose), outline(belt)),
        (length * (1.0 - nose - slope), outline(height)),
        (-length, outline(height)),
    ]
    builder.loft(stations, [_SILL, _BODY, _BODY, _BODY, _BODY], caps=_BODY)
    screen_low, screen_high = length * (1.0 - nose), length * (1.0 - nose - slope)
    low, high = belt + 0.03 * height, height * 0.86
    at_high = screen_low + (screen_high - screen_low) * (high - belt) / (height - belt)
    _across(builder, (at_high, 0.86 * width, high), (screen_low, 0.9 * width, low), _WINDOW, 1.0, 0.03)
    front, back = at_high - 0.06 * length, -0.9 * length if rows > 1 else screen_high - 0.4 * length
    for row in range(rows):
        x0 = front + (back - front) * row / rows - 0.03
        x1 = front + (back - front) * (row + 1) / rows + 0.03
        y = width + 0.012
        top = window[1] * height
        builder.mirrored([(x0, y, low), (x1, y, low), (x1, y, top), (x0, y, top)], *_WINDOW)
    rear = -length - 0.012
    _pane_back(builder, rear, 0.72 * width, 0.2 * height, 0.8 * height)
    for x in axles:
        for side in (1.0, -1.0):
            builder.wheel((x * length, side * (width - 0.155), radius - height), radius, 0.15, 0.58, x > 0.0)
    _lamps(builder, size, -0.5, -0.3, detail, 0.95)


def _pane_back(builder: MeshBuilder, x: float, half: float, low: float, high: float) -> None:
    points = np.array([(x, half, low), (x, -half, low), (x, -half, high), (x, half, high)])
    facing = np.cross(points[1] - points[0], points[2] - points[0])[0] < 0.0
    builder.add(points, [(0, 1, 2), (0, 2, 3)] if facing else [(0, 2, 1), (0, 3, 2)], *_WINDOW)


def _van(builder: _Body, type_id: str, size: Size, detail: int) -> None:
    _box_vehicle(builder, size, 0.18 if "t2" not in type_id else 0.02, 0.2, (0.12, 0.72), 0.36, detail)
    if "ambulance" in type_id:
        _siren(builder, size)
        length, width, height = size
        y = width + 0.014
        stripe = [(0.4 * length, y, -0.2 * height), (-0.95 * length, y, -0.2 * height)]
        builder.mirrored([*stripe, (-0.95 * length, y, 0.0), (0.4 * length, y, 0.0)], (190, 30, 30))


def _bus(builder: _Body, type_id: str, size: Size, detail: int) -> None:
    _box_vehicle(builder, size, 0.0, 0.06, (-0.05, 0.62), 0.48, detail, rows=5 if detail else 1)


def _truck(builder: _Body, type_id: str, size: Size, detail: int) -> None:
    """A cab, a chassis and a body behind it."""
    length, width, height = size
    cab_back = 0.52
    cab: Size = ((1.0 - cab_back) / 2.0 * length, 0.94 * width, 0.82 * height)
    cab_builder = _Body()
    _box_vehicle(cab_builder, cab, 0.0, 0.1, (0.05, 0.7), 0.5, detail, axles=(0.1,))
    mesh = cab_builder.build()
    shift = ((1.0 + cab_back) / 2.0 * length, 0.0, cab[2] - height)
    for material in set(mesh.material.tolist()):
        for colour in {tuple(c) for c in mesh.colour[mesh.material == material].tolist()}:
            faces = mesh.triangles[(mesh.material == material) & (mesh.colour == colour).all(axis=1)]
            builder.add(mesh.vertices + shift, faces.tolist(), colour, int(material))
    for wheel in cab_builder.wheels:
        x, y, z = wheel.place
        builder.wheel((x + shift[0], y, z + shift[2]), wheel.radius, wheel.half, wheel.rim, True)
    body_half = (cab_back + 1.0) / 2.0 * length - 0.06
    what = ((225, 226, 228), PLAIN) if "hgv" in type_id else _BODY
    builder.box((-(1.0 - cab_back) / 2.0 * length - 0.04, 0.0, 0.22 * height), (body_half, width, 0.78 * height), *what)
    builder.box((-0.1 * length, 0.0, -0.62 * height), (0.88 * length, 0.6 * width, 0.1 * height), *_SILL)
    for x in (-0.45, -0.72):
        for side in (1.0, -1.0):
            builder.wheel((x * length, side * (width - 0.22), 0.5 - height), 0.5, 0.2, 0.55, False)
    for side in (1.0, -1.0):
        x, y, z = -length * 0.99, side * 0.75 * width, -0.62 * height
        builder.box((x, y, z), (0.03, 0.16, 0.1), _REAR_LAMP, TAIL_LIGHT)
        if detail:
            blinker = RIGHT_BLINKER if side > 0.0 else LEFT_BLINKER
            builder.box((x, y + side * 0.24, z), (0.03, 0.08, 0.1), _AMBER, blinker)
            builder.box((x, y - side * 0.24, z), (0.03, 0.08, 0.1), _LAMP, REVERSE_LIGHT)
    if "firetruck" in type_id:
        _siren(builder, (length, width, height * 0.68))


def _two_wheeler(builder: _Body, type_id: str, size: Size, detail: int) -> None:
    """Wheels, frame and a rider, for bicycles and motorcycles."""
    length, _, height = size
    motor = shape_of(type_id) == "motorcycle"
    radius = min(0.34, 0.42 * length) if motor else min(0.35, 0.46 * length)
    thick = 0.07 if motor else 0.025
    ground = -height
    for x in (length - radius, radius - length):
        builder.wheel((x, 0.0, ground + radius), radius, thick, 0.8, x > 0.0)
    seat = ground + (0.82 if motor else 0.95)
    if motor:
        builder.box((0.02, 0.0, ground + 0.55), (0.5 * length, 0.16, 0.2), *_BODY, top=0.8)
        builder.box((-0.3 * length, 0.0, seat - 0.04), (0.36 * length, 0.14, 0.06), *_SILL)
        builder.box((0.3 * length, 0.0, seat), (0.2 * length, 0.15, 0.12), *_BODY, top=0.7)
        builder.box((length * 0.72, 0.0, seat + 0.02), (0.06, 0.1, 0.1), _LAMP, HEADLIGHT)
        builder.box((-length * 0.8, 0.0, seat), (0.05, 0.1, 0.05), _REAR_LAMP, TAIL_LIGHT)
    else:
        builder.box((0.0, 0.0, ground + 0.62), (0.34 * length, 0.025, 0.03), *_BODY)
        builder.box((-0.1 * length, 0.0, ground + 0.5), (0.03, 0.025, 0.26), *_BODY)
        builder.box((0.36 * length, 0.0, ground + 0.62), (0.03, 0.025, 0.32), *_BODY)
        builder.box((-0.18 * length, 0.0, seat - 0.02), (0.12, 0.07, 0.025), *_SILL)
    builder.box((0.42 * length, 0.0, seat + 0.12), (0.025, 0.3, 0.025), *_SILL)
    _rider(builder, type_id, seat, height, 0.42 * length, detail)


def _rider(builder: MeshBuilder, type_id: str, seat: float, top: float, reach: float, detail: int) -> None:
    cloth, trousers, skin, hair = _clothes(type_id)
    tag = labels.RIDER
    shoulder = min(seat + 0.55, top - 0.3)
    head = min(shoulder + 0.2, top - 0.14)
    builder.box((-0.08, 0.0, (seat + shoulder) / 2.0), (0.13, 0.19, (shoulder - seat) / 2.0 + 0.03), cloth, PLAIN, tag,
                shift=0.12)  # fmt: skip
    builder.ball((0.1, 0.0, head), (0.13, 0.12, 0.15), hair, PLAIN, tag, sides=8 if detail else 5, rings=4)
    builder.box((0.19, 0.0, head - 0.02), (0.05, 0.07, 0.07), skin, PLAIN, tag)
    for side in (1.0, -1.0):
        builder.box((0.16, side * 0.2, shoulder - 0.14), (max(reach - 0.1, 0.1) * 0.6, 0.045, 0.05), cloth, PLAIN, tag)
        builder.box((0.06, side * 0.14, seat - 0.06), (0.22, 0.075, 0.08), trousers, PLAIN, tag)
        builder.box((0.2, side * 0.14, seat - 0.34), (0.06, 0.06, 0.24), trousers, PLAIN, tag)


def _clothes(type_id: str) -> tuple[tuple[int, int, int], ...]:
    """Colours of jacket, trousers, skin and hair, the same for a blueprint on every run."""
    dice = hashlib.md5(type_id.encode(), usedforsecurity=False).digest()
    jackets = ((168, 40, 44), (38, 66, 120), (60, 98, 62), (205, 200, 188), (92, 60, 110), (220, 160, 52), (52, 54, 60),
               (120, 160, 190))  # fmt: skip
    trousers = ((42, 46, 62), (68, 62, 56), (92, 88, 84), (36, 36, 38), (70, 84, 120))
    skins = ((224, 184, 156), (196, 148, 116), (142, 98, 72), (98, 66, 50))
    hairs = ((38, 30, 26), (82, 58, 36), (150, 116, 70), (120, 116, 112), (24, 22, 22))
    tables = (jackets, trousers, skins, hairs)
    return tuple(table[dice[i] % len(table)] for i, table in enumerate(tables))


def _walker(builder: MeshBuilder, type_id: str, size: Size, pose: int, detail: int) -> None:
    """A person; arms and legs swing against each other through the step cycle."""
    cloth, trousers, skin, hair = _clothes(type_id)
    height = size[2] * 2.0
    scale = height / 1.8
    leg, arm = limb_angles(pose)
    foot = -size[2]
    hip, shoulder = foot + 0.47 * height, foot + 0.82 * height
    head = foot + 0.925 * height
    for side in (1.0, -1.0):
        _limb(builder, (0.0, side * 0.1 * scale, hip), 0.47 * height, 0.075 * scale, leg * side, trousers, detail)
        _limb(builder, (0.0, side * 0.235 * scale, shoulder), 0.36 * height, 0.052 * scale, arm * side, cloth, detail)
    builder.box((0.0, 0.0, (hip + shoulder) / 2.0), (0.115 * scale, 0.17 * scale, (shoulder - hip) / 2.0 + 0.03), cloth,
                top=1.12)  # fmt: skip
    sides = 8 if detail else 5
    builder.ball((0.02, 0.0, head - 0.01), (0.095 * scale, 0.085 * scale, 0.125 * scale), skin, sides=sides, rings=4)
    builder.ball((-0.015, 0.0, head + 0.03), (0.105 * scale, 0.095 * scale, 0.11 * scale), hair, sides=sides, rings=4)


def _limb(builder: MeshBuilder, joint, length: float, thick: float, lean: float, colour, detail: int) -> None:  # type: ignore[no-untyped-def]
    """A tapered box hanging from a joint, leaning forward by `lean` radians; feet or hands at its end."""
    x, y, z = joint
    reach = math.sin(lean) * length
    drop = math.cos(lean) * length
    builder.box((x + reach, y, z - drop / 2.0), (thick, thick, drop / 2.0), colour, top=1.2, shift=-reach)
    if detail and length > 0.7:
        builder.box((x + reach + 0.05, y, z - drop + 0.04), (0.12, thick, 0.04), (40, 36, 34))


_TRUNK = ("crl_Head__C", "crl_neck__C", "crl_hips__C")
_LIMBS = ("crl_arm", "crl_foreArm", "crl_hand", "crl_thigh", "crl_leg", "crl_foot", "crl_toeEnd")
JOINTS = _TRUNK + tuple(f"{bone}__{side}" for side in "RL" for bone in _LIMBS)
"""Bones of CARLA's pedestrians between which `posed_walker` draws a body."""


def posed_walker(type_id: str, size: Size, joints: Joints) -> Mesh:
    """A person whose joints are somewhere.

    Args:
        type_id: blueprint id.
        size: half sizes of the bounding box [m].
        joints: places of `JOINTS` from the middle of the bounding box [m].
    """
    cloth, trousers, skin, hair = _clothes(type_id)
    scale = size[2] / 0.9
    builder = MeshBuilder()
    place = dict(zip(JOINTS, np.array(joints)))
    for side in "RL":
        arm, elbow, hand, hip, knee, foot, toe = (place[f"{bone}__{side}"] for bone in _LIMBS)
        for start, end, thick, colour in (
            (arm, elbow, 0.055, cloth), (elbow, hand, 0.045, cloth), (hip, knee, 0.08, trousers),
            (knee, foot, 0.065, trousers), (foot, toe, 0.05, (40, 36, 34)),
        ):  # fmt: skip
            _bar(builder, start, end, thick * scale, thick * scale, colour)
        builder.ball(tuple(hand), (0.05 * scale,) * 3, skin, sides=5, rings=3)
    head, neck, hips = (place[bone] for bone in _TRUNK)
    _bar(builder, hips, neck, 0.115 * scale, 0.19 * scale, cloth)
    crown = head + (head - neck) / max(float(np.linalg.norm(head - neck)), 0.01) * 0.06 * scale
    builder.ball(tuple(crown), (0.1 * scale, 0.09 * scale, 0.125 * scale), skin, rings=4)
    builder.ball(tuple(crown + (-0.03, 0.0, 0.03)), (0.105 * scale, 0.095 * scale, 0.11 * scale), hair, rings=4)
    return builder.build()


def _bar(
    builder: MeshBuilder, start: NDArray[np.float64], end: NDArray[np.float64], deep: float, wide: float, colour: Colour
) -> None:
    """A box from one place to another, `wide` from its middle sideways and `deep` across."""
    along = end - start
    length = max(float(np.linalg.norm(along)), 1e-3)
    along = along / length
    side = np.array((0.0, 1.0, 0.0)) if abs(along[1]) < 0.9 else np.array((1.0, 0.0, 0.0))
    side = side - along * (side @ along)
    side /= np.linalg.norm(side)
    ahead = np.cross(side, along)
    corners = [
        start + u * along * length + v * wide * side + w * deep * ahead
        for u in (0, 1) for v in (-1, 1) for w in (-1, 1)
    ]  # fmt: skip
    builder.convex(np.array(corners), BOX_FACES, colour)


def _prop(builder: MeshBuilder, type_id: str, size: Size, detail: int) -> None:
    name = type_id.rsplit(".", 1)[-1]
    length, width, height = size
    if "cone" in name or "trafficcone" in name:
        radius = min(length, width)
        builder.box((0.0, 0.0, -0.93 * height), (length, width, 0.07 * height), (200, 70, 20))
        builder.cylinder((0.0, 0.0, 0.0), radius * 0.75, 0.93 * height, 2, (225, 90, 25), top=0.2)
        builder.cylinder((0.0, 0.0, 0.1 * height), radius * 0.5, 0.14 * height, 2, (235, 235, 230), top=0.8)
        return
    colour = next((found for key, found in _PROP_COLOURS.items() if key in name), (140, 132, 120))
    if any(key in name for key in ("barrel", "bin", "trashcan", "plantpot", "container", "colacan", "bag")):
        builder.cylinder((0.0, 0.0, 0.0), min(length, width), height, 2, colour, sides=12 if detail else 6)
        if "plantpot" in name:
            builder.ball((0.0, 0.0, 0.3 * height), (length, width, 0.7 * height), (58, 96, 44))
        return
    if "tree" in name or "bush" in name:
        builder.cylinder((0.0, 0.0, -0.55 * height), 0.06 * height, 0.45 * height, 2, (88, 66, 46))
        builder.ball((0.0, 0.0, 0.3 * height), (length, width, 0.7 * height), (62, 96, 42), sides=9, rings=6)
        return
    if "bench" in name or "table" in name:
        builder.box((0.0, 0.0, 0.0), (length, width, 0.12 * height), colour)
        for x in (-0.8, 0.8):
            builder.box((x * length, 0.0, -0.5 * height), (0.06 * length, 0.8 * width, 0.5 * height), _GRILLE)
        if "bench" in name:
            builder.box((0.0, -0.9 * width, 0.5 * height), (length, 0.1 * width, 0.5 * height), colour)
        return
    builder.box((0.0, 0.0, 0.0), (length, width, height), colour)


_PROP_COLOURS = {
    "barrel": (198, 92, 34), "mailbox": (40, 70, 150), "vending": (170, 40, 40), "barrier": (210, 205, 195),
    "bin": (58, 84, 62), "trashcan": (70, 74, 78), "plantpot": (150, 92, 66), "glasscontainer": (60, 120, 80),
    "container": (60, 100, 130), "box": (176, 138, 92), "bench": (128, 92, 60), "table": (128, 92, 60),
    "bag": (30, 30, 34), "advert": (190, 195, 205), "kiosk": (110, 140, 120), "bus": (120, 130, 140),
    "atm": (60, 90, 140), "sign": (215, 160, 40), "warning": (225, 110, 30), "garbage": (110, 104, 92),
    "colacan": (190, 30, 30), "gnome": (180, 50, 50), "barbeque": (60, 60, 62),
}  # fmt: skip

_VEHICLES = {
    "car": _car, "pickup": _pickup, "van": _van, "truck": _truck, "bus": _bus, "motorcycle": _two_wheeler,
    "bicycle": _two_wheeler,
}  # fmt: skip


class _DoorPlan(NamedTuple):
    """Where the side doors of a shape are, in fractions of the half sizes: front and rear edge of the front and of the
    rear doors, sill, belt, upper edge, how much the glass leans in, and how far the front pillar leans back."""

    front: tuple[float, float]
    rear: tuple[float, float] | None
    heights: tuple[float, float, float]
    lean: float
    pillar: float


_DOORS = {
    "car": _DoorPlan((0.36, -0.06), (-0.08, -0.46), (-0.66, 0.04, 0.84), 0.24, 0.27),
    "pickup": _DoorPlan((0.4, -0.02), (-0.04, -0.44), (-0.56, 0.2, 0.8), 0.2, 0.32),
    "van": _DoorPlan((0.56, 0.2), None, (-0.7, 0.1, 0.78), 0.06, 0.1),
    "bus": _DoorPlan((0.9, 0.72), (-0.1, -0.3), (-0.72, -0.05, 0.62), 0.04, 0.0),
    "truck": _DoorPlan((0.94, 0.62), None, (-0.5, -0.1, 0.42), 0.06, 0.02),
}
_SWING = math.radians(62.0)
_INSIDE = (22, 22, 25)


def opened_doors(type_id: str, size: Size, doors: int) -> Mesh | None:
    """Open doors and what they leave open, around the middle of the bounding box; None where a shape has none.

    Args:
        type_id: blueprint id of a vehicle.
        size: half sizes of its bounding box [m].
        doors: bits by carla.VehicleDoor: front left, front right, rear left, rear right.
    """
    plan = _DOORS.get(shape_of(type_id))
    builder = MeshBuilder()
    open_ones = [door for door in range(4) if plan is not None and doors >> door & 1 and (door < 2 or plan.rear)]
    if plan is None or not open_ones:
        return None
    length, width, height = size
    sill, belt, top = (share * height for share in plan.heights)
    for door in open_ones:
        side = 1.0 if door & 1 else -1.0
        ahead, behind = (share * length for share in (plan.rear if door > 1 and plan.rear else plan.front))
        inner, back = width * (1.0 - plan.lean), plan.pillar * length if door < 2 else 0.0
        gap = np.array([(ahead, width, sill), (behind, width, sill), (behind, inner, top), (ahead - back, inner, top),
                        (ahead, width, belt), (behind, width, belt)])  # fmt: skip
        gap[:, 1] = side * (gap[:, 1] + 0.02)
        faces = np.array([(0, 5, 1), (0, 4, 5), (4, 2, 5), (4, 3, 2)])
        builder.add(gap, faces[:, ::-1] if side > 0.0 else faces, _INSIDE)
        leaf = (ahead, behind, side)
        _leaf(builder, leaf, (sill, width, belt, width), 0.0, *_BODY)
        _leaf(builder, leaf, (belt, width, top, inner), back, *_WINDOW)
    return builder.build()


def _leaf(
    builder: MeshBuilder, leaf: tuple[float, float, float], edges: tuple[float, float, float, float], back: float,
    *what: object,
) -> None:  # fmt: skip
    """A piece of a door that swings around its front edge.

    leaf: front and rear edge, side (1 right); edges: height and distance from the middle below, and above; back: how
    much farther back the front edge ends above.
    """
    ahead, behind, side = leaf
    low, low_y, high, high_y = edges
    cos, sin = math.cos(_SWING), math.sin(_SWING)
    points = []
    for z, y, start in ((low, low_y, 0.0), (high, high_y, back)):
        for along, inward in ((start, 0.0), (ahead - behind, 0.0), (start, 0.06), (ahead - behind, 0.06)):
            deep = inward + low_y - y
            points.append((ahead - along * cos - deep * sin, side * (low_y + along * sin - deep * cos), z))
    builder.convex(np.array(points), BOX_FACES, *what)
