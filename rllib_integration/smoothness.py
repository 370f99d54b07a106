"""How smoothly a vehicle was driven: what its driver did with wheel and pedals, and how well it held a line."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

STRAIGHT = 0.01  # [1/m] a line that bends less than this is straight
_PRESSED = 0.1  # a pedal that is pressed more than this is pressed
_CENTRED = 0.02  # steering within this is neither left nor right


class Line(NamedTuple):
    """How a vehicle lies to the line that it is to follow.

    Attributes:
        lateral: Distance to the right of it, m.
        bend: Curvature of the line there, 1/m.
    """

    lateral: float
    bend: float


class Smoothness:
    """Sums up one episode of one vehicle. Call `update` once for each decision, `summary` at the end."""

    def __init__(self) -> None:
        self._time: float | None = None
        self._steer = self._speed = 0.0
        self._acceleration: float | None = None
        self._side = 0
        self._duration = 0.0
        self._sign_changes = 0
        self._both_pedals = 0.0
        self._jerk_squared = self._jerk_duration = 0.0
        self._rate_squared = [0.0, 0.0]  # on straights, in bends
        self._seconds = [0.0, 0.0]
        self._offsets: list[float] = []

    def update(
        self, time: float, throttle: float, brake: float, steer: float, speed: float, line: Line | None = None
    ) -> None:
        """Take in one moment.

        Args:
            time: Simulated, s.
            throttle: Share of the pedal's travel that has led here, 0 to 1.
            brake: Same.
            steer: Share of the full lock that has led here, -1 to 1, positive to the right.
            speed: Along the vehicle's own axis, m/s.
            line: How the vehicle lies to its line; None without one, which counts as a straight.
        """
        before, self._time = self._time, time
        if before is not None and time > before:
            elapsed = round(time - before, 9)  # the clock is a sum of steps: its last digits tell how long it has run
            bends = line is not None and abs(line.bend) > STRAIGHT
            self._rate_squared[bends] += ((steer - self._steer) / elapsed) ** 2 * elapsed
            self._seconds[bends] += elapsed
            self._duration += elapsed
            self._both_pedals += elapsed * (throttle > _PRESSED and brake > _PRESSED)
            self._note_acceleration((speed - self._speed) / elapsed, elapsed)
        self._note_side(steer)
        if line is not None:
            self._offsets.append(abs(line.lateral))
        self._steer, self._speed = steer, speed

    def _note_acceleration(self, acceleration: float, elapsed: float) -> None:
        if self._acceleration is not None:
            self._jerk_squared += ((acceleration - self._acceleration) / elapsed) ** 2 * elapsed
            self._jerk_duration += elapsed
        self._acceleration = acceleration

    def _note_side(self, steer: float) -> None:
        side = 0 if abs(steer) <= _CENTRED else int(math.copysign(1.0, steer))
        if side and self._side and side != self._side:
            self._sign_changes += 1
        self._side = side or self._side

    def summary(self) -> dict[str, float]:
        """The episode in numbers.

        Returns:
            `steering_rate` (RMS of the change of steering, 1/s), the same as `steering_rate_straight` and
            `steering_rate_bend` where both occurred, `steering_sign_changes` (from left to right or back, per s),
            `jerk` (RMS of the change of the acceleration along the vehicle, m/s^3), `both_pedals` (share of the time),
            and, with a line, `offset_mean` and `offset_95` (m, the latter not exceeded in 95 % of the moments).
            Empty before two moments.
        """
        if not self._duration:
            return {}
        figures = {
            "steering_rate": math.sqrt(sum(self._rate_squared) / self._duration),
            "steering_sign_changes": self._sign_changes / self._duration,
            "jerk": math.sqrt(self._jerk_squared / self._jerk_duration) if self._jerk_duration else 0.0,
            "both_pedals": self._both_pedals / self._duration,
        }
        if all(self._seconds):
            for name, squared, seconds in zip(("straight", "bend"), self._rate_squared, self._seconds):
                figures[f"steering_rate_{name}"] = math.sqrt(squared / seconds)
        if self._offsets:
            figures["offset_mean"] = float(np.mean(self._offsets))
            figures["offset_95"] = float(np.quantile(self._offsets, 0.95))
        return figures
