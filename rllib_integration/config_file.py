"""A run's configuration file, with its `env_config` section complete and checked."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rllib_integration.annotations import Record, Settings
from rllib_integration.base_experiment import resolve_experiment_config
from rllib_integration.config.core import resolve_core_config
from rllib_integration.config.merging import apply_override, merge, read_yaml
from rllib_integration.multi_agent.settings import resolve_agents


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Record:
    """Read a YAML file, lay `a.b=c` overrides over it and resolve its `env_config` section.

    The sections of the algorithm are returned as they stand: who builds the algorithm checks them.

    Args:
        path: The YAML file.
        overrides: What stood behind each `--set`.

    Returns:
        A new document whose `env_config` is complete: what the file leaves out has its default.

    Raises:
        ConfigError: The file, an override or an entry can't be used; the message names it.
    """
    document = read_yaml(path)
    for override in overrides:
        document = apply_override(document, override)
    document["env_config"] = resolve_env_config(document.get("env_config"))
    return document


def resolve_env_config(env_config: Settings | None) -> Record:
    """Complete and check the `env_config` section: the server and world under `carla`, the task under `experiment`.

    Where several agents share the world, `agents` says who they are.

    Raises:
        ConfigError: A key is unknown or a value can't be used.
    """
    names = ("carla", "experiment", "agents")
    sections = merge({name: {} for name in names}, env_config, "env_config", free=names)
    resolved = {
        "carla": resolve_core_config(sections["carla"]),
        "experiment": resolve_experiment_config(sections["experiment"]),
    }
    return resolved | ({"agents": resolve_agents(sections["agents"])} if sections["agents"] else {})
