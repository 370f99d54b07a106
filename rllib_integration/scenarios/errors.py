"""Errors of scenarios."""

from __future__ import annotations

from rllib_integration.config.merging import ConfigError
from rllib_integration.errors import IntegrationError


class ScenarioError(IntegrationError, RuntimeError):
    """A scenario can't take place at its trigger: no lane, no junction, or no room for an actor."""


class ScenarioFileError(ConfigError):
    """A route file can't be used; the message names the file and the line."""
