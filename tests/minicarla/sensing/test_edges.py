"""Outlines of large pictures are smoothed towards what many samples a pixel would show, and nothing else changes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicarla.sensing.edges import smooth_edges
from tests.minicarla.sensing.test_cameras import open_street, picture  # noqa: F401  the street is a fixture
from tests.minicarla.sensing.world import make_mount, make_view

LOOKS = np.array([5, 9, 5], np.uint32)
BASE = len(LOOKS)


def coverage(slope, offset, size=60, samples=1):
    """Share of each pixel below the line y = offset + slope * x, which runs in the middle of a square picture."""
    at = (np.arange(size * samples) + 0.5) / samples
    below = at[:, None] > offset + slope * at[None]
    return below.reshape(size, samples, size, samples).mean(axis=(1, 3))


def smoothed(ids, dark=40.0, bright=200.0):
    """Brightness of a picture of two things after smoothing; thing 1 is bright."""
    source = np.full((*ids.shape, 4), 255, np.uint8)
    source[..., :3] = np.where(ids == 1, bright, dark)[..., None]
    result = source.copy()
    smooth_edges(ids, LOOKS, BASE, source, result)
    assert (result[..., 3] == 255).all()
    return result[..., 0].astype(float)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("slope", [0.07, -0.2, 0.45])
def test_a_straight_outline_comes_close_to_its_coverage(slope, turned):
    hit, exact = coverage(slope, 20.3), coverage(slope, 20.3, samples=16)
    if turned:
        hit, exact = hit.T, exact.T
    ids = np.ascontiguousarray(hit, np.int32)
    wanted = 40.0 + 160.0 * exact
    rough, result = 40.0 + 160.0 * hit, smoothed(ids)
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(result - wanted)[inner].mean() < 0.45 * np.abs(rough - wanted)[inner].mean()
    far = np.abs(exact - 0.5) == 0.5
    near = np.zeros_like(far)
    near[:, 1:] |= hit[:, 1:] != hit[:, :-1]
    near[:, :-1] |= hit[:, 1:] != hit[:, :-1]
    near[1:] |= hit[1:] != hit[:-1]
    near[:-1] |= hit[1:] != hit[:-1]
    assert np.array_equal(result[far & ~near], rough[far & ~near])


def test_level_and_upright_outlines_and_things_that_look_alike_stay_sharp():
    ids = np.zeros((20, 20), np.int32)
    ids[10:] = 1
    assert set(np.unique(smoothed(ids))) == {40.0, 200.0}
    assert set(np.unique(smoothed(np.ascontiguousarray(ids.T)))) == {40.0, 200.0}
    slanted = np.ascontiguousarray(2 * coverage(0.3, 20.3), np.int32)
    bright = np.full((60, 60, 4), 90, np.uint8)
    bright[slanted == 2] = 120
    result = bright.copy()
    smooth_edges(slanted, LOOKS, BASE, bright, result)
    assert np.array_equal(result, bright)


def test_a_large_picture_has_smooth_outlines(open_street):  # noqa: F811
    view = make_view(open_street, vehicles=[{"x": 9.0, "y": 1.0, "yaw": math.radians(35.0)}])
    size = {"image_size_x": "640", "image_size_y": "480"}
    mount = make_mount(z=1.6)
    image = picture("rgb", view, mount, **size)[..., :3].astype(float)
    tags = picture("semantic_segmentation", view, mount, **size)[..., 2]
    roof = np.argmax(tags == 14, axis=0)
    columns = np.flatnonzero((roof > 0) & (roof < 470))
    assert len(columns) > 100
    between = 0
    for column in columns:
        above, here, below = (image[roof[column] + step, column].mean() for step in (-2, 0, 2))
        between += min(above, below) + 8.0 < here < max(above, below) - 8.0
    assert between > 0.25 * len(columns)
