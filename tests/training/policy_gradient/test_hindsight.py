"""Hindsight policy gradients: unbiased by enumeration, and PPO's learner learns from goals that were reached."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing

from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.training.policy_gradient.hindsight import (
    HindsightPPOConfig,
    hindsight_advantages,
    normalised_weights,
    relabel,
)
from tests.training.policy_gradient.learners import build_learner

TWO_WAYS: spaces.Discrete[np.int64] = spaces.Discrete(2)
STEPS = 3
PLACES = 4
GOALS = spaces.Dict(
    {name: spaces.Box(-9.0, 9.0, (1,), np.float32) for name in ("observation", "achieved_goal", "desired_goal")}
)


class LineExperiment(BaseExperiment):
    """Goals on a line; nothing of it drives."""

    def goal_reward(self, achieved: Any, desired: Any) -> Any:
        return (np.abs(achieved - desired)[..., 0] < 0.5).astype(np.float32)


def walk(actions: tuple[int, ...]) -> list[int]:
    """Places on a line that two actions lead to from its begin."""
    places = [0]
    for action in actions:
        places.append(min(max(places[-1] + (1 if action else -1), 0), PLACES - 1))
    return places


def test_the_estimate_from_another_goals_episodes_is_the_gradient_for_this_goal() -> None:
    torch.manual_seed(1)
    scores = torch.randn(2, PLACES, 2, dtype=torch.float64, requires_grad=True)  # goal, place, action
    baseline = np.random.default_rng(1).normal(size=(STEPS,))
    driven, wanted = 0, 1
    likely = scores.log_softmax(-1)
    exact, estimate = torch.zeros(()), torch.zeros(())
    for actions in itertools.product((0, 1), repeat=STEPS):
        places = walk(actions)
        rewards = np.array([float(place == 1) for place in places[1:]])
        logp = [torch.stack([likely[goal, at, act] for at, act in zip(places, actions)]) for goal in (driven, wanted)]
        exact = exact + logp[wanted].sum().exp() * rewards.sum()
        ratios = (logp[wanted] - logp[driven]).detach().cumsum(0).exp().numpy()
        advantages = hindsight_advantages(rewards, baseline, ratios, 1.0)
        chance = logp[driven].sum().exp().detach()
        estimate = estimate + chance * (torch.from_numpy(advantages) * logp[wanted]).sum()
    (gradient,) = torch.autograd.grad(exact, scores, retain_graph=True)
    (found,) = torch.autograd.grad(estimate, scores)
    assert float(gradient.abs().max()) > 0.05
    assert found.numpy() == pytest.approx(gradient.numpy(), abs=1e-12)


def make_episode(learner: Any, places: list[float], goal: float) -> SingleAgentEpisode:
    """An episode on the line, with the network's outputs under its own goal."""
    observations = [
        {name: np.array([place], np.float32) for name in ("observation", "achieved_goal")}
        | {"desired_goal": np.array([goal], np.float32)}
        for place in places
    ]
    actions = [int(after > before) for before, after in itertools.pairwise(places)]
    columns = {name: torch.from_numpy(np.stack([one[name] for one in observations[:-1]])) for name in GOALS}
    with torch.no_grad():
        outputs = learner.module[DEFAULT_MODULE_ID].forward_train({Columns.OBS: columns})
        logits = outputs[Columns.ACTION_DIST_INPUTS]
        logp = torch.distributions.Categorical(logits=logits).log_prob(torch.tensor(actions))
    return SingleAgentEpisode(
        observations=observations,
        observation_space=GOALS,
        actions=actions,
        action_space=TWO_WAYS,
        rewards=[0.0] * len(actions),
        infos=[{}] * len(observations),
        truncated=True,
        extra_model_outputs={
            Columns.ACTION_DIST_INPUTS: list(logits.numpy()),
            Columns.ACTION_LOGP: list(logp.numpy()),
        },
        len_lookback_buffer=0,
    ).to_numpy()


def make_learner(**settings: Any) -> Any:
    config = HindsightPPOConfig().training(num_epochs=1, minibatch_size=None, use_kl_loss=False, **settings)
    config.environment(env_config={"experiment": {"type": LineExperiment}})
    return build_learner(config, GOALS, TWO_WAYS)


