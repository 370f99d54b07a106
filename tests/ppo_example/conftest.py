"""A race track with a small car on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rllib_integration.carla_env import CarlaEnv
from tests.patience import PATIENCE

LIDAR = {"type": "sensor.virtual_lidar"}


def race_config(sensors: dict[str, Any] | None = None, town: str = "Racetrack01", **others: Any) -> dict[str, Any]:
    """An environment's configuration; `carla` may be among the others."""
    carla = {"server": "embedded", "timeout": PATIENCE, "ticks_per_step": 2, **others.pop("carla", {})}
    more = others.pop("experiment", {})
    hero = {"blueprint": "vehicle.micro.microlino", "sensors": {"lidar": LIDAR} if sensors is None else sensors}
    hero |= more.pop("hero", {})
    kind = "ppo_example.ppo_experiment:PPOExperiment"
    return {"carla": carla, "experiment": {"type": kind, "town": town, "hero": hero, **more, "others": others}}


@pytest.fixture
def make_env() -> Iterator[Callable[..., CarlaEnv]]:
    """Makes environments that are closed after the test."""
    made: list[CarlaEnv] = []

    def make(*arguments: Any, **settings: Any) -> CarlaEnv:
        made.append(CarlaEnv(race_config(*arguments, **settings)))
        return made[-1]

    yield make
    for env in made:
        env.close()
