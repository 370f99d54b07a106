"""The example's two tasks, driven in the built-in town."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN, SAC, HerReplayBuffer
from stable_baselines3.common.env_checker import check_env

from rl_example.driving import UrbanDriving
from rl_example.goals import ReachPose
from rllib_integration import CarlaEnv, ConfigError
from rllib_integration.sb3 import make_vec_env
from tests.known import present


def make_config(kind: type, **experiment: Any) -> dict[str, Any]:
    core = {"timeout": 60.0, "ticks_per_step": 4, "seed": 5, "server": {"kind": "embedded"}}
    return {"carla": core, "experiment": {"type": kind, "town": "Minitown", **experiment}}


COLLISION = {"sensors": {"collision": {"type": "sensor.other.collision"}}}


def follow(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Pedal and steering towards the third point of the route, at some 15 km/h."""
    forward, right = observation["route"][4:6]
    return np.array([0.5 if observation["ego"][0] < 0.4 else 0.0, np.clip(0.5 * right / max(forward, 0.1), -1, 1)])


def test_a_route_that_is_followed_is_driven_to_its_goal_and_pays() -> None:
    config = make_config(
        UrbanDriving, route={"length": 120}, hero=COLLISION, others={"actions": "pedal_steer", "reward": "carla"}
    )
    env = CarlaEnv(config)
    try:
        observation, _ = env.reset(seed=4)
        length = present(env.core.sensor_interface.route).length
        total, ended = 0.0, False
        parts: dict[str, float] = {}
        while not ended:
            observation, reward, terminated, truncated, info = env.step(follow(observation))
            total += reward
            ended = terminated or truncated
            for name, part in info["reward_parts"].items():
                parts[name] = parts.get(name, 0.0) + part
        assert (info["end"], info["is_success"], terminated) == ("goal", True, True)
        assert parts["distance"] == pytest.approx(length, abs=6.0)
        assert parts["collision"] == 0.0
        assert info["episode_metrics"]["route_completion"] > 90.0
    finally:
        env.close()


def test_leaving_the_road_and_standing_end_an_episode_badly() -> None:
    others = {"actions": "pedal_steer", "idle_limit": 5}
    env = CarlaEnv(make_config(UrbanDriving, route={"length": 120}, hero=COLLISION, others=others))
    ends = []
    try:
        for action in (np.array([1.0, 1.0]), np.array([-1.0, 0.0])):
            env.reset(seed=4)
            ended = False
            while not ended:
                _, reward, ended, truncated, info = env.step(action)
                assert not truncated
            ends.append(info["end"])
            assert (reward, info["is_success"]) == (-1.0, False)
    finally:
        env.close()
    assert ends[0] in ("off_road", "opposite_lane", "collision")
    assert ends[1] == "idle"


def test_its_picture_is_of_its_size() -> None:
    others = {"observations": ["image", "direction"], "time_limit": 2}
    env = CarlaEnv(make_config(UrbanDriving, route={"length": 60}, others=others))
    try:
        observation, _ = env.reset(seed=1)
        assert observation["image"].shape == (84, 84, 3)
        assert observation["image"].std() > 5.0
        assert env.step(1)[0]["direction"].sum() == 1.0
    finally:
        env.close()


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"observations": ["ego", "lidar"]}, "image, ego, direction, target, route"),
        ({"actions": "discrete_7"}, "discrete_9"),
        ({"observations": ["ego"], "reward": "sparse"}, "needs env_config.experiment.route"),
    ],
)
def test_settings_that_make_no_task_are_told(others: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UrbanDriving({"others": others})


def test_the_goal_task_passes_stable_baselines_checker(recwarn: pytest.WarningsRecorder) -> None:
    env = CarlaEnv(make_config(ReachPose))
    try:
        check_env(env)
    finally:
        env.close()
    assert [str(warning.message) for warning in recwarn if "GoalEnv" not in str(warning.message)] == []


def test_a_goal_is_reached_by_place_and_heading_and_ends_the_episode() -> None:
    task = ReachPose({"others": {"heading_tolerance": 30.0, "reward": "sparse"}})
    desired = np.array([10.0, 0.0, 1.0, 0.0], np.float32)
    turned = np.radians(31.0)
    achieved = np.array([[9.0, 1.5, 1.0, 0.0], [7.9, 0.0, 1.0, 0.0], [10.0, 0.0, np.cos(turned), np.sin(turned)]])
    wanted = np.broadcast_to(desired, achieved.shape)
    assert np.asarray(task.goal_reward(achieved, wanted)).tolist() == [1.0, 0.0, 0.0]
    assert np.asarray(ReachPose().goal_reward(achieved[:2], wanted[:2])).tolist() == [0.0, -1.0]


@pytest.mark.parametrize("algorithm", [SAC, DQN])
def test_hindsight_replay_trains_on_the_goal_task(algorithm: Any) -> None:
    actions = "combined" if algorithm is DQN else "pedal_steer"
    environments = make_vec_env(make_config(ReachPose, others={"time_limit": 10, "actions": actions}), 2, seed=1)
    try:
        model = algorithm(
            "MultiInputPolicy",
            environments,
            replay_buffer_class=HerReplayBuffer,
            learning_starts=40,
            batch_size=16,
            device="cpu",
            seed=1,
            policy_kwargs={"net_arch": [16]},
        )
        model.learn(60)
        batch = model.replay_buffer.sample(64)
        desired = batch.observations["desired_goal"]
        assert (batch.rewards == 0.0).any(), "no goal was relabelled to one that was reached"
        assert desired.unique(dim=0).shape[0] > 3
    finally:
        environments.close()
