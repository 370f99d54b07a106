"""Parameters of scenario types: their defaults and ranges, and how they are read, drawn and written.

A value comes from a YAML file (`distance: 12`, or `distance: [8, 20]` to draw from), or from a route file of the CARLA
Leaderboard, where it is an element with attributes (`<distance value="12"/>`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Attributes = dict[str, str]


@dataclass(frozen=True)
class Number:
    """A number, drawn evenly where a range is given.

    Attributes:
        default: The default.
        low: The smallest allowed.
        high: The largest allowed.
    """

    default: float
    low: float
    high: float

    @property
    def expected(self) -> str:
        """The allowed values, for messages."""
        return f"a number from {self.low:g} to {self.high:g}, or a range [low, high] of them"

    def draw(self, given: object, rng: np.random.Generator) -> float:
        """The value of one episode.

        Raises:
            ValueError: The value is not allowed.
        """
        low, high = _ends(given) if isinstance(given, (list, tuple)) else (_number(given), _number(given))
        if not self.low <= low <= high <= self.high:
            raise ValueError
        return low if low == high else float(rng.uniform(low, high))

    def read(self, attributes: Mapping[str, str]) -> float:
        """The value in a route file."""
        return float(attributes["value"])

    def write(self, value: float) -> Attributes:
        """The attributes of the value in a route file."""
        return {"value": f"{value:g}"}


@dataclass(frozen=True)
class Interval:
    """A range that the running scenario draws from repeatedly, such as gaps between cars.

    Attributes:
        default: Low and high end by default.
        low: The smallest allowed.
        high: The largest allowed.
    """

    default: tuple[float, float]
    low: float
    high: float

    @property
    def expected(self) -> str:
        """The allowed values, for messages."""
        return f"a range [low, high] of numbers from {self.low:g} to {self.high:g}"

    def draw(self, given: object, rng: np.random.Generator) -> tuple[float, float]:
        """The value of one episode.

        Raises:
            ValueError: The value is not allowed.
        """
        low, high = _ends(given)
        if not self.low <= low <= high <= self.high:
            raise ValueError
        return low, high

    def read(self, attributes: Mapping[str, str]) -> tuple[float, float]:
        """The value in a route file: `from` and `to`, or the single `value` of older files."""
        if "value" in attributes:
            return float(attributes["value"]), float(attributes["value"])
        return float(attributes["from"]), float(attributes["to"])

    def write(self, value: tuple[float, float]) -> Attributes:
        """The attributes of the value in a route file."""
        return {"from": f"{value[0]:g}", "to": f"{value[1]:g}"}


@dataclass(frozen=True)
class Choice:
    """One of some words.

    Attributes:
        default: The default.
        words: The allowed words; none = any text.
    """

    default: str
    words: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """The allowed values, for messages."""
        return f"{' or '.join(self.words)}, or a list of them" if self.words else "a text"

    def draw(self, given: object, rng: np.random.Generator) -> str:
        """The value of one episode.

        Raises:
            ValueError: The value is not allowed.
        """
        words = [str(word) for word in given] if isinstance(given, (list, tuple)) else [str(given)]
        if not words or (self.words and not set(words) <= set(self.words)):
            raise ValueError
        return words[int(rng.integers(len(words)))]

    def read(self, attributes: Mapping[str, str]) -> str:
        """The value in a route file."""
        return attributes["value"]

    def write(self, value: str) -> Attributes:
        """The attributes of the value in a route file."""
        return {"value": value}


@dataclass(frozen=True)
class Place:
    """A place in the town, x, y, z in metres, or none."""

    default: None = None

    @property
    def expected(self) -> str:
        """The allowed values, for messages."""
        return "'x,y,z' in metres"

    def draw(self, given: object, rng: np.random.Generator) -> tuple[float, float, float] | None:
        """The value of one episode.

        Raises:
            ValueError: The value is not allowed.
        """
        if given is None:
            return None
        parts = given if isinstance(given, (list, tuple)) else str(given).split(",")
        x, y, z = (_number(part) for part in parts)
        return x, y, z

    def read(self, attributes: Mapping[str, str]) -> tuple[float, float, float]:
        """The value in a route file."""
        return float(attributes["x"]), float(attributes["y"]), float(attributes["z"])

    def write(self, value: tuple[float, float, float]) -> Attributes:
        """The attributes of the value in a route file."""
        return {name: f"{number:.2f}" for name, number in zip("xyz", value)}


Parameter = Number | Interval | Choice | Place

SIDE = Choice("right", ("left", "right"))
"""The side of the road, as seen by the hero."""


def _ends(given: object) -> tuple[float, float]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError
    low, high = given
    return _number(low), _number(high)


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise ValueError
    return float(given)
