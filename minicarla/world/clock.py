"""When the world ticks by itself, and by how much."""

from __future__ import annotations

import time

from minicarla.world.settings import EpisodeSettings

DEFAULT_FRAME_RATE = 30.0
"""[1/s] of an asynchronous world with a variable step."""
_HURRIED_PERIOD = 0.01
"""[s] after a tick at the earliest for one that somebody waits for; CARLA's asynchronous worlds tick about as often."""
_LONGEST_STEP = 0.1
"""[s] A late variable step is cut here, as physics could not follow a longer one."""


class Clock:
    """Paces an asynchronous world.

    A variable step follows the wall clock at the frame rate. A fixed step follows it, too, one step a period, unless
    the world shall run as fast as it can.

    Args:
        frame_rate: Ticks a second with a variable step.
        as_fast_as_possible: Whether the world waits for no clock.
    """

    def __init__(self, frame_rate: float = DEFAULT_FRAME_RATE, as_fast_as_possible: bool = False) -> None:
        self.period = 1.0 / frame_rate
        self.as_fast_as_possible = as_fast_as_possible
        self.next_tick = 0.0
        self._last_tick: float | None = None

    def due(self, now: float, settings: EpisodeSettings) -> float | None:
        """Seconds to advance now, None if the next tick is still to come."""
        if now < self.next_tick:
            return None
        fixed = settings.fixed_delta_seconds
        if fixed:
            self._schedule(now, fixed)
            return fixed
        elapsed = self.period if self._last_tick is None else now - self._last_tick
        self._schedule(now, self.period)
        return min(elapsed, _LONGEST_STEP) if not self.as_fast_as_possible else self.period

    def hurry(self) -> None:
        """Let the next tick come early, and the following ones a period after it: somebody waits for it."""
        if self._last_tick is not None:
            self.next_tick = min(self.next_tick, self._last_tick + _HURRIED_PERIOD)

    def _schedule(self, now: float, period: float) -> None:
        self._last_tick = now
        if self.as_fast_as_possible:
            self.next_tick = now
            return
        # A tick that came late does not shift the following ones, unless it came so late that they have passed, too.
        self.next_tick += period
        if self.next_tick <= now:
            self.next_tick = now + period

    def synchronous_delta(self, settings: EpisodeSettings) -> float:
        """Seconds that one tick of a synchronous world advances."""
        if settings.fixed_delta_seconds:
            return settings.fixed_delta_seconds
        now = time.monotonic()
        elapsed = self.period if self._last_tick is None else now - self._last_tick
        self._last_tick = now
        return min(max(elapsed, 1e-3), _LONGEST_STEP)
