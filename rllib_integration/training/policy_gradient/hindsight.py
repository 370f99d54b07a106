"""PPO that also learns from goals that were reached although others were wanted: hindsight policy gradients.

An episode that wanted goal g says something about goal g' as well, once each of its rewards is weighted by how much
more likely g' would have made the actions up to there: the product of pi(a|s,g') / pi(a|s,g) since the episode's begin
(Rauber, Ummadisingu, Mutz and Schmidhuber 2019, "Hindsight Policy Gradients", theorems 4.2 and 4.3). The weights are
brought to a mean of 1 over the batch, for each step of an episode (section 5). Goals are drawn from those that the
episode itself reached, since with a sparse reward all others contribute nothing.

Observations are dictionaries with `observation`, `achieved_goal` and `desired_goal`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import tree
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.connectors.learner import GeneralAdvantageEstimation
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.numpy import convert_to_numpy
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from rllib_integration.annotations import Observation, Record, Rewards
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.config.merging import load_class

GoalReward = Callable[[Observation, Observation], Rewards]
_RATIOS = "hindsight_ratios"
_WEIGHTS = "hindsight_weights"
_LEAST_DEVIATION = 1e-4


class HindsightPPOConfig(PPOConfig):
    """Settings of PPO, and of its hindsight.

    Args:
        algo_class: The algorithm.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or HindsightPPO)
        self.hindsight_goals = 4
        self.hindsight_weight_limit = 10.0
        self.batch_mode = "complete_episodes"

    def training(
        self,
        *,
        hindsight_goals: int = NotProvided,
        hindsight_weight_limit: float = NotProvided,
        **kwargs: object,
    ) -> HindsightPPOConfig:
        """Set what PPO has, and the hindsight's.

        Args:
            hindsight_goals: Goals that each episode is looked at with, beside its own; 0 is plain PPO.
            hindsight_weight_limit: Largest weight of a step; higher ones are cut, for less variance.
            kwargs: As for PPO.
        """
        super().training(**kwargs)
        for name, value in (
            ("hindsight_goals", hindsight_goals),
            ("hindsight_weight_limit", hindsight_weight_limit),
        ):
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    def get_default_learner_class(self) -> type:
        """The learner with hindsight."""
        return HindsightPPOTorchLearner

    def validate(self) -> None:
        """Check what the weights need.

        Raises:
            ValueError: Episodes would be cut into fragments, or there is no experiment with goals.
        """
        super().validate()
        if self.batch_mode != "complete_episodes":
            self._value_error("hindsight needs env_runners.batch_mode: complete_episodes")
        if self.hindsight_goals < 0 or self.hindsight_weight_limit <= 0:
            self._value_error("hindsight_goals has to be 0 or more, and hindsight_weight_limit above 0")


class HindsightPPO(PPO):
    """PPO on goals, with hindsight."""

    @classmethod
    def get_default_config(cls) -> AlgorithmConfig:
        """The defaults."""
        return HindsightPPOConfig()


class HindsightPPOTorchLearner(PPOTorchLearner):
    """PPO's learner, whose batches also hold the episodes with other goals."""

    def build(self) -> None:
        """Build PPO's learner; relabel before all else, and compute the advantages of both kinds of episodes."""
        super().build()
        if self._learner_connector is not None:
            experiment = self.config.env_config["experiment"]
            kind = load_class(experiment["type"], BaseExperiment, "env_config.experiment.type")
            relabelling = Relabelling(
                kind(experiment).goal_reward,
                self.config.hindsight_goals,
                self.config.hindsight_weight_limit,
                np.random.default_rng(self.config.seed),
            )
            self._learner_connector.prepend(relabelling)
            self._learner_connector.remove(GeneralAdvantageEstimation)
            self._learner_connector.append(HindsightAdvantages(self.config.gamma, self.config.lambda_))


