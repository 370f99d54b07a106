"""The race's figures in the progress line, beside those that the library logs for every experiment."""

from __future__ import annotations

from rllib_integration.training.callbacks import EpisodeCallbacks
from rllib_integration.training.progress import Figure


class PPOCallbacks(EpisodeCallbacks):
    """Shows laps, lap time and speed in the line of each iteration."""

    PROGRESS = (
        Figure("laps", "drive_laps_driven", digits=2),
        Figure("lap", "drive_lap_time", "s"),
        Figure("speed", "speed", "km/h"),
        Figure("on track", "in_lane", "%", scale=100.0),
    )
