"""RLlib's own networks, made to take uint8 pictures.

RLlib's default networks neither convert nor scale pictures. Here each convolutional encoder scales uint8 to
0..1 on its own device, so that pictures travel and are stored as bytes.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from ray.rllib.algorithms.appo.torch.default_appo_torch_rl_module import DefaultAPPOTorchRLModule
from ray.rllib.algorithms.dqn.default_dqn_rl_module import QF_PREDS
from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.algorithms.sac.torch.default_sac_torch_rl_module import DefaultSACTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.base import ENCODER_OUT
from ray.rllib.core.models.torch.encoder import TorchCNNEncoder
from ray.rllib.core.rl_module.rl_module import RLModule


def encode_pictures(encoder: TorchCNNEncoder, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """An encoder's forward pass that takes pictures (B, H, W, C) also as uint8, which become float32 in 0..1.

    It calls the layers themselves: through RLlib's models around them a small picture takes a third longer.
    """
    picture = batch[Columns.OBS]
    if picture.dtype == torch.uint8:
        picture = picture.float() / 255.0
    convolutions, *others = encoder.net
    features = picture.permute(0, 3, 1, 2)
    for layer in convolutions.cnn:
        features = layer(features)
    features = features.permute(0, 2, 3, 1)
    for layer in others:
        features = layer(features)
    return {ENCODER_OUT: features}


class PictureModule:
    """Mix-in for a TorchRLModule: its convolutional encoders take uint8 pictures."""

    def setup(self) -> None:
        """Build the networks, then let every convolutional encoder scale its pictures."""
        super().setup()  # type: ignore[misc]
        for module in self.modules():  # type: ignore[attr-defined]
            if isinstance(module, TorchCNNEncoder):
                module.forward = MethodType(encode_pictures, module)  # type: ignore[method-assign]
        if self.inference_only:  # type: ignore[attr-defined]
            self.eval()  # type: ignore[attr-defined]

    def train(self, mode: bool = True) -> Any:
        """Switch to training or evaluation, and do nothing where that is so already.

        RLlib asks at every step, and visiting each layer takes as long as a small network's pass.
        """
        return super().train(mode) if mode != self.training else self  # type: ignore[misc, attr-defined]


class PictureDQNModule(PictureModule, DefaultDQNTorchRLModule):
    """DQN on pictures, exploring epsilon-greedily or, with `model.softq_temperature`, by soft-Q.

    Soft-Q draws an action with probability softmax(Q / temperature). `model.weight_average` is the decay of the
    moving average of the weights that a trainer may keep beside them.
    """

    EXTRA_MODEL_KEYS = ("softq_temperature", "weight_average")

    def _forward_exploration(self, batch: dict[str, Any], t: int | None = None, **kwargs: Any) -> dict[str, Any]:
        if self.is_stateful():
            return super()._forward_exploration(batch, t=t)
        q_values = self.compute_q_values(batch)[QF_PREDS]
        temperature = self.model_config.get("softq_temperature")
        if temperature is not None:
            return {Columns.ACTIONS: torch.distributions.Categorical(logits=q_values / temperature).sample()}
        self.epsilon_schedule.update(t)
        # As RLlib draws, so that a seed leads to the same actions, but without a distribution for the greedy ones.
        possible = (torch.nan_to_num(q_values, neginf=0.0) != 0.0).float()
        random_actions = torch.multinomial(possible, num_samples=1).squeeze(1)
        explores = torch.rand(len(q_values), device=q_values.device) < self.epsilon_schedule.get_current_value()
        return {Columns.ACTIONS: torch.where(explores, random_actions, q_values.argmax(-1))}

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if self.is_stateful():
            return super()._forward_inference(batch)
        return {Columns.ACTIONS: self.compute_q_values(batch)[QF_PREDS].argmax(-1)}


class PicturePPOModule(PictureModule, DefaultPPOTorchRLModule):
    """PPO's and IMPALA's network on pictures."""


class PictureAPPOModule(PictureModule, DefaultAPPOTorchRLModule):
    """APPO's network on pictures."""


class PictureSACModule(PictureModule, DefaultSACTorchRLModule):
    """SAC's networks on pictures."""


PICTURE_MODULES: dict[str, type[RLModule]] = {
    "DQN": PictureDQNModule,
    "PPO": PicturePPOModule,
    "IMPALA": PicturePPOModule,
    "APPO": PictureAPPOModule,
    "SAC": PictureSACModule,
}
