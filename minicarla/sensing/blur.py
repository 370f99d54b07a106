"""What a colour camera blurs: what is out of focus, what is far off in thick air, what moves while the shutter is open.

At CARLA's defaults all of it stays below a pixel for what is farther away than 3 m, and nothing is blurred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from minicarla.sensing import painting
from minicarla.sensing.raster import Camera
from minicarla.sensing.renderer import Seen
from minicarla.sensing.sensor import Attribute, Value
from minicarla.sensing.shading import Stage
from minicarla.sensing.view import View

Scalar = TypeVar("Scalar", bound=np.generic)

FOCUS_ATTRIBUTES: dict[str, Attribute] = {
    "focal_distance": Attribute(1000.0, 0.0, 1e9),
    "min_fstop": Attribute(1.2, 0.0, 1000.0),
    "blade_count": Attribute(5, 0, 1000),
    "blur_amount": Attribute(1.0, 0.0, 1e9),
    "blur_radius": Attribute(0.0, 0.0, 10000.0),
}
MOTION_ATTRIBUTES: dict[str, Attribute] = {
    "motion_blur_intensity": Attribute(0.45, 0.0, 100.0),
    "motion_blur_max_distortion": Attribute(0.35, 0.0, 100.0),
    "motion_blur_min_object_screen_size": Attribute(0.1, 0.0, 100.0),
}
ATTRIBUTES: dict[str, Attribute] = {**FOCUS_ATTRIBUTES, **MOTION_ATTRIBUTES}
"""Attributes of CARLA's RGB camera."""

SENSOR_WIDTH = 24.576
"""[mm] of the film behind Unreal's lens, which with the field of view gives its focal length."""

WIDEST, MOST_PIXELS = 0.025, 40.0
"""Radius of the widest blur by depth: as a share of the picture's width, and in pixels."""

BAND = 1_000_000
"""[pixels] What is blurred at once: of the largest pictures, all at once would take gigabytes."""

_SMALLEST = 0.25
"""[pixels] A blur of a smaller radius is left away."""

_MOST_TAPS = 15


