"""Towns without a server."""

from __future__ import annotations

from collections.abc import Callable

import carla
import pytest

from minicarla.town import BUILT_IN_TOWN, TownError
from minicarla.town.minitown import minitown
from minicarla.town.sources import read_opendrive


@pytest.fixture(scope="session")
def carla_town() -> Callable[[str], carla.Map]:
    """The map of a town by name; the test is skipped where CARLA's towns are neither cached nor to be had."""

    def load(name: str) -> carla.Map:
        if name == BUILT_IN_TOWN:
            return carla.Map(name, minitown())
        try:
            return carla.Map(name, read_opendrive(name))
        except TownError as error:
            pytest.skip(str(error))

    return load


@pytest.fixture(scope="session")
def built_in_town(carla_town: Callable[[str], carla.Map]) -> carla.Map:
    """The map of the town that needs no download."""
    return carla_town(BUILT_IN_TOWN)
