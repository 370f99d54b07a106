"""How smoothly a vehicle was driven: what its driver did with wheel and pedals, and how well it held a line."""

from __future__ import annotations

import math
from array import array
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


_COLUMNS = ("time", "throttle", "brake", "steer", "speed", *Line._fields)
_NO_LINE = Line(math.nan, 0.0)


class Smoothness:
    """Notes what one vehicle does in one episode. Call `update` once for each decision, `summary` at the end."""

    def __init__(self) -> None:
        self._moments = array("d")

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
        self._moments.extend((time, throttle, brake, steer, speed, *(line or _NO_LINE)))

    def summary(self) -> dict[str, float]:
        """The episode in numbers.

        Returns:
            `steering_rate` (RMS of the change of steering, 1/s), the same as `steering_rate_straight` and
            `steering_rate_bend` where both occurred, `steering_sign_changes` (from left to right or back, per s),
            `jerk` (RMS of the change of the acceleration along the vehicle, m/s^3), `both_pedals` (share of the time),
            and, with a line, `offset_mean` and `offset_95` (m, the latter not exceeded in 95 % of the moments).
            Empty before two moments.
        """
        moments = np.array(self._moments).reshape(-1, len(_COLUMNS))
        later = np.diff(moments[:, 0], prepend=-math.inf) > 0.0  # a moment that is told twice counts once
        time, throttle, brake, steer, speed, lateral, bend = moments[later].T
        if len(time) < 2:
            return {}
        # The clock is a sum of steps: its last digits tell how long it has run.
        elapsed = np.diff(time).round(9)
        duration = float(elapsed.sum())
        rates = (np.diff(steer) / elapsed) ** 2 * elapsed
        jerks = (np.diff(np.diff(speed) / elapsed) / elapsed[1:]) ** 2 * elapsed[1:]
        sides = np.sign(steer[np.abs(steer) > _CENTRED])
        pressed = (throttle > _PRESSED) & (brake > _PRESSED)
        figures = {
            "steering_rate": math.sqrt(rates.sum() / duration),
            "steering_sign_changes": np.count_nonzero(np.diff(sides)) / duration,
            "jerk": math.sqrt(jerks.sum() / elapsed[1:].sum()) if len(jerks) else 0.0,
            "both_pedals": float(elapsed[pressed[1:]].sum()) / duration,
        }
        bends = np.abs(bend[1:]) > STRAIGHT
        if bends.any() and not bends.all():
            for name, part in (("straight", ~bends), ("bend", bends)):
                figures[f"steering_rate_{name}"] = math.sqrt(rates[part].sum() / elapsed[part].sum())
        offsets = np.abs(lateral[~np.isnan(lateral)])
        if len(offsets):
            figures["offset_mean"] = float(np.mean(offsets))
            figures["offset_95"] = float(np.quantile(offsets, 0.95))
        return figures
