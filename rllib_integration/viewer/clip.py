"""Messages of a world kept in memory: an episode from its beginning, or the last minutes, both bounded in size."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rllib_integration.telemetry.messages import Kind

MOST_BYTES = 32 << 20
MOST_ENTRIES = 20_000
SECONDS_KEPT = 120.0


class Entry(NamedTuple):
    """A message with its time.

    Attributes:
        time: Simulated time of the newest frame at its arrival [s].
        message: The packed message.
    """

    time: float
    message: bytes


class Clip:
    """An episode from its first frame on, shared by all sessions that follow it.

    Attributes:
        number: Number of the episode.
        entries: Its messages in order; append only.
        ended: Whether it is complete.
        is_whole: Whether it begins with the episode's first frame.
        full: Whether messages were dropped at its end.
    """

    def __init__(self, number: int, is_whole: bool) -> None:
        self.number = number
        self.is_whole = is_whole
        self.entries: list[Entry] = []
        self.ended = False
        self.full = False
        self._bytes = 0

    def add(self, time: float, message: bytes) -> None:
        """Append a message; pictures and points are dropped beyond the bounds, all messages beyond twice the bounds."""
        size = self._bytes + len(message)
        is_over = size > MOST_BYTES or len(self.entries) >= MOST_ENTRIES
        if is_over and (message[0] in (Kind.PICTURE, Kind.POINTS) or size > 2 * MOST_BYTES):
            self.full = True
            return
        self._bytes = size
        self.entries.append(Entry(time, message))


class Recent:
    """A world's messages of the last two simulated minutes."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def add(self, time: float, message: bytes) -> None:
        """Append a message, and drop the oldest beyond the bounds."""
        entries = self._entries
        if entries and time < entries[-1].time:
            self.clear()  # the clock of another world
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
