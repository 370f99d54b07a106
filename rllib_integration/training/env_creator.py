"""Environments for RLlib: each env runner makes its own, in a town and with episodes that differ from the others'."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING

import gymnasium

from rllib_integration.annotations import Record, Settings

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from rllib_integration.carla_env import CarlaEnv
    from rllib_integration.multi_agent.rllib_env import CarlaMultiAgentEnv


def make_env(context: Settings, live_folder: str | None = None) -> CarlaEnv | CarlaMultiAgentEnv | VectorEnv:
    """RLlib's environment creator: an environment that stays in one town where several are listed.

    The towns are dealt out to the environments in turn, because changing the town may take longer than an episode.
    With fewer environments than towns each gets several, out of which it draws one for every episode.

    Args:
        context: RLlib's `EnvContext`, or a plain dictionary, with `carla` and `experiment`. RLlib adds `num_envs`
            where it wants a vector environment (`gym_env_vectorize_mode: vector_entry_point`).
        live_folder: Where the environments tell viewers that they are there, unless `carla.live_folder` says it.
    """
    if context.get("agents"):
        from rllib_integration.multi_agent.rllib_env import CarlaMultiAgentEnv

        return CarlaMultiAgentEnv(_next_config(context, live_folder))
    from rllib_integration.carla_env import CarlaEnv

    if "num_envs" not in context:
        return CarlaEnv(_next_config(context, live_folder))
    configs = [_next_config(context, live_folder) for _ in range(context["num_envs"])]
    if in_processes.get():
        from rllib_integration.vector_env import CarlaProcessVectorEnv

        return CarlaProcessVectorEnv(configs)
    from rllib_integration.vector_env import CarlaVectorEnv

    return CarlaVectorEnv(len(configs), make=lambda number: CarlaEnv(configs[number]))


def check_environment(env_config: Settings) -> dict[str, gymnasium.Space]:
    """Find mistakes in an environment's configuration before anything heavy starts.

    Args:
        env_config: `carla`, `experiment` and, where there are several heroes, `agents`.

    Returns:
        The space of the observations by agent; a single hero has the name "".

    Raises:
        ConfigError: The configuration can't be used.
    """
    if env_config.get("agents"):
        from rllib_integration.multi_agent.shared_world import SharedWorld

        world = SharedWorld(env_config)
        world.close()
        return world.observation_spaces
    from rllib_integration.carla_env import CarlaEnv

    env = CarlaEnv(env_config)
    env.close()
    return {"": env.observation_space}


class RunnerConfig(Record):
    """What an environment takes, with the number of the env runner that makes it, as RLlib's `EnvContext` has it.

    Args:
        config: The configuration.
        worker_index: The number. Environments of other runners see other episodes.
    """

    def __init__(self, config: Settings, worker_index: int) -> None:
        super().__init__(config)
        self.worker_index = worker_index


def _next_config(context: Settings, live_folder: str | None = None) -> RunnerConfig:
    """What the next environment of this process takes: its own seed and town."""
    from rllib_integration.carla_env import seeded_apart

    runner = getattr(context, "worker_index", None) or worker_index.get()
    number = _number_of_environment(runner)
    config = RunnerConfig({key: dict(context.get(key) or {}) for key in ("carla", "experiment")}, runner)
    if context.get("agents"):
        config["agents"] = context["agents"]
    config["carla"] = seeded_apart(config["carla"], number=number)
    config["carla"]["live_folder"] = config["carla"].get("live_folder") or live_folder
    town = config["experiment"].get("town")
    if isinstance(town, (list, tuple)) and town:
        config["experiment"]["town"] = _share_of(town, number)
    return config


_environments_made = 0

worker_index: ContextVar[int] = ContextVar("worker_index", default=0)
"""Number of the env runner that makes environments, for those whose context does not say it."""

in_processes: ContextVar[bool] = ContextVar("in_processes", default=False)
"""Whether the environments of an env runner get processes of their own."""

numbers_dealt: ContextVar[int | None] = ContextVar("numbers_dealt", default=None)
"""How many different numbers the environments of all env runners get, where that is known."""


def _share_of(towns: Sequence[str], number: int) -> str | list[str]:
    """The town of the environment of a number, or its share of them where there are more towns than numbers."""
    numbers = min(numbers_dealt.get() or len(towns), len(towns))
    share = list(towns[number % numbers :: numbers])
    return share if len(share) > 1 else share[0]


def _number_of_environment(runner: int) -> int:
    """A number that differs between the environments of an env runner, and begins higher in each further one."""
    global _environments_made
    _environments_made += 1
    # Counting on interleaves the runners' sequences without knowing how many environments each one has.
    return max(runner - 1, 0) + (_environments_made - 1)
