"""The numbered actions of the DQN example: number -> throttle, steer, brake, reverse, hand brake."""

from __future__ import annotations

STEERING = (0.0, 0.75, 0.5, 0.25, -0.75, -0.5, -0.25)
FINE_STEERING = (0.0, 0.08, 0.2, 0.5, -0.08, -0.2, -0.5)
FINE_PEDALS = ((0.0, 0.35), (0.0, 0.0), (0.45, 0.0), (0.65, 0.0))
"""Throttle and brake. Without throttle, CARLA's cars slow down by 3 to 4 m/s^2. Throttle 0.45 holds speeds from 5 to
13 m/s; 0.65 reaches 8 m/s from rest in 3.6 s. Below 5 m/s the brake stops the car at once."""

_ORIGINAL = [
    (0.0, 0.0, 0.0),
    (0.0, 0.0, 1.0),
    *((0.0, steer, 0.0) for steer in STEERING[1:]),
    *((throttle, steer, 0.0) for throttle in (0.3, 0.6, 1.0) for steer in STEERING),
]
_FINE = [(throttle, steer, brake) for throttle, brake in FINE_PEDALS for steer in FINE_STEERING]


def _numbered(rows: list[tuple[float, float, float]]) -> dict[int, list[float | bool]]:
    return {number: [*row, False, False] for number, row in enumerate(rows)}


ACTIONS = {"original": _numbered(_ORIGINAL), "fine": _numbered(_FINE), "braking": _numbered([*_FINE, (0.0, 0.0, 1.0)])}
"""The sets that `others.actions` names."""
