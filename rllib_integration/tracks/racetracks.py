"""The race tracks that come with the library, as OpenDRIVE texts.

The embedded server has them among its towns. A CARLA that does not know them builds them from these texts.
They are copies of what the embedded server makes, because neither package imports the other; a test holds them equal.
"""

from __future__ import annotations

from importlib import resources

RACETRACKS = ("Racetrack01", "Racetrack02")
"""Names under which they can be asked for as towns."""


def racetrack_opendrive(name: str) -> str:
    """The OpenDRIVE text of one of `RACETRACKS`."""
    return (resources.files("rllib_integration.tracks") / f"{name}.xodr").read_text(encoding="utf-8")
