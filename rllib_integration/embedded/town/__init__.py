"""OpenDRIVE text -> roads, ground, spawn points, signals, scenery: all that a simulation needs of a town."""

from rllib_integration.embedded.town.loader import available_towns, build_town, load_town
from rllib_integration.embedded.town.sources import BUILT_IN_TOWN, TownError
from rllib_integration.embedded.town.town import Scenery, Signal, Town

__all__ = ["BUILT_IN_TOWN", "Scenery", "Signal", "Town", "TownError", "available_towns", "build_town", "load_town"]
