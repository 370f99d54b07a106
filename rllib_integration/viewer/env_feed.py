"""What environments and painters write into their rings, as messages for the page."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rllib_integration.telemetry.messages import Kind, pack
from rllib_integration.telemetry.ring import RingError, RingReader
from rllib_integration.viewer.sensor_feed import encode, picture_message

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 3.0  # for which a look into a ring keeps its writer telling
_SMALL = 128  # [px] pictures narrower than this are sent as PNG: every pixel counts, and few bytes are needed
_MOST_PANELS = 6


class EnvFeed:
    """Reads the ring of one environment.

    Args:
        path: Of the ring.

    Raises:
        RingError: It is no ring of this version.
        OSError: It can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ring = RingReader(path)

    def read(self, closely: bool) -> list[dict[str, Any]]:
        """What the environment has told since the last call; goes on telling for some seconds."""
        self._ring.watch(_WATCH_SECONDS, closely)
        return self._ring.read()

    def ask_pace(self, factor: float) -> None:
        """Ask for a pace for as long as this feed is read."""
        self._ring.ask_pace(factor, _WATCH_SECONDS)

    def ask_step(self) -> None:
        """Ask for one step of an environment that stands still."""
        self._ring.ask_step()

    def close(self) -> None:
        """Let go of the ring."""
        self._ring.close()


def open_feed(path: Path) -> EnvFeed | None:
    """A feed of a ring; None where there is none that can be read."""
    try:
        return EnvFeed(path)
    except (OSError, ValueError):
        return None
    except RingError as error:
        logger.warning("%s", error)
        return None


def message_of(record: Mapping[str, Any], pictures: Collection[str]) -> bytes | None:
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


class PaintFeed:
    """Reads the shapes of one painter.

    Args:
        path: Of its ring.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ring = RingReader(path, from_start=True)

    def read(self) -> list[bytes]:
        """The shapes drawn since the last call."""
        return [message for record in self._ring.read() if (message := paint_message(record)) is not None]

    def close(self) -> None:
        """Let go of the ring."""
        self._ring.close()


def paint_message(record: Mapping[str, Any]) -> bytes | None:
    """A painter's record as a message."""
    head = {name: value for name, value in record.items() if name != "xyz"}
    if record.get("shape") == "clear":
        return pack(Kind.PAINT, head)
    places = np.frombuffer(record["xyz"], np.float32).reshape(-1, 3)
    return pack(Kind.PAINT, head, places)
