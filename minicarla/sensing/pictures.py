"""Colour pictures from what is seen at their samples: linear light through a table of exposure and tone curve.

Pixels of small pictures have several samples. In large ones, what is smooth is computed at some pixels only: walls,
actors and sky at one of eight (stars at one of four), the ground's light and air at one of `KNOT` in a row.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import BARE, INLINE, INNER
from minicarla.sensing.ground_colour import TERMS, ground_colour, ground_terms, is_bare_between, is_ground
from minicarla.sensing.scene import PANE, WALL
from minicarla.sensing.shading import matter, radiance, ray, world_normal
from minicarla.sensing.weather import SUN_COSINE

TABLE = 16384
TABLE_RANGE = 4.0
"""Linear light 0..TABLE_RANGE in TABLE steps is what a tone table covers."""

KNOT = 8
"""[pixels] How far apart the ground's terms are found; `NEARBY` twice as far."""

NEARBY = 25.0
"""[m] Depth up to which what changes slowly on the ground does so in the picture, too."""

_OPEN, _GROUND, _BETWEEN_ROWS, _BETWEEN_FOUR, _BETWEEN_COLUMNS = range(5)
"""How a pixel of a large picture gets its colour: by itself, as part of a run of ground, or as the mean of the pixels
above and below, of those two columns away, or of those beside it."""


class Scratch(NamedTuple):
    """Memory that `shade` works in, see `scratch`.

    Attributes:
        numbers: int32 (samples squared,), a triangle of each group of a pixel's samples that are shaded as one.
        groups: float64 (samples squared, 5): of each group, how many they are, and the sums of their nearness, of
            their shadow, of their columns and of their rows.
        sums: float32 (2, samples * width): nearness and shadow of the samples of a row of pixels, added up downwards.
        changes: int32 (samples * width,), 0 where those show one triangle.
        terms: float64 (3, ground_colour.TERMS).
        plan: uint8 (2, width).
    """

    numbers: NDArray[np.int32]
    groups: NDArray[np.float64]
    sums: NDArray[np.float32]
    changes: NDArray[np.int32]
    terms: NDArray[np.float64]
    plan: NDArray[np.uint8]


def scratch(width: int, samples: int) -> Scratch:
    """Memory for pictures that are `width` pixels wide, of which `samples` squared make one."""
    squared, across = samples * samples, samples * width
    return Scratch(
        np.empty(squared, np.int32),
        np.empty((squared, 5)),
        np.empty((2, across), np.float32),
        np.empty(across, np.int32),
        np.empty((3, TERMS)),
        np.empty((2, width), np.uint8),
    )


@njit(**INNER)
def _tone(value, table):
    if not value > 0.0:
        return table[0]
    if value >= TABLE_RANGE:
        return table[TABLE - 1]
    return table[int(value * (TABLE / TABLE_RANGE))]


@njit(**INLINE)
def _packed(red, green, blue, table):
    """A pixel of linear light as its four bytes."""
    return (
        np.uint32(_tone(blue, table[2]))
        | np.uint32(_tone(green, table[1])) << np.uint32(8)
        | np.uint32(_tone(red, table[0])) << np.uint32(16)
        | np.uint32(0xFF000000)
    )


@njit(**INLINE)
def _alike(base, look, one, other):
    """Whether two triangles can be shaded as one."""
    if one == other:
        return True
    if one < 0 or other < 0 or one >= base or other >= base:
        return False
    return look[one] == look[other]


@njit(**INNER)
def _plan_row(base, surfaces, ids, row, night, upright, sun, plan):
    """Decide for each pixel of a row how it gets its colour.

    Amid the sky, or one triangle of a wall or an actor, it is the mean of others; in windows by day, whose frames are
    fine, only of those above and below.

    surfaces: of the triangles below `base`; upright: whether what is upright in the world is so in the picture; sun:
    first column, column behind the last, first row, row behind the last of where the sun is seen.
    """
    height, width = ids.shape
    odd = row & 1 and row + 1 < height
    here, above, below = ids[row], ids[row - 1 if odd else row], ids[row + 1 if odd else row]
    for column in range(width):
        number = here[column]
        surface = WALL
        if 0 <= number < base:
            surface = int(surfaces[number])
        way = _OPEN
        if is_ground(surface):
            way = _GROUND
        elif number < 0 and sun[0] <= column < sun[1] and sun[2] <= row < sun[3]:
            way = _OPEN
        elif surface == WALL or (surface == PANE and upright and not night):
            if odd and above[column] == number and below[column] == number:
                way = _BETWEEN_ROWS
            elif surface == WALL and column & 1 and column + 1 < width:
                way = _BETWEEN_COLUMNS if here[column - 1] == here[column + 1] == number else _OPEN
            elif surface == WALL and column & 2 and column + 2 < width and (number >= 0 or not night):
                way = _BETWEEN_FOUR if here[column - 2] == here[column + 2] == number else _OPEN
        plan[column] = way


