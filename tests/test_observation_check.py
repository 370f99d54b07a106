"""Observations are held to their space, whatever it is made of."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rllib_integration.observation_check import ObservationError, observation_guard

PICTURE = spaces.Box(0, 255, (2, 2), np.uint8)
LEVELS = spaces.Box(0, 3, (2,), np.uint8)
SPEED = spaces.Box(0.0, 50.0, (1,), np.float32)
BOTH = spaces.Dict({"picture": PICTURE, "rest": spaces.Tuple([LEVELS, spaces.Discrete(4)])})


@pytest.mark.parametrize("space", [PICTURE, LEVELS, SPEED, BOTH], ids=["picture", "levels", "speed", "both"])
def test_what_is_in_the_space_passes(space: gymnasium.Space) -> None:
    space.seed(0)
    guard = observation_guard(space)
    assert [guard(space.sample()) for _ in range(20)] == [None] * 20


@pytest.mark.parametrize(
    ("space", "value", "sentence"),
    [
        (LEVELS, np.array([1, 4], np.uint8), r"observation\[1\] is 4, but its space allows 0 to 3"),
        (SPEED, np.array([50.5], np.float32), r"observation\[0\] is 50.5, but its space allows 0.0 to 50.0"),
        (BOTH, [], "its space is a Dict"),
        (BOTH, {"picture": np.zeros((2, 2), np.uint8)}, r"has the entries \['picture'\]"),
        (
            BOTH,
            {"picture": np.zeros((2, 2), np.uint8), "rest": (np.zeros(2, np.uint8), 4)},
            r"observation\['rest'\]\[1\] is 4 .* not in its space",
        ),
        (
            BOTH,
            {"picture": np.zeros((2, 2), np.uint8), "rest": (np.zeros(2, np.uint8),)},
            r"observation\['rest'\] is .* a tuple of 2 entries",
        ),
    ],
)
def test_what_is_not_is_named_by_its_entry(space: gymnasium.Space, value: Any, sentence: str) -> None:
    assert not space.contains(value)
    with pytest.raises(ObservationError, match=sentence):
        observation_guard(space)(value)
