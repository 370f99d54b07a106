"""What CarlaEnvRunner samples: the same as RLlib's own env runner."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.env_to_module.frame_stacking import FrameStackingEnvToModule
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.metrics import ENV_TO_MODULE_CONNECTOR, MODULE_TO_ENV_CONNECTOR

from rllib_integration.training.env_runner import CarlaEnvRunner
from rllib_integration.training.rl_modules import PICTURE_MODULES

CALLS, STEPS = 4, 10
STEERING = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32))
MODEL = {"conv_filters": [[8, 8, 4], [16, 4, 2]], "head_fcnet_hiddens": [16]}


class Pictures(gymnasium.Env):
    """Pictures that tell the steps and the actions so far; ends after a few steps, now in one way and now the other."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.observation_space = spaces.Box(0, 255, (42, 42, 1), np.uint8)
        self.action_space = config["action_space"]
        self.episodes = self.steps = 0
        self.sum = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episodes, self.steps, self.sum = self.episodes + 1, 0, 0.0
        return self._picture(), {"episode": self.episodes}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.steps, self.sum = self.steps + 1, self.sum + float(np.sum(action))
        ends = self.steps == 3 + 2 * (self.episodes % 3)
        return self._picture(), self.sum, ends and self.episodes % 2 == 0, ends and self.episodes % 2 == 1, {"of": "it"}

    def _picture(self) -> np.ndarray:
        rng = np.random.default_rng([self.episodes, self.steps, int(100 * abs(self.sum))])
        return rng.integers(0, 256, (42, 42, 1), np.uint8)


class Watch(RLlibCallback):
    """Logs what callbacks are given."""

    def on_episode_step(self, *, episode: Any, metrics_logger: Any, **kwargs: Any) -> None:
        metrics_logger.log_value("last_rewards", float(episode.get_rewards(-1)), reduce="item_series")

    def on_episode_end(self, *, episode: Any, metrics_logger: Any, prev_episode_chunks: Any, **kwargs: Any) -> None:
        length = sum(map(len, [*prev_episode_chunks, episode]))
        metrics_logger.log_value("lengths", length, reduce="item_series")


def configured(algorithm: str, action_space: gymnasium.Space) -> AlgorithmConfig:
    config = {"DQN": DQNConfig, "PPO": PPOConfig, "SAC": SACConfig}[algorithm]()
    config.environment(Pictures, env_config={"action_space": action_space})
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=3)
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=PICTURE_MODULES[algorithm], model_config=dict(MODEL)))
    config.callbacks(Watch).debugging(seed=5)
    return config


def sampled(kind: type[SingleAgentEnvRunner], config: AlgorithmConfig, **how: Any) -> tuple[list[Any], dict[str, Any]]:
    runner = kind(config=config)
    try:
        with torch.no_grad():
            for number, parameter in enumerate(runner.module.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) / 10)
        torch.manual_seed(7)
        found = [episode for _ in range(CALLS) for episode in runner.sample(**(how or {"num_timesteps": STEPS}))]
        metrics = runner.get_metrics()
    finally:
        runner.stop()
    return [contents(episode) for episode in found], metrics


def contents(episode: Any) -> dict[str, Any]:
    columns = {key: episode.get_extra_model_outputs(key) for key in episode.extra_model_outputs}
    columns |= {"obs": episode.get_observations(), "actions": episode.get_actions(), "rewards": episode.get_rewards()}
    ends = (episode.is_terminated, episode.is_truncated, episode.t_started, episode.t)
    return {"columns": columns, "infos": episode.get_infos(), "ends": ends, "custom": episode.custom_data}


def assert_same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine["infos"], mine["ends"], mine["custom"]) == (other["infos"], other["ends"], other["custom"])
        assert mine["columns"].keys() == other["columns"].keys()
        for key, column in mine["columns"].items():
            assert (type(column), column.dtype) == (type(other["columns"][key]), other["columns"][key].dtype), key
            # Convolutions may add up in another order.
            np.testing.assert_allclose(column, other["columns"][key], rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize(
    ("algorithm", "action_space"),
    [("DQN", spaces.Discrete(5)), ("PPO", spaces.Discrete(5)), ("PPO", STEERING), ("SAC", STEERING)],
    ids=["DQN", "PPO", "PPO continuous", "SAC"],
)
@pytest.mark.parametrize("explore", [True, False])
def test_episodes_and_metrics_are_those_of_rllibs_own_env_runner(algorithm, action_space, explore):
    config = configured(algorithm, action_space).env_runners(explore=explore)
    ours, our_metrics = sampled(CarlaEnvRunner, config)
    theirs, their_metrics = sampled(SingleAgentEnvRunner, config)
    assert_same(ours, theirs)
    assert sum(len(episode["columns"]["rewards"]) for episode in ours) >= CALLS * STEPS
    assert any(episode["ends"][0] for episode in ours)
    assert any(episode["ends"][1] for episode in ours)
    connectors = {ENV_TO_MODULE_CONNECTOR, MODULE_TO_ENV_CONNECTOR}
    long_way = {key for key in their_metrics if key.startswith("env_to_module_sum")} | connectors
    assert our_metrics.keys() == their_metrics.keys() - long_way
    for key in ("last_rewards", "lengths", "num_env_steps_sampled", "num_episodes", "episode_return_mean"):
        np.testing.assert_allclose(our_metrics[key].peek(), their_metrics[key].peek(), rtol=1e-4)


def test_a_connector_of_the_users_is_heeded():
    config = configured("PPO", spaces.Discrete(5))
    config.env_runners(env_to_module_connector=lambda *arguments: FrameStackingEnvToModule(num_frames=2))
    ours, our_metrics = sampled(CarlaEnvRunner, config)
    theirs, their_metrics = sampled(SingleAgentEnvRunner, config)
    assert_same(ours, theirs)
    assert our_metrics.keys() == their_metrics.keys() - {MODULE_TO_ENV_CONNECTOR}


def test_whole_episodes_and_random_actions_are_sampled_too():
    config = configured("PPO", spaces.Discrete(5))
    for how in ({"num_episodes": 3}, {"num_timesteps": STEPS, "random_actions": True, "force_reset": True}):
        assert len(sampled(CarlaEnvRunner, config, **how)[0]) >= 3
