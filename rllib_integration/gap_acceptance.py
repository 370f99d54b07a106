"""Which gaps between others the hero takes: when it would be where, and how much others have to make room.

Who has waited for long takes smaller gaps, as people do. Models of traffic call this impatience.
"""

from __future__ import annotations

import math

from numba import njit

STANDING = 0.3
"""Speed [m/s] below which a vehicle counts as standing."""

_PACE, _GAIN = 6.5, 2.5  # [m/s] that the hero is expected to reach, and [m/s^2] at which
_PATIENT, _IMPATIENT = 5.0, 20.0  # [s] of waiting before a smaller gap will do, and before the smallest will
_THROUGH = 15.0  # [m] of driving after which the hero is past what it waited for
_SAME_TIME = 1.0  # [s] between two at the same place that are in each other's way
_SQUEEZE = 0.7  # share of this, behind one who has crossed, that an impatient hero gives up
_EASY_BRAKING, _HARD_BRAKING = 3.0, 5.0  # [m/s^2] that a hero expects of those who come: patient, impatient
_KEPT = 2.0  # [m] that they keep to it at rest


class Waiting:
    """How long a hero has waited for a gap.

    Attributes:
        impatience: From 0, where others are not made to brake, to 1.
    """

    def __init__(self) -> None:
        self.impatience = 0.0
        self._since: float | None = None
        self._at = 0.0

    def update(self, now: float, travelled: float, speed: float, waits: bool) -> None:
        """Note a decision.

        Args:
            now: Simulated time [s].
            travelled: Where the hero is on its route (m).
            speed: Its speed [m/s].
            waits: Whether it is where it would wait, and there is no gap.
        """
        if speed < STANDING and waits:
            if self._since is None:
                self._since, self._at = now, travelled
            self.impatience = min(max((now - self._since - _PATIENT) / (_IMPATIENT - _PATIENT), 0.0), 1.0)
        elif self._since is not None and travelled > self._at + _THROUGH:
            self._since, self.impatience = None, 0.0


@njit(cache=True)
def seconds(metres: float, speed: float) -> float:
    """Time [s] in which the hero, which drives at a speed [m/s], covers some metres if it goes on now."""
    if metres <= 0.0:
        return 0.0
    top = max(speed, _PACE)
    gains_for = (top - speed) / _GAIN
    meanwhile = gains_for * (speed + top) / 2.0
    if metres < meanwhile:
        return (math.sqrt(speed * speed + 2.0 * _GAIN * metres) - speed) / _GAIN
    return gains_for + (metres - meanwhile) / top


@njit(cache=True)
def meet(arrives: float, leaves: float, after: float, speed: float, merges: bool, impatience: float) -> bool:
    """Whether the hero and another are in each other's way at a place.

    Args:
        arrives: When the hero is there first [s].
        leaves: When it has left [s].
        after: When the other is there [s].
        speed: Of the other [m/s].
        merges: Whether both go on along the same way from there, so that the other has to become as slow as the hero.
        impatience: Of the hero: what braking it expects of the other.
    """
    too_fast = max(speed - _PACE, 0.0) if merges else speed
    slows_for = too_fast / (2.0 * _EASY_BRAKING) if merges else 0.0
    if leaves + slows_for < after - _SAME_TIME or arrives > after + _SAME_TIME * (1.0 - _SQUEEZE * impatience):
        return False
    slows_within = too_fast * too_fast / (2.0 * _HARD_BRAKING * max(impatience, 1e-6))
    return speed * (after - arrives) < slows_within + _KEPT
