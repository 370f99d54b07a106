"""RLlib's own networks, made to take uint8 pictures.

RLlib's default networks neither convert nor scale pictures. Here each convolutional encoder scales uint8 to
0..1 on its own device, so that pictures travel and are stored as bytes.
"""

from __future__ import annotations

from types import MethodType

import numpy as np
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

from rllib_integration.annotations import Record
from rllib_integration.training.dict_catalog import DictCatalog


def encode_pictures(encoder: TorchCNNEncoder, batch: Record, **kwargs: object) -> Record:
    """An encoder's forward pass that takes pictures (B, H, W, C) also as uint8, which become float32 in 0..1.

    It calls the layers themselves: through RLlib's models around them a small picture takes a third longer.
    """
    picture = batch[Columns.OBS]
    if picture.dtype == torch.uint8:
        picture = picture.float().div_(255.0)
    convolutions, *others = encoder.net
    features = picture.permute(0, 3, 1, 2)
    in_place = not torch.is_grad_enabled()
    for layer in convolutions.cnn:
        features = features.relu_() if in_place and type(layer) is torch.nn.ReLU else layer(features)
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

    def train(self, mode: bool = True) -> PictureModule:
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

    def _forward_exploration(self, batch: Record, t: int | None = None, **kwargs: object) -> Record:
        if self.is_stateful():
            return super()._forward_exploration(batch, t=t)
        values = self._relative_values(batch)
        temperature = self.model_config.get("softq_temperature")
        if temperature is not None:
            return {Columns.ACTIONS: torch.distributions.Categorical(logits=values / temperature).sample()}
        epsilon = self.epsilon_schedule.update(t)
        # In numpy: each of torch's many small functions would take longer than all of these.
        of_actions = values.numpy(force=True)
        chances, places = torch.rand(2, len(of_actions)).numpy()
        possible = (of_actions != -np.inf).cumsum(1)
        drawn = (possible <= (places * possible[:, -1])[:, None]).sum(1)
        return {Columns.ACTIONS: torch.from_numpy(np.where(chances < epsilon, drawn, of_actions.argmax(1)))}

    def _forward_inference(self, batch: Record, **kwargs: object) -> Record:
        if self.is_stateful():
            return super()._forward_inference(batch)
        return {Columns.ACTIONS: self._relative_values(batch).argmax(-1)}

    def _relative_values(self, batch: Record) -> torch.Tensor:
        """Q values (B, actions), less what all actions of a state have in common: that decides nothing."""
        if self.num_atoms > 1:
            return self.compute_q_values(batch)[QF_PREDS]
        return self.af(self.encoder(batch)[ENCODER_OUT])


class PicturePPOModule(PictureModule, DefaultPPOTorchRLModule):
    """PPO's and IMPALA's network on pictures, or on dictionaries of pictures and numbers."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs["catalog_class"] = kwargs.get("catalog_class") or DictCatalog
        super().__init__(*args, **kwargs)


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