class Relabelling(ConnectorV2):
    """Adds, for each episode, episodes with other goals, and how much their steps weigh.

    Args:
        goal_reward: As `BaseExperiment.goal_reward`.
        goals: Number of goals for each episode.
        weight_limit: Largest weight of a step.
        rng: Draws the goals.
    """

    def __init__(self, goal_reward: GoalReward, goals: int, weight_limit: float, rng: np.random.Generator) -> None:
        super().__init__()
        self._goal_reward = goal_reward
        self._goals = goals
        self._limit = weight_limit
        self._rng = rng

    @torch.no_grad()
    def __call__(
        self, *, rl_module: MultiRLModule, batch: Record, episodes: list[SingleAgentEpisode], **kwargs: object
    ) -> Record:
        """The batch as it is; the episodes are appended to `episodes`."""
        found = [
            relabelled
            for episode in episodes
            for goal in self._draw_goals(episode)
            if (relabelled := relabel(episode, goal, self._goal_reward)) is not None
        ]
        if found:
            self._weigh(found, rl_module[DEFAULT_MODULE_ID])
            episodes.extend(found)
        return batch

    def _draw_goals(self, episode: SingleAgentEpisode) -> Sequence[Observation]:
        reached = _columns(episode.get_observations())["achieved_goal"][1:]
        return [reached[self._rng.integers(len(reached))] for _ in range(self._goals)] if len(reached) else []

    def _weigh(self, episodes: Sequence[SingleAgentEpisode], module: TorchRLModule) -> None:
        """Give the episodes the policy's outputs under their new goals, and their weights."""
        parts = [_columns(episode.get_observations(slice(0, len(episode)))) for episode in episodes]
        joined = tree.map_structure(lambda *columns: np.concatenate(columns), *parts)
        device = next(module.parameters()).device
        observations = tree.map_structure(lambda column: torch.from_numpy(column).to(device), joined)
        actions = np.concatenate([np.asarray(episode.get_actions()) for episode in episodes])
        inputs = module.forward_train({Columns.OBS: observations})[Columns.ACTION_DIST_INPUTS]
        policy = module.get_exploration_action_dist_cls().from_logits(inputs)
        likely = convert_to_numpy(policy.logp(torch.from_numpy(actions).to(device)))
        ends = np.cumsum([len(episode) for episode in episodes])[:-1]
        ratios = []
        for episode, logp, logits in zip(
            episodes, np.split(likely, ends), np.split(convert_to_numpy(inputs), ends), strict=True
        ):
            ratios.append(np.exp(np.cumsum(logp - episode.get_extra_model_outputs(Columns.ACTION_LOGP))))
            episode.custom_data[_RATIOS] = np.exp(logp - episode.get_extra_model_outputs(Columns.ACTION_LOGP))
            episode.set_extra_model_outputs(key=Columns.ACTION_LOGP, new_data=logp)
            episode.set_extra_model_outputs(key=Columns.ACTION_DIST_INPUTS, new_data=logits)
        for episode, weights in zip(episodes, normalised_weights(ratios, self._limit), strict=True):
            episode.custom_data[_WEIGHTS] = weights


def relabel(episode: SingleAgentEpisode, goal: Observation, goal_reward: GoalReward) -> SingleAgentEpisode | None:
    """An episode as if another goal had been wanted; it ends where that is reached.

    Args:
        episode: With the observations of goal environments.
        goal: One that it reached.
        goal_reward: As `BaseExperiment.goal_reward`.

    Returns:
        The episode, whose recorded outputs of the network are still those under its own goal; None where the goal
        was reached from the start.
    """
    observations = _columns(episode.get_observations())
    reached = observations["achieved_goal"]
    wanted = np.broadcast_to(goal, reached.shape)
    rewards = np.asarray(goal_reward(reached, wanted), np.float32)
    best = goal_reward(goal, goal)
    there = np.flatnonzero(rewards >= best)
    if not len(there) or there[0] == 0:
        return None
    steps = int(there[0])
    kept = {name: column[: steps + 1] for name, column in {**observations, "desired_goal": wanted}.items()}
    return SingleAgentEpisode(
        observations=[{name: column[step] for name, column in kept.items()} for step in range(steps + 1)],
        observation_space=episode.observation_space,
        actions=list(episode.get_actions(slice(0, steps))),
        action_space=episode.action_space,
        rewards=list(rewards[1 : steps + 1]),
        infos=[{} for _ in range(steps + 1)],
        terminated=True,
        extra_model_outputs={
            name: list(episode.get_extra_model_outputs(name, slice(0, steps))) for name in episode.extra_model_outputs
        },
        len_lookback_buffer=0,
    ).to_numpy()


def normalised_weights(ratios: Sequence[NDArray[np.float32]], limit: float) -> list[NDArray[np.float32]]:
    """Weights of each episode's steps, brought to a mean of 1 over the episodes for each number of a step.

    An episode that has ended goes on with its last weight: its goal stays reached, whatever would be done.

    Args:
        ratios: For each episode, products of probability ratios up to each step, `(steps,)`.
        limit: Largest weight.
    """
    longest = max(map(len, ratios))
    padded = np.stack([np.pad(ratio, (0, longest - len(ratio)), mode="edge") for ratio in ratios])
    padded /= np.maximum(padded.mean(axis=0), np.finfo(np.float32).tiny)
    return [np.minimum(weights[: len(ratio)], limit).astype(np.float32) for weights, ratio in zip(padded, ratios)]


