"""The driving scores of the CARLA Leaderboard, by version.

Source: CARLA Leaderboard, https://leaderboard.carla.org/#evaluation-and-metrics, and its `statistics_manager.py` on the
branches `leaderboard-2.0` and `leaderboard-2.1`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class ScoreRules(NamedTuple):
    """What each infraction costs.

    Attributes:
        weights: By the name of the infraction: in version 2.0 the factor on the score for each occurrence, in version
            2.1 what each adds to the denominator.
        slowness: The most that being slower than the traffic around costs at each checkpoint.
    """

    weights: Mapping[str, float]
    slowness: float


SCORE_2_0 = ScoreRules(
    {
        "collisions_pedestrian": 0.50,
        "collisions_vehicle": 0.60,
        "collisions_static": 0.65,
        "red_lights_run": 0.70,
        "stop_signs_run": 0.80,
        "scenario_timeouts": 0.70,
        "yield_emergency_vehicle": 0.70,
    },
    0.3,
)
SCORE_2_1 = ScoreRules(
    {
        "collisions_pedestrian": 1.0,
        "collisions_vehicle": 0.70,
        "collisions_static": 0.60,
        "red_lights_run": 0.40,
        "stop_signs_run": 0.25,
        "scenario_timeouts": 0.40,
        "yield_emergency_vehicle": 0.40,
    },
    0.4,
)


def penalty_2_0(counts: Mapping[str, int], speed_shares: Sequence[float] = ()) -> float:
    """The factor of version 2.0 on the route completion, time off the lanes aside.

    Args:
        counts: Occurrences by the names of `SCORE_2_0`.
        speed_shares: Speed relative to the traffic around, at each checkpoint where it was below 1.
    """
    slow = math.prod(1.0 - SCORE_2_0.slowness * (1.0 - share) for share in speed_shares)
    return slow * math.prod(weight ** counts.get(name, 0) for name, weight in SCORE_2_0.weights.items())


def penalty_2_1(counts: Mapping[str, int], speed_shares: Sequence[float] = ()) -> float:
    """As `penalty_2_0`, by the rule of version 2.1: 1 / (1 + sum), which many small faults do not bring near zero."""
    total = sum(weight * counts.get(name, 0) for name, weight in SCORE_2_1.weights.items())
    return 1.0 / (1.0 + total + sum(SCORE_2_1.slowness * (1.0 - share) for share in speed_shares))
