"""Driving among others, in the simulator: the policy that is shipped, and the emergency brake."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import carla
import pytest

from dqn_evaluate import GreedyPolicy
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.driving.trials import Task, drive_episode, drive_settings
from rllib_integration.env_config import load_config

ROOT = Path(__file__).resolve().parents[2]
STRAIGHT_AHEAD = 14  # throttle, of the actions "braking"
CLEAR_START = 3  # a seed whose start has 40 m of straight road before it


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


@pytest.fixture
def empty_env() -> Iterator[CarlaEnv]:
    env = traffic_env(0, 0, 120.0)
    yield env
    env.close()


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


def test_the_emergency_brake_stops_whatever_the_policy_does(empty_env: CarlaEnv) -> None:
    assert drive_towards_a_parked_car(empty_env, emergency_brake=False)["end"] == "collision"
    info = drive_towards_a_parked_car(empty_env, emergency_brake=True)
    assert "end" not in info
    assert info["speed"] < 1.0
    assert info["distance_left"] < 9.0


def drive_towards_a_parked_car(env: CarlaEnv, emergency_brake: bool) -> dict[str, Any]:
    """The info of the last of 50 decisions to go straight on, and the `distance_left` to the car's middle then [m]."""
    env.reset(seed=CLEAR_START)
    env.experiment.others["emergency_brake"] = emergency_brake
    world = env.core.world
    x, y, z, yaw = env.core.sensor_interface.route.piece(0.0, 25.0)[0][-1]
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    pose = carla.Transform(carla.Location(x, y, z + 0.3), carla.Rotation(yaw=math.degrees(yaw)))
    parked = world.spawn_actor(blueprint, pose)
    try:
        for _ in range(50):
            _, _, done, _, info = env.step(STRAIGHT_AHEAD)
            if done:
                break
        return {**info, "distance_left": env.hero.get_location().distance(parked.get_location())}
    finally:
        parked.destroy()
