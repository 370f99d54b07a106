"""Driving among others, in the simulator, with the policy that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config_file import load_config
from rllib_integration.driving.torch_policy import GreedyPolicy
from rllib_integration.driving.trials import Task, drive_episode, drive_settings

ROOT = Path(__file__).resolve().parents[2]


def traffic_env(vehicles: int, walkers: int, route: float) -> CarlaEnv:
    """The task of dqn_traffic.yaml as its policies are tested in, in Minitown."""
    document = load_config(ROOT / "dqn_example" / "dqn_traffic.yaml", [])
    env_config, _ = drive_settings(document, ["Minitown"])
    env_config["experiment"] |= {
        "town": "Minitown",
        "background_activity": {"n_vehicles": vehicles, "n_walkers": walkers},
        "route": {"length": route},
    }
    return CarlaEnv(env_config)


def test_the_shipped_policy_drives_among_others_without_a_fault() -> None:
    env = traffic_env(8, 4, 250.0)
    try:
        policy = GreedyPolicy(str(ROOT / "dqn_example" / "policies" / "traffic"))
        record = drive_episode(env, policy, Task("traffic", "Minitown", 1), gamma=0.97)
    finally:
        env.close()
    assert record["end"] == "route_done"
    assert record["metrics"]["driving_score"] == pytest.approx(100.0, abs=2.0)
    assert record["off_lane"] == 0.0
