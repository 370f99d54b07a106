"""The network for inference without Ray, where the original integration had it."""

from __future__ import annotations

from rllib_integration.driving.torch_policy import DQNInferenceModel, load_inference_model

__all__ = ["DQNInferenceModel", "load_inference_model"]
