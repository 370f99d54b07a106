"""DQN's learner: the same weights as RLlib's own learner, update by update."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from rllib_integration.training.dqn.learner import DQNLearner

BATCH = 16


class Numbers(gymnasium.Env):
    """Spaces alone: a learner takes no step of it."""

    observation_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space = spaces.Discrete(3)


def built(kind, **training):
    config = DQNConfig().environment(Numbers).training(lr=0.01, train_batch_size=BATCH, **training)
    torch.manual_seed(1)
    learner = kind(config=config, module_spec=config.get_multi_rl_module_spec(env=Numbers()))
    learner.build()
    return learner


def batch(seed, reward=1.0):
    random = np.random.default_rng(seed)
    columns = {
        "obs": random.uniform(-1, 1, (BATCH, 4)).astype(np.float32),
        "new_obs": random.uniform(-1, 1, (BATCH, 4)).astype(np.float32),
        "actions": random.integers(0, 3, BATCH),
        "rewards": np.full(BATCH, reward, np.float32),
        "terminateds": np.zeros(BATCH, np.float32),
        "truncateds": np.zeros(BATCH, np.float32),
        "n_step": np.ones(BATCH, np.float32),
        "weights": np.ones(BATCH, np.float32),
    }
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=BATCH)


def tensors(seed, **options):
    columns = batch(seed, **options).policy_batches[DEFAULT_MODULE_ID]
    return {DEFAULT_MODULE_ID: {name: torch.as_tensor(column) for name, column in columns.items()}}


def weights(learner):
    return {name: value.clone() for name, value in learner.module[DEFAULT_MODULE_ID].state_dict().items()}


@pytest.mark.parametrize(
    "training",
    [
        {"grad_clip": 0.001},
        {"grad_clip": 10.0, "grad_clip_by": "global_norm"},
        {"grad_clip": 0.001, "grad_clip_by": "norm"},
        {"grad_clip": 0.0001, "grad_clip_by": "value"},
        {"grad_clip": None},
    ],
)
def test_updates_are_rllibs(training):
    ours, theirs = built(DQNLearner, **training), built(DQNTorchLearner, **training)
    before = weights(ours)
    for seed in range(5):
        results = [learner.update(batch(seed), timesteps={}) for learner in (ours, theirs)]
    for name, value in weights(theirs).items():
        torch.testing.assert_close(weights(ours)[name], value)
    assert any(not torch.equal(value, before[name]) for name, value in weights(ours).items())
    assert results[0][DEFAULT_MODULE_ID].keys() == results[1][DEFAULT_MODULE_ID].keys()


def test_what_is_worked_out_for_a_gpu_is_what_rllib_applies_and_logs():
    ours, theirs = built(DQNLearner, grad_clip=0.01), built(DQNTorchLearner, grad_clip=0.01)
    outcome = ours.work_out(tensors(0))
    outcome.log.repeat(ours.metrics)
    logged, results = ours.metrics.reduce(), theirs.update(batch(0), timesteps={})
    gradients = [weight.grad for weight in theirs.module[DEFAULT_MODULE_ID].parameters() if weight.requires_grad]
    assert len(gradients) == len(outcome.gradients) > 0
    for ours_of_it, theirs_of_it in zip(outcome.gradients.values(), gradients):
        torch.testing.assert_close(ours_of_it, theirs_of_it)
    for name, value in logged[DEFAULT_MODULE_ID].items():
        np.testing.assert_allclose(value.peek(), results[DEFAULT_MODULE_ID][name].peek(), rtol=1e-5)
    assert {"qf_loss", "td_error", "gradients_default_optimizer_global_norm"} <= set(logged[DEFAULT_MODULE_ID])


def test_gradients_that_are_not_finite_become_zero_in_what_is_worked_out():
    outcome = built(DQNLearner, grad_clip=10.0).work_out(tensors(1, reward=np.nan))
    assert all(not gradient.any() for gradient in outcome.gradients.values())
    assert all(loss.isnan() for loss in outcome.losses.values())


def test_gradients_that_are_not_finite_leave_the_weights_finite():
    learner = built(DQNLearner, grad_clip=10.0)
    learner.update(batch(0), timesteps={})
    learner.update(batch(1, reward=np.nan), timesteps={})
    assert all(value.isfinite().all() for value in weights(learner).values())
