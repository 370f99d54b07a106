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

from dqn_example.dqn_callbacks import DQNCallbacks


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
            "reward_parts": {"progress": 1.0},
        }
        if ended:
            info |= {"end": "idle", "position": (1.0, 2.0), "town": "Town01"}
        return np.zeros(2, np.float32), 1.0, ended, False, info


def test_fault_20_every_environment_of_a_runner_is_counted() -> None:
    config = (
        DQNConfig()
        .environment(CountingEnv)
        .env_runners(num_envs_per_env_runner=3, rollout_fragment_length=7)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[4]))
        .callbacks(DQNCallbacks)
    )
    CountingEnv.made = 0
    runner = SingleAgentEnvRunner(config=config)
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
        assert (episode["end"], episode["town"], episode["position"]) == ("idle", "Town01", [1.0, 2.0])
