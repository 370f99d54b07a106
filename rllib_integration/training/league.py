"""A league: frozen copies of earlier versions of a learning policy, which are its opponents.

policies:
  cars: {}
  past: {league: 4, every: 20}    # four copies of `cars`; every 20 iterations one of them gets its weights
policy_mapping: {"agent_[0-3]": cars, "*": past}

The copies are policies of the run, named past_0, past_1 and so on, and are part of its checkpoints. At first all have
the weights of the learning policy. Each episode draws a copy for each agent of the league.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ray.rllib.callbacks.callbacks import RLlibCallback

from rllib_integration.annotations import Record, Settings

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm
    from ray.rllib.core.learner.learner import Learner
    from ray.rllib.env.env_runner import EnvRunner
    from ray.rllib.env.multi_agent_episode import MultiAgentEpisode

_DRAW = "rllib_integration.league"


class League(NamedTuple):
    """The frozen copies of one policy.

    Attributes:
        name: Of the league; its members are named `name_0`, `name_1` and so on.
        size: Number of members.
        every: Iterations from one renewal of a member to the next.
        learner: The learning policy, from which a renewed member gets its weights.
    """

    name: str
    size: int
    every: int
    learner: str

    @property
    def members(self) -> list[str]:
        """Names of the policies."""
        return [f"{self.name}_{number}" for number in range(self.size)]

    def member_for(self, agent: str, episode: object = None) -> str:
        """The member that drives an agent in an episode, by the number that the episode has drawn."""
        drawn = getattr(episode, "custom_data", {}).get(_DRAW, 0)
        return self.members[zlib.crc32(f"{drawn}/{agent}".encode()) % self.size]

    def renewed_after(self, iteration: int) -> str | None:
        """The member that is renewed after an iteration, in turn; None where none is due."""
        turn, left = divmod(iteration, self.every)
        return None if left else self.members[(turn - 1) % self.size]


class LeagueCallbacks(RLlibCallback):
    """Draws the opponents of each episode, and renews the members in turn."""

    def __init__(self) -> None:
        super().__init__()
        self._rng: np.random.Generator | None = None

    def on_episode_created(self, *, episode: MultiAgentEpisode, env_runner: EnvRunner, **kwargs: object) -> None:
        """Draw the number that chooses the opponents, by the run's seed.

        A restored run has sampled before, and so does not repeat the draws of its beginning.
        """
        if self._rng is None:
            seed = env_runner.config.seed
            begun = (seed, env_runner.worker_index, env_runner.num_env_steps_sampled_lifetime)
            self._rng = np.random.default_rng(None if seed is None else begun)
        episode.custom_data[_DRAW] = int(self._rng.integers(2**31))

    def on_algorithm_init(self, *, algorithm: Algorithm, **kwargs: object) -> None:
        """Give the learning policy's first weights to all members."""
        for league in _leagues_of(algorithm):
            _renew(algorithm, league.learner, league.members)

    def on_train_result(self, *, algorithm: Algorithm, result: Settings, **kwargs: object) -> None:
        """Renew the member that is due."""
        for league in _leagues_of(algorithm):
            member = league.renewed_after(int(result["training_iteration"]))
            if member is not None:
                _renew(algorithm, league.learner, [member])


def _leagues_of(algorithm: Algorithm) -> tuple[League, ...]:
    return algorithm.config.policy_mapping_fn.leagues


def _renew(algorithm: Algorithm, learner: str, members: list[str]) -> None:
    """Give a policy's weights to members of its league, in the learners and in the env runners."""
    algorithm.learner_group.foreach_learner(partial(_copy_in_learner, source=learner, targets=members))
    (weights, *_) = algorithm.learner_group.foreach_learner(partial(_weights_of, name=learner))
    # RLlib numbers the weights that it sends, and an env runner ignores a number that it has had: so set them directly.
    algorithm.env_runner_group.foreach_env_runner(partial(_set_in_runner, weights=weights.get(), members=members))


def _copy_in_learner(learner: Learner, source: str, targets: list[str]) -> None:
    state = learner.module[source].unwrapped().get_state()
    for target in targets:
        learner.module[target].unwrapped().set_state(state)


def _weights_of(learner: Learner, name: str) -> Record:
    return learner.module[name].unwrapped().get_state(inference_only=True)


def _set_in_runner(runner: EnvRunner, weights: Mapping[str, object], members: list[str]) -> None:
    for member in members:
        runner.module[member].set_state(weights)
