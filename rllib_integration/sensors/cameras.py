"""Cameras. Pictures are row-major from the top left, `(height, width, channels)`.

All picture formats take `resize_x` and `resize_y` (pixels; 0 leaves the size) and colour pictures take
`grayscale`: rendering larger and averaging down looks better than rendering small. Labels and vectors are
resized by their nearest pixel, so that no label is invented.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import carla
import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Settings
from rllib_integration.sensors.base_sensor import CarlaSensor, EventSensor

DEPTH_RANGE = 1000.0  # [m] the far plane of CARLA's depth camera
DEPTH_STEPS = 256**3 - 1  # its depth is a 24-bit fraction of the range
FLOW_RANGE = 2.0  # CARLA's optical flow is given in units of the picture, [-2, 2]

_DVS_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("pol", "?")])


def image_array(image: carla.Image) -> NDArray[np.uint8]:
    """The pixels of an image as a view `uint8 (H, W, 4)` in BGRA; valid as long as the image is."""
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


def output_shape(attributes: Settings) -> tuple[int, int]:
    """Height and width of the parsed picture of a camera so configured."""
    width = int(attributes.get("resize_x") or 0) or int(attributes.get("image_size_x", 800))
    height = int(attributes.get("resize_y") or 0) or int(attributes.get("image_size_y", 600))
    return height, width


Picture: TypeAlias = NDArray[Any]
"""`(H, W)` or `(H, W, C)`, of the type that the sensor's format has."""


class BaseCamera(CarlaSensor):
    """What all cameras share: resizing, and spaces of the right height and width.

    Drawing costs most of a tick, and an experiment sees only the picture of a step's last frame. So a camera draws once
    a step, where a step is several ticks and its configuration has no `sensor_tick`.
    """

    OPTIONS: ClassVar[Settings] = {"resize_x": 0, "resize_y": 0}

    def _only_steps_matter(self) -> bool:
        reads_all = type(self).callback is not CarlaSensor.callback
        return self.interface.ticks_per_step > 1 and self.interface.cameras_keep_the_beat and not reads_all

    def _resize(self, picture: Picture, interpolation: int) -> Picture:
        if not (self.options["resize_x"] or self.options["resize_y"]):
            return picture
        width = self.options["resize_x"] or picture.shape[1]
        height = self.options["resize_y"] or picture.shape[0]
        return cv2.resize(picture, (width, height), interpolation=interpolation)

    def _colours(self, image: carla.Image) -> Picture:
        """The picture as `uint8 (H, W, 3)` RGB in its own size."""
        return cv2.cvtColor(image_array(image), cv2.COLOR_BGRA2RGB)


def _picture_space(attributes: Settings, *channels: int) -> gymnasium.Space:
    return gymnasium.spaces.Box(0, 255, (*output_shape(attributes), *channels), np.uint8)


class CameraRGB(BaseCamera):
    """Colour camera: `uint8 (H, W, 3)` RGB, or `uint8 (H, W, 1)` luma with `grayscale: true`."""

    type_id = "sensor.camera.rgb"
    OPTIONS: ClassVar[Settings] = {"resize_x": 0, "resize_y": 0, "grayscale": False}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        return _picture_space(attributes, 1 if cls.read_options(attributes)["grayscale"] else 3)

    def parse(self, data: carla.Image) -> NDArray[np.uint8]:
        code = cv2.COLOR_BGRA2GRAY if self.options["grayscale"] else cv2.COLOR_BGRA2RGB
        picture = self._resize(cv2.cvtColor(image_array(data), code), cv2.INTER_AREA)
        return picture[..., None] if self.options["grayscale"] else picture


class CameraDepth(BaseCamera):
    """Depth camera, distance along the viewing axis.

    `format: rgb` (default) is `uint8 (H, W, 3)` as CARLA encodes it, least significant byte in red;
    `format: metres` is `float32 (H, W)` in metres, at most 1000.
    """

    type_id = "sensor.camera.depth"
    OPTIONS: ClassVar[Settings] = {"resize_x": 0, "resize_y": 0, "format": ("rgb", "metres")}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        if cls.read_options(attributes)["format"] == "metres":
            return gymnasium.spaces.Box(0.0, DEPTH_RANGE, output_shape(attributes), np.float32)
        return _picture_space(attributes, 3)

    def parse(self, data: carla.Image) -> Picture:
        if self.options["format"] == "rgb":
            return self._resize(self._colours(data), cv2.INTER_NEAREST)
        weights = np.array([65536.0, 256.0, 1.0], np.float32) * np.float32(DEPTH_RANGE / DEPTH_STEPS)
        metres = image_array(data)[..., :3].astype(np.float32) @ weights
        return self._resize(np.minimum(metres, np.float32(DEPTH_RANGE)), cv2.INTER_NEAREST)


