"""A race track with a small car on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ppo_example.ppo_experiment import PPOExperiment
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.tracks import TrackProgress
from tests.known import of_kind, present
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


def race_of(env: CarlaEnv) -> PPOExperiment:
    """The experiment of an environment."""
    return of_kind(PPOExperiment, env.experiment)


def progress_of(env: CarlaEnv) -> TrackProgress:
    """How far the hero has come on the track."""
    return present(present(env.core.metrics).track)


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
