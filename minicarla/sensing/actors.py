"""Actors as the sensors see them: which kind of thing a blueprint is, and the boxes that rays can meet."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import BARE, INNER
from minicarla.sensing.view import View

VEHICLE, WALKER, PROP, OBSTACLE = range(4)
"""Kinds of rows, as in physics.state."""

MOVING_BOX = np.dtype(
    [
        ("x", np.float64),
        ("y", np.float64),
        ("z", np.float64),
        ("axes", np.float64, (3, 3)),
        ("extent", np.float64, (3,)),
        ("radius", np.float64),
        ("kind", np.int32),
        ("row", np.int32),
        ("label", np.uint8),
        ("actor_id", np.uint32),
    ]
)
"""A box of an actor: centre [m], axes in rows (unit vectors), half sizes [m], radius of the ball around it."""

_TRUCKS = ("carlacola", "firetruck", "hgv", "cybertruck", "truck")
_BUSES = ("fusorosa", "bus")
_VANS = ("sprinter", "ambulance", "t2")
_MOTORCYCLES = ("harley", "kawasaki", "yamaha", "vespa", "low_rider", "ninja", "yzf", "zx125")
_BICYCLES = ("crossbike", "century", "omafiets", "bicycle", "bike")


class Part(NamedTuple):
    """One box of a body in fractions of the half sizes of the whole: centre and half sizes along x, y, z."""

    centre: tuple[float, float, float]
    extent: tuple[float, float, float]


_WHOLE = (Part((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),)
_PARTS = {
    "car": (Part((0.0, 0.0, -0.33), (1.0, 1.0, 0.45)), Part((-0.1, 0.0, 0.56), (0.55, 0.82, 0.44))),
    "pickup": (Part((0.0, 0.0, -0.2), (1.0, 1.0, 0.5)), Part((0.02, 0.0, 0.65), (0.4, 0.85, 0.35))),
    "motorcycle": (Part((0.0, 0.0, -0.35), (1.0, 0.35, 0.65)), Part((-0.1, 0.0, 0.4), (0.35, 0.7, 0.6))),
    "bicycle": (Part((0.0, 0.0, -0.35), (1.0, 0.25, 0.65)), Part((-0.1, 0.0, 0.4), (0.3, 0.6, 0.6))),
}


@functools.cache
def shape_of(type_id: str) -> str:
    """The shape a blueprint is drawn as: car, pickup, van, truck, bus, motorcycle, bicycle, walker or prop."""
    if type_id.startswith("walker."):
        return "walker"
    if not type_id.startswith("vehicle."):
        return "prop"
    name = type_id.removeprefix("vehicle.")
    words = set(name.replace("-", "_").replace(".", "_").split("_"))
    for shape, keys in (("bicycle", _BICYCLES), ("motorcycle", _MOTORCYCLES), ("bus", _BUSES)):
        if any(key in name for key in keys):
            return shape
    if "cybertruck" in name:
        return "pickup"
    if any(key in name for key in _TRUCKS):
        return "truck"
    return "van" if words & set(_VANS) else "car"


_LABELS = {
    "car": labels.CAR, "pickup": labels.CAR, "van": labels.CAR, "truck": labels.TRUCK, "bus": labels.BUS,
    "motorcycle": labels.MOTORCYCLE, "bicycle": labels.BICYCLE, "walker": labels.PEDESTRIANS, "prop": labels.DYNAMIC,
}  # fmt: skip


@functools.cache
def label_of(type_id: str) -> int:
    """CARLA's semantic tag of a blueprint."""
    if any(name in type_id for name in ("cybertruck", "ambulance", "sprinter", "carlamotors")):
        return labels.BUS if "fusorosa" in type_id else labels.TRUCK
    if type_id.startswith("static."):
        return labels.STATIC if "busstop" in type_id or "bench" in type_id else labels.DYNAMIC
    return _LABELS[shape_of(type_id)]