class HindsightAdvantages(ConnectorV2):
    """Adds advantages and value targets to a batch in which episodes with other goals follow those that were driven.

    Of the driven ones they are those of PPO. Of the others, the advantage of a step is the weighted sum of the rewards
    that follow, less the weighted value; the value's target is V-trace's (Espeholt et al. 2018) with ratios cut at 1.

    Args:
        gamma: Discount of a step.
        lambda_: Of the driven episodes, as for PPO.
    """

    def __init__(self, gamma: float, lambda_: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.lambda_ = lambda_

    @torch.no_grad()
    def __call__(
        self, *, rl_module: MultiRLModule, batch: Record, episodes: list[SingleAgentEpisode], **kwargs: object
    ) -> Record:
        """The batch with two columns more, float32 `(steps,)`."""
        columns = batch[DEFAULT_MODULE_ID]
        predicted = rl_module[DEFAULT_MODULE_ID].compute_values(columns)
        facts = [convert_to_numpy(columns[name]) for name in (Columns.REWARDS, Columns.TERMINATEDS, Columns.TRUNCATEDS)]
        values = convert_to_numpy(predicted)
        targets, advantages = np.zeros_like(values), np.zeros_like(values)
        relabelled = np.zeros(len(values), bool)
        begin = 0
        for episode in episodes:  # each is one step longer than it was driven
            rows = slice(begin, begin + len(episode))
            begin = rows.stop
            if _WEIGHTS in episode.custom_data:
                relabelled[rows] = True
                targets[rows], advantages[rows] = self._in_hindsight(episode, values[rows], facts[0][rows])
            else:
                of_episode = (column[rows] for column in facts)
                targets[rows] = compute_value_targets(values[rows], *of_episode, self.gamma, self.lambda_)
                advantages[rows] = targets[rows] - values[rows]
        real = convert_to_numpy(columns[Columns.LOSS_MASK])
        advantages[~relabelled] -= advantages[real & ~relabelled].mean()
        advantages /= max(_LEAST_DEVIATION, float(advantages[real].std()))
        for name, column in ((Postprocessing.VALUE_TARGETS, targets), (Postprocessing.ADVANTAGES, advantages)):
            columns[name] = torch.from_numpy(column.astype(np.float32)).to(predicted.device)
        return batch

    def _in_hindsight(
        self, episode: SingleAgentEpisode, values: NDArray[np.float32], rewards: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        weights, ratios = episode.custom_data[_WEIGHTS], episode.custom_data[_RATIOS]
        advantages, targets = np.zeros_like(values), values.copy()
        weighted = hindsight_advantages(rewards[:-1], values[:-1], weights, self.gamma)
        advantages[:-1] = weighted
        following_value, correction = 0.0, 0.0  # the episode ends with its goal reached
        for step in reversed(range(len(weights))):
            ratio = min(1.0, float(ratios[step]))
            error = rewards[step] + self.gamma * following_value - values[step]
            correction = ratio * (error + self.gamma * correction)
            targets[step] = values[step] + correction
            following_value = values[step]
        return targets, advantages


def hindsight_advantages(
    rewards: NDArray[np.floating], values: NDArray[np.floating], weights: NDArray[np.floating], gamma: float
) -> NDArray[np.floating]:
    """What each step of an episode contributes to the hindsight policy gradient, beside its score.

    Args:
        rewards: Under the new goal, `(steps,)`.
        values: Baseline under the new goal, `(steps,)`.
        weights: Product of the probability ratios up to and with each step, `(steps,)`.
        gamma: Discount of a step.

    Returns:
        `sum over t' >= t of gamma^(t'-t) weights[t'] rewards[t'] - weights[t] values[t]`, `(steps,)`.
    """
    found = np.zeros_like(values)
    following = 0.0
    for step in reversed(range(len(rewards))):
        following = weights[step] * rewards[step] + gamma * following
        found[step] = following - weights[step] * values[step]
    return found


def _columns(observations: Observation) -> Record:
    """Observations of an episode as one array for each entry."""
    if isinstance(observations, Mapping):
        return {name: np.asarray(column) for name, column in observations.items()}
    return {name: np.stack([one[name] for one in observations]) for name in observations[0]}