class Focus:
    """Blur by depth: Unreal's circle of confusion, and its blur with distance.

    What lies at depth d is spread over a disc with a diameter of a f |d - s| / (d (s - f)), with the focal length f,
    the aperture a = f / `fstop` and s = `focal_distance` (0: all is sharp); and over one with a radius of
    `blur_radius` (pixels of a picture 1920 wide), half of it `blur_amount` kilometres away. The disc has corners as
    the diaphragm has blades, which are rounded as far as `fstop` comes near `min_fstop`.
    """

    def __init__(self, values: Mapping[str, Value], fov: float, width: int) -> None:
        number = {name: float(values[name]) for name in (*FOCUS_ATTRIBUTES, "fstop")}
        length = 0.5 * SENSOR_WIDTH / math.tan(math.radians(fov) / 2.0)
        self._focus = number["focal_distance"] / 100.0
        away = max(1000.0 * self._focus - length, 1.0)
        is_default = all(values[name] == FOCUS_ATTRIBUTES[name].default for name in ("focal_distance", "min_fstop"))
        is_default &= number["fstop"] >= 1.4 and values["blade_count"] == FOCUS_ATTRIBUTES["blade_count"].default
        self._spread = 0.0 if is_default or self._focus <= 0.0 else 0.5 * length**2 / number["fstop"] / away
        self._spread *= width / SENSOR_WIDTH
        self._haze = number["blur_radius"] * width / 1920.0
        self._half_way = 1000.0 * max(number["blur_amount"], 1e-6)
        self._widest = min(max(WIDEST * width, 1.0), MOST_PIXELS)
        self._blades = int(number["blade_count"])
        self._roundness = min(number["min_fstop"] / number["fstop"], 1.0)

    def blur(self, picture: NDArray[np.uint8], seen: Seen) -> NDArray[np.uint8]:
        """The picture uint8 (H, W, 4) with what is out of focus blurred."""
        if self._spread <= 0.0 and self._haze < _SMALLEST:
            return picture
        radius = self._radius(middle_samples(seen, seen.nearness))
        largest = float(radius.max())
        if largest < _SMALLEST:
            return picture
        return _by_bands(picture, math.ceil(largest), lambda rows: self._mix(picture[rows], radius[rows], largest))

    def _mix(self, picture: NDArray[np.uint8], radius: NDArray[np.float32], largest: float) -> NDArray[np.uint8]:
        """Blur each pixel by its radius, between pictures that are blurred by one radius each, up to the largest."""
        mixed = picture.astype(np.float32)
        mixed[..., 3] = 1.0
        sharp, below = mixed.copy(), 0.0
        level = min(1.0, largest)
        while True:
            # What is sharp must not bleed into what is blurred behind it.
            weight = np.clip(radius / level, 0.02, 1.0).astype(np.float32)[..., None]
            spread = cv2.filter2D(sharp * weight, -1, self._disc(level), borderType=cv2.BORDER_REPLICATE)
            share = np.clip((radius - below) / (level - below), 0.0, 1.0).astype(np.float32)[..., None]
            mixed += share * (spread / spread[..., 3:] - mixed)
            if level >= largest:
                break
            below, level = level, min(2.0 * level, largest)
        mixed[..., 3] = 255.0
        return np.asarray(np.clip(mixed + 0.5, 0.0, 255.0), np.uint8)

    def _radius(self, nearness: NDArray[np.float32]) -> NDArray[np.float32]:
        """[pixels] of the discs over which what is seen is spread; nearness: 1 / depth [1/m]."""
        radius = np.float32(self._spread) * np.abs(np.float32(1.0) - np.float32(self._focus) * nearness)
        if self._haze >= _SMALLEST:
            depth = 1.0 / np.maximum(nearness, np.float32(1e-6))
            radius = np.maximum(radius, np.float32(self._haze) * (1.0 - np.exp2(-depth / np.float32(self._half_way))))
        return np.minimum(radius, np.float32(self._widest))

    def _disc(self, radius: float) -> NDArray[np.float32]:
        """What a point of light is spread over: float32 (n, n), 1 in all."""
        reach = math.ceil(radius)
        x, y = np.meshgrid(*(np.arange(-reach, reach + 1, dtype=np.float64),) * 2)
        edge = np.full(x.shape, radius)
        if self._blades >= 3:
            corner = math.pi / self._blades
            turn = np.mod(np.arctan2(x, -y), 2.0 * corner) - corner
            edge *= self._roundness + (1.0 - self._roundness) * math.cos(corner) / np.cos(turn)
        disc = np.clip(edge + 0.5 - np.hypot(x, y), 0.0, 1.0)
        return np.asarray(disc / disc.sum(), np.float32)


