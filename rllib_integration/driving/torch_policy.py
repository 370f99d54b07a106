"""Trained networks without Ray: torch alone builds them from a checkpoint's description and weights.

Checkpoints of DQN, and those of PPO, A2C and ACKTR with one chain of layers, hold `network.json`, written layer by
layer from the trained network itself, and `weights.pth`. So do those of several agents that share one such policy. The
network is rebuilt from the two, so that it can't drift from what was trained.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from rllib_integration.annotations import Action, Record
from rllib_integration.driving.policy_files import DESCRIPTION_FILE, WEIGHTS_FILE
from rllib_integration.errors import IntegrationError

_LAYERS = {
    "conv": nn.Conv2d,
    "linear": nn.Linear,
    "pad": nn.ZeroPad2d,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


class InferenceModelError(IntegrationError, ValueError):
    """A checkpoint, its description or its weights can't be used; the message says why."""


class DQNInferenceModel(nn.Module):
    """Q-values of pictures: convolutions, then one head, or two when duelling.

    Args:
        description: What `describe_network` returned.
    """

    def __init__(self, description: Record) -> None:
        super().__init__()
        self.description = description
        self.encoder = _build(description["encoder"])
        self.advantage = _build(description["advantage"])
        self.value = _build(description["value"]) if description["value"] is not None else None

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Q-values float32 (B, actions) of pictures (B, H, W, C): uint8, or float32 already scaled."""
        features = _features(self.encoder, pictures)
        advantage = self.advantage(features)
        if self.value is None:
            return advantage
        return self.value(features) + advantage - advantage.mean(dim=-1, keepdim=True)

    def compute_action(self, observation: np.ndarray) -> int:
        """The greedy action for one observation, uint8 (H, W, C).

        Raises:
            InferenceModelError: the observation has another shape than those of the training.
        """
        return int(self.compute_values(observation).argmax())

    @torch.inference_mode()
    def compute_values(self, observation: np.ndarray) -> np.ndarray:
        """Q-values float32 (actions,) of one observation, uint8 (H, W, C).

        Raises:
            InferenceModelError: the observation has another shape than those of the training.
        """
        return self(_batch_of_one(self, observation))[0].cpu().numpy()

    def act(self, observation: np.ndarray) -> tuple[Action, float]:
        """The greedy action for one observation, and its Q-value."""
        values = self.compute_values(observation)
        best = int(values.argmax())
        return best, float(values[best])


class PolicyInferenceModel(nn.Module):
    """The likeliest action of pictures or vectors: layers that end in logits, or in a Gaussian's means.

    Args:
        description: What `describe_policy` returned.
    """

    def __init__(self, description: Record) -> None:
        super().__init__()
        self.description = description
        self.encoder = _build(description["encoder"])
        self.policy = _build(description["policy"])
        self._bounds = description["actions"] and np.array(description["actions"], np.float32)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Logits, or means and logarithms of deviations, float32 (B, n), of observations (B, ...)."""
        return self.policy(_features(self.encoder, observations))

    def act(self, observation: np.ndarray) -> tuple[Action, float]:
        """The likeliest action for one observation, and NaN: what is expected of it is not told."""
        return self.compute_action(observation), math.nan

    @torch.inference_mode()
    def compute_action(self, observation: np.ndarray) -> Action:
        """The likeliest action for one observation.

        Raises:
            InferenceModelError: the observation has another shape than those of the training.
        """
        output = self(_batch_of_one(self, observation))[0].cpu().numpy()
        if self._bounds is None:
            return int(output.argmax())
        low, high = self._bounds
        # RLlib trains on actions that -1 and 1 bound.
        return np.clip(low + (output[: len(low)] + 1.0) * (high - low) / 2.0, low, high)


InferenceModel: TypeAlias = DQNInferenceModel | PolicyInferenceModel


