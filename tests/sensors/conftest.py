"""Towns without a server, and a hero with a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import carla
import pytest

from rllib_integration.embedded.town import BUILT_IN_TOWN, TownError
from rllib_integration.embedded.town.minitown import minitown
from rllib_integration.embedded.town.sources import read_opendrive
from rllib_integration.sensors import SensorInterface


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


@pytest.fixture
def world(carla_client: carla.Client) -> carla.World:
    """A fresh synchronous world."""
    return carla_client.get_world()


@pytest.fixture
def hero(world: carla.World) -> carla.Actor:
    """A car on the first spawn point, after one tick."""
    blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2017")
    blueprint.set_attribute("role_name", "hero")
    actor = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    world.tick()
    return actor


@pytest.fixture
def interface(world: carla.World) -> Iterator[SensorInterface]:
    """An interface whose sensors end with the test."""
    sensors = SensorInterface()
    sensors.map = world.get_map()
    yield sensors
    sensors.destroy()