@njit(**INNER)
def _sun_box(camera, sun):
    """Columns and rows of a picture that the sun's disc lies in, with a margin; see `_plan_row`."""
    axes = camera.axes
    ahead = axes[0, 0] * sun[0] + axes[0, 1] * sun[1] + axes[0, 2] * sun[2]
    if ahead < 0.05:
        return 0.0, 0.0, 0.0, 0.0
    u = (axes[1, 0] * sun[0] + axes[1, 1] * sun[1] + axes[1, 2] * sun[2]) / ahead
    v = (axes[2, 0] * sun[0] + axes[2, 1] * sun[1] + axes[2, 2] * sun[2]) / ahead
    column, row = 0.5 * camera.width + camera.focal * u, 0.5 * camera.height - camera.focal * v
    radius = camera.focal * math.sqrt(1.0 - SUN_COSINE * SUN_COSINE) * (1.0 + u * u + v * v) + 4.0
    return column - radius, column + radius, row - radius, row + radius


@njit(**INLINE)
def _mean(one, other):
    """Of two packed pixels."""
    return (one & other) + (((one ^ other) & np.uint32(0xFEFEFEFE)) >> np.uint32(1))


@njit(**INNER)
def _fill_between(row, plan, picture):
    """Colour those pixels of a row that get theirs from others: the farther away those are, the earlier."""
    width = len(plan)
    for column in range(width):
        if plan[column] == _BETWEEN_ROWS:
            picture[row, column] = _mean(picture[row - 1, column], picture[row + 1, column])
    for column in range(2, width, 4):
        if plan[column] == _BETWEEN_FOUR:
            picture[row, column] = _mean(picture[row, column - 2], picture[row, column + 2])
    for column in range(1, width, 2):
        if plan[column] == _BETWEEN_COLUMNS:
            picture[row, column] = _mean(picture[row, column - 1], picture[row, column + 1])


@njit(**INLINE)
def _run_end(look, row, first, nearness, ids, shadow, plan):
    """End of a run of ground that looks alike, lies equally in light or shadow, and nowhere jumps in depth."""
    number, stop = ids[row, first], first + 1
    while stop < len(plan) and plan[stop] == _GROUND and shadow[row, stop] == shadow[row, first]:
        if ids[row, stop] != number and look[ids[row, stop]] != look[number]:
            break
        one, other = nearness[row, stop - 1], nearness[row, stop]
        if one > 1.3 * other or other > 1.3 * one:
            break
        stop += 1
    return stop


@njit(**INLINE)
def _place_on_ground(camera, row, column, nearness):
    """Ray through a pixel of a picture with one sample a pixel, and depth and place of what it meets."""
    spread = 1.0 / camera.focal
    u, v = (column + 0.5 - 0.5 * camera.width) * spread, (0.5 * camera.height - row - 0.5) * spread
    rx, ry, rz = ray(camera.axes, u, v)
    depth, place = 1.0 / nearness[row, column], camera.position
    return rx, ry, rz, depth, place[0] + depth * rx, place[1] + depth * ry, place[2] + depth * rz


@njit(**INNER)
def _shade_ground(stage, camera, row, nearness, ids, shadow, table, terms, plan, picture):
    """Colour the pixels of a row that show the ground; terms: float64 (3, TERMS), scratch."""
    mixed, side, stop = terms[2], 0, 0
    while stop < len(plan):
        first = stop
        if plan[first] != _GROUND:
            stop += 1
            continue
        stop = _run_end(stage.surfaces.look, row, first, nearness, ids, shadow, plan)
        surface, red, green, blue, _, _, _, _ = matter(stage, ids[row, first])
        knot, before, x, y = first, first - 1, 0.0, 0.0
        while before < stop - 1:
            last_x, last_y = x, y
            rx, ry, rz, depth, x, y, z = _place_on_ground(camera, row, knot, nearness)
            nx, ny, nz = world_normal(stage, ids[row, knot])
            if nx * rx + ny * ry + nz * rz > 0.0:
                nx, ny, nz = -nx, -ny, -nz
            side = 1 - side
            new, old = terms[side], terms[side if knot == first else 1 - side]
            length = math.sqrt(rx * rx + ry * ry + rz * rz)
            ground_terms(
                stage, camera, surface, x, y, z, rx, ry, rz, length, nx, ny, nz, depth, 1.0 / camera.focal,
                float(shadow[row, first]), new,
            )  # fmt: skip
            is_bare = knot > first and is_bare_between(stage.markings, x, y, last_x, last_y, new)
            for column in range(before + 1, knot + 1):
                share = (knot - column) / (knot - before)
                for term in range(TERMS):
                    mixed[term] = new[term] + share * (old[term] - new[term])
                _, _, _, _, px, py, pz = _place_on_ground(camera, row, column, nearness)
                colour = ground_colour(
                    stage.markings, stage.noise, stage.linear, surface, red, green, blue, px, py, pz, mixed, is_bare
                )  # fmt: skip
                picture[row, column] = _packed(colour[0], colour[1], colour[2], table)
            before, knot = knot, min(knot + (2 * KNOT if depth < NEARBY else KNOT), stop - 1)


