"""Learners alone, and episodes made by hand to feed them with."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rllib_integration.training.rl_modules import PicturePPOModule

OBSERVATION = spaces.Box(-10.0, 10.0, (3,), np.float32)
ACTION: spaces.Discrete[np.int64] = spaces.Discrete(3)


def build_learner(
    config: PPOConfig, observation: gymnasium.Space = OBSERVATION, action: gymnasium.Space = ACTION
) -> Any:
    """The learner of a configuration, with a small network, in this process."""
    model = {"fcnet_hiddens": [8], "fcnet_activation": "tanh", "vf_share_layers": True}
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=PicturePPOModule, model_config=model))
    config.debugging(seed=1)
    torch.manual_seed(5)
    return config.build_learner(spaces={DEFAULT_MODULE_ID: (observation, action)})


def drive(learner: Any, rng: np.random.Generator, lengths: tuple[int, ...] = (5, 3)) -> list[SingleAgentEpisode]:
    """Episodes with random observations, actions and rewards, and the network's outputs; the last is cut off."""
    module = learner.module[DEFAULT_MODULE_ID]
    episodes = []
    for number, length in enumerate(lengths):
        observations = rng.normal(size=(length + 1, 3)).astype(np.float32)
        actions = rng.integers(0, 3, length)
        with torch.no_grad():
            logits = module.forward_train({Columns.OBS: torch.from_numpy(observations[:-1])})[
                Columns.ACTION_DIST_INPUTS
            ]
            logp = torch.distributions.Categorical(logits=logits).log_prob(torch.from_numpy(actions))
        episodes.append(
            SingleAgentEpisode(
                observations=list(observations),
                observation_space=OBSERVATION,
                actions=list(actions),
                action_space=ACTION,
                rewards=list(rng.normal(size=length)),
                infos=[{}] * (length + 1),
                terminated=number < len(lengths) - 1,
                truncated=number == len(lengths) - 1,
                extra_model_outputs={
                    Columns.ACTION_DIST_INPUTS: list(logits.numpy()),
                    Columns.ACTION_LOGP: list(logp.numpy()),
                },
                len_lookback_buffer=0,
            ).to_numpy()
        )
    return episodes