class Shutter:
    """Blur by motion: each pixel is smeared along its way in the picture during the last tick.

    The smear is `motion_blur_intensity` of that way (1: all of it), at most `motion_blur_max_distortion` percent of
    the picture's width. Actors that look smaller than `motion_blur_min_object_screen_size` percent of it are taken to
    stand still.
    """

    def __init__(self, values: Mapping[str, Value], width: int, height: int) -> None:
        number = {name: float(values[name]) for name in MOTION_ATTRIBUTES}
        self._share = min(number["motion_blur_intensity"], 1.0)
        self._longest = number["motion_blur_max_distortion"] / 100.0 * width
        self._smallest = number["motion_blur_min_object_screen_size"] / 100.0 * width
        defaults = {name: spec.default for name, spec in MOTION_ATTRIBUTES.items()}
        is_default = all(values[name] == default for name, default in defaults.items())
        self._is_open = self._share > 0.0 and self._longest >= _SMALLEST and not is_default
        self._flow = np.zeros((height, width, 2) if self._is_open else (0, 0, 2), np.float32)
        self._before: tuple[float, Camera] | None = None

    def blur(self, picture: NDArray[np.uint8], view: View, seen: Seen, stage: Stage) -> NDArray[np.uint8]:
        """The picture uint8 (H, W, 4) with what moves smeared; the first one is sharp."""
        if not self._is_open:
            return picture
        camera = seen.camera._replace(
            focal=seen.camera.focal / seen.samples,
            width=seen.camera.width // seen.samples,
            height=seen.camera.height // seen.samples,
        )
        before, self._before = self._before, (view.time, camera)
        if before is None or view.time <= before[0]:
            return picture
        elapsed = view.time - before[0]
        still = stage._replace(instances=self._still(stage.instances, camera))
        painting.paint_flow(
            still, camera, before[1], elapsed, middle_samples(seen, seen.nearness), middle_samples(seen, seen.ids),
            self._flow,
        )  # fmt: skip
        return self._smear(picture, self._share * min(view.dt / elapsed, 1.0))

    def _still(self, instances: NDArray[np.void], camera: Camera) -> NDArray[np.void]:
        """The instances, of which the small ones stand still."""
        away = np.linalg.norm(instances["position"] - camera.position, axis=1)
        across = 2.0 * np.linalg.norm(instances["size"], axis=1) * camera.focal / np.maximum(away, 0.1)
        instances = instances.copy()
        for motion in ("velocity", "turn"):
            instances[motion][across < self._smallest] = 0.0
        return instances

    def _smear(self, picture: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        way = self._flow
        way *= np.array((0.5 * width * share, -0.5 * height * share), np.float32)
        length = np.hypot(way[..., 0], way[..., 1])
        longest = min(float(length.max()), self._longest)
        if longest < _SMALLEST:
            return picture
        way *= np.minimum(1.0, self._longest / np.maximum(length, 1e-6))[..., None]
        reach = math.ceil(longest / 2.0)
        return _by_bands(picture, reach, lambda rows: _smeared(picture[rows], way[rows], reach))


def _smeared(picture: NDArray[np.uint8], way: NDArray[np.float32], reach: int) -> NDArray[np.uint8]:
    """A picture whose pixels are smeared along their ways, float32 (H, W, 2) [pixels]; reach: half of the longest."""
    height, width = picture.shape[:2]
    length = np.hypot(way[..., 0], way[..., 1])
    along = _around(way, reach)
    farthest_along = np.hypot(along[..., 0], along[..., 1])
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    taps = min(2 * reach + 1, _MOST_TAPS)
    total, weights = np.zeros((height, width, 4), np.float32), np.zeros((height, width, 1), np.float32)
    for tap in range(taps):
        place = np.float32(tap / (taps - 1) - 0.5)
        at = columns + place * along[..., 0], rows + place * along[..., 1]
        colour = cv2.remap(picture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        # A pixel takes what it passes on its own way, and what passes it on theirs.
        farthest = np.maximum(length, cv2.remap(length, *at, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))
        weight = np.clip(farthest - 2.0 * abs(place) * farthest_along + 1.0, 0.0, 1.0)[..., None]
        total += weight * colour
        weights += weight
    return np.asarray(total / weights + 0.5, np.uint8)


def _around(way: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """The longest of the ways that may pass each pixel: float32 (H, W, 2)."""
    window = np.ones((2 * reach + 1,) * 2, np.uint8)
    high, low = cv2.dilate(way, window), cv2.erode(way, window)
    return np.where(high > -low, high, low)


class Blur:
    """All blur of one camera."""

    def __init__(self, values: Mapping[str, Value], fov: float, width: int, height: int) -> None:
        self._focus = Focus(values, fov, width)
        self._shutter = Shutter(values, width, height)

    def apply(self, picture: NDArray[np.uint8], view: View, seen: Seen, stage: Stage) -> NDArray[np.uint8]:
        """The blurred picture uint8 (H, W, 4) of what is seen."""
        return self._shutter.blur(self._focus.blur(picture, seen), view, seen, stage)


def middle_samples(seen: Seen, values: NDArray[Scalar]) -> NDArray[Scalar]:
    """Those of the pixels' middles, (height, width)."""
    if seen.samples == 1:
        return values
    middle = seen.samples // 2
    return np.ascontiguousarray(values[middle :: seen.samples, middle :: seen.samples])


def _by_bands(
    picture: NDArray[np.uint8], margin: int, blurred: Callable[[slice], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Blur a picture some rows at a time, each time with `margin` rows more above and below."""
    height, width = picture.shape[:2]
    count = max(BAND // width, margin, 1)
    result = np.empty_like(picture)
    for top in range(0, height, count):
        first = max(top - margin, 0)
        band = blurred(slice(first, min(top + count + margin, height)))
        result[top : top + count] = band[top - first : top - first + count]
    return result
