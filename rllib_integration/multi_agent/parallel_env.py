"""PettingZoo's parallel environment of a world with several heroes."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
from pettingzoo import ParallelEnv

from rllib_integration.annotations import Record, Settings
from rllib_integration.base_experiment import BASE_EXPERIMENT_CONFIG
from rllib_integration.multi_agent.shared_world import SharedWorld


class CarlaParallelEnv(ParallelEnv):
    """Several heroes in one world, as a PettingZoo `ParallelEnv`; `pip install 'rllib-integration[pettingzoo]'`.

    Args:
        config: As for `SharedWorld`.

    Attributes:
        world: The world.
        agents: Ids of the agents that act in the next step.
        possible_agents: Ids of all agents that may take part.

    Raises:
        ConfigError: The configuration can't be used.
    """

    metadata: Record = {"name": "carla_v0", "render_modes": [], "is_parallelizable": True}  # noqa: RUF012
    render_mode = None

    def __init__(self, config: Settings) -> None:
        self.world = SharedWorld(config)
        self.possible_agents = self.world.possible_agents
        self.agents: list[str] = []
        self.observation_spaces = self.world.observation_spaces
        self.action_spaces = self.world.action_spaces

    def observation_space(self, agent: str) -> gymnasium.Space:
        """The space of an agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space:
        """The space of an agent's actions."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Record | None = None) -> tuple[Record, dict[str, Record]]:
        """Begin an episode.

        Args:
            seed: Seeds this and all later episodes.
            options: Settings of the shared experiment for this episode; other keys are ignored, as in PettingZoo's
                environments.

        Returns:
            Observations and further information, by agent.
        """
        known = {key: value for key, value in (options or {}).items() if key in BASE_EXPERIMENT_CONFIG}
        observations, infos = self.world.reset(seed, known)
        self.agents = list(self.world.heroes)
        return observations, infos

    def step(
        self, actions: Mapping[str, object]
    ) -> tuple[Record, dict[str, float], dict[str, bool], dict[str, bool], Record]:
        """Act with every agent.

        Returns:
            Observations, rewards, terminations, truncations and further information, by agent.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        self.world.begin_step(actions)
        step = self.world.finish_step()
        self.agents = list(self.world.heroes)
        began = [agent for agent in step.observations if agent not in step.rewards]
        return (
            step.observations,
            step.rewards | dict.fromkeys(began, 0.0),
            step.terminated | dict.fromkeys(began, False),
            step.truncated | dict.fromkeys(began, False),
            step.infos,
        )

    def close(self) -> None:
        """End the server, if it was started here. Twice is fine."""
        self.world.close()
