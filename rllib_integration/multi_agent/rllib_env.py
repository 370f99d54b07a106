"""RLlib's environment of a world with several heroes, and a vector of them whose simulators run in parallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.vector.sync_vector_multi_agent_env import SyncVectorMultiAgentEnv

from rllib_integration.annotations import Record, Settings
from rllib_integration.multi_agent.shared_world import SharedWorld, Step

ALL = "__all__"
"""RLlib's key for the whole episode."""

Flags = dict[str, bool]
Outcome = tuple[Record, dict[str, float], Flags, Flags, Record]
Vectors = tuple[list[Record], list[dict[str, float]], list[Flags], list[Flags], list[Record]]


class CarlaMultiAgentEnv(MultiAgentEnv):
    """Several heroes in one world, as an RLlib `MultiAgentEnv`.

    Args:
        config: As for `SharedWorld`, a dictionary or RLlib's `EnvContext`.

    Attributes:
        world: The world.

    Raises:
        ConfigError: The configuration can't be used.
    """

    metadata: Record = {"render_modes": []}  # noqa: RUF012
    render_mode = None

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.world = SharedWorld(config)
        self.possible_agents = self.world.possible_agents
        self.agents: list[str] = []
        self.observation_spaces = self.world.observation_spaces
        self.action_spaces = self.world.action_spaces

    def reset(self, *, seed: int | None = None, options: Record | None = None) -> tuple[Record, dict[str, Record]]:
        """Begin an episode; see `SharedWorld.reset`."""
        observations, infos = self.world.reset(seed, options)
        self.agents = list(self.world.heroes)
        return observations, infos

    def step(self, action_dict: Mapping[str, object]) -> Outcome:
        """Act with every agent that has had an observation.

        Returns:
            Observations, rewards, terminations, truncations and further information by agent; the flags have
            `"__all__"` for the episode. Agents that are truncated together with the episode have no flag of their own.
            With one, RLlib would treat the episode as terminated, and ignore the value of their last states.
        """
        self.begin_step(action_dict)
        return self.finish_step()

    def begin_step(self, action_dict: Mapping[str, object]) -> None:
        """Begin a step, and return while the simulator runs; `finish_step` has to follow."""
        self.world.begin_step(action_dict)

    def finish_step(self) -> Outcome:
        """Wait for the simulator; returns the same as `step`."""
        step = self.world.finish_step()
        self.agents = list(self.world.heroes)
        return step.observations, step.rewards, *flags_of(step, bool(self.agents)), step.infos

    def close(self) -> None:
        """End the server, if it was started here. Twice is fine."""
        self.world.close()


def flags_of(step: Step, goes_on: bool) -> tuple[Flags, Flags]:
    """RLlib's flags for the ends of lives and of the episode."""
    terminated: Flags = {agent: True for agent, ended in step.terminated.items() if ended}
    truncated: Flags = {agent: True for agent, cut in step.truncated.items() if cut and not step.terminated[agent]}
    is_cut = not goes_on and bool(truncated)
    if is_cut:
        truncated = {}
    terminated[ALL] = not goes_on and not is_cut
    truncated[ALL] = is_cut
    return terminated, truncated


class CarlaVectorMultiAgentEnv(SyncVectorMultiAgentEnv):
    """The worlds of one process, each with its own simulator; all start a step before the first one is awaited.

    Args:
        envs: The worlds.
    """

    envs: list[CarlaMultiAgentEnv]

    def __init__(self, envs: Sequence[CarlaMultiAgentEnv]) -> None:
        super().__init__([lambda env=env: env for env in envs], copy=False)  # type: ignore[misc]
        self._autoreset_envs = np.zeros(len(envs), np.bool_)

    def step(self, actions: list[Mapping[str, object]]) -> Vectors:  # type: ignore[override]
        """Act in every world; where an episode has ended, begin the next one instead."""
        ended = self._autoreset_envs.copy()
        for env, action, has_ended in zip(self.envs, actions, ended):
            if not has_ended:
                env.unwrapped.begin_step(action)
        outcomes = [
            _begun(*env.reset()) if has_ended else env.unwrapped.finish_step()
            for env, has_ended in zip(self.envs, ended)
        ]
        self._autoreset_envs = np.array([terminated[ALL] or cut[ALL] for _, _, terminated, cut, _ in outcomes])
        observations, rewards, terminated, truncated, infos = (list(part) for part in zip(*outcomes))
        return observations, rewards, terminated, truncated, infos


def _begun(observations: Record, infos: dict[str, Record]) -> Outcome:
    """The outcome of the step in which an episode begins."""
    return observations, {}, {ALL: False}, {ALL: False}, infos
