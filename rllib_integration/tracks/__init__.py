"""Closed courses to race on: those of any town, and the race tracks that come with the library."""

from __future__ import annotations

from rllib_integration.tracks.racetracks import RACETRACKS, racetrack_opendrive
from rllib_integration.tracks.track import Track, TrackError, TrackPose, TrackProgress

__all__ = ["RACETRACKS", "Track", "TrackError", "TrackPose", "TrackProgress", "racetrack_opendrive"]
