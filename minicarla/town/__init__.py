"""OpenDRIVE text -> roads, ground, spawn points, signals, scenery: all that a simulation needs of a town.

What builds towns is heavy to import and loaded when it is first used: clients ask only where towns come from.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from minicarla.town.sources import BUILT_IN_TOWN, TownError

if TYPE_CHECKING:
    from minicarla.town.generation import GenerationParameters
    from minicarla.town.loader import available_towns, build_town, load_town
    from minicarla.town.town import Scenery, Signal, Town

_HOMES = {
    "GenerationParameters": "generation",
    "Scenery": "town",
    "Signal": "town",
    "Town": "town",
    "available_towns": "loader",
    "build_town": "loader",
    "load_town": "loader",
}

__all__ = [
    "BUILT_IN_TOWN",
    "GenerationParameters",
    "Scenery",
    "Signal",
    "Town",
    "TownError",
    "available_towns",
    "build_town",
    "load_town",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