@njit(**INNER)
def _add_up_samples(samples, top, nearness, ids, shadow, sums, changes):
    """Add up nearness and shadow of a row of pixels, sample by sample; changes: 0 where all show one triangle."""
    first, near, dark = ids[top], sums[0], sums[1]
    width = len(first)
    for i in range(width):
        near[i], dark[i], changes[i] = nearness[top, i], shadow[top, i], 0
    for j in range(top + 1, top + samples):
        here, also_near, also_dark = ids[j], nearness[j], shadow[j]
        for i in range(width):
            near[i] += also_near[i]
            dark[i] += also_dark[i]
            changes[i] |= here[i] ^ first[i]


@njit(**INLINE)
def _sort_samples(base, look, samples, top, left, nearness, ids, shadow, numbers, groups):
    """Sort a pixel's samples by what they show; returns how many groups there are, see `Scratch`."""
    count = 0
    for j in range(top, top + samples):
        for i in range(left, left + samples):
            number, group = ids[j, i], 0
            while group < count and not _alike(base, look, numbers[group], number):
                group += 1
            if group == count:
                numbers[group] = number
                groups[group, :] = 0.0
                count += 1
            groups[group, 0] += 1.0
            groups[group, 1] += nearness[j, i]
            groups[group, 2] += shadow[j, i]
            groups[group, 3] += i + 0.5
            groups[group, 4] += j + 0.5
    return count


@njit(**INNER)
def _shade_pixels(stage, camera, samples, row, nearness, ids, shadow, table, scratch, plan, picture):
    """Colour the pixels of a row that get their colour by themselves; those of small pictures all do."""
    base, look = stage.base, stage.surfaces.look
    numbers, groups, sums, changes = scratch.numbers, scratch.groups, scratch.sums, scratch.changes
    top, spread, whole = row * samples, samples / camera.focal, float(samples * samples)
    if samples > 1:
        _add_up_samples(samples, top, nearness, ids, shadow, sums, changes)
    for column in range(picture.shape[1]):
        if samples == 1 and plan[column] != _OPEN:
            continue
        left = column * samples
        number, near, dark, differs = ids[top, left], 0.0, 0.0, 0
        if samples == 1:
            near, dark = float(nearness[top, left]), float(shadow[top, left])
        else:
            for i in range(left, left + samples):
                differs |= changes[i] | (ids[top, i] ^ number)
                near += sums[0, i]
                dark += sums[1, i]
        if differs == 0:
            count, numbers[0] = 1, number
            groups[0, 0], groups[0, 1], groups[0, 2] = whole, near, dark
            groups[0, 3], groups[0, 4] = whole * (left + 0.5 * samples), whole * (top + 0.5 * samples)
        else:
            count = _sort_samples(base, look, samples, top, left, nearness, ids, shadow, numbers, groups)
        red, green, blue = 0.0, 0.0, 0.0
        for group in range(count):
            members = groups[group, 0]
            share, part = members / whole, 1.0 / members
            u = (groups[group, 3] * part - 0.5 * camera.width) / camera.focal
            v = (0.5 * camera.height - groups[group, 4] * part) / camera.focal
            part_red, part_green, part_blue = radiance(
                stage, camera, numbers[group], u, v, groups[group, 1] * part, spread, groups[group, 2] * part,
                scratch.terms[0],
            )  # fmt: skip
            if count > 1:
                part_red, part_green, part_blue = min(part_red, 1.6), min(part_green, 1.6), min(part_blue, 1.6)
            red += share * part_red
            green += share * part_green
            blue += share * part_blue
        picture[row, column] = _packed(red, green, blue, table)


@njit(**BARE)
def shade(stage, camera, samples, nearness, ids, shadow, table, scratch, picture):
    """Colour a picture.

    Args:
        stage: what is seen.
        camera: over the samples, of which `samples` squared make a pixel.
        nearness, ids: of the samples, see `raster`.
        shadow: uint8 like `ids`, 1 in the shadow of an actor.
        table: uint8 (3, TABLE), bytes of red, green and blue by linear light.
        scratch: a `Scratch` of this size.
        picture: uint32 (height, width), receives a pixel's four bytes: blue, green, red, alpha.
    """
    height = len(picture)
    upright, night = abs(camera.axes[1, 2]) < 0.2, stage.light.night > 0.0
    sun = _sun_box(camera, stage.light.sun)
    for row in range(height):
        ways = scratch.plan[row & 1]
        if samples == 1:
            _plan_row(stage.base, stage.surfaces.surface, ids, row, night, upright, sun, ways)
            _shade_ground(stage, camera, row, nearness, ids, shadow, table, scratch.terms, ways, picture)
        _shade_pixels(stage, camera, samples, row, nearness, ids, shadow, table, scratch, ways, picture)
        if samples == 1 and not row & 1:
            _fill_between(row, ways, picture)
            if row > 0:
                _fill_between(row - 1, scratch.plan[1], picture)
    if samples == 1 and not height & 1:
        _fill_between(height - 1, scratch.plan[1], picture)
