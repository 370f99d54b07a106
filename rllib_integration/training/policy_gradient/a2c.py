"""A2C, the synchronous form of A3C (Mnih et al. 2016), as a case of RLlib's PPO.

With one pass over each batch the ratio of new to old probabilities is 1 where its gradient is taken, so that PPO's
clipped objective has the gradient of A2C's (Huang et al. 2022, arXiv 2205.09123).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.learner import GeneralAdvantageEstimation

from rllib_integration.training.policy_gradient.advantages import Advantages


class A2CConfig(PPOConfig):
    """Settings of A2C; the defaults are those of the Carla RL Project.

    Args:
        algo_class: The algorithm.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or A2C)
        self.lr = 7e-4
        self.rmsprop_alpha = 0.99
        self.rmsprop_epsilon = 1e-5
        self.grad_clip: float | None = 0.5
        self.lambda_ = 1.0
        self.entropy_coeff = 0.01
        self.vf_loss_coeff = 0.5
        self.train_batch_size_per_learner = 320
        self.num_epochs = 1
        self.minibatch_size = None
        self.clip_param = math.inf
        self.vf_clip_param = math.inf
        self.use_kl_loss = False

    def training(
        self,
        *,
        rmsprop_alpha: float = NotProvided,
        rmsprop_epsilon: float = NotProvided,
        **kwargs: Any,
    ) -> A2CConfig:
        """Set what PPO has, and the optimiser's.

        Args:
            rmsprop_alpha: Decay of RMSprop's mean square.
            rmsprop_epsilon: Added to its root.
            kwargs: As for PPO.
        """
        super().training(**kwargs)
        if rmsprop_alpha is not NotProvided:
            self.rmsprop_alpha = rmsprop_alpha
        if rmsprop_epsilon is not NotProvided:
            self.rmsprop_epsilon = rmsprop_epsilon
        return self

    def get_default_learner_class(self) -> type:
        """The learner that steps with RMSprop along A2C's gradient."""
        return A2CTorchLearner

    def validate(self) -> None:
        """Check what makes it A2C.

        Raises:
            ValueError: A batch would be passed more than once, or in parts.
        """
        super().validate()
        if self.num_epochs != 1 or self.minibatch_size is not None:
            name = self.algo_class.__name__ if self.algo_class is not None else "A2C"
            self._value_error(f"{name} takes each batch once and whole: leave out num_epochs and minibatch_size")


class A2C(PPO):
    """One gradient step for each batch of samples."""

    @classmethod
    def get_default_config(cls) -> AlgorithmConfig:
        """The defaults of A2C."""
        return A2CConfig()


class A2CTorchLearner(PPOTorchLearner):
    """PPO's loss with advantages as they are, minimised by RMSprop."""

    def build(self) -> None:
        """Build PPO's learner and exchange what computes the advantages."""
        super().build()
        if self._learner_connector is not None:
            self._learner_connector.remove(GeneralAdvantageEstimation)
            self._learner_connector.append(Advantages(self.config.gamma, self.config.lambda_))

    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        """Give the network its optimiser."""
        assert config is not None
        weights = self.get_parameters(self.module[module_id])
        optimizer = torch.optim.RMSprop(weights, alpha=config.rmsprop_alpha, eps=config.rmsprop_epsilon)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=weights, lr_or_lr_schedule=config.lr)
