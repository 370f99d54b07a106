"""Networks for observations that are dictionaries: pictures go through convolutions, all else through dense layers."""

from __future__ import annotations

from dataclasses import dataclass, field

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.base import ENCODER_OUT, Encoder
from ray.rllib.core.models.configs import ModelConfig
from ray.rllib.core.models.torch.base import TorchModel

from rllib_integration.annotations import Record
from rllib_integration.goals import SEEN_GOAL, seen_goal

_POSES = ("achieved_goal", "desired_goal")


@dataclass
class DictEncoderConfig(ModelConfig):
    """What `DictEncoder` is made of.

    Attributes:
        pictures: Entry of the observation -> its encoder.
        numbers: Entries that are joined to one vector.
        vector: The encoder of that vector; None where there are pictures alone.
        has_pose_goals: Whether the vector ends with `goals.seen_goal`, in place of the two poses.
    """

    pictures: dict[str, ModelConfig] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    vector: ModelConfig | None = None
    has_pose_goals: bool = False

    @property
    def output_dims(self) -> tuple[int]:
        """Size of the features, of all parts together."""
        parts = [*self.pictures.values(), *([self.vector] if self.vector is not None else [])]
        return (sum(int(part.output_dims[0]) for part in parts),)

    def build(self, framework: str = "torch") -> DictEncoder:
        """The encoder."""
        return DictEncoder(self)


class DictEncoder(TorchModel, Encoder):
    """Encodes each picture of a dictionary, and its numbers as one vector; the features stand side by side."""

    def __init__(self, config: DictEncoderConfig) -> None:
        TorchModel.__init__(self, config)
        Encoder.__init__(self, config)
        self.pictures = torch.nn.ModuleDict({name: part.build("torch") for name, part in config.pictures.items()})
        self.vector = config.vector.build("torch") if config.vector is not None else None

    def _forward(self, inputs: Record, **kwargs: object) -> dict[str, torch.Tensor]:
        observation = inputs[Columns.OBS]
        features = [encoder({Columns.OBS: observation[name]})[ENCODER_OUT] for name, encoder in self.pictures.items()]
        if self.vector is not None:
            numbers = [observation[name].float().flatten(1) for name in self.config.numbers]
            if self.config.has_pose_goals:
                numbers += [
                    part[:, None] for part in seen_goal(observation["achieved_goal"], observation["desired_goal"])
                ]
            features.append(self.vector({Columns.OBS: torch.cat(numbers, -1)})[ENCODER_OUT])
        return {ENCODER_OUT: torch.cat(features, -1)}


class DictCatalog(PPOCatalog):
    """RLlib's networks for PPO, with `DictEncoder` where the observation is a dictionary."""

    @classmethod
    def _get_encoder_config(
        cls,
        observation_space: gymnasium.Space,
        model_config_dict: Record,
        action_space: gymnasium.Space | None = None,
    ) -> ModelConfig:
        plain = super()._get_encoder_config
        if not isinstance(observation_space, spaces.Dict):
            return plain(observation_space, model_config_dict, action_space)
        parts = observation_space.spaces
        pictures = {name: part for name, part in parts.items() if part.shape is not None and len(part.shape) == 3}
        poses = tuple(name for name in _POSES if name in parts and parts[name].shape == (4,))
        has_pose_goals = poses == _POSES
        shown = [name for name in parts if name not in pictures and not (has_pose_goals and name in poses)]
        size = sum(int(np.prod(parts[name].shape or (1,))) for name in shown) + SEEN_GOAL * has_pose_goals
        vector = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        return DictEncoderConfig(
            pictures={name: plain(part, model_config_dict, action_space) for name, part in pictures.items()},
            numbers=tuple(shown),
            vector=plain(vector, model_config_dict, action_space) if size else None,
            has_pose_goals=has_pose_goals,
        )
