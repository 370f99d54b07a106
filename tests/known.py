"""What tests know of values whose types say less: that they are there, of which kind they are, what a list holds."""

from __future__ import annotations

from typing import Any, TypeVar

import carla

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value, which has to be there."""
    assert value is not None
    return value


def of_kind(kind: type[T], value: object) -> T:
    """The value, which has to be of the kind."""
    assert isinstance(value, kind)
    return value


def actors_of(world: carla.World, pattern: str = "*") -> list[Any]:
    """A world's actors, each with the methods of its own class: CARLA's types know none of them in a list."""
    return list(world.get_actors().filter(pattern))


def weather_named(preset: str) -> carla.WeatherParameters:
    """A weather by its name, such as "ClearNoon": CARLA's types know no presets."""
    return of_kind(carla.WeatherParameters, getattr(carla.WeatherParameters, preset))
