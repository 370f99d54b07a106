"""The numbered actions of the DQN example: number -> throttle, steer, brake, reverse, hand brake."""

from __future__ import annotations

STEERING = (0.0, 0.75, 0.5, 0.25, -0.75, -0.5, -0.25)
FINE_STEERING = (0.0, 0.08, 0.2, 0.5, -0.08, -0.2, -0.5)
FINE_PEDALS = ((0.0, 0.35), (0.0, 0.0), (0.45, 0.0), (0.65, 0.0))
"""Throttle and brake. CARLA's cars slow down by 3 to 4 m/s^2 without any, so that speed needs a throttle: 0.45 keeps
what the car has between 5 and 13 m/s, 0.65 reaches 8 m/s from rest in 3.6 s. Below 5 m/s a brake stops it at once."""


def _numbered(rows: list[tuple[float, float, float]]) -> dict[int, list[float | bool]]:
    return {number: [*row, False, False] for number, row in enumerate(rows)}


def _original_actions() -> dict[int, list[float | bool]]:
    rows: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    rows += [(0.0, steer, 0.0) for steer in STEERING[1:]]
    rows += [(throttle, steer, 0.0) for throttle in (0.3, 0.6, 1.0) for steer in STEERING]
    return _numbered(rows)


def _fine_actions() -> dict[int, list[float | bool]]:
    return _numbered([(throttle, steer, brake) for throttle, brake in FINE_PEDALS for steer in FINE_STEERING])


def _braking_actions() -> dict[int, list[float | bool]]:
    return {**_fine_actions(), len(FINE_PEDALS) * len(FINE_STEERING): [0.0, 0.0, 1.0, False, False]}


ACTIONS = {"original": _original_actions(), "fine": _fine_actions(), "braking": _braking_actions()}
"""The sets that `others.actions` names."""
