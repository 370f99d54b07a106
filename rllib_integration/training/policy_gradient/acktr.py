"""ACKTR (Wu et al. 2017, arXiv 1708.05144): A2C that steps along the natural gradient, within a trust region."""

from __future__ import annotations

from typing import Any

import torch
import tree
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig, NotProvided
from ray.rllib.core.columns import Columns

from rllib_integration.annotations import Record
from rllib_integration.training.policy_gradient.a2c import A2C, A2CConfig, A2CTorchLearner
from rllib_integration.training.policy_gradient.kfac import KFAC


class ACKTRConfig(A2CConfig):
    """Settings of ACKTR; the defaults are those of the Carla RL Project.

    Args:
        algo_class: The algorithm.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or ACKTR)
        self.lr = 0.25
        self.grad_clip: float | None = None  # the trust region bounds the step
        self.kl_clip = 0.001
        self.momentum = 0.9
        self.damping = 0.01
        self.statistics_decay = 0.99
        self.eigen_every = 10

    def training(
        self,
        *,
        kl_clip: float = NotProvided,
        momentum: float = NotProvided,
        damping: float = NotProvided,
        statistics_decay: float = NotProvided,
        eigen_every: int = NotProvided,
        **kwargs: Any,
    ) -> ACKTRConfig:
        """Set what A2C has, but for RMSprop's, and those of `KFAC`.

        Args:
            kl_clip: Largest change of the policy in a step.
            momentum: Of the steps.
            damping: Added to the Fisher matrix.
            statistics_decay: Of the moving averages that make up the Fisher matrix.
            eigen_every: Updates after which its eigenvectors are computed anew.
            kwargs: As for PPO.
        """
        super().training(**kwargs)
        given = {
            "kl_clip": kl_clip,
            "momentum": momentum,
            "damping": damping,
            "statistics_decay": statistics_decay,
            "eigen_every": eigen_every,
        }
        for name, value in given.items():
            if value is not NotProvided:
                setattr(self, name, value)
        return self

    def get_default_learner_class(self) -> type:
        """The learner that steps with K-FAC."""
        return ACKTRTorchLearner


class ACKTR(A2C):
    """One natural gradient step for each batch of samples."""

    @classmethod
    def get_default_config(cls) -> AlgorithmConfig:
        """The defaults of ACKTR."""
        return ACKTRConfig()


class ACKTRTorchLearner(A2CTorchLearner):
    """A2C's loss, minimised by `KFAC`; the Fisher matrix is that of the policy and of the value function together."""

    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        """Give the network its optimiser."""
        assert config is not None
        optimizer = KFAC(
            self.module[module_id],  # type: ignore[arg-type]
            kl_clip=config.kl_clip,
            momentum=config.momentum,
            damping=config.damping,
            decay=config.statistics_decay,
            eigen_every=config.eigen_every,
        )
        weights = self.get_parameters(self.module[module_id])
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=weights, lr_or_lr_schedule=config.lr)

    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: Record, fwd_out: Record
    ) -> torch.Tensor:
        """A2C's loss, after the Fisher statistics of the batch have been taken."""
        self._observe(module_id, batch)
        return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)

    def _observe(self, module_id: str, batch: Record) -> None:
        """Note the curvature where the batch's steps are; its actions are samples of the policy."""
        module: Any = self.module[module_id].unwrapped()
        names = (Columns.OBS, Columns.ACTIONS)
        kept = batch.get(Columns.LOSS_MASK)
        steps = {name: batch[name] for name in names}
        if kept is not None:
            steps = tree.map_structure(lambda column: column[kept], steps)
        samples = len(steps[Columns.ACTIONS])
        (optimizer,) = (found for _, found in self.get_optimizers_for_module(module_id))
        with optimizer.observe(samples):  # type: ignore[attr-defined]
            outputs = module.forward_train(steps)
            policy = module.get_train_action_dist_cls().from_logits(outputs[Columns.ACTION_DIST_INPUTS])
            values = module.compute_values(steps, embeddings=outputs.get(Columns.EMBEDDINGS))
            drawn = (values + torch.randn_like(values)).detach()
            likelihood = policy.logp(steps[Columns.ACTIONS]) - 0.5 * (values - drawn) ** 2
            (-likelihood.mean()).backward()
