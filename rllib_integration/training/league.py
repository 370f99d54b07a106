"""A league: frozen past selves of a policy that learns, as its opponents.

policies:
  cars: {}
  past: {league: 4, every: 20}    # four past selves of the policy that learns, one of them renewed every 20 iterations
policy_mapping: {"agent_[0-3]": cars, "*": past}

The past selves are policies of the run, called past_0, past_1 and so on, and so they are in its checkpoints. At the
beginning all of them are what the policy is. Which of them drives an agent is drawn for each episode.
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
    """Past selves of a policy.

    Attributes:
        name: Of the league; its members are called `name_0`, `name_1` and so on.
        size: How many they are.
        every: Iterations after which one of them is renewed.
        learner: The policy whose past selves they are.
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
        """The member that drives an agent in an episode."""
        drawn = getattr(episode, "custom_data", {}).get(_DRAW, 0)
        return self.members[zlib.crc32(f"{drawn}/{agent}".encode()) % self.size]

    def renewed_after(self, iteration: int) -> str | None:
        """The member that becomes what the policy is after an iteration, in turn; None after most."""
        turn, left = divmod(iteration, self.every)
        return None if left else self.members[(turn - 1) % self.size]


class LeagueCallbacks(RLlibCallback):
    """Draws each episode's opponents, and renews them."""

    def __init__(self) -> None:
        super().__init__()
        self._rng: np.random.Generator | None = None

    def on_episode_created(self, *, episode: MultiAgentEpisode, env_runner: EnvRunner, **kwargs: object) -> None:
        """Draw what decides about the opponents, by the run's seed."""
        if self._rng is None:
            seed = env_runner.config.seed
            self._rng = np.random.default_rng(None if seed is None else (seed, env_runner.worker_index))
        episode.custom_data[_DRAW] = int(self._rng.integers(2**31))

    def on_algorithm_init(self, *, algorithm: Algorithm, **kwargs: object) -> None:
        """Make all past selves what the policy is."""
        for league in _leagues_of(algorithm):
            _renew(algorithm, league.learner, league.members)

    def on_train_result(self, *, algorithm: Algorithm, result: Settings, **kwargs: object) -> None:
        """Renew a past self where it is time for it."""
        for league in _leagues_of(algorithm):
            member = league.renewed_after(int(result["training_iteration"]))
            if member is not None:
                _renew(algorithm, league.learner, [member])


def _leagues_of(algorithm: Algorithm) -> tuple[League, ...]:
    return algorithm.config.policy_mapping_fn.leagues


def _renew(algorithm: Algorithm, learner: str, members: list[str]) -> None:
    """Give a policy's weights to members of its league, wherever they are."""
    algorithm.learner_group.foreach_learner(partial(_copy_in_learner, source=learner, targets=members))
    (weights, *_) = algorithm.learner_group.foreach_learner(partial(_weights_of, name=learner))
    # RLlib sends no weights twice that belong to one update, and these come after it has sent those of the learner.
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
