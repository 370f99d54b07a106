"""The drivers of a suite: a rule, random actions, or the policy of a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gymnasium

from rllib_integration.annotations import Action, Observation, Settings
from rllib_integration.config.merging import ConfigError
from rllib_integration.driving.policies import find_policy, load_policy

RULE, RANDOM = "rule", "random"
Act = Callable[[Observation], Action]


@dataclass(frozen=True)
class Agent:
    """A driver of a suite.

    Attributes:
        name: Its name in tables.
        checkpoint: Its folder; None for `rule` and `random`.
        algorithm: Algorithm of the checkpoint's run, as named in its configuration.
    """

    name: str
    checkpoint: Path | None
    algorithm: str = ""

    def digest(self) -> str:
        """SHA-256 of the checkpoint's files; without a checkpoint, of the name."""
        if self.checkpoint is None:
            return hashlib.sha256(self.name.encode()).hexdigest()
        found = hashlib.sha256()
        for file in sorted(path for path in self.checkpoint.rglob("*") if path.is_file()):
            found.update(file.relative_to(self.checkpoint).as_posix().encode())
            found.update(file.read_bytes())
        return found.hexdigest()

    def load(self, action_space: gymnasium.Space, seed: int) -> Act:
        """The function from observations to actions."""
        if self.checkpoint is None:
            return _without_checkpoint(self.name, action_space, seed)
        policy = load_policy(self.checkpoint, "cpu")
        return lambda observation: policy.act(observation)[0]


def _without_checkpoint(name: str, action_space: gymnasium.Space, seed: int) -> Act:
    if name == RULE:
        return lambda observation: observation
    action_space.seed(seed)
    return lambda observation: action_space.sample()


def find_agent(text: str, document: Settings | None = None) -> Agent:
    """The agent that a command line names: `rule`, `random`, a checkpoint or a run's folder.

    Args:
        text: The name or path.
        document: The configuration that the policy was trained with.

    Raises:
        ConfigError: There is no checkpoint.
    """
    if text in (RULE, RANDOM):
        return Agent(text, None)
    if not Path(text).expanduser().exists():
        raise ConfigError(f"There is no policy {text!r}: give rule, random, a checkpoint, or the folder of a run.")
    folder = find_policy(text).path
    folder = folder if folder.is_dir() else folder.parent
    name = folder.name if not folder.name.startswith("checkpoint_") else f"{folder.parent.name}/{folder.name[11:]}"
    return Agent(name, folder, str((document or {}).get("algorithm", "")))
