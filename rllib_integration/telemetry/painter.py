"""Shapes that an experiment or a script draws into the viewer's world: points, lines and texts.

    from rllib_integration.telemetry import Painter

    painter = Painter(port=2000)
    painter.draw_lines([[(0, 0, 0.5), (20, 0, 0.5)]], colour="#0072b2", layer="plan")
    painter.draw_text("goal", (20, 0, 2))
    painter.clear("plan")

An experiment has one at hand as `core.painter`. Shapes cost a few microseconds, and nothing at all in the simulator.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rllib_integration.telemetry.announcement import (
    PAINT_SUFFIX,
    Announcement,
    default_folder,
    own_process,
    remove_stale,
    write_announcement,
)
from rllib_integration.telemetry.ring import RingWriter

Colour = str | Sequence[int]

ORANGE = "#e69f00"
_RING_SIZE = 1 << 20
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_numbers = itertools.count()


class Painter:
    """Draws into the world of one simulator, for all viewers that watch it, now or later.

    Shapes lie in CARLA's frame (x forward, y right, z up, left-handed; m). They show from the moment they are drawn
    for their lifetime, counted in simulated seconds where `clock` tells them and in seconds of life otherwise.

    Args:
        port: RPC port of the simulator.
        host: Its machine.
        clock: Tells the simulated time [s], such as `lambda: world.get_snapshot().timestamp.elapsed_seconds`.
        file: Where the shapes go, for one whose owner announces it; its own file, announced here, by default.

    Attributes:
        port: As given.

    Raises:
        OSError: The file can't be written.
    """

    def __init__(
        self,
        port: int = 2000,
        host: str = "localhost",
        clock: Callable[[], float] | None = None,
        file: Path | None = None,
    ) -> None:
        self.port = port
        self._clock = clock
        self._announcement: Path | None = None
        if file is None:
            name = f"painter-{os.getpid()}-{next(_numbers)}"
            folder = default_folder()
            remove_stale(folder)
            announcement = Announcement(name, host=host, port=port, kind="painter", **own_process())
            self._announcement = write_announcement(folder, announcement)
            file = folder / f"{name}{PAINT_SUFFIX}"
        self._ring = RingWriter(file, _RING_SIZE)

    def draw_points(
        self,
        points: ArrayLike,
        *,
        size: float = 0.3,
        colour: Colour = ORANGE,
        lifetime: float | None = None,
        layer: str = "points",
    ) -> None:
        """Draw points.

        Args:
            points: `(n, 3)` or `(3,)`, m.
            size: Diameter, m.
            colour: "#rrggbb", or red, green and blue from 0 to 255.
            lifetime: Seconds; None until the layer is cleared.
            layer: Name under which the viewer shows and hides them.

        Raises:
            ValueError: An argument can't be used; the message says what is allowed.
        """
        self._write("points", layer, lifetime, colour, size=float(size), lengths=[], xyz=_places(points))

    def draw_lines(
        self,
        lines: Sequence[ArrayLike],
        *,
        width: float = 0.2,
        colour: Colour = ORANGE,
        lifetime: float | None = None,
        layer: str = "lines",
    ) -> None:
        """Draw lines, each through two points or more.

        Args:
            lines: `(n, 3)` for each line, m.
            width: m.
            colour: As for `draw_points`.
            lifetime: As for `draw_points`.
            layer: As for `draw_points`.

        Raises:
            ValueError: An argument can't be used; the message says what is allowed.
        """
        places = [_places(line) for line in lines]
        for line in places:
            if len(line) < 2:
                raise ValueError("A line needs two points or more.")
        whole = np.concatenate(places) if places else np.zeros((0, 3), np.float32)
        self._write("lines", layer, lifetime, colour, size=float(width), lengths=[len(p) for p in places], xyz=whole)

    def draw_text(
        self,
        text: str,
        position: ArrayLike,
        *,
        size: float = 1.0,
        colour: Colour = ORANGE,
        lifetime: float | None = None,
        layer: str = "texts",
    ) -> None:
        """Write a text that faces the viewer.

        Args:
            text: One line.
            position: `(3,)`, m: the middle of the text.
            size: Height of the letters, m.
            colour: As for `draw_points`.
            lifetime: As for `draw_points`.
            layer: As for `draw_points`.

        Raises:
            ValueError: An argument can't be used; the message says what is allowed.
        """
        self._write(
            "text", layer, lifetime, colour, size=float(size), lengths=[], xyz=_places(position), text=str(text)
        )

    def clear(self, layer: str | None = None) -> None:
        """Take away the shapes of a layer, or of all."""
        self._ring.write({"shape": "clear", "layer": layer, "t": self._time(), "at": time.time()})

    def _time(self) -> float | None:
        return None if self._clock is None else float(self._clock())

    def _write(
        self,
        shape: str,
        layer: str,
        lifetime: float | None,
        colour: Colour,
        *,
        xyz: NDArray[np.float32],
        **more: object,
    ) -> None:
        if lifetime is not None and not lifetime > 0.0:
            raise ValueError(f"lifetime is {lifetime!r}, but it has to be seconds above 0, or None.")
        record = {"shape": shape, "layer": str(layer), "life": lifetime, "colour": _colour(colour), "t": self._time()}
        if not self._ring.write({**record, "at": time.time(), "xyz": xyz.tobytes(), **more}):
            raise ValueError(f"{len(xyz)} points are too many for one call: {_RING_SIZE // 32} are allowed.")

    def close(self) -> None:
        """Take all shapes away for good. Twice is fine."""
        if self._announcement is not None:
            self._announcement.unlink(missing_ok=True)
        self._ring.close()


def _places(points: ArrayLike) -> NDArray[np.float32]:
    places = np.asarray(points, np.float32)
    if places.ndim == 1:
        places = places[None]
    if places.ndim != 2 or places.shape[1] != 3 or not np.isfinite(places).all():
        raise ValueError(f"Points have to be finite numbers of the shape (n, 3), metres; these have {places.shape}.")
    return np.ascontiguousarray(places)


def _colour(colour: Colour) -> str:
    if isinstance(colour, str):
        if _HEX.fullmatch(colour):
            return colour
    elif len(colour) == 3 and all(0 <= int(part) <= 255 for part in colour):
        red, green, blue = (int(part) for part in colour)
        return f"#{red:02x}{green:02x}{blue:02x}"
    raise ValueError(f"The colour {colour!r} has to be '#rrggbb', or three whole numbers from 0 to 255.")
