"""CARLA's cameras: colour, depth, semantic and instance segmentation, normals, optical flow."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.sensing import blur, edges, exposure, lens, painting, pictures
from minicarla.sensing.raster import Camera
from minicarla.sensing.renderer import Renderer, Seen, camera_at, renderer_of
from minicarla.sensing.sensor import SENSOR_TICK, Attribute, Sensor, SensorError
from minicarla.sensing.view import Mount, View
from minicarla.sensing.weather import stars

MAX_PIXELS = 16_777_216
FAR = 1000.0
"""[m] Depth that CARLA's depth pictures show as white."""

PICTURE_ATTRIBUTES: dict[str, Attribute] = {
    "image_size_x": Attribute(800, 1, 8192),
    "image_size_y": Attribute(600, 1, 8192),
    "fov": Attribute(90.0, 0.1, 175.0),
    **lens.ATTRIBUTES,
    **SENSOR_TICK,
}

COLOUR_ATTRIBUTES: dict[str, Attribute] = {
    **PICTURE_ATTRIBUTES,
    **exposure.ATTRIBUTES,
    **lens.COLOUR_ATTRIBUTES,
    **blur.ATTRIBUTES,
}


class PictureSensor(Sensor):
    """A camera that sends a picture: header (width, height, field of view), then 4 bytes B, G, R, A a pixel."""

    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = PICTURE_ATTRIBUTES
    bytes_per_pixel: ClassVar[int] = 4

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        self.width, self.height = int(self.number("image_size_x")), int(self.number("image_size_y"))
        if self.width * self.height > MAX_PIXELS:
            raise SensorError(
                f"{self.type_id}: a picture of {self.width} x {self.height} pixels; at most {MAX_PIXELS} are drawn."
            )
        self.fov = self.number("fov")
        self.lens = lens.Lens(self.values, self.width, self.height)
        self._header = struct.pack("<IIf", self.width, self.height, self.fov)

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: header and pixels."""
        return (b"".join((self._header, self.picture(view, mount).data)),)

    def blank(self) -> tuple[bytes, ...]:
        """Body of a picture that shows nothing."""
        return (self._header + bytes(self.bytes_per_pixel * self.width * self.height),)

    def picture(self, view: View, mount: Mount) -> NDArray[np.uint8]:
        """The picture, uint8 (height, width, 4): blue, green, red, alpha."""
        return self.draw(renderer_of(view.town), view, mount)

    def draw(self, renderer: Renderer, view: View, mount: Mount) -> NDArray[np.uint8]:
        """`picture` by a given renderer."""
        seen = renderer.look(view, camera_at(mount, self.fov, self.width, self.height), 1, reuse=True)
        picture = np.empty((self.height, self.width, 4), np.uint8)
        self._paint(renderer, view, seen, picture)
        return self.lens.distort(picture).astype(np.uint8, copy=False)

    def _paint(self, renderer: Renderer, view: View, seen: Seen, picture: NDArray[np.uint8]) -> None:
        raise NotImplementedError


class DepthCamera(PictureSensor):
    """Depth along the optical axis: (R + 256 G + 65536 B) / (256^3 - 1) * 1000 m; nothing is 1000 m."""

    type_id = "sensor.camera.depth"
    stream_type = 1

    def _paint(self, renderer: Renderer, view: View, seen: Seen, picture: NDArray[np.uint8]) -> None:
        painting.paint_depth(seen.samples, seen.nearness, FAR, picture)


class SemanticCamera(PictureSensor):
    """CARLA's semantic tag in the red channel."""

    type_id = "sensor.camera.semantic_segmentation"
    stream_type = 14
    with_ids: ClassVar[bool] = False

    def _paint(self, renderer: Renderer, view: View, seen: Seen, picture: NDArray[np.uint8]) -> None:
        stage = renderer.stage(view, seen.camera)
        painting.paint_labels(stage, seen.camera, seen.samples, seen.nearness, seen.ids, self.with_ids, picture)


class InstanceCamera(SemanticCamera):
    """The semantic tag in red, the low and the high byte of the object's id in green and blue.

    Actors show their actor id, objects of the town count down from 65535, ground and sky are 0.
    """

    type_id = "sensor.camera.instance_segmentation"
    stream_type = 15
    with_ids: ClassVar[bool] = True


class CosmosCamera(SemanticCamera):
    """The semantic tags in CARLA's palette, without the shading that CARLA adds."""

    type_id = "sensor.camera.cosmos_visualization"
    stream_type = 16

    def _paint(self, renderer: Renderer, view: View, seen: Seen, picture: NDArray[np.uint8]) -> None:
        super()._paint(renderer, view, seen, picture)
        picture[..., :3] = labels.PALETTE[picture[..., 2]][..., ::-1]