def test_an_episode_with_another_goal_ends_where_that_is_reached() -> None:
    reward = LineExperiment().goal_reward
    episode = make_episode(make_learner(), [0.0, 1.0, 2.0, 3.0], goal=7.0)
    other = relabel(episode, np.array([2.0], np.float32), reward)
    assert other is not None
    assert list(other.get_rewards()) == [0.0, 1.0]
    assert other.is_terminated
    assert not other.is_truncated
    assert other.get_observations()["desired_goal"].ravel().tolist() == [2.0, 2.0, 2.0]
    assert list(other.get_actions()) == [1, 1]
    assert relabel(episode, np.array([0.0], np.float32), reward) is None


def test_weights_have_a_mean_of_one_over_the_batch_and_a_limit() -> None:
    ratios = [np.array([1.0, 4.0]), np.array([0.5]), np.array([3.0, 0.5])]
    free = normalised_weights(ratios, np.inf)
    assert [len(weights) for weights in free] == [2, 1, 2]
    assert np.mean([weights[0] for weights in free]) == pytest.approx(1.0)
    # The second episode has reached its goal, and counts with its last weight.
    assert free[0][1] + free[2][1] == pytest.approx(3.0 * 4.5 / 5.0)
    assert max(map(np.max, normalised_weights(ratios, 1.5))) == 1.5


def test_the_learners_batch_holds_both_kinds_of_episodes_with_their_probabilities() -> None:
    learner = make_learner(hindsight_goals=2, gamma=0.9)
    episodes = [make_episode(learner, [0.0, 1.0, 2.0, 3.0], 7.0), make_episode(learner, [0.0, 1.0, 0.0], 7.0)]
    batch = learner._learner_connector(rl_module=learner.module, batch={}, episodes=episodes, shared_data={})
    columns = batch[DEFAULT_MODULE_ID]
    real = columns[Columns.LOSS_MASK]
    wanted = columns[Columns.OBS]["desired_goal"][:, 0]
    assert int(real.sum()) > 5
    assert set(wanted[real].tolist()) > {7.0}
    outputs = learner.module[DEFAULT_MODULE_ID].forward_train({Columns.OBS: columns[Columns.OBS]})
    policy = torch.distributions.Categorical(logits=outputs[Columns.ACTION_DIST_INPUTS])
    logp = policy.log_prob(columns[Columns.ACTIONS])
    assert columns[Columns.ACTION_LOGP][real].numpy() == pytest.approx(logp[real].detach().numpy(), abs=1e-5)
    assert torch.isfinite(columns[Postprocessing.ADVANTAGES]).all()
    hindsight = real & (wanted != 7.0)
    assert float(columns[Columns.REWARDS][hindsight].sum()) >= 1.0
    assert float(columns[Columns.REWARDS][real & ~hindsight].sum()) == 0.0


def test_it_learns_to_reach_goals_that_no_episode_was_rewarded_for() -> None:
    learner = make_learner(hindsight_goals=4, lr=0.01, gamma=0.9)
    module = learner.module[DEFAULT_MODULE_ID]

    def chance_of_forward() -> float:
        start = {name: torch.zeros(1, 1) for name in ("observation", "achieved_goal")}
        outputs = module.forward_train({Columns.OBS: {**start, "desired_goal": torch.full((1, 1), 3.0)}})
        return float(outputs[Columns.ACTION_DIST_INPUTS].softmax(-1)[0, 1])

    rng = np.random.default_rng(2)

    def walk_by_policy(goal: float) -> list[float]:
        places = [0.0]
        for _ in range(4):
            at = {name: torch.full((1, 1), places[-1]) for name in ("observation", "achieved_goal")}
            outputs = module.forward_train({Columns.OBS: {**at, "desired_goal": torch.full((1, 1), goal)}})
            likely = outputs[Columns.ACTION_DIST_INPUTS].softmax(-1)[0].detach().numpy()
            places.append(places[-1] + (1.0 if rng.random() < likely[1] else -1.0))
        return places

    before = chance_of_forward()
    for _ in range(20):
        episodes = [make_episode(learner, walk_by_policy(8.0), 8.0) for _ in range(12)]
        learner.update(episodes=episodes, num_epochs=1, timesteps={"num_env_steps_sampled_lifetime": 48})
    assert chance_of_forward() > before + 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.env_runners(batch_mode="truncate_episodes"), "complete_episodes"),
        (lambda config: config.training(hindsight_goals=-1), "hindsight_goals"),
    ],
)
def test_settings_that_the_weights_forbid_are_refused(change: Any, message: str) -> None:
    config = HindsightPPOConfig()
    change(config)
    with pytest.raises(ValueError, match=message):
        config.validate()
