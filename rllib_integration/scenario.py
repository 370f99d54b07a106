"""Where and as what the hero starts, which town and weather an episode has: names checked, choices seeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import carla
import numpy as np

from rllib_integration.config.merging import ConfigError, nearest_sentence
from rllib_integration.errors import IntegrationError

_LONGEST_STEP_BACK = 5.0  # [m] a short spawn point starts up to this far behind where it says
_FARTHEST_FROM_LANE = 10.0  # [m] a short spawn point farther off the lanes than this is a mistake


class SpawnError(IntegrationError, RuntimeError):
    """The hero could not be put into the world."""


def town_name(path: str) -> str:
    """The last part of a town's name: Town05_Opt for /Game/Carla/Maps/Town05_Opt."""
    return path.rstrip("/").rsplit("/", 1)[-1]


def choose_town(setting: str | Sequence[str], available: Sequence[str], rng: np.random.Generator) -> str:
    """The town of an episode.

    Args:
        setting: A name, names to draw from, or "random" for any that is available.
        available: What the server has, as it lists them.
        rng: Draws, where there is a choice.

    Raises:
        ConfigError: A name is none of the server's.
    """
    names = sorted({town_name(path) for path in available})
    if setting == "random":
        return str(rng.choice(names))
    choices = [setting] if isinstance(setting, str) else list(setting)
    for choice in choices:
        # Servers list a town and its layered twin (_Opt) or only one of them, and load either.
        plain = town_name(str(choice)).removesuffix("_Opt")
        if town_name(str(choice)) not in names and plain not in names and f"{plain}_Opt" not in names:
            raise ConfigError(
                f"env_config.experiment.town: the server has no town '{choice}'. {nearest_sentence(plain, names)}"
            )
    return str(choices[int(rng.integers(len(choices)))])


def weather_presets() -> dict[str, carla.WeatherParameters]:
    """CARLA's weather presets by name."""
    found = {name: getattr(carla.WeatherParameters, name) for name in dir(carla.WeatherParameters)}
    return {name: value for name, value in found.items() if isinstance(value, carla.WeatherParameters)}


def choose_weather(
    setting: str | Sequence[str] | Mapping[str, float], rng: np.random.Generator
) -> carla.WeatherParameters:
    """The weather of an episode.

    Args:
        setting: A preset, presets to draw from, "random" for any of them, or parameters over ClearNoon's.
        rng: Draws, where there is a choice.

    Raises:
        ConfigError: A preset or parameter does not exist.
    """
    if isinstance(setting, Mapping):
        return _weather_of(setting)
    presets = weather_presets()
    choices = sorted(presets) if setting == "random" else [setting] if isinstance(setting, str) else list(setting)
    for choice in choices:
        if choice not in presets:
            raise ConfigError(
                f"env_config.experiment.weather: '{choice}' is no preset of carla.WeatherParameters. "
                + nearest_sentence(str(choice), presets)
            )
    return presets[choices[int(rng.integers(len(choices)))]]


def _weather_of(parameters: Mapping[str, float]) -> carla.WeatherParameters:
    names = [
        name for name in dir(carla.WeatherParameters) if not name.startswith("_") and name not in weather_presets()
    ]
    preset = weather_presets()["ClearNoon"]
    values = {name: getattr(preset, name) for name in names}
    for name, value in parameters.items():
        if name not in values:
            raise ConfigError(
                f"env_config.experiment.weather: '{name}' is no parameter of the weather. "
                + nearest_sentence(str(name), names)
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"env_config.experiment.weather.{name} is {value!r}, but it has to be a number.")
        values[name] = float(value)
    return carla.WeatherParameters(**values)


def choose_blueprint(
    library: carla.BlueprintLibrary, setting: str | Sequence[str], rng: np.random.Generator
) -> carla.ActorBlueprint:
    """The hero's blueprint.

    Args:
        library: The server's blueprints.
        setting: An id, a pattern such as `vehicle.tesla.*`, or a list of these to draw from.
        rng: Draws, where there is a choice.

    Raises:
        ConfigError: Nothing in the library has that name.
    """
    patterns = [setting] if isinstance(setting, str) else list(setting)
    found: list[carla.ActorBlueprint] = []
    for pattern in patterns:
        matching = sorted(library.filter(str(pattern)), key=lambda blueprint: blueprint.id)
        if not matching:
            family = "vehicle.*" if not str(pattern).startswith("walker") else "walker.*"
            names = [blueprint.id for blueprint in library.filter(family)]
            raise ConfigError(
                f"env_config.experiment.hero.blueprint: the server has no blueprint '{pattern}'. "
                + nearest_sentence(str(pattern), names)
            )
        found += matching
    return found[int(rng.integers(len(found)))]


