"""The callbacks' figures are right with several environments and with episodes cut into fragments."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rllib_integration.training.callbacks import EpisodeCallbacks


class CountingEnv(gymnasium.Env):
    """Ends after 10, 20, 30, ... steps, told by the environment's number; says so in `info`."""

    made = 0

    def __init__(self, config: Any = None) -> None:
        CountingEnv.made += 1
        self.number = CountingEnv.made
        self.observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        ended = self.steps == 10 * self.number
        info = {
            "heading_deviation": 0.1 * self.number,
            "distance": float(self.steps),
            "speed": 5.0,
            "braked": self.steps % 2 == 0,
            "server_failure": "a text is no metric",
            "reward_parts": {"progress": 1.0},
        }
        if ended:
            info |= {"end": "idle", "position": (1.0, 2.0), "town": "Town01"}
        return np.zeros(2, np.float32), 1.0, ended, False, info


def test_fault_20_every_environment_of_a_runner_is_counted() -> None:
    runner = runner_of(CountingEnv, envs=3)
    lines = []
    for _ in range(10):
        runner.sample(num_timesteps=21)
        metrics = runner.get_metrics()
        if "episodes" in metrics:
            lines += metrics["episodes"].peek(compile=False)
    runner.stop()
    episodes = [json.loads(line) for line in lines]
    assert {episode["length"] for episode in episodes} == {10, 20, 30}
    for episode in episodes:
        number = episode["length"] / 10
        assert episode["heading_deviation"] == pytest.approx(0.1 * number)
        assert episode["return"] == episode["distance"] == episode["reward_progress"] == episode["length"]
        assert episode["braked"] == 0.5
        assert "server_failure" not in episode
        assert (episode["end"], episode["town"], episode["position"]) == ("idle", "Town01", [1.0, 2.0])


class QuietEnv(CountingEnv):
    """Puts nothing into `info` that an experiment need not, and the library's own figures at the end."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, ended, truncated, _ = super().step(action)
        metrics = {"distance": 12.5, "route_completion": 80.0, "town": "Town01"}
        return observation, reward, ended, truncated, {"episode_metrics": metrics} if ended else {}


def test_what_an_experiment_does_not_tell_is_missing_and_never_zero() -> None:
    runner = runner_of(QuietEnv)
    runner.sample(num_episodes=1)
    metrics = runner.get_metrics()
    (episode,) = (json.loads(line) for line in metrics["episodes"].peek(compile=False))
    runner.stop()
    assert not {"speed", "heading_deviation", "off_road"} & set(episode)
    assert (episode["distance"], episode["drive_route_completion"]) == (12.5, 80.0)
    assert episode["end"] == "terminated"
    assert metrics["end_terminated"].peek() == 1.0


def runner_of(env: type[CountingEnv], envs: int = 1) -> SingleAgentEnvRunner:
    config = (
        DQNConfig()
        .environment(env)
        .env_runners(num_envs_per_env_runner=envs, rollout_fragment_length=7)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[4]))
        .callbacks(EpisodeCallbacks)
    )
    CountingEnv.made = 0
    return SingleAgentEnvRunner(config=config)
