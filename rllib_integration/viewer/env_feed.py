"""Records of environments and painters, read from their rings, as messages for the page."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.telemetry.messages import Kind, pack
from rllib_integration.telemetry.ring import RingError, RingReader

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 3.0  # for which a ring's writer goes on writing after a read


class EnvFeed:
    """Reads the ring of one environment.

    Args:
        path: The ring's file.

    Raises:
        RingError: The file is not a ring of this version.
        OSError: It can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ring = RingReader(path)

    def read(self, closely: bool) -> list[Record]:
        """Records since the last call; the environment goes on writing for some seconds."""
        self._ring.watch(_WATCH_SECONDS, closely)
        return self._ring.read()

    def ask_pace(self, factor: float) -> None:
        """Request a pace while this feed is read."""
        self._ring.ask_pace(factor, _WATCH_SECONDS)

    def close(self) -> None:
        """Close the ring."""
        self._ring.close()


def open_feed(path: Path) -> EnvFeed | None:
    """The feed of a ring; None if the ring can't be read."""
    try:
        return EnvFeed(path)
    except (OSError, ValueError):
        return None
    except RingError as error:
        logger.warning("%s", error)
        return None


class PaintFeed:
    """Reads the shapes of one painter.

    Args:
        path: The ring's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ring = RingReader(path, from_start=True)

    def read(self) -> list[bytes]:
        """The shapes drawn since the last call."""
        return [message for record in self._ring.read() if (message := paint_message(record)) is not None]

    def close(self) -> None:
        """Close the ring."""
        self._ring.close()


def paint_message(record: Settings) -> bytes | None:
    """A painter's record as a message."""
    head = {name: value for name, value in record.items() if name != "xyz"}
    if record.get("shape") == "clear":
        return pack(Kind.PAINT, head)
    places = np.frombuffer(record["xyz"], np.float32).reshape(-1, 3)
    return pack(Kind.PAINT, head, places)
