"""A YAML document becomes an algorithm of Stable-Baselines3.

    algorithm: SB3-SAC                   # or SB3-A2C, SB3-DDPG, SB3-DQN, SB3-PPO, SB3-TD3
    n_envs: 2
    training:                            # arguments of the algorithm's class
      learning_rate: 0.001
      replay_buffer_class: HerReplayBuffer
      policy_kwargs: {net_arch: [64, 64]}
    env_config: {carla: {...}, experiment: {...}}

Each argument is checked by its name; the values are the algorithm's own to check.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, load_class, merge, nearest, nearest_sentence, positive

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv

PREFIX = "SB3-"
NAMES = ("A2C", "DDPG", "DQN", "PPO", "SAC", "TD3")
DEFAULTS: Record = {
    "algorithm": "SB3-SAC",
    "n_envs": 1,  # each with a simulator of its own
    "env_config": {},
    "training": {},  # arguments of the algorithm's class
    "evaluation": {},  # as with RLlib: evaluation_interval, evaluation_duration, evaluation_config
    "reporting": {"min_sample_timesteps_per_iteration": 1000},
    "debugging": {"seed": 0},
}
EVALUATION: Record = {"evaluation_interval": 0, "evaluation_duration": 10, "evaluation_config": {}}
_RULES = {
    "n_envs": positive("a whole number, 1 or more", int),
    "reporting.min_sample_timesteps_per_iteration": positive("a whole number of steps, 1 or more", int),
}
_OURS = {"env", "seed", "verbose", "tensorboard_log", "_init_setup_model", "device"}


def asks_for_sb3(document: Settings) -> bool:
    """Whether a configuration's algorithm is one of Stable-Baselines3."""
    return str(document.get("algorithm", "")).startswith(PREFIX)


def read_sb3_document(document: Settings) -> Record:
    """Check a configuration, and complete it.

    Returns:
        The document; `env_config` stands under `environment`, as in documents for RLlib.

    Raises:
        ConfigError: A key is unknown, or the algorithm is.
    """
    given = dict(document)
    where = {key for key in given if key not in DEFAULTS}
    if where:
        key = sorted(where)[0]
        raise ConfigError(f"Unknown section {key!r}; with {given['algorithm']}: {nearest_sentence(key, DEFAULTS)}")
    sections = merge(DEFAULTS, given, "the configuration", rules=_RULES, free=("env_config", "training", "evaluation"))
    find_sb3_class(sections["algorithm"])
    sections["training"] = _check_training(sections["algorithm"], sections["training"])
    sections["evaluation"] = merge(EVALUATION, sections["evaluation"], "evaluation", free=("evaluation_config",))
    sections["environment"] = {"env_config": sections.pop("env_config")}
    return sections


def find_sb3_class(name: str) -> type[BaseAlgorithm]:
    """The class of an algorithm's name, such as SB3-SAC.

    Raises:
        ConfigError: There is none, or Stable-Baselines3 is not installed.
    """
    short = name.removeprefix(PREFIX)
    if short not in NAMES:
        near = nearest(short, NAMES)
        hint = f" Did you mean {PREFIX}{near}?" if near else ""
        raise ConfigError(
            f"algorithm is {name!r}, but has to be one of {', '.join(PREFIX + one for one in NAMES)}.{hint}"
        )
    try:
        import stable_baselines3
    except ImportError:
        raise ConfigError(f"algorithm: {name} needs Stable-Baselines3: pip install stable-baselines3") from None
    found: type[BaseAlgorithm] = getattr(stable_baselines3, short)
    return found


def _check_training(name: str, training: Settings) -> Record:
    allowed = set(inspect.signature(find_sb3_class(name).__init__).parameters) - {"self", *_OURS}
    for key in training:
        if key not in allowed:
            raise ConfigError(f"training.{key} is no argument of {name}. {nearest_sentence(str(key), allowed)}")
    return dict(training)


def build_sb3(document: Settings, environments: VecEnv) -> BaseAlgorithm:
    """The algorithm that a document in sections asks for, on environments."""
    from stable_baselines3 import HerReplayBuffer
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    arguments = dict(document["training"])
    if arguments.get("replay_buffer_class") == "HerReplayBuffer":
        arguments["replay_buffer_class"] = HerReplayBuffer
    policy = dict(arguments.pop("policy_kwargs", None) or {})
    extractor = policy.get("features_extractor_class")
    if isinstance(extractor, str):
        where = "training.policy_kwargs.features_extractor_class"
        policy["features_extractor_class"] = load_class(extractor, BaseFeaturesExtractor, where)
    is_dict = hasattr(environments.observation_space, "spaces")
    arguments.setdefault("policy", "MultiInputPolicy" if is_dict else "MlpPolicy")
    try:
        return find_sb3_class(document["algorithm"])(
            env=environments, policy_kwargs=policy or None, seed=document["debugging"]["seed"], **arguments
        )
    except (TypeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"Stable-Baselines3 refuses this configuration: {reason}") from error
