"""RLlib's default connectors between environments and a network without memory, in one go.

RLlib sends each batch through a pipeline of small pieces that split it by episode, join it again and time each of
their steps; for one small picture that takes longer than the network. These pipelines hold the same pieces and give
the same results. As long as the pieces are RLlib's defaults they take the short way, and the long one otherwise: with
a connector of the user's, several agents, or a network that has a memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.connectors.common.tensor_to_numpy import TensorToNumpy
from ray.rllib.connectors.connector_pipeline_v2 import ConnectorPipelineV2
from ray.rllib.connectors.env_to_module import (
    AddObservationsFromEpisodesToBatch,
    AddStatesFromEpisodesToBatch,
    AddTimeDimToBatchAndZeroPad,
    BatchIndividualItems,
    EnvToModulePipeline,
    NumpyToTensor,
)
from ray.rllib.connectors.module_to_env import (
    GetActions,
    ListifyDataForVectorEnv,
    ModuleToEnvPipeline,
    NormalizeAndClipActions,
    RemoveSingleTsTimeRankFromBatch,
    UnBatchToIndividualItems,
)
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.numpy import convert_to_numpy
from ray.rllib.utils.spaces.space_utils import batch as batch_items
from ray.rllib.utils.spaces.space_utils import unbatch

from rllib_integration.annotations import Record

_TO_MODULE = [
    AddObservationsFromEpisodesToBatch,
    AddTimeDimToBatchAndZeroPad,
    AddStatesFromEpisodesToBatch,
    BatchIndividualItems,
    NumpyToTensor,
]
_TO_ENV = [
    GetActions,
    TensorToNumpy,
    UnBatchToIndividualItems,
    RemoveSingleTsTimeRankFromBatch,
    NormalizeAndClipActions,
    ListifyDataForVectorEnv,
]
_SAME_IN_TORCH = (np.uint8, np.float32)
_NARROW = {torch.int64: np.int32, torch.int32: np.int32, torch.float32: np.float32}
_COUNTED = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)  # actions that are neither scaled nor clipped


def shorten(pipeline: ConnectorPipelineV2, kind: type[ConnectorPipelineV2]) -> ConnectorPipelineV2:
    """A pipeline of the same pieces that takes the short way where it can."""
    return kind(pipeline.input_observation_space, pipeline.input_action_space, connectors=pipeline.connectors)


class ShortEnvToModule(EnvToModulePipeline):
    """From observations, one of each environment, to a batch of tensors."""

    def __call__(
        self,
        *,
        rl_module: RLModule,
        episodes: list[SingleAgentEpisode],
        shared_data: Record | None = None,
        **kwargs: object,
    ) -> Record:
        """The batch that the network takes."""
        observations = kwargs.get(Columns.OBS)
        if observations is None or kwargs.get("batch") or not _is_default(self, _TO_MODULE, rl_module):
            return super().__call__(rl_module=rl_module, episodes=episodes, shared_data=shared_data, **kwargs)
        if shared_data is not None:  # it tells the long way back whose actions are whose
            shared_data["memorized_map_structure"] = [episode.id_ for episode in episodes]
        batch = batch_items(observations)
        if isinstance(batch, np.ndarray) and batch.dtype in _SAME_IN_TORCH:
            return {Columns.OBS: torch.from_numpy(batch).to(next(rl_module.parameters()).device)}
        return self.connectors[-1](rl_module=rl_module, batch={Columns.OBS: batch}, episodes=episodes)


class ShortModuleToEnv(ModuleToEnvPipeline):
    """From what the network returns to actions for the environments, and to what is stored of each step."""

    def __call__(
        self, *, rl_module: RLModule, batch: Record, episodes: list[SingleAgentEpisode], **kwargs: object
    ) -> Record:
        """`actions` and `actions_for_env` batched, of everything else a list with an entry for each environment."""
        if not _is_default(self, _TO_ENV, rl_module):
            return super().__call__(rl_module=rl_module, batch=batch, episodes=episodes, **kwargs)
        get_actions, *_, normalize, _ = self.connectors
        columns = get_actions(rl_module=rl_module, batch=batch, episodes=episodes, **kwargs)
        actions = _to_numpy(columns.pop(Columns.ACTIONS))
        found = {key: _items(_to_numpy(column)) for key, column in columns.items()}
        if not isinstance(self.input_action_space, _COUNTED):
            fitted = normalize(rl_module=rl_module, batch={Columns.ACTIONS: unbatch(actions)}, episodes=episodes)
            if Columns.ACTIONS_FOR_ENV in fitted:
                found[Columns.ACTIONS_FOR_ENV] = batch_items(fitted[Columns.ACTIONS_FOR_ENV])
        return {**found, Columns.ACTIONS: actions}


def _items(column: object) -> list[object]:
    return list(column) if isinstance(column, np.ndarray) else unbatch(column)


def _to_numpy(column: Any) -> object:
    """`convert_to_numpy`, which halves wide numbers, without its way through a tree of one leaf."""
    narrow = _NARROW.get(column.dtype) if isinstance(column, torch.Tensor) and column.dim() else None
    return convert_to_numpy(column) if narrow is None else column.cpu().numpy().astype(narrow, copy=False)


def _is_default(pipeline: ConnectorPipelineV2, pieces: list[type], module: RLModule | None) -> bool:
    return module is not None and not module.is_stateful() and [type(piece) for piece in pipeline.connectors] == pieces
