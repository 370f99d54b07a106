"""Advantages of the steps in a learner's batch, by generalised advantage estimation (Schulman et al. 2016)."""

from __future__ import annotations

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.numpy import convert_to_numpy
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from rllib_integration.annotations import Record


class Advantages(ConnectorV2):
    """Adds advantages and value targets to a batch, as RLlib's `GeneralAdvantageEstimation`, but leaves their scale.

    RLlib brings the advantages of each batch to mean 0 and deviation 1; A2C and ACKTR take them as they are.

    Args:
        gamma: Discount of a step.
        lambda_: 0 trusts the value function after a step, 1 after the last of the episode's steps.
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
        values = convert_to_numpy(predicted)
        facts = [convert_to_numpy(columns[name]) for name in (Columns.REWARDS, Columns.TERMINATEDS, Columns.TRUNCATEDS)]
        targets = compute_value_targets(values, *facts, gamma=self.gamma, lambda_=self.lambda_)
        for name, column in (
            (Postprocessing.VALUE_TARGETS, targets),
            (Postprocessing.ADVANTAGES, targets - values),
        ):
            columns[name] = torch.from_numpy(np.asarray(column, np.float32)).to(predicted.device)
        return batch
