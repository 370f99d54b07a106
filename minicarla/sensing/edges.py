"""Smooths the outlines of a picture that was drawn with one sample a pixel.

Where neighbouring pixels show different things, the true outline is taken to be a straight line between the ends of
each run of such pixels, and a pixel that it cuts gets a share of the colour beyond it (morphological anti-aliasing:
Reshetov, HPG 2009). Unlike there, outlines are known from the triangles, so that neither texture nor shade blurs.
"""

# mypy: allow-untyped-defs

from __future__ import annotations

from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import BARE, INLINE


@njit(**INLINE)
def _differ(one, other, look, base):
    """Whether two triangles look different; those from `base` on belong to actors."""
    if one == other:
        return False
    if one < 0 or other < 0 or one >= base or other >= base:
        return True
    return look[one] != look[other]


@njit(**INLINE)
def _mix(source, picture, row, column, other_row, other_column, share):
    """Add a share of the difference to another pixel's colour."""
    for channel in range(3):
        own, other = float(source[row, column, channel]), float(source[other_row, other_column, channel])
        value = picture[row, column, channel] + share * (other - own) + 0.5
        picture[row, column, channel] = int(min(max(value, 0.0), 255.0))


@njit(**INLINE)
def _at(ids, line, place, upright):
    """The pixel at a place in a line of pixels; upright: lines are columns."""
    return ids[place, line] if upright else ids[line, place]


@njit(**INLINE)
def _turns(ids, look, base, line, place, upright):
    """Whether the outline between lines `line` and `line + 1` turns off behind a place, and where it ends there.

    The end is in pixels from the border between the lines, towards the second one.
    """
    first, second = _at(ids, line, place, upright), _at(ids, line + 1, place, upright)
    before = _differ(first, _at(ids, line, place + 1, upright), look, base)
    after = _differ(second, _at(ids, line + 1, place + 1, upright), look, base)
    if before == after:
        return before, 0.0
    return True, -0.5 if before else 0.5


@njit(**INLINE)
def _cut(source, picture, line, place, upright, level, share):
    """Give the pixel at `place`, in the line of pixels that the outline cuts, its share of the one beyond."""
    own, beyond = (line, line + 1) if level < 0.0 else (line + 1, line)
    share *= abs(level)
    if upright:
        _mix(source, picture, place, own, place, beyond, share)
    else:
        _mix(source, picture, own, place, beyond, place, share)


@njit(**INLINE)
def _smooth_run(ids, look, base, source, picture, line, first, upright):
    """Smooth the run of pixels that begins at `first` along the border between lines `line` and `line + 1`.

    The outline meets the border in the middle of the run. Returns the place behind its end.
    """
    start, end, last = 0.0, 0.0, first
    if first > 0:
        turned, start = _turns(ids, look, base, line, first - 1, upright)
        if not turned:
            return first + 1  # the run began before
    length = ids.shape[0] if upright else ids.shape[1]
    while last + 1 < length:
        turned, end = _turns(ids, look, base, line, last, upright)
        if turned:
            break
        last += 1
    if start == 0.0 and end == 0.0:
        return last + 1
    count = last - first + 1
    for place in range(first, last + 1):
        centre = place - first + 0.5
        if 2.0 * centre == count:
            if start != 0.0:
                _cut(source, picture, line, place, upright, start, 0.25 / count)
            if end != 0.0:
                _cut(source, picture, line, place, upright, end, 0.25 / count)
        elif 2.0 * centre < count:
            if start != 0.0:
                _cut(source, picture, line, place, upright, start, 1.0 - 2.0 * centre / count)
        elif end != 0.0:
            _cut(source, picture, line, place, upright, end, 2.0 * centre / count - 1.0)
    return last + 1


@njit(**BARE)
def smooth_edges(ids, look, base, source, picture):
    """Smooth all outlines.

    Args:
        ids: int32 (H, W), what each pixel shows, see `raster`.
        look: uint32, of each triangle of the town, equal for those that look alike.
        base: number of the first triangle of an actor.
        source: uint8 (H, W, 4), the picture.
        picture: its copy, which is smoothed.
    """
    height, width = ids.shape
    for row in range(height):
        here, below = ids[row], ids[min(row + 1, height - 1)]
        done = 0
        for column in range(width):
            if column >= done and _differ(here[column], below[column], look, base):
                done = _smooth_run(ids, look, base, source, picture, row, column, False)
            if column + 1 < width and _differ(here[column], here[column + 1], look, base):
                _smooth_run(ids, look, base, source, picture, column, row, True)
