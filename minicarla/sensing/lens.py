"""What the glass in front does to a picture: distortion, fringes, glow and flares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from minicarla.sensing.renderer import Seen
from minicarla.sensing.sensor import Attribute, Value
from minicarla.sensing.weather import Light

ATTRIBUTES: dict[str, Attribute] = {
    "lens_circle_falloff": Attribute(5.0, 0.0, 10.0),
    "lens_circle_multiplier": Attribute(0.0, 0.0, 10.0),
    "lens_k": Attribute(-1.0, -100.0, 100.0),
    "lens_kcube": Attribute(0.0, -100.0, 100.0),
    "lens_x_size": Attribute(0.08, 0.0, 1.0),
    "lens_y_size": Attribute(0.08, 0.0, 1.0),
}
"""Attributes of every CARLA camera."""

_GLOW = 0.675
"""CARLA's default of `bloom_intensity`."""

COLOUR_ATTRIBUTES: dict[str, Attribute] = {
    "chromatic_aberration_intensity": Attribute(0.0, 0.0, 8.0),
    "chromatic_aberration_offset": Attribute(0.0, 0.0, 1.0),
    "bloom_intensity": Attribute(_GLOW, 0.0, 8.0),
    "lens_flare_intensity": Attribute(0.1, 0.0, 1000.0),
}
"""Attributes of CARLA's RGB camera."""

FLARES = (
    (0.45, 0.05, (0.5, 0.9, 1.0)),
    (0.75, 0.025, (0.6, 1.0, 0.5)),
    (1.35, 0.07, (1.0, 0.7, 0.4)),
    (1.7, 0.035, (1.0, 0.5, 0.6)),
    (2.1, 0.12, (0.8, 0.8, 0.5)),
)
"""Reflections of the sun within the lens: how far from the sun through the picture's middle (at 1) and on, radius as a
share of the width, colour (blue, green, red)."""

FLARE_LIGHT = 60.0
"""Bytes that a flare adds at an intensity of 1 under a clear noon."""

UNSEEN = 0.004
"""Distortion that nowhere moves the picture by more than this share of its size is left away."""


