"""K-FAC: natural gradient steps whose Fisher matrix is a Kronecker product for each layer, within a trust region.

The Fisher matrix of a layer with inputs a (a 1 appended for the bias) and gradients g of its outputs is taken to be
A x G with A = E[a a^T] and G = E[g g^T] (Martens and Grosse 2015, arXiv 1503.05671), for convolutions after Grosse and
Martens 2016 (arXiv 1602.01407). The step and its trust region are those of ACKTR (Wu et al. 2017, arXiv 1708.05144).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional

from rllib_integration.annotations import Record

Layer = nn.Linear | nn.Conv2d


class KFAC(torch.optim.Optimizer):
    """Steps along the natural gradient, as long as the step changes the model's output little.

    Call `observe` around the forward and backward pass of the Fisher loss, the negative mean log-likelihood of outputs
    that were drawn from the model itself; then compute the gradients of the loss to minimise, and call `step`.
    Parameters of other layers than `Linear` and `Conv2d` take plain gradient steps.

    Args:
        module: The network.
        lr: Step along the natural gradient, before the trust region cuts it.
        kl_clip: Largest change of the output's distribution in a step, as the KL divergence that the Fisher matrix
            predicts.
        momentum: Of the steps.
        damping: Added to each eigenvalue of the Fisher matrix.
        decay: Of the moving averages of A and G.
        eigen_every: Steps after which the eigenvectors are computed anew.

    Raises:
        ValueError: A convolution is in groups or dilated.
    """

    def __init__(
        self,
        module: nn.Module,
        lr: float = 0.25,
        kl_clip: float = 0.001,
        momentum: float = 0.9,
        damping: float = 0.01,
        decay: float = 0.99,
        eigen_every: int = 10,
    ) -> None:
        settings = {"lr": lr, "kl_clip": kl_clip, "momentum": momentum, "damping": damping, "decay": decay}
        super().__init__([weights for weights in module.parameters() if weights.requires_grad], settings)
        self.eigen_every = eigen_every
        self.layers: list[Layer] = [
            part for part in module.modules() if isinstance(part, Layer) and part.weight.requires_grad
        ]
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d) and (layer.groups != 1 or layer.dilation != (1, 1)):
                raise ValueError(f"K-FAC knows no convolutions in groups or with dilation, but there is {layer}.")

    @contextlib.contextmanager
    def observe(self, samples: int) -> Iterator[None]:
        """Take the Fisher statistics of the passes made inside; their gradients are removed at the end.

        Args:
            samples: Number that the Fisher loss is the mean of.
        """
        seen: dict[Layer, list[torch.Tensor]] = {layer: [] for layer in self.layers}

        def watch(layer: Layer) -> Callable[..., None]:
            def note(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
                into = _inputs_factor(layer, inputs[0].detach())
                output.register_hook(lambda gradient: seen[layer].extend((into, _gradients_factor(gradient * samples))))

            return note

        hooks = [layer.register_forward_hook(watch(layer)) for layer in self.layers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self.zero_grad(set_to_none=True)
        for layer, found in seen.items():
            if found:
                self._note(self.state[layer.weight], sum(found[0::2]), sum(found[1::2]))

    def _note(self, state: Record, inputs: object, gradients: object) -> None:
        decay = self.defaults["decay"]
        for name, newest in (("inputs", inputs), ("gradients", gradients)):
            state[name] = newest if name not in state else state[name].lerp(newest, 1.0 - decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make a step with the gradients that the parameters have."""
        (group,) = self.param_groups
        directions = {weights: weights.grad for weights in group["params"] if weights.grad is not None}
        for layer in self.layers:
            if layer.weight in directions and "inputs" in self.state[layer.weight]:
                directions.update(self._natural(layer, group["damping"]))
        change = sum(float((direction * weights.grad).sum()) for weights, direction in directions.items())
        change *= group["lr"] ** 2
        share = min(1.0, math.sqrt(group["kl_clip"] / change)) if change > 0.0 else 1.0
        for weights, direction in directions.items():
            state = self.state[weights]
            if "velocity" not in state:
                state["velocity"] = torch.zeros_like(weights)
            state["velocity"].mul_(group["momentum"]).add_(direction, alpha=share)
            weights.add_(state["velocity"], alpha=-group["lr"] * (1.0 - group["momentum"]))

    def _natural(self, layer: Layer, damping: float) -> dict[torch.Tensor, torch.Tensor]:
        """The gradients of a layer, multiplied by the inverse of its part of the Fisher matrix."""
        state = self.state[layer.weight]
        state["age"] = state.get("age", torch.zeros((), dtype=torch.long)) + 1
        if "input_vectors" not in state or int(state["age"]) >= self.eigen_every:
            state["input_values"], state["input_vectors"] = torch.linalg.eigh(state["inputs"])
            state["gradient_values"], state["gradient_vectors"] = torch.linalg.eigh(state["gradients"])
            state["age"] = torch.zeros((), dtype=torch.long)
        gradient = layer.weight.grad.flatten(1)  # type: ignore[union-attr]
        if layer.bias is not None:
            gradient = torch.cat([gradient, layer.bias.grad[:, None]], 1)  # type: ignore[index]
        out, into = state["gradient_vectors"], state["input_vectors"]
        values = torch.outer(state["gradient_values"].clamp_min(0.0), state["input_values"].clamp_min(0.0))
        natural = out @ ((out.T @ gradient @ into) / (values + damping)) @ into.T
        if layer.bias is None:
            return {layer.weight: natural.view_as(layer.weight)}
        return {layer.weight: natural[:, :-1].reshape(layer.weight.shape), layer.bias: natural[:, -1]}


def _inputs_factor(layer: Layer, inputs: torch.Tensor) -> torch.Tensor:
    """E[a a^T], `(n, n)`, over a batch, and over the places of a convolution."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        patches = functional.unfold(inputs, layer.kernel_size, padding=layer.padding, stride=layer.stride)
        inputs = patches.transpose(1, 2)
    rows = inputs.flatten(0, -2)
    if layer.bias is not None:
        rows = functional.pad(rows, (0, 1), value=1.0)
    return rows.T @ rows / len(rows)


def _gradients_factor(gradients: torch.Tensor) -> torch.Tensor:
    """E[g g^T], `(n, n)`, over a batch of gradients of single samples; summed over the places of a convolution."""
    batch = len(gradients)
    rows = gradients.flatten(2).transpose(1, 2).flatten(0, 1) if gradients.dim() == 4 else gradients.flatten(0, -2)
    return rows.T @ rows / batch
