"""Compiled drawing of what moves: boxes, discs, ribbons and small pictures, each with the true share of every pixel.

All work on a picture `uint8 (height, width, channels)` and a view `(x, y, yaw, scale, column, row)`: the hero's
place (m) and direction (rad), pixels a metre, and where the hero is in the picture (pixels from its corner).
Up is forward. Shapes touch one channel, or all channels if their channel is -1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

View = tuple[float, float, float, float, float, float]

BOX_FIELDS = 8
"""Columns of a box: x, y (m), yaw (rad), half length, half width (m), length of the pointed nose (m), colour's
number, channel."""

DISC_FIELDS = 5
"""Columns of a disc: x, y, radius (m), colour's number, channel."""


@njit(cache=True)
def _blend(picture: NDArray[np.uint8], i: int, j: int, share: float, colour: NDArray[np.uint8], channel: int) -> None:
    if channel >= 0:
        rest = 255.0 - picture[i, j, channel]
        picture[i, j, channel] = np.uint8(255.0 - rest * (1.0 - share) + 0.5)
        return
    for c in range(colour.shape[0]):
        below = float(picture[i, j, c])
        picture[i, j, c] = np.uint8(below + (float(colour[c]) - below) * share + 0.5)


@njit(cache=True)
def _to_picture(view: View, x: float, y: float) -> tuple[float, float]:
    """Column and row (pixels, with fractions) of a place."""
    px, py, yaw, scale, column, row = view
    c, s = math.cos(yaw), math.sin(yaw)
    forward = (x - px) * c + (y - py) * s
    right = (y - py) * c - (x - px) * s
    return column + right * scale, row - forward * scale


@njit(cache=True)
def _overlap(at: float, low: float, high: float) -> float:
    """Length that a pixel around `at` shares with an interval."""
    return max(0.0, min(at + 0.5, high) - max(at - 0.5, low))


@njit(cache=True)
def draw_boxes(picture: NDArray[np.uint8], view: View, boxes: NDArray[np.float64], colours: NDArray[np.uint8]) -> None:
    """Draw boxes with pointed noses. A pixel's share is exact along the box's own axes."""
    height, width = picture.shape[0], picture.shape[1]
    scale = view[3]
    for n in range(boxes.shape[0]):
        column, row = _to_picture(view, boxes[n, 0], boxes[n, 1])
        half_length, half_width = boxes[n, 3] * scale, boxes[n, 4] * scale
        nose = boxes[n, 5] * scale
        reach = math.hypot(half_length, half_width) + 1.0
        if column + reach < 0 or column - reach > width or row + reach < 0 or row - reach > height:
            continue
        # Direction of the box in the picture, whose rows point down.
        turn = boxes[n, 2] - view[2]
        ahead_column, ahead_row = math.sin(turn), -math.cos(turn)
        for i in range(max(int(row - reach), 0), min(int(row + reach) + 1, height)):
            for j in range(max(int(column - reach), 0), min(int(column + reach) + 1, width)):
                dx, dy = j + 0.5 - column, i + 0.5 - row
                ahead = dx * ahead_column + dy * ahead_row
                aside = dy * ahead_column - dx * ahead_row
                side = half_width
                if nose > 0.0 and ahead > half_length - nose:
                    side *= max(0.0, half_length - ahead) / nose
                share = _overlap(ahead, -half_length, half_length) * _overlap(aside, -side, side)
                if share > 0.0:
                    _blend(picture, i, j, share, colours[int(boxes[n, 6])], int(boxes[n, 7]))


