"""RLlib's own networks, made to take uint8 pictures.

RLlib's default networks neither convert nor scale pictures. Here each convolutional encoder scales uint8 to
0..1 on its own device, so that pictures travel and are stored as bytes.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.appo.torch.default_appo_torch_rl_module import DefaultAPPOTorchRLModule
from ray.rllib.algorithms.dqn.default_dqn_rl_module import QF_PREDS
from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.algorithms.sac.torch.default_sac_torch_rl_module import DefaultSACTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.models.torch.encoder import TorchCNNEncoder
from ray.rllib.core.rl_module.rl_module import RLModule


def scale_picture(encoder: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Forward pre-hook of an encoder: a uint8 picture (B, H, W, C) becomes float32 in 0..1."""
    batch, *rest = inputs
    picture = batch[Columns.OBS]
    if picture.dtype == torch.uint8:
        batch = {**batch, Columns.OBS: picture.float() / 255.0}
    return (batch, *rest)


class PictureModule:
    """Mix-in for a TorchRLModule: its convolutional encoders take uint8 pictures."""

    def setup(self) -> None:
        """Build the networks, then let every convolutional encoder scale its pictures."""
        super().setup()  # type: ignore[misc]
        for module in self.modules():  # type: ignore[attr-defined]
            if isinstance(module, TorchCNNEncoder):
                module.register_forward_pre_hook(scale_picture)
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
        temperature = self.model_config.get("softq_temperature")
        if temperature is None:
            return super()._forward_exploration(batch, t=t)
        q_values = self.compute_q_values(batch)[QF_PREDS]
        actions = torch.distributions.Categorical(logits=q_values / temperature).sample()
        return {Columns.ACTIONS: actions}


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
