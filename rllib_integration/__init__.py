"""Train driving policies in CARLA with RLlib, with or without a CARLA installation."""

from __future__ import annotations

from rllib_integration.base_experiment import BASE_EXPERIMENT_CONFIG, BaseExperiment
from rllib_integration.carla_core import BASE_CORE_CONFIG, CarlaCore
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.config_file import load_config
from rllib_integration.errors import IntegrationError
from rllib_integration.registration import register_environments
from rllib_integration.vector_env import CarlaVectorEnv

__all__ = [
    "BASE_CORE_CONFIG",
    "BASE_EXPERIMENT_CONFIG",
    "BaseExperiment",
    "CarlaCore",
    "CarlaEnv",
    "CarlaVectorEnv",
    "ConfigError",
    "IntegrationError",
    "__version__",
    "load_config",
    "register_environments",
]

__version__ = "0.2.0"

register_environments()