SpawnPoint: TypeAlias = str | Sequence[float]
"""`"x,y,z"` or `"x,y,z,roll,pitch,yaw"` in metres and degrees, or the numbers."""


def hero_transforms(
    setting: str | Sequence[SpawnPoint] | Mapping[str, Sequence[SpawnPoint]],
    carla_map: carla.Map,
    rng: np.random.Generator,
) -> list[carla.Transform]:
    """Where the hero may start, in the order in which to try.

    Args:
        setting: `"x,y,z"` or `"x,y,z,roll,pitch,yaw"` (metres, degrees), or a mapping from town to these;
            nothing, or "random", for the town's own.
        carla_map: The town.
        rng: Shuffles, and draws how far behind a short point the hero starts.

    Raises:
        ConfigError: An entry can't be read, or is nowhere near a lane of the town.
        SpawnError: The town has no spawn points of its own and none are given.
    """
    town = town_name(carla_map.name)
    entries = setting
    if isinstance(setting, Mapping):
        entries = setting.get(town) or setting.get(f"{town}_Opt") or setting.get(town.removesuffix("_Opt")) or []
    if not entries or entries == "random":
        transforms = list(carla_map.get_spawn_points())
        if not transforms:
            raise SpawnError(f"{town} has no spawn points of its own; list some under hero.spawn_points.")
    else:
        transforms = [_read_spawn_point(entry, carla_map, rng) for entry in entries]
    return [transforms[index] for index in rng.permutation(len(transforms))]


def check_spawn_points(setting: str | Sequence[SpawnPoint] | Mapping[str, Sequence[SpawnPoint]]) -> None:
    """Refuse spawn points that can't be read, in whatever town.

    Raises:
        ConfigError: An entry holds neither three nor six numbers.
    """
    if isinstance(setting, str):
        return
    for entry in (one for many in setting.values() for one in many) if isinstance(setting, Mapping) else setting:
        _spawn_numbers(entry)


def _spawn_numbers(entry: SpawnPoint) -> list[float]:
    numbers = _read_numbers(entry)
    if len(numbers) not in (3, 6):
        raise ConfigError(
            f"env_config.experiment.hero.spawn_points: {entry!r} can't be read; write 'x,y,z' or "
            "'x,y,z,roll,pitch,yaw' in metres and degrees."
        )
    return numbers


def _read_spawn_point(entry: SpawnPoint, carla_map: carla.Map, rng: np.random.Generator) -> carla.Transform:
    numbers = _spawn_numbers(entry)
    location = carla.Location(*numbers[:3])
    if len(numbers) == 6:
        roll, pitch, yaw = numbers[3:]
        return carla.Transform(location, carla.Rotation(roll=roll, pitch=pitch, yaw=yaw))
    return _on_lane_behind(entry, location, carla_map, rng)


def read_location(entry: object, where: str) -> carla.Location:
    """The place that `"x,y,z"` (metres) names.

    Raises:
        ConfigError: It is no three numbers.
    """
    numbers = _read_numbers(entry)
    if len(numbers) != 3:
        raise ConfigError(f"{where} is {entry!r}, but it has to be 'x,y,z' in metres.")
    return carla.Location(*numbers)


def _read_numbers(entry: object) -> list[float]:
    """Finite numbers out of a list or a text parted by commas; empty where there is anything else."""
    parts = entry if isinstance(entry, (list, tuple)) else str(entry).split(",")
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        return []
    return numbers if np.isfinite(numbers).all() else []


def _on_lane_behind(
    entry: object, location: carla.Location, carla_map: carla.Map, rng: np.random.Generator
) -> carla.Transform:
    """The pose on the lane at a location, or up to five metres behind it, as high above the road."""
    here = carla_map.get_waypoint(location)
    distance = float("inf") if here is None else here.transform.location.distance(location)
    if distance > _FARTHEST_FROM_LANE:
        raise ConfigError(
            f"env_config.experiment.hero.spawn_points: {entry!r} is {distance:.0f} m from the nearest lane of "
            f"{town_name(carla_map.name)}. Is it a point of another town? Off the road, give the heading too: "
            "'x,y,z,roll,pitch,yaw'."
        )
    height = location.z - here.transform.location.z
    step_back = float(rng.uniform(0.0, _LONGEST_STEP_BACK))
    behind = here.previous(step_back) if step_back > 0.0 else []  # empty where the lane begins
    pose = behind[0].transform if behind else here.transform
    location = cast(carla.Location, pose.location + carla.Location(z=height))
    return carla.Transform(location, pose.rotation)
