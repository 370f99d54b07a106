"""Figures of smoothness tell a steady hand from a nervous one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rllib_integration.smoothness import Line, Smoothness

STEP = 0.1  # [s]


def driven(
    steer: Callable[[float], float],
    speed: Callable[[float], float] = lambda time: 8.0,
    line: Callable[[float], Line | None] = lambda time: None,
    seconds: float = 20.0,
) -> dict[str, float]:
    smoothness = Smoothness()
    for time in np.arange(0.0, seconds + STEP / 2.0, STEP):
        smoothness.update(time, 0.4, 0.0, steer(time), speed(time), line(time))
    return smoothness.summary()


def test_steering_rate_is_the_root_mean_square_of_the_changes_a_second() -> None:
    swinging = driven(lambda time: 0.3 * math.sin(2.0 * math.pi * 0.5 * time))
    assert swinging["steering_rate"] == pytest.approx(0.3 * math.pi / math.sqrt(2.0), rel=0.02)
    assert driven(lambda time: 0.3)["steering_rate"] == 0.0


def test_sign_changes_count_from_side_to_side_and_not_about_the_middle() -> None:
    assert driven(lambda time: 0.3 * math.cos(2.0 * math.pi * 0.5 * time))["steering_sign_changes"] == pytest.approx(
        1.0
    )
    assert driven(lambda time: 0.015 * math.cos(2.0 * math.pi * time))["steering_sign_changes"] == 0.0
    assert driven(lambda time: 0.3 * abs(math.cos(time)))["steering_sign_changes"] == 0.0


def test_jerk_is_the_change_of_acceleration() -> None:
    assert driven(lambda time: 0.0, speed=lambda time: 2.0 * time)["jerk"] == pytest.approx(0.0, abs=1e-6)
    assert driven(lambda time: 0.0, speed=lambda time: 0.5 * time**2)["jerk"] == pytest.approx(1.0, rel=0.01)


def test_straights_and_bends_are_told_apart() -> None:
    figures = driven(
        lambda time: 0.0 if time <= 10.0 else 0.2 * math.sin(time * 6.0),
        line=lambda time: Line(0.5, 0.0 if time <= 10.0 else 0.1),
    )
    assert figures["steering_rate_straight"] == 0.0
    assert figures["steering_rate_bend"] > figures["steering_rate"] > 0.5


def test_offsets_are_distances_whichever_the_side() -> None:
    figures = driven(lambda time: 0.0, line=lambda time: Line(0.5 if time < 10.0 else -1.5, 0.0))
    assert figures["offset_mean"] == pytest.approx(1.0, abs=0.01)
    assert figures["offset_95"] == pytest.approx(1.5)


def test_both_pedals_at_once_are_noticed() -> None:
    smoothness = Smoothness()
    for number in range(11):
        smoothness.update(number * STEP, 0.5, 0.5 if number > 5 else 0.0, 0.0, 5.0)
    assert smoothness.summary()["both_pedals"] == pytest.approx(0.5)


def test_a_single_moment_has_no_figures() -> None:
    smoothness = Smoothness()
    smoothness.update(0.0, 0.0, 0.0, 0.0, 0.0)
    assert smoothness.summary() == {}
