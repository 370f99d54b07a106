"""Patterns over the plane, averaged or smooth, of which surfaces are made, and maps that are looked up."""

# mypy: allow-untyped-defs

from __future__ import annotations

import math

from minicarla.kernels.cache import njit
from minicarla.sensing.compiling import INNER


@njit(**INNER)
def texture(noise, u, v):
    """Smooth repeating noise, 0..1, one value a unit."""
    iu, iv = math.floor(u), math.floor(v)
    fu, fv = u - iu, v - iv
    i, j, k, m = iu & 255, iv & 255, (iu + 1) & 255, (iv + 1) & 255
    low = noise[j, i] + fu * (noise[j, k] - noise[j, i])
    high = noise[m, i] + fu * (noise[m, k] - noise[m, i])
    return low + fv * (high - low)


@njit(**INNER)
def _pulse(x, low, high):
    """Integral from 0 to x of a train of pulses of period 1 that is 1 between low and high."""
    whole = math.floor(x)
    return whole * (high - low) + min(max(x - whole - low, 0.0), high - low)


@njit(**INNER)
def striped(x, width, low, high):
    """Share of [x - width / 2, x + width / 2] that lies on the pulses of period 1 between low and high."""
    width = max(width, 1e-3)
    return (_pulse(x + 0.5 * width, low, high) - _pulse(x - 0.5 * width, low, high)) / width


@njit(**INNER)
def overlap(x, width, half):
    """Share of [x - width / 2, x + width / 2] that lies within [-half, half]."""
    return max(min(x + 0.5 * width, half) - max(x - 0.5 * width, -half), 0.0) / width


@njit(**INNER)
def within(value, high):
    """The value between 0 and `high`; 0 for NaN."""
    if not value > 0.0:
        return 0.0
    return min(value, high)


@njit(**INNER)
def lookup(field, origin_x, origin_y, cell, x, y):
    """Bilinear value, 0..1, of a uint8 map of the ground."""
    u, v = (x - origin_x) / cell - 0.5, (y - origin_y) / cell - 0.5
    rows, columns = field.shape
    u, v = within(u, columns - 1.001), within(v, rows - 1.001)
    i, j = int(u), int(v)
    fu, fv = u - i, v - j
    low = field[j, i] + fu * (float(field[j, i + 1]) - field[j, i])
    high = field[j + 1, i] + fu * (float(field[j + 1, i + 1]) - field[j + 1, i])
    return (low + fv * (high - low)) / 255.0
