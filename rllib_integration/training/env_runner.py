"""RLlib's env runner with environments that step together."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rllib_integration.training.env_creator import numbers_dealt, worker_index


class CarlaEnvRunner(SingleAgentEnvRunner):
    """Tells the environments which env runner they belong to and how many there are."""

    def make_env(self) -> None:
        """Make the vector environment."""
        numbers = max(self.num_workers or 0, 1) + (self.config.num_envs_per_env_runner or 1) - 1
        index_token, numbers_token = worker_index.set(self.worker_index or 0), numbers_dealt.set(numbers)
        try:
            super().make_env()
        finally:
            worker_index.reset(index_token)
            numbers_dealt.reset(numbers_token)


def step_together(config: AlgorithmConfig, env_runners: dict[str, Any] | None) -> None:
    """Let the environments of each env runner step together.

    Args:
        config: An algorithm's configuration; algorithms with an env runner of their own are left alone.
        env_runners: The user's section of that name; a `gym_env_vectorize_mode` in it stays.
    """
    if config.env_runner_cls is None or config.env_runner_cls is SingleAgentEnvRunner:
        mode = (env_runners or {}).get("gym_env_vectorize_mode", "vector_entry_point")
        config.env_runners(env_runner_cls=CarlaEnvRunner, gym_env_vectorize_mode=mode)
