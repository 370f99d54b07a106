"""RLlib's DQN learner, which hands a whole update to the GPU at once.

A small network's update is some two hundred small functions. A GPU is done with each before Python has called the next.
Here the GPU records them during one update (a CUDA graph) and repeats them on every batch that follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from ray.rllib.utils.torch_utils import clip_gradients
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from rllib_integration.annotations import Record

EAGER_UPDATES = 3  # before the recording, in which a library may still choose its functions and set memory aside

Batch: TypeAlias = dict[str, dict[str, torch.Tensor]]
"""The columns of each module's batch, by the module's name."""

Gradients: TypeAlias = dict[torch.nn.Parameter, torch.Tensor]
Losses: TypeAlias = dict[str, torch.Tensor]


class Outcome(NamedTuple):
    """What an update is worked out to be.

    Attributes:
        losses: Of each module.
        gradients: Clipped; of each weight.
        log: What there is to be logged about it.
    """

    losses: Losses
    gradients: Gradients
    log: LogRecording


class DQNLearner(DQNTorchLearner):
    """Makes RLlib's updates; on a GPU as a recording, while all batches have the shapes of the first.

    Gradients are clipped together, and those that are not finite become zero without the GPU being waited for.
    """

    metrics: MetricsLogger | LogRecording

    def build(self) -> None:
        """Build as RLlib does."""
        super().build()
        self._eager_updates = 0
        self._recording: Recording | None = None

    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        """RLlib's Adam, in one function for all weights."""
        assert config is not None
        parameters = self.get_parameters(self._module[module_id])
        optimizer = torch.optim.Adam(parameters, fused=True)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=parameters, lr_or_lr_schedule=config.lr
        )

    @staticmethod
    def _get_clip_function() -> Callable[..., torch.Tensor | None]:
        return clip_together

    def _update(self, batch: Batch) -> tuple[Record, Losses, Record]:
        if not self._may_record():
            return super()._update(batch)
        self._compute_off_policyness(batch)
        if self._recording is None and self._eager_updates < EAGER_UPDATES:
            self._eager_updates += 1
            outcome = _beside_the_current_stream(lambda: self.work_out(batch))
        else:
            self._recording = self._recording or Recording(self, batch)
            outcome = self._recording.repeat(batch) if self._recording.fits(batch) else self.work_out(batch)
        outcome.log.repeat(self.metrics)
        for weight, gradient in outcome.gradients.items():
            weight.grad = gradient
        for optimizer in self._named_optimizers.values():
            optimizer.step()
        return {}, outcome.losses, {}

    def _may_record(self) -> bool:
        """Whether an update is the same functions each time, all of them on a GPU, and none of another process."""
        return (
            torch.device(self._device).type == "cuda"
            and self.config.num_learners <= 1
            and not self.config.torch_compile_learner
            and not self.config.torch_skip_nan_gradients
            and self._grad_scalers is None
            and self._lr_scheduler_classes is None
        )

    def work_out(self, batch: Batch) -> Outcome:
        """What RLlib works out in an update before it changes the weights; without waiting for a GPU."""
        metrics, log = self.metrics, LogRecording()
        self.metrics = log
        try:
            losses = self.compute_losses(fwd_out=self.module.forward_train(batch), batch=batch)
            gradients = self.postprocess_gradients(self.compute_gradients(losses))
        finally:
            self.metrics = metrics
        for gradient in gradients.values():
            torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0, out=gradient)
        return Outcome({module_id: loss.detach() for module_id, loss in losses.items()}, gradients, log)


class Recording:
    """What a GPU does to work out an update, to be repeated with other batches.

    Args:
        learner: Whose update it is.
        batch: Those that follow have its columns and shapes.
    """

    def __init__(self, learner: DQNLearner, batch: Batch) -> None:
        self._batch = {
            module_id: {name: column.clone() for name, column in columns.items()}
            for module_id, columns in batch.items()
        }
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outcome = learner.work_out(self._batch)

    def fits(self, batch: Batch) -> bool:
        """Whether a batch has the columns and shapes of the one that was recorded."""
        return _shapes(batch) == _shapes(self._batch)

    def repeat(self, batch: Batch) -> Outcome:
        """The outcome with another batch: tensors that the next repetition overwrites."""
        for module_id, columns in self._batch.items():
            for name, column in columns.items():
                column.copy_(batch[module_id][name])
        self._graph.replay()
        return self._outcome


class LogRecording:
    """Stands in for a learner's `MetricsLogger`, and keeps what is logged."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[str, ...], torch.Tensor, Record]] = []

    def log_value(self, key: tuple[str, ...], value: torch.Tensor, **options: object) -> None:
        """Keep a value under its key, with how it is to be reduced."""
        self._entries.append((key, value.detach(), options))

    def log_dict(self, value_dict: dict[str, torch.Tensor], *, key: str, **options: object) -> None:
        """Keep the values of several names below one key."""
        for name, value in value_dict.items():
            self.log_value((key, name), value, **options)

    def repeat(self, metrics: MetricsLogger) -> None:
        """Log what the kept tensors now hold."""
        for key, value, options in self._entries:
            metrics.log_value(key, value.clone(), **options)


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
    gradients = [gradient for gradient in gradients_dict.values() if gradient is not None]
    norm = get_total_norm(gradients)
    clip_grads_with_norm_(gradients_dict, grad_clip, norm)
    return norm


def _beside_the_current_stream(work_out: Callable[[], Outcome]) -> Outcome:
    """Work out on a stream of its own, as PyTorch asks of what is to be recorded later."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        outcome = work_out()
    torch.cuda.current_stream().wait_stream(stream)
    return outcome


def _shapes(batch: Batch) -> dict[str, dict[str, torch.Size]]:
    return {module_id: {name: column.shape for name, column in columns.items()} for module_id, columns in batch.items()}
