"""Values of remote calls: msgpack arrays to checked Python values and back.

Everything here refuses what could poison a simulation: wrong shapes, wrong types, NaN and infinities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

Vector = tuple[float, float, float]
Transform = tuple[Vector, Vector]
"""Location x, y, z in metres and rotation pitch, yaw, roll in degrees."""

PackValue: TypeAlias = "float | str | bytes | Sequence[PackValue] | Mapping[str, PackValue] | None"
"""What MessagePack can carry (numbers of any kind count as float): an answer, or an argument still to be checked."""

PackedTransform: TypeAlias = list[list[float]]
"""The wire form of a `Transform`."""

_LIMIT = 1e9


class MalformedValueError(ValueError):
    """An argument does not have the layout that CARLA's client sends."""


def number(value: Any, name: str = "value") -> float:
    """A finite float (bool counts as a number, as in the client's C++)."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise MalformedValueError(f"{name} must be a number, not {value!r:.60}") from None
    if not -_LIMIT < result < _LIMIT:
        raise MalformedValueError(f"{name} must be finite and below 1e9, not {value!r:.60}")
    return result


def integer(value: object, name: str = "value") -> int:
    """An integer that fits 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedValueError(f"{name} must be an integer, not {value!r:.60}")
    return value


def actor_id(value: object) -> int:
    """An actor id (u32)."""
    if type(value) is not int or not 0 <= value < 2**32:
        raise MalformedValueError(f"an actor id must be an unsigned 32-bit integer, not {value!r:.60}")
    return value


def text(value: object, name: str = "value") -> str:
    """A string."""
    if not isinstance(value, str):
        raise MalformedValueError(f"{name} must be a string, not {value!r:.60}")
    return value


def vector(value: Any, name: str = "vector") -> Vector:
    """Three finite floats."""
    try:
        x, y, z = value
        x, y, z = float(x), float(y), float(z)
    except (TypeError, ValueError):
        raise MalformedValueError(f"{name} must be three numbers, not {value!r:.60}") from None
    # One comparison refuses NaN, infinities and absurd sizes alike.
    if not (abs(x) + abs(y) + abs(z) < _LIMIT):
        raise MalformedValueError(f"{name} must be finite and below 1e9, not {value!r:.60}")
    return x, y, z


def transform(value: Any, name: str = "transform") -> Transform:
    """A location and a rotation."""
    try:
        location, rotation = value
    except (TypeError, ValueError):
        raise MalformedValueError(f"{name} must be a location and a rotation, not {value!r:.60}") from None
    return vector(location, f"location of {name}"), vector(rotation, f"rotation of {name}")


def optional(value: PackValue) -> PackValue:
    """The content of `[true, content]`, or None for `[false]`."""
    if isinstance(value, list) and value:
        if value[0] is False:
            return None
        if value[0] is True and len(value) == 2:
            return value[1]
    raise MalformedValueError(f"expected an optional value, not {value!r:.60}")


def pack_transform(location: Iterable[float], rotation: Iterable[float]) -> PackedTransform:
    """Wire form of a transform."""
    return [[float(v) for v in location], [float(v) for v in rotation]]


def pack_box(box: tuple[Vector, Vector, Vector], owner: int) -> list[PackValue]:
    """Wire form of a bounding box: centre, half sizes, rotation, owning actor."""
    return [list(box[0]), list(box[1]), list(box[2]), owner]


def clamp(value: float, low: float, high: float) -> float:
    """The nearest value inside [low, high]; NaN becomes `low`."""
    return low if math.isnan(value) else min(max(value, low), high)