def rotation_matrix(roll: float, pitch: float, yaw: float) -> NDArray[np.float64]:
    """float64 (3, 3), columns forward, right, up of CARLA's rotation (radians; yaw, then pitch, then roll)."""
    cr, sr, cp, sp, cy, sy = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    return np.array(
        [
            [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
            [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
            [sp, -cp * sr, cp * cr],
        ]
    )


MOST_LEAN = 0.7
"""[rad] Farthest that a two-wheeler leans into a bend."""


def leans(rows: NDArray[np.void], gravity: float) -> NDArray[np.float64]:
    """How far actors of one kind lean to the right [rad], float64 (n,): two-wheelers do, into bends.

    Physics keeps them upright. A rider leans so that weight and centrifugal force together point along the vehicle.
    """
    lean = np.zeros(len(rows))
    if rows.dtype.names is not None and "balance" in rows.dtype.names:
        ridden = np.flatnonzero(rows["balance"] > 0.0)
        if len(ridden):
            riding = rows[ridden]
            ahead = riding["vx"] * np.cos(riding["yaw"]) + riding["vy"] * np.sin(riding["yaw"])
            angle = np.arctan2(ahead * riding["wz"], max(gravity, 1.0))
            lean[ridden] = np.clip(angle, -MOST_LEAN, MOST_LEAN)
    return lean


@njit(**INNER)
def pose_of(actor, lean):  # type: ignore[no-untyped-def]
    """An actor's rotation, whose columns are its axes, as three rows of three, and the middle of its box (3).

    lean: see `leans`.
    """
    cr, sr = math.cos(actor["roll"] + lean), math.sin(actor["roll"] + lean)
    cp, sp = math.cos(actor["pitch"]), math.sin(actor["pitch"])
    cy, sy = math.cos(actor["yaw"]), math.sin(actor["yaw"])
    ax, ay, az = cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr
    bx, by, bz = cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr
    dx, dy, dz = sp, -cp * sr, cp * cr
    x, y, z = actor["box_x"], actor["box_y"], actor["box_z"]
    return (
        ((ax, ay, az), (bx, by, bz), (dx, dy, dz)),
        (
            actor["x"] + ax * x + ay * y + az * z,
            actor["y"] + bx * x + by * y + bz * z,
            actor["z"] + dx * x + dy * y + dz * z,
        ),
    )


@njit(**BARE)
def _place_boxes(rows, lean, fractions, boxes):  # type: ignore[no-untyped-def]
    """Bring boxes to where their actors are; fractions: float64 (n, 2, 3), centre and half sizes of each `Part`."""
    for place in range(len(boxes)):
        box = boxes[place]
        actor = rows[box["row"]]
        turn, centre = pose_of(actor, lean[box["row"]])
        size = (actor["extent_x"], actor["extent_y"], actor["extent_z"])
        x, y, z, square = centre[0], centre[1], centre[2], 0.0
        for axis in range(3):
            shift = fractions[place, 0, axis] * size[axis]
            box["extent"][axis] = fractions[place, 1, axis] * size[axis]
            square += box["extent"][axis] ** 2
            for i in range(3):
                box["axes"][axis, i] = turn[i][axis]
            x, y, z = x + turn[0][axis] * shift, y + turn[1][axis] * shift, z + turn[2][axis] * shift
        box["radius"] = math.sqrt(square)
        box["x"], box["y"], box["z"] = x, y, z


class MovingBoxes:
    """The boxes of all actors of one tick, made once for all rays of that tick."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._cast: list[Sequence[object]] | None = None
        self._boxes = np.zeros(0, MOVING_BOX)
        self._fractions = np.zeros((0, 2, 3))
        self._starts = [0, 0, 0, 0]

    def of(self, view: View) -> NDArray[np.void]:
        """Structured array of `MOVING_BOX`."""
        if self._view is not view:
            self._view = view
            cast: list[Sequence[object]] = [
                (rows["id"].tobytes(), *names) for rows, names in zip(_groups(view), _names(view))
            ]
            if cast != self._cast:
                self._cast = cast
                self._make(view)
            for kind, rows in enumerate(_groups(view)):
                part = slice(self._starts[kind], self._starts[kind + 1])
                _place_boxes(rows, leans(rows, view.gravity), self._fractions[part], self._boxes[part])
        return self._boxes

    def _make(self, view: View) -> None:
        """Make the boxes of a changed set of actors; `_place_boxes` does the rest every tick."""
        entries: list[tuple[int, int, int, int]] = []
        fractions: list[Part] = []
        self._starts = [0]
        for kind, (rows, names) in enumerate(zip(_groups(view), _names(view))):
            for row, name in enumerate(names):
                parts = _PARTS.get(shape_of(name), _WHOLE)
                fractions += parts
                entries += [(kind, row, label_of(name), int(rows["id"][row]))] * len(parts)
            self._starts.append(len(entries))
        self._boxes = np.zeros(len(entries), MOVING_BOX)
        for column, values in zip(("kind", "row", "label", "actor_id"), zip(*entries)):
            self._boxes[column] = values
        self._fractions = np.array(fractions, np.float64).reshape(-1, 2, 3)


def _groups(view: View) -> tuple[NDArray[np.void], ...]:
    return view.vehicles, view.walkers, view.props


def _names(view: View) -> list[list[str]]:
    """Blueprint ids of all actors, by kind."""
    return [[view.actors.type_id(kind, row) for row in range(len(rows))] for kind, rows in enumerate(_groups(view))]


moving_boxes = MovingBoxes().of
"""The boxes of a view's actors: structured array of `MOVING_BOX`."""
