"""A policy out of an RLlib checkpoint, with RLlib's own network and connectors, but without a running Ray."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import torch
import tree
from ray.rllib.connectors.env_to_module import EnvToModulePipeline
from ray.rllib.connectors.module_to_env import ModuleToEnvPipeline
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.spaces.space_utils import get_base_struct_from_space, unsquash_action

from rllib_integration.annotations import Action, Observation, Record
from rllib_integration.config.merging import ConfigError, nearest_sentence

_MODULES = "learner_group/learner/rl_module"
_MODULE = f"{_MODULES}/default_policy"


class RLlibPolicy:
    """Chooses actions greedily, for any algorithm and action space.

    Args:
        checkpoint: A checkpoint's folder.

    Raises:
        ConfigError: the folder is no checkpoint of RLlib, or what made it can't be imported.
    """

    def __init__(self, checkpoint: Path) -> None:
        folder = checkpoint.resolve()
        if not (folder / _MODULE).is_dir():
            raise ConfigError(f"{folder} is not a checkpoint of RLlib: it has no {_MODULE}.")
        try:
            self.module = RLModule.from_checkpoint(str(folder / _MODULE))
            self._to_module = EnvToModulePipeline.from_checkpoint(str(_connector(folder, "env_to_module_connector")))
            self._to_env = ModuleToEnvPipeline.from_checkpoint(str(_connector(folder, "module_to_env_connector")))
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"The classes that made {folder} can't be imported: {error}.") from error
        except (EOFError, KeyError, RuntimeError, OSError, pickle.UnpicklingError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigError(f"The checkpoint {folder} is damaged: {reason}.") from error

    def act(self, observation: np.ndarray) -> tuple[Action, float]:
        """The greedy action for one observation, and NaN: what is expected of it is not told."""
        return self.compute_action(observation), math.nan

    @torch.inference_mode()
    def compute_action(self, observation: Observation) -> Action:
        """The greedy action for one observation.

        Raises:
            ConfigError: the observation is not in the space that the policy was trained on.
        """
        space = self.module.observation_space
        if space is not None and space.shape is not None and np.shape(observation) != space.shape:
            raise ConfigError(
                f"The policy was trained on observations of shape {space.shape}, but the environment gives "
                f"{np.shape(observation)}; use the configuration that it was trained with."
            )
        episode = SingleAgentEpisode(
            observations=[observation], observation_space=space, action_space=self.module.action_space
        )
        shared: Record = {}
        batch = self._to_module(episodes=[episode], batch={}, rl_module=self.module, explore=False, shared_data=shared)
        output = self.module.forward_inference(batch)
        output = self._to_env(
            episodes=[episode], batch=output, rl_module=self.module, explore=False, shared_data=shared
        )
        return output.get(Columns.ACTIONS_FOR_ENV, output[Columns.ACTIONS])[0]


class AgentPolicy:
    """One of the policies of a checkpoint of several agents; chooses actions greedily.

    Args:
        checkpoint: A checkpoint's folder.
        name: Of the policy.

    Raises:
        ConfigError: The checkpoint has no such policy, or what made it can't be imported.
    """

    def __init__(self, checkpoint: Path, name: str) -> None:
        folder = checkpoint.resolve() / _MODULES
        known = policies_of(checkpoint)
        if name not in known:
            raise ConfigError(f"{checkpoint} has no policy '{name}'. {nearest_sentence(name, known)}")
        try:
            self.module = RLModule.from_checkpoint(str(folder / name))
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"The classes that made {folder / name} can't be imported: {error}.") from error

    @torch.inference_mode()
    def act(self, observation: Observation) -> tuple[Action, float]:
        """The greedy action for one observation, and NaN: what is expected of it is not told."""
        batch = tree.map_structure(lambda part: torch.as_tensor(np.asarray(part))[None], observation)
        output = self.module.forward_inference({Columns.OBS: batch})
        if Columns.ACTIONS not in output:
            distribution = self.module.get_inference_action_dist_cls().from_logits(output[Columns.ACTION_DIST_INPUTS])
            output[Columns.ACTIONS] = distribution.to_deterministic().sample()
        action = tree.map_structure(lambda part: part[0].numpy(), output[Columns.ACTIONS])
        return unsquash_action(action, get_base_struct_from_space(self.module.action_space)), math.nan


def policies_of(checkpoint: Path) -> list[str]:
    """Names of the policies in a checkpoint of RLlib; none in another one."""
    folder = checkpoint.resolve() / _MODULES
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def _connector(folder: Path, name: str) -> Path:
    """Where a connector is: below the env runner if that was local, else beside it."""
    inside = folder / "env_runner" / name
    return inside if inside.is_dir() else folder / name