class CameraSemanticSegmentation(BaseCamera):
    """Semantic camera.

    `format: rgb` (default) is `uint8 (H, W, 3)` with the tag in red as CARLA encodes it; `format: tags` is
    `uint8 (H, W)` with `carla.CityObjectLabel` values; `format: cityscapes` is `uint8 (H, W, 3)` in the
    colours of the CityScapes palette.
    """

    type_id = "sensor.camera.semantic_segmentation"
    OPTIONS: ClassVar[Settings] = {"resize_x": 0, "resize_y": 0, "format": ("rgb", "tags", "cityscapes")}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        if cls.read_options(attributes)["format"] == "tags":
            return gymnasium.spaces.Box(0, 255, output_shape(attributes), np.uint8)
        return _picture_space(attributes, 3)

    def parse(self, data: carla.Image) -> NDArray[np.uint8]:
        if self.options["format"] == "tags":
            return self._resize(np.ascontiguousarray(image_array(data)[..., 2]), cv2.INTER_NEAREST)
        if self.options["format"] == "cityscapes":
            data.convert(carla.ColorConverter.CityScapesPalette)
        return self._resize(self._colours(data), cv2.INTER_NEAREST)


class CameraInstanceSegmentation(BaseCamera):
    """Instance camera.

    `format: rgb` (default) is `uint8 (H, W, 3)`: tag in red, the object's number in green and blue;
    `format: instances` is `int32 (H, W, 2)`: tag, object number (0 to 65535).
    """

    type_id = "sensor.camera.instance_segmentation"
    OPTIONS: ClassVar[Settings] = {"resize_x": 0, "resize_y": 0, "format": ("rgb", "instances")}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        if cls.read_options(attributes)["format"] == "instances":
            high = np.broadcast_to(np.array([255, 65535], np.int32), (*output_shape(attributes), 2))
            return gymnasium.spaces.Box(np.zeros_like(high), high, dtype=np.int32)
        return _picture_space(attributes, 3)

    def parse(self, data: carla.Image) -> Picture:
        picture = self._resize(self._colours(data), cv2.INTER_NEAREST)
        if self.options["format"] == "rgb":
            return picture
        number = picture[..., 1].astype(np.int32) + 256 * picture[..., 2].astype(np.int32)
        return np.stack([picture[..., 0].astype(np.int32), number], axis=-1)


class CameraNormals(BaseCamera):
    """Surface normals.

    `format: rgb` (default) is `uint8 (H, W, 3)`, -1...1 encoded as 0...255; `format: vectors` is
    `float32 (H, W, 3)` with components in -1...1, in the frame that the simulator renders them in.
    """

    type_id = "sensor.camera.normals"
    OPTIONS: ClassVar[Settings] = {"resize_x": 0, "resize_y": 0, "format": ("rgb", "vectors")}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        if cls.read_options(attributes)["format"] == "vectors":
            return gymnasium.spaces.Box(-1.0, 1.0, (*output_shape(attributes), 3), np.float32)
        return _picture_space(attributes, 3)

    def parse(self, data: carla.Image) -> Picture:
        picture = self._resize(self._colours(data), cv2.INTER_NEAREST)
        if self.options["format"] == "rgb":
            return picture
        return picture.astype(np.float32) * np.float32(2.0 / 255.0) - np.float32(1.0)


class CameraOpticalFlow(BaseCamera):
    """Motion of every pixel since the last frame.

    `format: flow` (default) is `float32 (H, W, 2)`: to the right and downwards as the simulator gives it, in
    units of the picture's size, within -2...2; `format: rgb` is CARLA's colour wheel, `uint8 (H, W, 3)`.
    """

    type_id = "sensor.camera.optical_flow"

    def _only_steps_matter(self) -> bool:
        return False  # it shows the motion since the picture before

    OPTIONS: ClassVar[Settings] = {"resize_x": 0, "resize_y": 0, "format": ("flow", "rgb")}

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        if cls.read_options(attributes)["format"] == "rgb":
            return _picture_space(attributes, 3)
        return gymnasium.spaces.Box(-FLOW_RANGE, FLOW_RANGE, (*output_shape(attributes), 2), np.float32)

    def parse(self, data: carla.OpticalFlowImage) -> Picture:
        if self.options["format"] == "rgb":
            return self._resize(self._colours(data.get_color_coded_flow()), cv2.INTER_NEAREST)
        flow = np.frombuffer(data.raw_data, np.float32).reshape(data.height, data.width, 2)
        return self._resize(np.clip(flow, -FLOW_RANGE, FLOW_RANGE), cv2.INTER_NEAREST)


class CameraDVS(EventSensor):
    """Dynamic vision sensor, an event sensor: `uint8 (H, W, 3)`, black but for pixels that changed.

    255 in blue where the brightness rose, in red where it fell. The last picture of a step counts as strongest.
    """

    type_id = "sensor.camera.dvs"

    @classmethod
    def space_for(cls, attributes: Settings) -> gymnasium.Space:
        return _picture_space(attributes, 3)

    def parse(self, data: carla.DVSEventArray) -> NDArray[np.uint8]:
        events = np.frombuffer(data.raw_data, _DVS_EVENT)
        picture = np.zeros((data.height, data.width, 3), np.uint8)
        picture[events["y"], events["x"], events["pol"].astype(np.intp) * 2] = 255
        return picture
