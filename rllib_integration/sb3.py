"""CARLA environments for Stable-Baselines3: one `VecEnv` whose simulators work side by side.

`DummyVecEnv` over `CarlaEnv` works as well, one simulator after the other. Needs the extra `sb3`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from rllib_integration.annotations import Observation, Record, Settings
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.config.merging import ConfigError
from rllib_integration.goals import SEEN_GOAL, seen_goal
from rllib_integration.vector_env import CarlaVectorEnv

__all__ = ["CarlaVecEnv", "GoalFeatures", "make_vec_env"]


def make_vec_env(
    config: Settings,
    n_envs: int = 1,
    seed: int | None = None,
    render_mode: str | None = None,
    monitor_file: str | None = None,
) -> VecMonitor:
    """Environments for any algorithm of Stable-Baselines3, with the episode statistics that it logs.

    Args:
        config: As for `CarlaEnv`: `{"carla": {...}, "experiment": {...}}`.
        n_envs: How many, each with a simulator of its own.
        seed: Of the first environment; the others' count on from it. None takes `carla.seed`.
        render_mode: "rgb_array" where `VecVideoRecorder` or `render` is to show the drive.
        monitor_file: CSV file that gets a line for each episode.

    Raises:
        ConfigError: The configuration can't be used.
    """
    environments = CarlaVecEnv(config, n_envs, render_mode)
    if seed is not None:
        environments.seed(seed)
    return VecMonitor(environments, monitor_file)


class CarlaVecEnv(VecEnv):
    """`CarlaVectorEnv` with the interface of Stable-Baselines3.

    An episode that ends is followed by the next one in the same step: `step` returns the new episode's first
    observation, and the last one of the old episode stands in `info["terminal_observation"]`. An episode that was cut
    off rather than ended has `info["TimeLimit.truncated"]`, a lost server included.

    Args:
        config: As for `CarlaEnv`.
        n_envs: How many.
        render_mode: As for `CarlaEnv`.

    Attributes:
        environments: The vector of `CarlaEnv`.
    """

    def __init__(self, config: Settings, n_envs: int = 1, render_mode: str | None = None) -> None:
        self.environments = CarlaVectorEnv(n_envs, config, render_mode)
        self.metadata = self.environments.metadata
        self._actions: NDArray[np.generic] | None = None
        super().__init__(n_envs, self.environments.single_observation_space, self.environments.single_action_space)

    def reset(self) -> VecEnvObs:
        """Begin an episode in every environment, with the seeds and options that were set, once."""
        options = next((one for one in self._options if one), None)
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.environments.reset(seed=seeds, options=options)
        self.reset_infos = [_of_one(infos, number) for number in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def set_options(self, options: list[dict] | dict | None = None) -> None:
        """Set the options of the next `reset`, the same for all environments.

        Raises:
            ValueError: The environments are to get different ones.
        """
        if isinstance(options, list) and any(one != options[0] for one in options):
            raise ValueError("The environments' options differ, but all of them have to get the same.")
        super().set_options(options)

    def step_async(self, actions: NDArray[np.generic]) -> None:
        """Take the actions, `(n_envs, ...)`, of the step to come."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Act in every environment; all simulators work at the same time.

        Returns:
            Observations, rewards float32 `(n_envs,)`, ends bool `(n_envs,)`, and further information of each.
        """
        observations, rewards, terminated, truncated, found = self.environments.step_each(self._actions)
        infos = [found.get(number, {}) for number in range(self.num_envs)]
        ended = terminated | truncated
        for number in np.flatnonzero(ended).tolist():
            infos[number]["terminal_observation"] = _at(observations, number)
            infos[number]["TimeLimit.truncated"] = bool(truncated[number] and not terminated[number])
        if ended.any():
            observations, of_reset = self.environments.reset(options={"reset_mask": ended})
            for number in np.flatnonzero(ended).tolist():
                self.reset_infos[number] = _of_one(of_reset, number)
        return observations, rewards.astype(np.float32), ended, infos

    def close(self) -> None:
        """End all simulators."""
        self.environments.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """What each environment shows: uint8 (H, W, 3), RGB; None without a render mode."""
        return [env.render() if self.render_mode else None for env in self.environments.envs]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[object]:
        """An attribute of each environment, or of its experiment."""
        return [_find(env, attr_name) for env in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each environment."""
        for env in self._chosen(indices):
            setattr(env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: object, indices: VecEnvIndices = None, **kwargs: object
    ) -> list[object]:
        """Call a method of each environment, or of its experiment; returns the results."""
        return [_find(env, method_name)(*method_args, **kwargs) for env in self._chosen(indices)]

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """False for each: nothing lies between this and the environments."""
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: VecEnvIndices) -> Iterable[CarlaEnv]:
        return [self.environments.envs[number] for number in self._get_indices(indices)]


def _find(env: CarlaEnv, name: str) -> Any:
    return getattr(env, name) if hasattr(env, name) else getattr(env.experiment, name)


def _at(observations: Observation, number: int) -> Observation:
    """One environment's part of batched observations, as a copy."""
    if isinstance(observations, Mapping):
        return {key: _at(part, number) for key, part in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_at(part, number) for part in observations)
    return np.array(observations[number])


def _of_one(infos: Settings, number: int) -> Record:
    """One environment's part of Gymnasium's vector form, in which `_name` tells the environments that have `name`."""
    there = [name for name in infos if f"_{name}" in infos and infos[f"_{name}"][number]]
    return {name: _of_one(part, number) if isinstance(part := infos[name], Mapping) else part[number] for name in there}


class GoalFeatures(BaseFeaturesExtractor):
    """For observations with goals that are poses: the goal as seen from the hero, beside the observation itself.

    Args:
        observation_space: With `observation` and two poses `(4,)`: `achieved_goal` and `desired_goal`.

    Raises:
        ConfigError: The space is another one.
    """

    def __init__(self, observation_space: spaces.Dict) -> None:
        shapes = {name: part.shape for name, part in getattr(observation_space, "spaces", {}).items()}
        if shapes.get("achieved_goal") != (4,) or shapes.get("desired_goal") != (4,) or "observation" not in shapes:
            raise ConfigError(
                f"GoalFeatures are for observations with 'observation' and the poses 'achieved_goal' and "
                f"'desired_goal' of four numbers, but the observation is {observation_space}."
            )
        super().__init__(observation_space, int(np.prod(shapes["observation"])) + SEEN_GOAL)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features float32 `(batch, features_dim)`."""
        seen = seen_goal(observations["achieved_goal"], observations["desired_goal"])
        return torch.cat([observations["observation"].flatten(1), torch.stack(seen, -1)], -1)
