"""The agent for CARLA's Leaderboard evaluator, versions 1.0 and 2.0: drives with a policy of this library.

Only the evaluator imports it. `carla-rllib leaderboard` prints how to start that.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import carla

from rllib_integration.driving.leaderboard import LeaderboardDriver

_interface: Any = importlib.import_module("leaderboard.autoagents.autonomous_agent")
_scenarios: Any = importlib.import_module("srunner.scenariomanager.carla_data_provider")


def get_entry_point() -> str:
    """Name of the agent's class."""
    return "PolicyAgent"


class PolicyAgent(_interface.AutonomousAgent):  # type: ignore[misc]
    """Drives privileged: it reads the world that the evaluator's client knows, and no sensor of its own."""

    def setup(self, path_to_conf_file: str) -> None:
        """Load the policy."""
        self.track = _interface.Track.MAP
        self.driver = LeaderboardDriver(path_to_conf_file)
        self._hand_over_plan()

    def sensors(self) -> list[dict[str, Any]]:
        """None: what the policy sees is computed from the world."""
        return []

    def set_global_plan(self, global_plan_gps: Sequence[Any], global_plan_world_coord: Sequence[Any]) -> None:
        """Take the whole route, not the few points of it that the base class keeps."""
        super().set_global_plan(global_plan_gps, global_plan_world_coord)
        self.whole_plan = global_plan_world_coord
        self._hand_over_plan()

    def _hand_over_plan(self) -> None:
        """Version 1.0 sets the agent up and then gives the plan, version 2.0 the other way round."""
        if hasattr(self, "driver") and hasattr(self, "whole_plan"):
            self.driver.set_plan(self.whole_plan)

    def run_step(self, input_data: dict[str, Any], timestamp: float) -> carla.VehicleControl:
        """The control of the next tick."""
        provider = _scenarios.CarlaDataProvider
        return self.driver.act(provider.get_world(), provider.get_hero_actor(), timestamp)

    def destroy(self) -> None:
        """Destroy the hero's sensors."""
        if hasattr(self, "driver"):
            self.driver.close()
