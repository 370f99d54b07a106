"""What wraps environments takes this one: vectors of them, time limits, video."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from rllib_integration import CarlaEnv
from tests.experiments import PoseExperiment


def make_config(**experiment):
    return {
        "carla": {"server": {"kind": "embedded"}},
        "experiment": {"type": PoseExperiment, "town": "Minitown", **experiment},
    }


def make_env():
    return CarlaEnv(make_config(others={"last_step": 5}))


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_vectors_of_environments_step_each_in_its_own_world(vector):
    environments = vector([make_env, make_env])
    try:
        first, _ = environments.reset(seed=[1, 2])
        assert first.shape == (2, 5)
        ended = np.zeros(2, bool)
        for _ in range(5):
            _, rewards, terminated, truncated, _ = environments.step(np.array([1, 0]))
            ended |= terminated
        assert rewards.shape == (2,)
        assert ended.all()
        assert not truncated.any()
        environments.step(np.array([1, 1]))
        again, _ = environments.reset(seed=[2, 1])
    finally:
        environments.close()
    assert again.tobytes() == first[::-1].tobytes()


def test_gymnasiums_time_limit_truncates():
    env = gymnasium.make("rllib_integration/Carla-v0", config=make_config(), max_episode_steps=4)
    env.reset(seed=1)
    flags = [env.step(1)[2:4] for _ in range(4)]
    env.close()
    assert flags == [(False, False)] * 3 + [(False, True)]


def test_a_video_of_an_episode_can_be_recorded(tmp_path):
    env = gymnasium.make("rllib_integration/Carla-v0", config=make_config(), render_mode="rgb_array")
    env = gymnasium.wrappers.RecordVideo(
        env, str(tmp_path / "videos"), episode_trigger=lambda number: True, disable_logger=True
    )
    env.reset(seed=1)
    for _ in range(10):
        env.step(1)
    env.close()
    (video,) = (tmp_path / "videos").glob("*.mp4")
    assert video.stat().st_size > 1000


def test_stable_baselines_checker_accepts_it(recwarn):
    from stable_baselines3.common.env_checker import check_env

    env = make_env()
    check_env(env)
    env.close()
    assert [str(warning.message) for warning in recwarn if "box" not in str(warning.message)] == []