def _features(encoder: nn.Module, observations: torch.Tensor) -> torch.Tensor:
    if observations.dtype == torch.uint8:
        observations = observations.float() / 255.0
    if observations.ndim != 4:
        return encoder(observations)
    # Channels go last again before flattening: that is the order the heads were trained on.
    return encoder(observations.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(1)


def _batch_of_one(model: InferenceModel, observation: np.ndarray) -> torch.Tensor:
    expected = tuple(model.description["observation_shape"])
    if observation.shape != expected:
        raise InferenceModelError(
            f"The network was trained on observations of shape {expected}, but the environment gives "
            f"{observation.shape}; use the configuration that it was trained with."
        )
    return torch.from_numpy(np.ascontiguousarray(observation)).to(next(model.parameters()).device)[None]


class GreedyPolicy:
    """The action of the highest Q-value, or the likeliest one.

    Args:
        checkpoint: A folder with a network and its description, or the network's `weights.pth`.
        device: Such as "cpu" or "cuda:0"; by default CUDA where there is one.

    Raises:
        InferenceModelError: A file is missing, damaged, or does not belong to the other.
    """

    def __init__(self, checkpoint: str | Path, device: str | None = None) -> None:
        self._model = load_inference_model(checkpoint, device)

    def act(self, observation: np.ndarray) -> tuple[Action, float]:
        """The best action for one observation, and its Q-value (NaN where there is none)."""
        return self._model.act(observation)


def load_inference_model(path: str | Path, device: str | None = None) -> InferenceModel:
    """Build the network of a checkpoint.

    Args:
        path: A checkpoint's folder, or the `weights.pth` in it.
        device: Such as "cpu" or "cuda:0"; by default CUDA where there is a device, else the processor.

    Raises:
        InferenceModelError: a file is missing, damaged, or does not belong to the other.
    """
    given = Path(path).expanduser()
    weights_file = given / WEIGHTS_FILE if given.is_dir() else given
    description_file = weights_file.with_name(DESCRIPTION_FILE)
    for file in (weights_file, description_file):
        if not file.is_file():
            raise InferenceModelError(
                f"{file} does not exist; give a checkpoint folder that holds {WEIGHTS_FILE} and {DESCRIPTION_FILE}."
            )
    try:
        description = json.loads(description_file.read_text(encoding="utf-8"))
        model: InferenceModel = (PolicyInferenceModel if "policy" in description else DQNInferenceModel)(description)
        weights = torch.load(weights_file, map_location="cpu", weights_only=True)
        model.load_state_dict(weights)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InferenceModelError(f"{description_file} is not a network's description ({error!r}).") from error
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InferenceModelError(f"{weights_file} does not hold the weights of this network: {reason}") from error
    except Exception as error:  # an unpickling error's class depends on what is wrong with the file
        if type(error).__name__ != "UnpicklingError":
            raise
        raise InferenceModelError(f"{weights_file} holds more than plain weights, and is not loaded.") from error
    return model.to(choose_device(device)).eval()


def choose_device(device: str | None) -> torch.device:
    """The torch device asked for; CUDA where there is one when none is asked for.

    Raises:
        InferenceModelError: the device is unknown, or CUDA is asked for where there is none.
    """
    if device is None:
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InferenceModelError(f"--device {device!r} is not a torch device; use cpu or cuda:0.") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InferenceModelError(
            f"--device {device} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices; use cpu."
        )
    return chosen


def describe_network(module: Any, observation_shape: tuple[int, ...]) -> Record:
    """Write down the layers of a trained RLlib DQN module with a convolutional encoder.

    Args:
        module: With `encoder`, `af` and, when duelling, `vf`.
        observation_shape: (H, W, C).

    Raises:
        InferenceModelError: for a layer or a kind of network that can't be described.
    """
    if getattr(module, "num_atoms", 1) > 1:
        raise InferenceModelError("Distributional Q-networks (training.num_atoms > 1) have no Ray-free counterpart.")
    value = module.vf if module.uses_dueling else None
    return {
        "observation_shape": list(observation_shape),
        "encoder": [_describe_layer(layer) for layer in _layers(module.encoder)],
        "advantage": [_describe_layer(layer) for layer in _layers(module.af)],
        "value": None if value is None else [_describe_layer(layer) for layer in _layers(value)],
    }


def extract_weights(module: torch.nn.Module, state: Record) -> dict[str, torch.Tensor]:
    """The weights of a trained RLlib DQN module under the names of `DQNInferenceModel`.

    Args:
        module: As for `describe_network`; only its structure is read.
        state: Its state dictionary, of tensors or arrays, by RLlib's names.
    """
    parts = {"encoder": "encoder", "af": "advantage"} | ({"vf": "value"} if module.uses_dueling else {})
    return _weights(module, state, parts)


def describe_policy(module: Any) -> Record | None:
    """Write down the layers of a trained RLlib module of PPO's kind that choose its actions.

    Args:
        module: With `encoder` and `pi`.

    Returns:
        None where they are no chain of layers from a Box to a Discrete or a bounded Box.
    """
    encoder = _actor_encoder(module)
    observations, actions = module.observation_space, module.action_space
    is_box = isinstance(actions, spaces.Box) and actions.is_bounded() and len(actions.shape) == 1
    if encoder is None or not isinstance(observations, spaces.Box) or module.is_stateful():
        return None
    if not (is_box or isinstance(actions, spaces.Discrete)):
        return None
    parts = (module.get_submodule(encoder), module.pi)
    try:
        layers = [[_describe_layer(layer) for layer in _layers(part)] for part in parts]
    except InferenceModelError:
        return None
    return {
        "observation_shape": list(observations.shape),
        "encoder": layers[0],
        "policy": layers[1],
        "actions": [actions.low.tolist(), actions.high.tolist()] if is_box else None,
    }


def extract_policy_weights(module: torch.nn.Module, state: Record) -> dict[str, torch.Tensor]:
    """The weights of a module that `describe_policy` has described, under the names of `PolicyInferenceModel`.

    Args:
        module: As for `describe_policy`; only its structure is read.
        state: Its state dictionary, of tensors or arrays, by RLlib's names.
    """
    encoder = _actor_encoder(module)
    assert encoder is not None
    return _weights(module, state, {encoder: "encoder", "pi": "policy"})


def _actor_encoder(module: torch.nn.Module) -> str | None:
    """Name of the part whose features the actions are chosen by: the actor's own, or the one shared with the values."""
    for name in ("actor_encoder", "encoder"):
        if isinstance(getattr(getattr(module, "encoder", None), name, None), nn.Module):
            return f"encoder.{name}"
    return None


def _weights(module: torch.nn.Module, state: Record, parts: dict[str, str]) -> dict[str, torch.Tensor]:
    """The weights of some parts of a module, under other names: those of the parts, layers numbered in order."""
    weights = {}
    for theirs, ours in parts.items():
        part = module.get_submodule(theirs)
        names = {layer: name for name, layer in part.named_modules()}
        for index, layer in enumerate(_layers(part)):
            for parameter, _ in layer.named_parameters():
                weights[f"{ours}.{index}.{parameter}"] = torch.as_tensor(
                    np.array(state[f"{theirs}.{names[layer]}.{parameter}"])
                )
    return weights


def _layers(module: nn.Module) -> list[nn.Module]:
    """The layers of a chain, in order; flattening is left out, because forward does it."""
    leaves = [child for child in module.modules() if not list(child.children())]
    return [leaf for leaf in leaves if not isinstance(leaf, nn.Flatten)]


def _describe_layer(layer: nn.Module) -> Record:
    if isinstance(layer, nn.Conv2d):
        sizes = {"in_channels": layer.in_channels, "out_channels": layer.out_channels}
        kernel = {"kernel_size": list(layer.kernel_size), "stride": list(layer.stride)}
        return {"layer": "conv", **sizes, **kernel, "bias": layer.bias is not None}
    if isinstance(layer, nn.Linear):
        sizes = {"in_features": layer.in_features, "out_features": layer.out_features}
        return {"layer": "linear", **sizes, "bias": layer.bias is not None}
    if isinstance(layer, nn.ZeroPad2d):
        return {"layer": "pad", "padding": list(layer.padding)}
    for name, kind in _LAYERS.items():
        if type(layer) is kind:
            return {"layer": name}
    raise InferenceModelError(f"The network has a layer {type(layer).__name__}, which can't be described.")


def _build(layers: list[Record]) -> nn.Sequential:
    chain = nn.Sequential()
    for description in layers:
        arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in description.items()}
        kind = str(arguments.pop("layer"))
        chain.append(_LAYERS[kind](**arguments))
    return chain
