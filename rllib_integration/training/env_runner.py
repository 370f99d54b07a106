"""RLlib's env runner with environments that step together, and with less to do around each step."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

import torch
from gymnasium import VectorizeMode
from gymnasium.wrappers.vector import DictInfoToList
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rllib_integration.annotations import Record
from rllib_integration.training.env_creator import in_processes, numbers_dealt, worker_index
from rllib_integration.training.runner_failures import ending_the_run
from rllib_integration.training.short_connectors import ShortEnvToModule, ShortModuleToEnv, shorten
from rllib_integration.vector_env import CarlaProcessVectorEnv, CarlaVectorEnv, ListedInfos


class CarlaEnvRunner(SingleAgentEnvRunner):
    """Samples what RLlib's own does, faster; tells the environments which env runner they belong to."""

    env: Any
    _env_to_module: Any
    _module_to_env: Any

    def __init__(self, *, config: AlgorithmConfig, **kwargs: object) -> None:
        self._in_processes = VectorizeMode(config.gym_env_vectorize_mode) is VectorizeMode.ASYNC
        if self._in_processes:  # which environments differ in what, only `make_env` knows
            config = config.copy(copy_frozen=False).env_runners(gym_env_vectorize_mode="vector_entry_point")
        super().__init__(config=config, **kwargs)
        self._env_to_module = shorten(self._env_to_module, ShortEnvToModule)
        self._module_to_env = shorten(self._module_to_env, ShortModuleToEnv)

    def make_module(self) -> None:
        """Make the network; its weights lie as the pictures do, channels last, or each step would rearrange them."""
        super().make_module()
        if self.module is not None:
            self.module.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def sample(self, **kwargs: object) -> list[SingleAgentEpisode]:
        """Sample as RLlib does; networks that keep what a gradient needs, such as DQN's, needn't while they do."""
        vector = self.env.unwrapped
        if self.config.in_evaluation and isinstance(vector, CarlaVectorEnv) and (self.worker_index or 0) <= 1:
            vector.envs[0].begin_evaluation()
        with ending_the_run(self.worker_index):
            return super().sample(**kwargs)

    def make_env(self) -> None:
        """Make the vector environment."""
        numbers = max(self.num_workers or 0, 1) + (self.config.num_envs_per_env_runner or 1) - 1
        context = copy_context()
        context.run(worker_index.set, self.worker_index or 0)
        context.run(numbers_dealt.set, numbers)
        context.run(in_processes.set, self._in_processes)
        context.run(super().make_env)
        if isinstance(self.env, DictInfoToList) and isinstance(self.env.env, CarlaVectorEnv | CarlaProcessVectorEnv):
            self.env = ListedInfos(self.env)


def step_together(config: AlgorithmConfig, env_runners: Record | None) -> None:
    """Let the environments of each env runner step together.

    Args:
        config: An algorithm's configuration; algorithms with an env runner of their own are left alone.
        env_runners: The user's section of that name; a `gym_env_vectorize_mode` in it stays.
    """
    if config.is_multi_agent:
        from rllib_integration.training.multi_agent_env_runner import CarlaMultiAgentEnvRunner

        config.env_runners(env_runner_cls=CarlaMultiAgentEnvRunner, gym_env_vectorize_mode="sync")
    elif config.env_runner_cls is None or config.env_runner_cls is SingleAgentEnvRunner:
        mode = (env_runners or {}).get("gym_env_vectorize_mode", "vector_entry_point")
        config.env_runners(env_runner_cls=CarlaEnvRunner, gym_env_vectorize_mode=mode)
