"""RLlib's DQN learner, which asks less of a GPU for each update.

RLlib measures, clips and checks one gradient after the other, and waits for the GPU after each check. Where the network
is small, that takes a third of an update.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.utils.torch_utils import clip_gradients
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

Gradients: TypeAlias = dict[torch.nn.Parameter, torch.Tensor | None]


class DQNLearner(DQNTorchLearner):
    """Makes the same updates as RLlib's, with all gradients taken together."""

    @staticmethod
    def _get_clip_function() -> Callable[..., torch.Tensor | None]:
        return clip_together

    def apply_gradients(self, gradients_dict: Gradients) -> None:
        """Step the optimizer; gradients that are not finite, and optimizers with more to do, are left to RLlib."""
        is_plain = self._grad_scalers is None and self._lr_scheduler_classes is None
        if is_plain and _total_norm(gradients_dict).isfinite():
            for parameter, gradient in gradients_dict.items():
                parameter.grad = gradient
            for optimizer in self._named_optimizers.values():
                optimizer.step()
        else:
            super().apply_gradients(gradients_dict)


def clip_together(gradients_dict: Gradients, *, grad_clip: float, grad_clip_by: str) -> torch.Tensor | None:
    """Clip gradients in place, as RLlib's `clip_gradients` does.

    Args:
        gradients_dict: The gradient of each parameter, which is the parameter's own `grad`.
        grad_clip: The limit.
        grad_clip_by: "global_norm" is done here, "norm" and "value" by RLlib.

    Returns:
        The norm of all gradients, with "global_norm".
    """
    if grad_clip_by != "global_norm":
        return clip_gradients(gradients_dict, grad_clip=grad_clip, grad_clip_by=grad_clip_by)
    norm = _total_norm(gradients_dict)
    clip_grads_with_norm_(gradients_dict, grad_clip, norm)
    return norm


def _total_norm(gradients_dict: Gradients) -> torch.Tensor:
    return get_total_norm([gradient for gradient in gradients_dict.values() if gradient is not None])
