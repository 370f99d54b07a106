"""A2C is what its paper says, ACKTR steps within its trust region; both as RLlib's PPO with other learners."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns

from rllib_integration.training.policy_gradient.a2c import A2CConfig
from rllib_integration.training.policy_gradient.acktr import ACKTRConfig
from rllib_integration.training.policy_gradient.kfac import KFAC
from tests.training.policy_gradient.learners import build_learner, drive

GAMMA = 0.9


def returns_of(episodes, module):
    """Discounted returns of every step, with the value of the state where an episode was cut off; and observations."""
    found, observations, actions = [], [], []
    for episode in episodes:
        following = 0.0
        if not episode.is_terminated:
            last = torch.from_numpy(episode.get_observations(-1)[None])
            following = float(module.compute_values({Columns.OBS: last}).detach())
        rewards = []
        for reward in reversed(list(episode.get_rewards())):
            following = reward + GAMMA * following
            rewards.append(following)
        found += reversed(rewards)
        observations.append(episode.get_observations(slice(0, len(episode))))
        actions.append(episode.get_actions())
    columns = (np.concatenate(observations), np.concatenate(actions), np.array(found, np.float32))
    return tuple(torch.from_numpy(column) for column in columns)


def test_its_gradient_is_that_of_a2c() -> None:
    config = A2CConfig().training(gamma=GAMMA, grad_clip=None)
    learner = build_learner(config)
    module = learner.module[DEFAULT_MODULE_ID]
    episodes = drive(learner, np.random.default_rng(1))
    observations, actions, returns = returns_of(episodes, module)
    outputs = module.forward_train({Columns.OBS: observations})
    values = module.compute_values({Columns.OBS: observations}, outputs.get(Columns.EMBEDDINGS))
    policy = torch.distributions.Categorical(logits=outputs[Columns.ACTION_DIST_INPUTS])
    advantages = (returns - values).detach()
    loss = (
        -(advantages * policy.log_prob(actions)).mean()
        + 0.5 * ((values - returns) ** 2).mean()
        - 0.01 * policy.entropy().mean()
    )
    weights = list(module.parameters())
    expected = torch.autograd.grad(loss, weights)
    gradients: dict[str, torch.Tensor] = {}
    learner.apply_gradients = gradients.update
    learner.update(episodes=episodes, num_epochs=1, timesteps={"num_env_steps_sampled_lifetime": 8})
    found = {id(learner._params[name]): gradient for name, gradient in gradients.items()}
    assert max(float(gradient.abs().max()) for gradient in expected) > 0.1
    for weight, gradient in zip(weights, expected, strict=True):
        assert found[id(weight)].numpy() == pytest.approx(gradient.numpy(), abs=1e-6)


def test_it_steps_with_rmsprop_as_its_settings_say() -> None:
    learner = build_learner(A2CConfig().training(lr=0.01, rmsprop_alpha=0.8, rmsprop_epsilon=0.001))
    optimizer = learner.get_optimizer(DEFAULT_MODULE_ID)
    assert isinstance(optimizer, torch.optim.RMSprop)
    (group,) = optimizer.param_groups
    assert (group["alpha"], group["eps"]) == (0.8, 0.001)
    learner.update(
        episodes=drive(learner, np.random.default_rng(2)), num_epochs=1, timesteps={"num_env_steps_sampled_lifetime": 8}
    )
    assert float(group["lr"]) == pytest.approx(0.01)


@pytest.mark.parametrize("setting", [{"num_epochs": 2}, {"minibatch_size": 4}])
def test_batches_are_taken_once_and_whole(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="A2C takes each batch once and whole"):
        A2CConfig().training(**setting).validate()


def test_acktr_stays_in_its_trust_region_and_saves_its_curvature() -> None:
    learner = build_learner(ACKTRConfig().training(gamma=GAMMA, kl_clip=0.002, momentum=0.0, lr=5.0))
    module = learner.module[DEFAULT_MODULE_ID]
    episodes = drive(learner, np.random.default_rng(3), (200, 200))
    observations, _, _ = returns_of(episodes, module)

    def policy():
        with torch.no_grad():
            logits = module.forward_train({Columns.OBS: observations})[Columns.ACTION_DIST_INPUTS]
        return torch.distributions.Categorical(logits=logits)

    before = policy()
    learner.update(episodes=episodes, num_epochs=1, timesteps={"num_env_steps_sampled_lifetime": 400})
    change = float(torch.distributions.kl_divergence(before, policy()).mean())
    assert 1e-6 < change < 0.002
    (optimizer,) = (found for _, found in learner.get_optimizers_for_module(DEFAULT_MODULE_ID))
    assert isinstance(optimizer, KFAC)
    other = build_learner(ACKTRConfig().training(gamma=GAMMA))
    other.set_state(learner.get_state())
    (restored,) = (found for _, found in other.get_optimizers_for_module(DEFAULT_MODULE_ID))
    for layer, twin in zip(optimizer.layers, restored.layers, strict=True):
        for name in ("inputs", "gradients", "input_vectors"):
            assert restored.state[twin.weight][name].numpy() == pytest.approx(
                optimizer.state[layer.weight][name].numpy()
            )
