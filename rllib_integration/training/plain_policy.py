"""Writes the networks that choose actions beside RLlib's checkpoints, so that they drive without Ray."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID

from rllib_integration.annotations import Record
from rllib_integration.driving.policy_files import DESCRIPTION_FILE, WEIGHTS_FILE
from rllib_integration.driving.torch_policy import describe_policy, extract_policy_weights
from rllib_integration.training.rl_modules import PicturePPOModule


def save_with_policy(algorithm: Algorithm, folder: str) -> None:
    """Save a checkpoint, and the network of PPO and its kin without RLlib, where nothing but layers makes its actions.

    Args:
        algorithm: To be saved; `DQNTrainer` writes its network by itself.
        folder: Of the checkpoint.
    """
    algorithm.save(folder)
    config = algorithm.config
    # A network or connector of the user's may do more than its layers tell.
    if len(config.policies) > 1 or config._env_to_module_connector or config._module_to_env_connector:
        return
    (name,) = config.policies  # of a single hero, or shared by all agents
    module = algorithm.get_module(name)
    if type(module) is not PicturePPOModule or not config.normalize_actions:
        return
    description = describe_policy(module)
    if description is None:
        return
    weights = extract_policy_weights(module, learnt_weights(algorithm, name))
    Path(folder, DESCRIPTION_FILE).write_text(json.dumps(description, indent=1), encoding="utf-8")
    torch.save(weights, Path(folder, WEIGHTS_FILE))


def learnt_weights(algorithm: Algorithm, name: str = DEFAULT_MODULE_ID) -> Record:
    """The weights that the learner has, of the network of a policy."""
    part = f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"
    state = algorithm.learner_group.get_state(components=part, inference_only=True)
    return state[COMPONENT_LEARNER][COMPONENT_RL_MODULE][name]
