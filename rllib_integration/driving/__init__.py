"""Driving with trained policies: episode after episode, or as a test from many starts with figures and a picture."""

from __future__ import annotations

from rllib_integration.driving.inference import Policy, add_driving_arguments, resolve_checkpoint, run_driving

__all__ = ["Policy", "add_driving_arguments", "resolve_checkpoint", "run_driving"]