@njit(cache=True)
def draw_discs(picture: NDArray[np.uint8], view: View, discs: NDArray[np.float64], colours: NDArray[np.uint8]) -> None:
    """Draw discs with soft edges."""
    height, width = picture.shape[0], picture.shape[1]
    for n in range(discs.shape[0]):
        column, row = _to_picture(view, discs[n, 0], discs[n, 1])
        radius = discs[n, 2] * view[3]
        reach = radius + 1.0
        if column + reach < 0 or column - reach > width or row + reach < 0 or row - reach > height:
            continue
        for i in range(max(int(row - reach), 0), min(int(row + reach) + 1, height)):
            for j in range(max(int(column - reach), 0), min(int(column + reach) + 1, width)):
                distance = math.hypot(j + 0.5 - column, i + 0.5 - row)
                share = min(1.0, max(0.0, radius - distance + 0.5))
                if share > 0.0:
                    _blend(picture, i, j, share, colours[int(discs[n, 3])], int(discs[n, 4]))


@njit(cache=True)
def draw_ribbon(
    picture: NDArray[np.uint8],
    view: View,
    points: NDArray[np.float64],
    half_width: float,
    colour: NDArray[np.uint8],
    channel: int,
) -> None:
    """Draw a line of some width (m) through points `(n, 2)` (m). No pixel is blended twice."""
    height, width = picture.shape[0], picture.shape[1]
    half = half_width * view[3]
    reach, farthest = half + 1.0, (half + 0.5) ** 2
    share = np.zeros((height, width), np.float32)
    for n in range(points.shape[0] - 1):
        ax, ay = _to_picture(view, points[n, 0], points[n, 1])
        bx, by = _to_picture(view, points[n + 1, 0], points[n + 1, 1])
        dx, dy = bx - ax, by - ay
        square = dx * dx + dy * dy
        for i in range(max(int(min(ay, by) - reach), 0), min(int(max(ay, by) + reach) + 1, height)):
            for j in range(max(int(min(ax, bx) - reach), 0), min(int(max(ax, bx) + reach) + 1, width)):
                x, y = j + 0.5 - ax, i + 0.5 - ay
                along = min(1.0, max(0.0, (x * dx + y * dy) / square)) if square > 0.0 else 0.0
                square_apart = (x - along * dx) ** 2 + (y - along * dy) ** 2
                if square_apart < farthest and share[i, j] < 1.0:
                    share[i, j] = max(share[i, j], min(1.0, half - math.sqrt(square_apart) + 0.5))
    for i in range(height):
        for j in range(width):
            if share[i, j] > 0.0:
                _blend(picture, i, j, share[i, j], colour, channel)


@njit(cache=True)
def draw_stamp(
    picture: NDArray[np.uint8], view: View, x: float, y: float, yaw: float, stamp: NDArray[np.uint8]
) -> None:
    """Draw a small picture `uint8 (h, w, 4)` RGBA, of the picture's own resolution, its top towards `yaw`."""
    height, width = picture.shape[0], picture.shape[1]
    rows, columns = stamp.shape[0], stamp.shape[1]
    column, row = _to_picture(view, x, y)
    reach = math.hypot(rows, columns) / 2.0 + 1.0
    c, s = math.cos(yaw - view[2]), math.sin(yaw - view[2])
    for i in range(max(int(row - reach), 0), min(int(row + reach) + 1, height)):
        for j in range(max(int(column - reach), 0), min(int(column + reach) + 1, width)):
            dx, dy = j + 0.5 - column, i + 0.5 - row
            u = dx * c + dy * s + columns / 2.0 - 0.5
            v = dy * c - dx * s + rows / 2.0 - 0.5
            u0, v0 = math.floor(u), math.floor(v)
            total = 0.0
            mixed = np.zeros(3)
            for a in range(2):
                for b in range(2):
                    p, q = v0 + a, u0 + b
                    if 0 <= p < rows and 0 <= q < columns:
                        weight = (1.0 - abs(v - p)) * (1.0 - abs(u - q)) * stamp[p, q, 3] / 255.0
                        total += weight
                        for k in range(3):
                            mixed[k] += weight * stamp[p, q, k]
            if total > 0.0:
                for k in range(3):
                    picture[i, j, k] = np.uint8(picture[i, j, k] * (1.0 - total) + mixed[k] + 0.5)
