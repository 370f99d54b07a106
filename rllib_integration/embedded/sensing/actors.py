"""Actors as the sensors see them: which kind of thing a blueprint is, and the boxes that rays can meet."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import labels
from .view import View

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


def rotation_matrix(roll: Any, pitch: Any, yaw: Any) -> NDArray[np.float64]:
    """float64 (3, 3), columns forward, right, up of CARLA's rotation (radians; yaw, then pitch, then roll)."""
    cr, sr, cp, sp, cy, sy = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    return np.array(
        [
            [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
            [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
            [sp, -cp * sr, cp * cr],
        ]
    )


def _field(rows: NDArray[np.void], name: str, default: float = 0.0) -> NDArray[np.float64]:
    """A column, or its default where the kind of actor has none."""
    if name in (rows.dtype.names or ()):
        return rows[name]
    return np.full(len(rows), default)


def rotation_matrices(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """float64 (n, 3, 3) of all rows at once; see `rotation_matrix`."""
    angles = (_field(rows, name) for name in ("roll", "pitch", "yaw"))
    return np.moveaxis(rotation_matrix(*angles), -1, 0) if len(rows) else np.zeros((0, 3, 3))


def box_centres(rows: NDArray[np.void], rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 (n, 3) [m]: middles of the actors' bounding boxes in the world."""
    offset = np.stack([_field(rows, f"box_{axis}") for axis in "xyz"], axis=-1)
    return np.stack([rows["x"], rows["y"], rows["z"]], axis=-1) + np.einsum("nij,nj->ni", rotations, offset)


class MovingBoxes:
    """The boxes of all actors of one tick, made once for all rays of that tick."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._boxes = np.zeros(0, MOVING_BOX)

    def of(self, view: View) -> NDArray[np.void]:
        """Structured array of `MOVING_BOX`."""
        if self._view is not view:
            parts = [
                _boxes_of(view, kind, rows)
                for kind, rows in ((VEHICLE, view.vehicles), (WALKER, view.walkers), (PROP, view.props))
                if len(rows)
            ]
            self._boxes = np.concatenate(parts) if parts else np.zeros(0, MOVING_BOX)
            self._view = view
        return self._boxes


moving_boxes = MovingBoxes().of
"""The boxes of a view's actors: structured array of `MOVING_BOX`."""


def _boxes_of(view: View, kind: int, rows: NDArray[np.void]) -> NDArray[np.void]:
    rotations = rotation_matrices(rows)
    centres = box_centres(rows, rotations)
    extents = np.stack([rows[f"extent_{axis}"] for axis in "xyz"], axis=-1)
    names = [view.actors.type_id(kind, row) for row in range(len(rows))]
    parts = [_PARTS.get(shape_of(name), _WHOLE) for name in names]
    owner = np.repeat(np.arange(len(rows)), [len(found) for found in parts])
    fractions = np.array([part for found in parts for part in found])
    boxes = np.zeros(len(owner), MOVING_BOX)
    place = centres[owner] + np.einsum("nij,nj->ni", rotations[owner], fractions[:, 0] * extents[owner])
    boxes["x"], boxes["y"], boxes["z"] = place.T
    boxes["axes"] = np.swapaxes(rotations[owner], 1, 2)
    boxes["extent"] = fractions[:, 1] * extents[owner]
    boxes["radius"] = np.linalg.norm(boxes["extent"], axis=1)
    boxes["kind"], boxes["row"] = kind, owner
    boxes["label"] = np.array([label_of(name) for name in names], np.uint8)[owner]
    boxes["actor_id"] = rows["id"][owner]
    return boxes
