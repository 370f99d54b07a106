"""What the DQN example shows of its episodes beside what the library logs of every experiment."""

from __future__ import annotations

import math

from rllib_integration.training.callbacks import EpisodeCallbacks
from rllib_integration.training.progress import Figure


class DQNCallbacks(EpisodeCallbacks):
    """Shows the heading deviation, averaged over the episodes' steps, in the line of each iteration."""

    PROGRESS = (
        Figure("heading", "heading_deviation", "deg", scale=math.degrees(1.0)),
        *EpisodeCallbacks.PROGRESS,
    )
