"""Pictures, and what environments tell about themselves (`reporter`), as messages for the viewer's page."""

from __future__ import annotations

from collections.abc import Container

import cv2
import numpy as np
from numpy.typing import NDArray

from rllib_integration.annotations import Settings
from rllib_integration.telemetry.messages import Kind, pack

_WIDEST = 960  # [px] of a picture sent; larger ones are made smaller
_JPEG_QUALITY = 80
_SMALL = 128  # [px] pictures narrower than this are sent as PNG: every pixel counts, and few bytes are needed
_MOST_PANELS = 6


def message_of(record: Settings, pictures: Container[str]) -> bytes | None:
    """A record of an environment as a message.

    Args:
        record: As `telemetry.reporter` writes it.
        pictures: Names of the pictures that somebody looks at; others cost nothing.
    """
    kind = record.get("kind")
    if kind == "step":
        return pack(Kind.STEP, {name: value for name, value in record.items() if name != "kind"})
    if kind == "episode":
        route = np.frombuffer(record["route"], np.float32).reshape(-1, 3)
        head = {name: value for name, value in record.items() if name not in ("kind", "route")}
        return pack(Kind.EPISODE, head, route)
    if kind == "picture":
        name = str(record["name"])
        if name not in pictures:
            return pack(Kind.PICTURE, {"name": name, "f": record["f"]})  # that there is one
        picture = colours_of(np.frombuffer(record["data"], np.uint8).reshape(record["shape"]))
        return picture_message(name, record["f"], *encode(picture, sharp=picture.shape[1] < _SMALL * 2))
    return None


def colours_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Any picture-like array as one that can be shown, BGR or grey.

    Several pictures in one (stacked frames, masks) are laid beside each other, the last ones if they are many.

    Args:
        picture: `(H, W)` or `(H, W, C)`; also `(C, H, W)` where that is the likelier reading.
    """
    if picture.ndim == 2:
        return picture
    if picture.shape[0] <= 4 < min(picture.shape[1:]):
        picture = np.moveaxis(picture, 0, -1)
    channels = picture.shape[2]
    if channels == 1:
        return np.ascontiguousarray(picture[..., 0])
    if channels == 3:
        return cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR)  # type: ignore[return-value]
    if channels % 3 == 0:
        panels = [colours_of(picture[..., first : first + 3]) for first in range(0, channels, 3)]
    else:
        panels = [np.ascontiguousarray(picture[..., number]) for number in range(channels)]
    return np.hstack(panels[-_MOST_PANELS:])


def picture_message(name: str, frame: int, encoded: bytes, form: str, size: tuple[int, int]) -> bytes:
    """An encoded picture.

    Args:
        name: What shows it.
        frame: Of the world.
        encoded: The file.
        form: Its type, such as "image/jpeg".
        size: Width and height of the original (px).
    """
    head = {"name": name, "f": frame, "form": form, "size": size}
    return pack(Kind.PICTURE, head, np.frombuffer(encoded, np.uint8))


def encode(picture: NDArray[np.uint8], sharp: bool = False) -> tuple[bytes, str, tuple[int, int]]:
    """A picture `uint8 (H, W)` or `(H, W, 3)` BGR as a file, its type, and width and height before it was shrunk."""
    height, width = picture.shape[:2]
    if width > _WIDEST:
        way = cv2.INTER_NEAREST if sharp else cv2.INTER_AREA
        picture = np.asarray(
            cv2.resize(picture, (_WIDEST, round(height * _WIDEST / width)), interpolation=way), np.uint8
        )
    if sharp:
        return (
            cv2.imencode(".png", picture, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes(),
            "image/png",
            (width, height),
        )
    jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))[1]
    return jpeg.tobytes(), "image/jpeg", (width, height)
