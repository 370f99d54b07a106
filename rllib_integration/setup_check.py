"""Checks a whole environment's settings before anything heavy starts: no Ray, no server, no town is needed.

Whether a town, blueprint or attribute exists is decided by what CARLA 0.9.16 has. The embedded server has the same; a
CARLA of one's own may have more, so for all other kinds of server a name that is not known gets a warning only.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from rllib_integration.annotations import Settings
from rllib_integration.config.merging import ConfigError, nearest_sentence
from rllib_integration.config.server import ServerSettings
from rllib_integration.scenario import check_spawn_points, choose_town, choose_weather, read_location
from rllib_integration.sensors import CarlaSensor, SensorFactory
from rllib_integration.sensors.base_sensor import attribute_problem, fits_type, nearest_hint, parse_transform
from rllib_integration.tracks.racetracks import RACETRACKS

logger = logging.getLogger(__name__)

_SENSORS = "env_config.experiment.hero.sensors"
_MOST_ACTORS = 10_000

_WITHIN: dict[str, tuple[float, float]] = {
    "image_size_x": (1, 8192),
    "image_size_y": (1, 8192),
    "resize_x": (0, 8192),
    "resize_y": (0, 8192),
    "size": (1, 4096),
    "radius": (0.1, 10_000),
    "fov": (0.1, 179.9),
    "channels": (1, 1024),
    "points_per_second": (1, 100_000_000),
    "rotation_frequency": (0.01, 10_000),
    "range": (0.01, 100_000),
    "sensor_tick": (0, 3600),
}
"""Least and largest usable value of sensors' attributes: pixels, m, s, degrees, Hz, points per second."""


class _Known(TypedDict):
    """What CARLA 0.9.16 has; `sensors` maps each type's attributes to their types."""

    towns: list[str]
    heroes: list[str]
    sensors: dict[str, dict[str, str]]


@functools.cache
def known_to_carla() -> _Known:
    """The towns, the blueprints of heroes and the sensors of CARLA 0.9.16."""
    text = Path(__file__).with_name("carla_blueprints.json").read_text(encoding="utf-8")
    known: _Known = json.loads(text)
    return known


def check_setup(core_config: Settings, experiment_config: Settings) -> None:
    """Refuse what could not begin an episode.

    Args:
        core_config: A complete `carla` section.
        experiment_config: A complete `experiment` section.

    Raises:
        ConfigError: A town, weather, spawn point, route, blueprint or sensor can't be used.
    """
    settings = ServerSettings.from_core_config(core_config)
    is_embedded = settings.chosen_kind == "embedded" and not settings.extra_arguments
    hero = experiment_config["hero"]
    unknown = [*_unknown_blueprints(hero["blueprint"]), *_unknown_towns(experiment_config["town"])]
    choose_weather(experiment_config["weather"], np.random.default_rng(0))
    check_spawn_points(hero["spawn_points"])
    _check_route(experiment_config["route"])
    for name in ("n_vehicles", "n_walkers"):
        number = experiment_config["background_activity"][name]
        if number > _MOST_ACTORS:
            raise ConfigError(
                f"env_config.experiment.background_activity.{name} is {number}, but no town has room for more than "
                f"{_MOST_ACTORS}."
            )
    for name, attributes in hero["sensors"].items():
        unknown += _check_sensor(name, attributes)
    check_rendering(core_config, hero["sensors"])
    for sentence in unknown:
        if is_embedded:
            raise ConfigError(sentence)
        logger.warning("%s A CARLA of your own may know it.", sentence)


def check_rendering(core_config: Settings, sensors: Mapping[str, Settings]) -> None:
    """Refuse cameras in a world that draws no pictures.

    Raises:
        ConfigError: `enable_rendering` is false, and a sensor is a camera.
    """
    cameras = [name for name, attributes in sensors.items() if SensorFactory.needs_rendering(attributes)]
    if cameras and core_config["enable_rendering"] is False:
        raise ConfigError(
            f"env_config.carla.enable_rendering is false, but the sensor '{cameras[0]}' is a camera, whose "
            "pictures would be black. Set enable_rendering to true, or leave it out: then the sensors decide."
        )


def _unknown_blueprints(setting: str | Sequence[str]) -> list[str]:
    patterns = [setting] if isinstance(setting, str) else list(setting)
    heroes = known_to_carla()["heroes"]
    return [
        f"env_config.experiment.hero.blueprint: CARLA has no blueprint '{pattern}'. "
        + nearest_sentence(str(pattern), [hero for hero in heroes if hero.startswith("vehicle.")])
        for pattern in patterns
        if not fnmatch.filter(heroes, str(pattern))
    ]


def _unknown_towns(setting: str | Sequence[str]) -> list[str]:
    try:
        choose_town(setting, [*known_to_carla()["towns"], *RACETRACKS], np.random.default_rng(0))
    except ConfigError as error:
        return [str(error)]
    return []


def _check_route(route: Settings | None) -> None:
    if route and "goal" in route:
        read_location(route["goal"], "env_config.experiment.route.goal")
    for point in (route or {}).get("via", ()):
        read_location(point, "env_config.experiment.route.via")


def _check_sensor(name: str, attributes: Settings) -> list[str]:
    """Refuse a sensor that can't be; return sentences about what CARLA does not know."""
    sensor_class = SensorFactory.sensor_class(attributes["type"])
    sensor_class.read_options(attributes)
    if "transform" in attributes:
        parse_transform(name, attributes["transform"])
    for key, (least, largest) in _WITHIN.items():
        value = attributes.get(key)
        if fits_type("float", str(value)) and not least <= float(str(value)) <= largest:
            raise ConfigError(
                f"{_SENSORS}.{name}.{key} is {value!r}, but it has to be between {least:g} and {largest:g}."
            )
    if not issubclass(sensor_class, CarlaSensor):
        return []
    type_id = sensor_class.type_id or str(attributes["type"])
    known = known_to_carla()["sensors"]
    if type_id not in known:
        return [f"Sensor '{name}': CARLA has no blueprint '{type_id}': {nearest_hint(type_id, list(known))}"]
    given = {key: value for key, value in attributes.items() if key not in ("type", "transform", *sensor_class.OPTIONS)}
    problems = (attribute_problem(known[type_id], key, value, sensor_class.OPTIONS) for key, value in given.items())
    return [f"Sensor '{name}' ({type_id}){problem}" for problem in problems if problem]
