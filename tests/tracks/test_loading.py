"""Race tracks are loaded by name, also on a server that does not know them, as a CARLA from its makers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rllib_integration.base_experiment import resolve_experiment_config
from rllib_integration.carla_core import CarlaCore
from rllib_integration.config.merging import ConfigError
from rllib_integration.sensors.virtual_lidar import VirtualLidarSensor
from rllib_integration.tracks import Track
from tests.known import of_kind

MICROLINO = "vehicle.micro.microlino"


@pytest.fixture(scope="module")
def core(start_server: Callable[..., Any]) -> Iterator[CarlaCore]:
    host, port = start_server().address
    core = CarlaCore({"server": {"kind": "external", "host": host, "port": port}})
    yield core
    core.close()


def begin(core: CarlaCore, town: str) -> None:
    config = resolve_experiment_config(
        {"town": town, "hero": {"blueprint": MICROLINO, "sensors": {"lidar": {"type": "sensor.virtual_lidar"}}}}
    )
    core.setup_experiment(config, 0)
    core.reset_hero(config["hero"])
    core.tick(None)


def test_a_server_that_does_not_list_a_race_track_builds_the_same_one(
    core: CarlaCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(core, "Racetrack01")
    known, pose = core.map.to_opendrive(), core.hero.get_transform()
    measured = of_kind(VirtualLidarSensor, core.sensor_interface.sensors["lidar"]).cast(pose)
    begin(core, "Minitown")
    monkeypatch.setattr(core.connection, "available_towns", ["/Game/Carla/Maps/Minitown"])
    begin(core, "Racetrack01")
    assert core.map.to_opendrive() == known
    assert core.town == "Racetrack01"
    assert (of_kind(VirtualLidarSensor, core.sensor_interface.sensors["lidar"]).cast(pose) == measured).all()
    place = core.hero.get_location()
    assert abs(Track.of_map(core.map).locate(place.x, place.y, place.z, 0.0).lateral) < 3.5
    begin(core, "Racetrack02")
    assert core.town == "Racetrack02"
    assert core.map.to_opendrive() != known


def test_a_mistyped_race_track_is_refused_with_the_nearest_names(core: CarlaCore) -> None:
    with pytest.raises(ConfigError, match=r"no town 'Racetrack1'.*Racetrack01"):
        begin(core, "Racetrack1")
