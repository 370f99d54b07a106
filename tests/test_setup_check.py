"""What could not begin an episode is refused before a server or Ray starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import carla
import pytest

from rllib_integration.base_experiment import resolve_experiment_config
from rllib_integration.config.core import resolve_core_config
from rllib_integration.config.merging import ConfigError
from rllib_integration.scenario import town_name
from rllib_integration.setup_check import check_setup, known_to_carla
from rllib_integration.tracks.racetracks import RACETRACKS

CAMERA = {"type": "sensor.camera.rgb", "image_size_x": 32, "image_size_y": 24}
EMBEDDED = {"server": "embedded"}


def check(experiment: Mapping[str, Any], core: Mapping[str, Any] = EMBEDDED) -> None:
    check_setup(resolve_core_config(core), resolve_experiment_config({"town": "Minitown", **experiment}))


def sensor(**attributes: object) -> dict[str, Any]:
    return {"hero": {"sensors": {"front": {**CAMERA, **attributes}}}}


@pytest.mark.parametrize(
    ("experiment", "sentence"),
    [
        ({"town": "Town55"}, r"no town 'Town55'\. The nearest are: .*Town05"),
        ({"town": ["Town03", "Moon"]}, "no town 'Moon'"),
        ({"weather": "Sunny"}, "'Sunny' is no preset"),
        ({"weather": {"rain": 3}}, "'rain' is no parameter of the weather"),
        ({"hero": {"blueprint": "vehicle.tesla.modell3"}}, r"no blueprint 'vehicle\.tesla\.modell3'.*model3"),
        ({"hero": {"spawn_points": ["1,2"]}}, r"'1,2' can't be read; write 'x,y,z'"),
        ({"hero": {"spawn_points": {"Town01": ["1,2,z"]}}}, "'1,2,z' can't be read"),
        ({"route": {"goal": "there"}}, r"route\.goal is 'there'"),
        ({"background_activity": {"n_vehicles": 10**9}}, "no town has room for more than 10000"),
        (sensor(type="sensor.camera.rbg"), r"no sensor type 'sensor\.camera\.rbg': did you mean 'sensor\.camera\.rgb'"),
        (sensor(imagesize_x=3), r"has no attribute 'imagesize_x': did you mean 'image_size_x'"),
        (sensor(fov="wide"), r"attribute 'fov' is 'wide', but it has to be of type float"),
        (sensor(image_size_x=0), r"sensors\.front\.image_size_x is 0, but it has to be between 1 and 8192"),
        (sensor(image_size_y=10**7), r"image_size_y is 10000000, but it has to be between 1 and 8192"),
        (sensor(sensor_tick=-1), r"sensor_tick is -1, but it has to be between 0 and 3600"),
        (sensor(transform="0,0,2"), "has to be six numbers"),
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(experiment: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check(experiment)


def test_what_carla_may_have_beyond_its_release_only_gets_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    experiment = {
        "town": "MyTown",
        "hero": {"blueprint": "vehicle.my.car", "sensors": {"front": {**CAMERA, "gain": 2}}},
    }
    with caplog.at_level(logging.WARNING):
        check(experiment, {"server": {"kind": "external", "port": 2000}})
    assert [("MyTown" in line, "vehicle.my.car" in line, "'gain'" in line) for line in caplog.messages] == [
        (False, True, False),
        (True, False, False),
        (False, False, True),
    ]


def test_cameras_without_rendering_are_refused() -> None:
    check(sensor(), {**EMBEDDED, "enable_rendering": True})
    check(sensor())
    check({}, {**EMBEDDED, "enable_rendering": False})
    with pytest.raises(ConfigError, match="enable_rendering is false, but the sensor 'front' is a camera"):
        check(sensor(), {**EMBEDDED, "enable_rendering": False})


def test_the_table_of_what_carla_has_is_the_embedded_servers(carla_client: carla.Client, world: carla.World) -> None:
    towns = {town_name(path) for path in carla_client.get_available_maps()} - set(RACETRACKS)
    assert set(known_to_carla()["towns"]) == towns
    library = world.get_blueprint_library()
    heroes = sorted(found.id for found in library if found.id.startswith(("vehicle.", "walker.")))
    sensors = {
        found.id: {attribute.id: str(attribute.type).lower() for attribute in found}
        for found in library.filter("sensor.*")
    }
    assert known_to_carla()["heroes"] == heroes
    assert known_to_carla()["sensors"] == sensors
