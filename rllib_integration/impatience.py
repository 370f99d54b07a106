"""Who has waited for long takes smaller gaps, as people do; models of traffic call this impatience."""

from __future__ import annotations

_PATIENT, _IMPATIENT = 5.0, 20.0  # [s] of waiting before a smaller gap will do, and before the smallest will
_THROUGH = 15.0  # [m] of driving after which the hero is past what it waited for


class Waiting:
    """How long a hero has waited for a gap between others.

    Attributes:
        impatience: From 0, where others are not made to brake, to 1.
    """

    def __init__(self) -> None:
        self.impatience = 0.0
        self._since: float | None = None
        self._at = 0.0

    def update(self, now: float, travelled: float, waits: bool) -> None:
        """Note a decision.

        Args:
            now: Simulated time [s].
            travelled: Where the hero is on its route (m).
            waits: Whether it stands where it would wait, and there is no gap.
        """
        if waits:
            if self._since is None:
                self._since, self._at = now, travelled
            self.impatience = min(max((now - self._since - _PATIENT) / (_IMPATIENT - _PATIENT), 0.0), 1.0)
        elif self._since is not None and travelled > self._at + _THROUGH:
            self._since, self.impatience = None, 0.0
