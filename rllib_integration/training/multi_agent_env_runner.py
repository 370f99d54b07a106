"""RLlib's env runner for several agents, with worlds that step together."""

from __future__ import annotations

from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

from rllib_integration.multi_agent.rllib_env import CarlaVectorMultiAgentEnv
from rllib_integration.training.runner_failures import ending_the_run


class CarlaMultiAgentEnvRunner(MultiAgentEnvRunner):
    """Samples what RLlib's own does, from simulators that run in parallel."""

    env: CarlaVectorMultiAgentEnv

    def sample(self, **kwargs: object) -> list[MultiAgentEpisode]:
        """Sample as RLlib does; the first world of an evaluation is told that it begins."""
        if self.config.in_evaluation and (self.worker_index or 0) <= 1:
            self.env.envs[0].unwrapped.world.begin_evaluation()
        with ending_the_run(self.worker_index):
            return super().sample(**kwargs)

    def make_env(self) -> None:
        """Make the vector environment."""
        super().make_env()
        self.env = CarlaVectorMultiAgentEnv(self.env.envs)
