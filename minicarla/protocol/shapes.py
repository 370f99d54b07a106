"""Shapes of values on their way out: whether a client can decode them."""

from __future__ import annotations

import math


def is_number(value: object) -> bool:
    """Whether it is a float or an integer."""
    return type(value) in (float, int)


def are_numbers(value: object, count: int) -> bool:
    """Whether it is a list of so many numbers."""
    return isinstance(value, list) and len(value) == count and all(map(is_number, value))


def are_finite(value: object, count: int) -> bool:
    """Whether it is a list of so many numbers, none of them infinite or NaN."""
    return isinstance(value, list) and are_numbers(value, count) and all(map(math.isfinite, value))


def parts(value: object, count: int) -> list[object]:
    """`value`, if it is a list of so many; else one that fits nothing."""
    return value if isinstance(value, list) and len(value) == count else [None] * count


def are_whole(*values: object) -> bool:
    """Whether all are unsigned 32-bit integers."""
    return all(type(value) is int and 0 <= value < 2**32 for value in values)


def are_texts(*values: object) -> bool:
    """Whether all are strings or bytes."""
    return all(isinstance(value, (bytes, str)) for value in values)


def is_box(value: object) -> bool:
    """Whether it is a bounding box: centre, half sizes, rotation, owning actor."""
    *vectors, owner = parts(value, 4)
    return are_whole(owner) and all(are_numbers(vector, 3) for vector in vectors)


def _is_attribute(value: object) -> bool:
    name, kind, text = parts(value, 3)
    return are_texts(name, text) and are_whole(kind)


def is_actor(value: object) -> bool:
    """Whether it is an actor: id, parent, description, bounding box, semantic tags, stream token."""
    number, parent, description, box, tags, token = parts(value, 6)
    definition, type_id, attributes = parts(description, 3)
    return (
        are_whole(number, parent, definition)
        and are_texts(type_id, tags, token)
        and isinstance(attributes, list)
        and all(map(_is_attribute, attributes))
        and is_box(box)
    )
