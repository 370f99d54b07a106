"""Driving with trained policies: episode after episode, or as a test from many starts with figures and a picture."""

from __future__ import annotations

from rllib_integration.driving.policies import DrivingPolicy, FoundPolicy, find_policy, load_policy

__all__ = ["DrivingPolicy", "FoundPolicy", "find_policy", "load_policy"]
