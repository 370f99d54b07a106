"""Makes the env runner that training would make for a configuration, in this process, to profile it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from ray.tune.registry import register_env

from rllib_integration.annotations import Settings
from rllib_integration.config.merging import ConfigError
from rllib_integration.processes.ray_setup import quiet_ray
from rllib_integration.training.env_creator import make_env
from rllib_integration.training.env_runner import CarlaEnvRunner, step_together
from rllib_integration.training.rllib_config import build_algorithm_config, read_document

if TYPE_CHECKING:
    from rllib_integration.carla_env import CarlaEnv

_NAME = "carla_to_profile"


@contextlib.contextmanager
def env_runner(document: Settings) -> Iterator[tuple[CarlaEnv, Callable[[int], int]]]:
    """Make an env runner with one environment, and stop it at the end of the `with` block.

    Args:
        document: A configuration of an algorithm of RLlib's.

    Yields:
        Its environment, and a function that samples with it: the first two arguments of `decisions.profile`.

    Raises:
        ConfigError: The configuration can't be used.
    """
    quiet_ray()
    torch.set_num_threads(1)  # as Ray sets it in env runners with one processor
    register_env(_NAME, make_env)
    sections, _ = read_document(document)
    env_config = sections.get("environment", {}).get("env_config", document.get("env_config"))
    config = build_algorithm_config(document, _NAME)
    config.environment(env_config=env_config)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=1)
    step_together(config, None)
    if config.env_runner_cls is not CarlaEnvRunner:
        raise ConfigError(f"{type(config).__name__} samples with an env runner of its own, which can't be profiled.")
    runner = CarlaEnvRunner(config=config)
    try:

        def drive(decisions: int) -> int:
            return sum(len(episode) for episode in runner.sample(num_timesteps=decisions))

        yield runner.env.unwrapped.envs[0], drive
    finally:
        runner.stop()
