"""What was seen of a world, kept in memory: a stretch that plays from its beginning, bounded in time and size."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rllib_integration.telemetry.messages import Kind

MOST_BYTES = 32 << 20
MOST_ENTRIES = 20_000
SECONDS_KEPT = 120.0


class Entry(NamedTuple):
    """A message in its place.

    Attributes:
        time: Simulated seconds of the newest frame when it came.
        message: As packed.
    """

    time: float
    message: bytes


class Clip:
    """An episode, from its first frame on, for everybody who follows it.

    Attributes:
        number: Of the episode.
        entries: Its messages in order; they only grow.
        ended: Whether nothing more will come.
        is_whole: Whether it begins with the episode's first frame.
        full: Whether something had to be left out at its end.
    """

    def __init__(self, number: int, is_whole: bool) -> None:
        self.number = number
        self.is_whole = is_whole
        self.entries: list[Entry] = []
        self.ended = False
        self.full = False
        self._bytes = 0

    def add(self, time: float, message: bytes) -> None:
        """Append a message; beyond the bounds only what is no picture, and beyond twice the bounds nothing."""
        size = self._bytes + len(message)
        crowded = size > MOST_BYTES or len(self.entries) >= MOST_ENTRIES
        if crowded and (message[0] in (Kind.PICTURE, Kind.POINTS) or size > 2 * MOST_BYTES):
            self.full = True
            return
        self._bytes = size
        self.entries.append(Entry(time, message))


class Recent:
    """The last two simulated minutes of what was shown of a world."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def add(self, time: float, message: bytes) -> None:
        """Append a message, and forget what has become too old or too much."""
        entries = self._entries
        if entries and time < entries[-1].time:
            self.clear()  # another world's clock
        entries.append(Entry(time, message))
        self._bytes += len(message)
        while self._bytes > MOST_BYTES or len(entries) > MOST_ENTRIES or entries[0].time < time - SECONDS_KEPT:
            self._bytes -= len(entries.popleft().message)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    @property
    def entries(self) -> list[Entry]:
        """The messages in order."""
        return list(self._entries)
