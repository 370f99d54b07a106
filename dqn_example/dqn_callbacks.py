"""The DQN example's figure in the progress line, beside those that the library logs for every experiment."""

from __future__ import annotations

import math

from rllib_integration.training.callbacks import EpisodeCallbacks
from rllib_integration.training.progress import Figure


class DQNCallbacks(EpisodeCallbacks):
    """Adds the heading deviation, averaged over the episodes' steps, to the line of each iteration."""

    PROGRESS = (
        Figure("heading", "heading_deviation", "deg", scale=math.degrees(1.0)),
        *EpisodeCallbacks.PROGRESS,
    )
