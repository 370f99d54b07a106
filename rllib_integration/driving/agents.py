"""Drives several agents of one world with their trained policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from rllib_integration.driving.inference import DrivenEpisode

if TYPE_CHECKING:
    from rllib_integration.multi_agent.shared_world import SharedWorld


class Acts(Protocol):
    """A policy of an agent."""

    def act(self, observation: object) -> object:
        """The action for an observation."""


def drive_agents(
    world: SharedWorld,
    policies: Mapping[str, Acts],
    policy_of: Callable[[str], str],
    *,
    episodes: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
) -> Iterator[DrivenEpisode]:
    """Drive episode after episode and yield each agent's part of it when that has ended.

    Args:
        world: The world.
        policies: Policies by name.
        policy_of: Name of the policy that drives an agent.
        episodes: Number of episodes of the world; None drives on.
        steps: Number of decisions of all episodes together; None sets no bound.
        seed: Of the first episode, and by it of all later ones.
    """
    number = made = 0
    while (episodes is None or number < episodes) and (steps is None or made < steps):
        number += 1
        observations, _ = world.reset(seed if number == 1 else None)
        driven = {agent: DrivenEpisode(number, agent=agent, town=world.core.town) for agent in observations}
        while world.heroes and (steps is None or made < steps):
            deciding = {agent: observations[agent] for agent in world.heroes if agent in observations}
            world.begin_step({agent: policies[policy_of(agent)].act(seen) for agent, seen in deciding.items()})
            step = world.finish_step()
            observations = step.observations
            made += 1
            for agent, reward in step.rewards.items():
                episode = driven[agent]
                episode.steps += 1
                episode.total_reward += reward
                if step.terminated[agent] or step.truncated[agent]:
                    yield _ended(driven.pop(agent), step.infos[agent], step.terminated[agent])
            for agent in observations.keys() - step.rewards.keys():
                driven[agent] = DrivenEpisode(number, agent=agent, town=world.core.town)
        for episode in driven.values():
            episode.end = "the steps asked for are done"
            yield episode


def _ended(episode: DrivenEpisode, info: Mapping[str, object], is_terminated: bool) -> DrivenEpisode:
    metrics = info.get("episode_metrics")
    if isinstance(metrics, Mapping):
        episode.distance = metrics["distance"]
        episode.mean_speed = 3.6 * metrics["mean_speed"]
    episode.end = str(info.get("end") or ("terminated" if is_terminated else "truncated"))
    return episode
