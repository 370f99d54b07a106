"""What wraps environments takes this one: vectors of them, time limits, video."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys

import gymnasium
import numpy as np
import psutil
import pytest

from rllib_integration import CarlaEnv, CarlaVectorEnv
from rllib_integration.servers.cleanup import await_ends
from rllib_integration.vector_env import CarlaProcessVectorEnv
from tests.experiments import PoseExperiment
from tests.patience import PATIENCE


def make_config(**experiment):
    return {
        "carla": {"server": {"kind": "embedded"}, "timeout": 20.0},
        "experiment": {"type": PoseExperiment, "town": "Minitown", **experiment},
    }


def make_env():
    return CarlaEnv(make_config(others={"last_step": 5}))


def make_vec(mode, number=2, **others):
    config = make_config(others=others)
    return gymnasium.make_vec("rllib_integration/Carla-v0", num_envs=number, vectorization_mode=mode, config=config)


@pytest.mark.parametrize("mode", ["sync", "async", "vector_entry_point"])
def test_vectors_of_environments_step_each_in_its_own_world(mode):
    environments = make_vec(mode, last_step=5)
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


def test_a_vector_that_is_forgotten_closes_its_environments(monkeypatch):
    closed = []
    environments = CarlaVectorEnv(1, make_config())
    monkeypatch.setattr(environments.envs[0], "close", lambda: closed.append(True))
    del environments
    gc.collect()
    assert closed


def outcomes(environments, steps):
    """All that a vector of environments returns, over the end of episodes and a reset of one alone."""
    try:
        found = [environments.reset(seed=4)]
        found += [environments.step(np.array([1, 2])) for _ in range(steps)]
        found.append(environments.reset(seed=[None, 5], options={"reset_mask": np.array([False, True])}))
        found.append(environments.step(np.array([1, 2])))
    finally:
        environments.close()
    for outcome in found:
        outcome[-1].pop("servers", None)
        for name in ("duration", "mean_speed"):  # differences of the server's clock, which is older each time
            outcome[-1].get("episode_metrics", {}).pop(name, None)
    return found


def test_environments_that_step_together_return_what_they_return_one_after_the_other():
    together = make_vec(None, step_limit=3)
    assert isinstance(together, CarlaVectorEnv)
    found, expected = outcomes(together, 7), outcomes(make_vec("sync", step_limit=3), 7)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_equal(ours, theirs)
    assert found[3][3].tolist() == [True, True]
    observations = [outcome[0] for outcome in found]
    assert len({id(observation) for observation in observations}) == len(observations)


def test_environments_in_processes_return_what_they_return_one_after_the_other():
    configs = [make_config(others={"step_limit": 3})] * 2
    found, expected = outcomes(CarlaProcessVectorEnv(configs), 7), outcomes(make_vec("sync", step_limit=3), 7)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_equal(ours, theirs)
    assert found[3][3].tolist() == [True, True]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None], ids=["killed", "terminated", "closed"])
def test_environments_in_processes_end_with_the_one_that_made_them(end):
    program = """
import sys
from rllib_integration.vector_env import CarlaProcessVectorEnv
from tests.test_env_wrappers import make_config
if __name__ == "__main__":
    environments = CarlaProcessVectorEnv([make_config()] * 2)
    environments.reset(seed=1)
    environments.step([1, 1])
    print("driving", flush=True)
    sys.stdin.readline()
    environments.close()
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        assert maker.stdin is not None
        assert maker.stdout is not None
        assert maker.stdout.readline() == "driving\n"
        below = psutil.Process(maker.pid).children(recursive=True)
        # A Ctrl-C in the terminal reaches them all; what it means is their maker's to say.
        for process in psutil.Process(maker.pid).children():
            process.send_signal(signal.SIGINT)
        if end is None:
            maker.stdin.write("\n")
            maker.stdin.flush()
            assert maker.wait(PATIENCE) == 0
        else:
            maker.send_signal(end)
            assert maker.wait(PATIENCE) == -end
        assert len(below) >= 4  # two environments, two servers with what belongs to them
        assert await_ends(below, PATIENCE) == []


def test_a_server_lost_in_a_vector_costs_its_own_episode_alone():
    environments = make_vec(None)
    try:
        environments.reset(seed=1)
        os.kill(environments.envs[0].core.server.pid, signal.SIGKILL)
        truncated = np.zeros(2, bool)
        while not truncated.any():
            before = environments.envs[1].core.frame
            _, _, _, truncated, infos = environments.step(np.array([1, 1]))
            assert environments.envs[1].core.frame == before + 1
        assert truncated.tolist() == [True, False]
        assert infos["server_restarted"].tolist() == [True, False]
        _, _, _, truncated, infos = environments.step(np.array([1, 1]))
        assert not truncated.any()
        assert infos["server_recovery_seconds"][0] > 0.0
    finally:
        environments.close()


def test_an_error_in_one_environment_of_a_vector_leaves_the_others_usable():
    environments = make_vec(None)
    try:
        first, _ = environments.reset(seed=6)
        with pytest.raises(gymnasium.error.InvalidAction):
            environments.step([1, 99])
        again, _ = environments.reset(seed=6)
    finally:
        environments.close()
    assert again.tobytes() == first.tobytes()


def test_gymnasiums_time_limit_truncates_and_the_metrics_are_at_hand():
    env = gymnasium.make("rllib_integration/Carla-v0", config=make_config(), max_episode_steps=4)
    try:
        for _ in range(2):
            env.reset(seed=1)
            assert [env.step(1)[2:4] for _ in range(4)] == [(False, False)] * 3 + [(False, True)]
            # Of a limit outside the environment hears nothing, so its last info can't have them.
            metrics = env.get_wrapper_attr("episode_metrics")
            assert metrics["duration"] == pytest.approx(0.2)
            assert metrics["collisions_vehicle"] == 0
    finally:
        env.close()
    assert env.get_wrapper_attr("episode_metrics") == {}


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