class Lens:
    """The lens of one camera.

    The distortion is the cubic one of CARLA's post-process: a point at (u, v) from the picture's middle (half sizes
    0.5) shows what a pinhole shows at f (u, v), with r^2 = lens_x_size (2 u)^2 + lens_y_size (2 v)^2 and
    f = 1 + w r^2 (lens_k + lens_kcube r). The circle bounds where: w = (multiplier * hypot(u, v))^falloff, at most 1.
    So a picture is a pinhole's as long as the multiplier is 0, as it is by default.
    """

    def __init__(self, values: Mapping[str, Value], width: int, height: int) -> None:
        self._map: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        value = {name: float(values[name]) for name in ATTRIBUTES}
        if value["lens_circle_multiplier"] > 0.0:
            self._map = _distortion(value, width, height)
        self._fringe = float(values.get("chromatic_aberration_intensity", 0.0))
        self._fringe_start = float(values.get("chromatic_aberration_offset", 0.0))
        self._glow = float(values.get("bloom_intensity", 0.0))
        self._flare = min(float(values.get("lens_flare_intensity", 0.0)), 8.0)

    def distort(self, picture: NDArray[Any], smooth: bool = False) -> NDArray[Any]:
        """The picture through the glass; labels and depths keep their values, `smooth` ones are interpolated."""
        if self._map is None:
            return picture
        way = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
        return cv2.remap(picture, *self._map, way, borderMode=cv2.BORDER_REPLICATE)

    def finish(self, picture: NDArray[np.uint8], night: float) -> NDArray[np.uint8]:
        """Everything but flares that the lens does to a colour picture uint8 (H, W, 4)."""
        # By day, what CARLA has by default is lost in the light.
        glow = self._glow * night + max(self._glow - _GLOW, 0.0) * (1.0 - night)
        if glow > 0.0:
            picture = self._bloom(picture, glow)
        if self._fringe > 0.0:
            picture = self._fringes(picture)
        return self.distort(picture, smooth=True).astype(np.uint8, copy=False)

    def flare(self, picture: NDArray[np.uint8], seen: Seen, light: Light) -> None:
        """Add the sun's flares to a colour picture uint8 (H, W, 4) of what is seen, if the sun is."""
        sun = seen.camera.axes @ light.sun
        if self._flare <= 0.0 or sun[0] < 0.05:
            return
        strength = self._flare * FLARE_LIGHT * min(float(light.sun_disc.mean()) / 25.0, 1.0)
        height, width = picture.shape[:2]
        column = 0.5 * seen.camera.width + seen.camera.focal * sun[1] / sun[0]
        row = 0.5 * seen.camera.height - seen.camera.focal * sun[2] / sun[0]
        inside = 0.0 <= column < seen.camera.width and 0.0 <= row < seen.camera.height
        if not inside or strength < 1.0 or seen.ids[int(row), int(column)] >= 0:
            return
        x, y = column / seen.samples, row / seen.samples
        for place, size, colour in FLARES:
            centre = x + place * (0.5 * width - x), y + place * (0.5 * height - y)
            _add_spot(picture, centre, max(size * width, 1.5), strength * np.array((*colour, 0.0), np.float32))

    def _bloom(self, picture: NDArray[np.uint8], glow: float) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        bright = np.where(picture > 215, picture - np.uint8(215), np.uint8(0))
        bright[..., 3] = 0
        if not bright.any():
            return picture
        shrink = max(1, height // 150)
        small = cv2.resize(bright, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small.astype(np.float32), (0, 0), max(1.0, height / shrink / 60.0))
        around = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR) * (5.0 * glow)
        return np.asarray(cv2.add(picture, around, dtype=cv2.CV_8U), np.uint8)

    def _fringes(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        u, v = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        x, y = u - (width - 1) / 2.0, v - (height - 1) / 2.0
        radius = np.hypot(x / width, y / height) * 2.0
        amount = 0.006 * self._fringe * np.clip(radius - self._fringe_start, 0.0, None)
        out = picture.copy()
        for channel, sign in ((0, -1.0), (2, 1.0)):
            shift = (1.0 + sign * amount).astype(np.float32)
            at = ((width - 1) / 2.0 + x * shift).astype(np.float32), ((height - 1) / 2.0 + y * shift).astype(np.float32)
            plane = np.ascontiguousarray(picture[..., channel])
            out[..., channel] = cv2.remap(plane, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return out


def _add_spot(
    picture: NDArray[np.uint8], centre: tuple[float, float], radius: float, colour: NDArray[np.float32]
) -> None:
    """Add a round spot, a little brighter at its edge, as far as it lies in the picture."""
    height, width = picture.shape[:2]
    left, top = max(int(centre[0] - radius), 0), max(int(centre[1] - radius), 0)
    right, bottom = min(int(centre[0] + radius) + 2, width), min(int(centre[1] + radius) + 2, height)
    if left >= right or top >= bottom:
        return
    across, down = np.arange(left, right) - centre[0], np.arange(top, bottom) - centre[1]
    away = np.hypot(across, down[:, None]) / radius
    spot = np.clip((1.0 - away) * 6.0, 0.0, 1.0) * (0.6 + 0.4 * away**2)
    patch = picture[top:bottom, left:right]
    patch[:] = np.minimum(patch + spot[..., None] * colour, 255.0)


def _distortion(
    value: Mapping[str, float], width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """float32 (H, W) twice: the column and the row of the pinhole's picture that each pixel shows; None: its own."""
    u, v = np.meshgrid((np.arange(width) + 0.5) / width - 0.5, (np.arange(height) + 0.5) / height - 0.5)
    weight = np.minimum((value["lens_circle_multiplier"] * np.hypot(u, v)) ** value["lens_circle_falloff"], 1.0)
    square = value["lens_x_size"] * (2.0 * u) ** 2 + value["lens_y_size"] * (2.0 * v) ** 2
    stretch = 1.0 + weight * square * (value["lens_k"] + value["lens_kcube"] * np.sqrt(square))
    if np.abs((stretch - 1.0) * np.maximum(np.abs(u), np.abs(v))).max() <= UNSEEN:
        return None
    return (
        ((u * stretch + 0.5) * width - 0.5).astype(np.float32),
        ((v * stretch + 0.5) * height - 0.5).astype(np.float32),
    )
