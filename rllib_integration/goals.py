"""Goals that are poses, as networks take them: the goal as seen from the hero.

A pose is float32 `(..., 4)`: x and y [m], cosine and sine of the yaw, in a frame that holds for the episode.
"""

from __future__ import annotations

from rllib_integration.annotations import Observation

NEAR = 20.0
"""[m] A goal so far away is shown as 1."""

SEEN_GOAL = 5
"""Numbers that `seen_goal` makes of two poses."""


def seen_goal(achieved: Observation, desired: Observation) -> list[Observation]:
    """A wanted pose in the frame of the one that is achieved.

    Args:
        achieved: The hero's pose `(..., 4)`, a numpy array or torch tensor.
        desired: The wanted one.

    Returns:
        Metres forward and to the right, over `NEAR`; their distance, over `NEAR`; cosine and sine of the turn to the
        wanted yaw: `SEEN_GOAL` arrays or tensors `(...)`.
    """
    x, y = desired[..., 0] - achieved[..., 0], desired[..., 1] - achieved[..., 1]
    c, s = achieved[..., 2], achieved[..., 3]
    forward, right = (x * c + y * s) / NEAR, (y * c - x * s) / NEAR
    distance = (forward * forward + right * right) ** 0.5
    wanted_c, wanted_s = desired[..., 2], desired[..., 3]
    return [forward, right, distance, wanted_c * c + wanted_s * s, wanted_s * c - wanted_c * s]
