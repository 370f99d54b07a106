"""Stable-Baselines3 trains with the environments as with any others."""

from __future__ import annotations

import os
import signal
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize, VecVideoRecorder

from rllib_integration import CarlaEnv
from rllib_integration.sb3 import CarlaVecEnv, make_vec_env
from tests.experiments import PoseExperiment
from tests.known import of_kind


class SteeringExperiment(PoseExperiment):
    """The same drive with one continuous action."""

    def get_action_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (1,), np.float32)

    def compute_action(self, action: np.ndarray) -> Any:
        return super().compute_action(1 if action[0] < 0.0 else 2)


def make_config(kind: type = PoseExperiment, **others: int) -> dict[str, Any]:
    return {
        "carla": {"server": {"kind": "embedded"}, "timeout": 20.0, "seed": 3},
        "experiment": {"type": kind, "town": "Minitown", "others": others},
    }


def test_episodes_follow_each_other_in_the_same_step_as_in_its_own_vectors() -> None:
    ours = CarlaVecEnv(make_config(last_step=3), 2)
    theirs = DummyVecEnv([lambda: CarlaEnv(make_config(last_step=3))] * 2)
    try:
        for environments in (ours, theirs):
            environments.seed(11)
        assert np.array_equal(np.asarray(ours.reset()), np.asarray(theirs.reset()))
        for number in range(7):
            for mine, other in zip(ours.step(np.array([1, 2])), theirs.step(np.array([1, 2])), strict=True):
                if isinstance(mine, np.ndarray):
                    assert mine.tobytes() == np.asarray(other, mine.dtype).tobytes()
                    continue
                for info, expected in zip(list(mine), other, strict=True):
                    assert isinstance(info, dict)
                    assert ("terminal_observation" in info) == ("terminal_observation" in expected) == (number % 3 == 2)
                    last = info.get("terminal_observation", np.zeros(0))
                    assert last.tobytes() == expected.get("terminal_observation", np.zeros(0)).tobytes()
        assert all("servers" in info for info in ours.reset_infos)
    finally:
        ours.close()
        theirs.close()


def test_a_time_limit_and_a_lost_server_cut_off_and_do_not_end() -> None:
    environments = make_vec_env(make_config(step_limit=2), 2, seed=1)
    try:
        environments.reset()
        environments.step(np.array([1, 1]))
        _, _, ended, infos = environments.step(np.array([1, 1]))
        assert ended.all()
        assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
        assert [info["episode"]["l"] for info in infos] == [2, 2]
        (core,) = environments.get_attr("core", 0)
        os.kill(core.server.pid, signal.SIGKILL)
        while not (step := environments.step(np.array([1, 1])))[2][0]:
            pass
        assert step[3][0]["TimeLimit.truncated"]
        assert step[3][0]["server_restarted"]
        assert np.isfinite(np.asarray(environments.step(np.array([1, 1]))[0])).all()
    finally:
        environments.close()


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (PPO, {"n_steps": 16, "batch_size": 16, "n_epochs": 1}),
        (A2C, {"n_steps": 8}),
        (DQN, {"learning_starts": 8, "buffer_size": 100}),
        (SAC, {"learning_starts": 8, "buffer_size": 100}),
    ],
)
def test_its_algorithms_train(algorithm: type[BaseAlgorithm], settings: dict[str, Any]) -> None:
    environments = make_vec_env(
        make_config(SteeringExperiment if algorithm is SAC else PoseExperiment, step_limit=6), 2
    )
    normalised = VecNormalize(environments, training=True)
    try:
        model = algorithm("MlpPolicy", normalised, seed=0, device="cpu", policy_kwargs={"net_arch": [8]}, **settings)
        before = [weights.detach().clone() for weights in model.policy.parameters()]
        model.learn(32)
        after = list(model.policy.parameters())
        assert any(not weights.equal(other) for weights, other in zip(before, after, strict=True))
        assert {episode["l"] for episode in model.ep_info_buffer or ()} == {6}
        assert of_kind(RunningMeanStd, normalised.obs_rms).count > 32
    finally:
        normalised.close()


def test_callbacks_evaluate_and_videos_are_recorded(tmp_path: Any) -> None:
    config = make_config(step_limit=5)
    environments = VecVideoRecorder(
        make_vec_env(config, 2, render_mode="rgb_array"), str(tmp_path), lambda step: step == 0, video_length=6
    )
    judge = make_vec_env(config)
    try:
        callback = EvalCallback(judge, eval_freq=4, n_eval_episodes=1, log_path=str(tmp_path), verbose=0)
        PPO("MlpPolicy", environments, n_steps=8, batch_size=16, device="cpu").learn(16, callback=callback)
        assert np.isfinite(callback.last_mean_reward)
    finally:
        environments.close()
        judge.close()
    (video,) = tmp_path.glob("*.mp4")
    assert video.stat().st_size > 1000


def test_a_loop_in_the_form_of_cleanrl_finds_final_observations_and_statistics() -> None:
    environments = gymnasium.make_vec("rllib_integration/Carla-v0", num_envs=2, config=make_config(step_limit=3))
    environments = gymnasium.wrappers.vector.RecordEpisodeStatistics(environments)
    returns: list[float] = []
    try:
        observations, _ = environments.reset(seed=1)
        for _ in range(9):
            actions = environments.action_space.sample()
            observations, _, terminated, truncated, infos = environments.step(actions)
            assert observations.shape == (2, 5)
            if (terminated | truncated).any():
                returns += infos["episode"]["r"][infos["_episode"]].tolist()
    finally:
        environments.close()
    assert len(returns) == 4
