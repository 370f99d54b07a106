"""The shapes that clients have drawn with `world.debug`: kept for viewers, because there is no window to draw in.

`docs/tick_extension.md` describes the call that hands them out, which CARLA's protocol does not have.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from minicarla.protocol import values

MOST_KEPT = 2000
_LONGEST_TEXT = 200
_NAMES = ("point", "line", "arrow", "box", "text", "point", "line", "arrow", "box")
"""By a primitive's number; those from 5 on are drawn over everything else, and no different here."""


class DrawnShape(NamedTuple):
    """A shape, or the end of all that were drawn before it.

    Attributes:
        number: Counts up from 1 in the server's life.
        elapsed: Simulated seconds of the episode when it was drawn.
        name: "point", "line", "arrow", "box", "text", or "clear".
        figures: Metres and degrees. Point: x, y, z, size. Line: both ends, thickness. Arrow: the same, and the size of
            its head. Box: centre, half sides, pitch, yaw, roll, thickness. Text: x, y, z.
        text: Of a text.
        colour: Red, green, blue from 0 to 255.
        life: Seconds to show; negative for ever, 0 for one frame.
    """

    number: int
    elapsed: float
    name: str
    figures: list[float]
    text: str
    colour: list[int]
    life: float

    def is_over(self, elapsed: float) -> bool:
        """Whether it shows no more."""
        return 0.0 <= self.life < elapsed - self.elapsed


class DrawnShapes:
    """The newest shapes of the present episode."""

    def __init__(self) -> None:
        self._episode = 0
        self._count = 0
        self._shapes: deque[DrawnShape] = deque(maxlen=MOST_KEPT)

    def draw(self, episode: int, elapsed: float, shape: Any) -> None:
        """Keep what the client sends: a primitive with its number, a colour, a life time and a flag.

        Raises:
            MalformedValueError: It does not have the layout that CARLA's client sends.
        """
        name, figures, text, colour, life = _read(shape)
        self._keep(episode, elapsed, name, figures, text, colour, life)

    def clear(self, episode: int, elapsed: float, what: str) -> None:
        """Note that "shapes", or "texts", end now."""
        self._keep(episode, elapsed, "clear", [], what, [0, 0, 0], -1.0)

    def _keep(self, episode: int, elapsed: float, *shape: Any) -> None:
        self._forget_other_than(episode)
        self._count += 1
        self._shapes.append(DrawnShape(self._count, elapsed, *shape))

    def _forget_other_than(self, episode: int) -> None:
        if episode != self._episode:
            self._episode = episode
            self._shapes.clear()

    def since(self, episode: int, elapsed: float, number: int) -> list[DrawnShape]:
        """What was drawn in this episode after the shape of a number, without what shows no more."""
        self._forget_other_than(episode)
        found: list[DrawnShape] = []
        for shape in reversed(self._shapes):
            if shape.number <= number:
                break
            # The frames before may still be played: who has asked before gets everything that is new.
            if number or not shape.is_over(elapsed):
                found.append(shape)
        return found[::-1]


def _read(shape: Any) -> tuple[str, list[float], str, list[int], float]:
    try:
        (number, primitive), colour, life, *_ = shape
        name, text = _NAMES[values.integer(number)], ""
        parts: list[Any]
        match name:
            case "point":
                parts = [*values.vector(primitive[0]), primitive[1]]
            case "line":
                parts = _line(primitive)
            case "arrow":
                parts = [*_line(primitive[0]), primitive[1]]
            case "box":
                (centre, half_sides, *_), rotation, thickness = primitive
                parts = [*values.vector(centre), *values.vector(half_sides), *values.vector(rotation), thickness]
            case _:
                parts, text = [*values.vector(primitive[0])], values.text(primitive[1])[:_LONGEST_TEXT]
        shade = [values.integer(part) & 0xFF for part in colour[:3]]
        return name, [values.number(part) for part in parts], text, shade, values.number(life)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise values.MalformedValueError(
            f"a debug shape must be a primitive, a colour, a life time and a flag: {error}"
        ) from None


def _line(primitive: Any) -> list[Any]:
    begin, end, thickness = primitive
    return [*values.vector(begin), *values.vector(end), thickness]