class NormalsCamera(PictureSensor):
    """Unit normals in the world's frame: R, G, B = x, y, z mapped from -1..1 to 0..255."""

    type_id = "sensor.camera.normals"
    stream_type = 2

    def _paint(self, renderer: Renderer, view: View, seen: Seen, picture: NDArray[np.uint8]) -> None:
        painting.paint_normals(renderer.stage(view, seen.camera), seen.samples, seen.ids, picture)


class OpticalFlowCamera(PictureSensor):
    """Motion of every pixel since the last picture, as two float32: to the right and up, 2 = the picture's size.

    A pixel moved by x * width / 2 columns and -y * height / 2 rows. The first picture shows none.
    """

    type_id = "sensor.camera.optical_flow"
    stream_type = 8
    bytes_per_pixel: ClassVar[int] = 8
    _before: tuple[float, Camera] | None = None

    def capture(self, view: View, mount: Mount) -> tuple[bytes, ...]:
        """Body: header, then float32 (height, width, 2)."""
        return (self._header + self.flow(renderer_of(view.town), view, mount).tobytes(),)

    def flow(self, renderer: Renderer, view: View, mount: Mount) -> NDArray[np.float32]:
        """The motion, float32 (height, width, 2)."""
        camera = camera_at(mount, self.fov, self.width, self.height)
        seen = renderer.look(view, camera, 1, reuse=False)
        flow = np.zeros((self.height, self.width, 2), np.float32)
        if self._before is not None:
            time, before = self._before
            stage = renderer.stage(view, camera)
            painting.paint_flow(stage, camera, before, view.time - time, seen.nearness, seen.ids, flow)
        self._before = view.time, camera
        return self.lens.distort(flow).astype(np.float32, copy=False)


class RgbCamera(PictureSensor):
    """A colour camera with weather, night, lens and exposure.

    Small pictures are drawn with several samples a pixel, so that edges do not crawl from frame to frame; the outlines
    of large ones are smoothed afterwards.
    """

    type_id = "sensor.camera.rgb"
    stream_type = 13
    ATTRIBUTES: ClassVar[Mapping[str, Attribute]] = COLOUR_ATTRIBUTES

    def __init__(self, attributes: Mapping[str, str], seed: int = 0) -> None:
        super().__init__(attributes, seed)
        self.exposure = exposure.Exposure(self.values)
        self.blur = blur.Blur(self.values, self.fov, self.width, self.height)
        pixels = self.width * self.height
        self.samples = 3 if pixels <= 160 * 160 else 2 if pixels <= 480 * 270 else 1
        self._scratch = pictures.scratch(self.width, self.samples)
        self._rough = np.empty((self.height, self.width, 4), np.uint8) if self.samples == 1 else None

    def draw(self, renderer: Renderer, view: View, mount: Mount) -> NDArray[np.uint8]:
        """`picture` by a given renderer."""
        camera = camera_at(mount, self.fov, self.width, self.height, self.samples)
        seen = renderer.look(view, camera, self.samples, reuse=False)
        return self.shade(renderer, view, seen, renderer.shadows(seen, renderer.light(view)))

    def shade(self, renderer: Renderer, view: View, seen: Seen, shadow: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture of what is seen; shadow: as of `Renderer.shadows`."""
        stage = renderer.stage(view, seen.camera)
        # Outlines are smoothed in a copy: the rough picture keeps its memory from one tick to the next.
        picture = np.empty((self.height, self.width, 4), np.uint8) if self._rough is None else self._rough
        table = self.exposure.table(stage.light, view.time)
        pixels = picture.view(np.uint32).reshape(self.height, self.width)
        pictures.shade(
            stage, seen.camera, seen.samples, seen.nearness, seen.ids, shadow, table, self._scratch, pixels
        )  # fmt: skip
        if self._rough is not None:
            picture = self._rough.copy()
            edges.smooth_edges(seen.ids, stage.surfaces.look, stage.base, self._rough, picture)
        if stage.light.stars > 0.0:
            # The coarser the pixels, the less of one a star fills.
            bright = 255.0 * stage.light.stars * min(1.0, seen.camera.focal / seen.samples / 400.0)
            painting.draw_stars(seen.camera, seen.samples, stars(), bright, seen.ids, picture)
        if self.values["enable_postprocess_effects"]:
            picture = self.blur.apply(picture, view, seen, stage)
            self.lens.flare(picture, seen, stage.light)
            picture = self.lens.finish(picture, stage.light.night)
        if stage.light.rain > 0.02:
            drops = self.random.random((int(stage.light.rain * (60 + self.width * self.height / 1100)), 3))
            slant = 0.1 + 0.004 * view.weather["wind_intensity"]
            painting.draw_rain(drops, stage.light.rain, slant, picture)
        return picture
