"""Train driving policies in CARLA with RLlib, with or without a CARLA installation.

Importing the package imports nothing heavy: the classes below are loaded when they are first used, since the
embedded server, a program of its own, starts through this file as well.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rllib_integration.base_experiment import BASE_EXPERIMENT_CONFIG, BaseExperiment
    from rllib_integration.carla_core import BASE_CORE_CONFIG, CarlaCore
    from rllib_integration.carla_env import CarlaEnv
    from rllib_integration.config import ConfigError
    from rllib_integration.env_config import load_config
    from rllib_integration.vector_env import CarlaVectorEnv

_HOMES = {
    "BASE_CORE_CONFIG": "carla_core",
    "BASE_EXPERIMENT_CONFIG": "base_experiment",
    "BaseExperiment": "base_experiment",
    "CarlaCore": "carla_core",
    "CarlaEnv": "carla_env",
    "CarlaVectorEnv": "vector_env",
    "ConfigError": "config",
    "load_config": "env_config",
}

__all__ = [
    "BASE_CORE_CONFIG",
    "BASE_EXPERIMENT_CONFIG",
    "BaseExperiment",
    "CarlaCore",
    "CarlaEnv",
    "CarlaVectorEnv",
    "ConfigError",
    "load_config",
    "register_environments",
]

ENVIRONMENT_ID = "rllib_integration/Carla-v0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def register_environments() -> None:
    """Make `gymnasium.make("rllib_integration/Carla-v0", config=...)` work.

    Happens by itself where Gymnasium was imported before this package, and on importing
    `rllib_integration.carla_env`. Calling it again does nothing.
    """
    import gymnasium

    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(
            ENVIRONMENT_ID,
            entry_point="rllib_integration.carla_env:CarlaEnv",
            vector_entry_point="rllib_integration.vector_env:CarlaVectorEnv",
        )


if "gymnasium" in sys.modules:
    register_environments()
