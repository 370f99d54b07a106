"""The `agents` section of an environment's configuration: the agents, and the handling of their ends."""

from __future__ import annotations

from collections.abc import Mapping

from rllib_integration.annotations import Record, Settings
from rllib_integration.base_experiment import resolve_experiment_config
from rllib_integration.config.merging import ConfigError, Rule, merge, one_of, overlay

AGENTS_CONFIG: Record = {
    "count": 0,  # number of equal agents, named agent_0, agent_1, ...
    "heroes": {},  # or agents by name: {bike: {hero: {blueprint: vehicle.diamondback.century}}, ...}
    "ended": "remove",  # the hero of an agent that has ended: "remove", or "stop" as an obstacle
    "stop_seconds": 5.0,  # time that a stopped hero stays, before it is removed
    "lives": 1,  # lives of an agent in an episode; later ones are agents named agent_0.2, agent_0.3, ...
    "rewards": None,  # a function of all agents' rewards, as 'package.module:function'
}

_LIFE_MARK = "."
_WORLD_SETTINGS = ("town", "weather", "background_activity", "scenarios")
"""Settings of an experiment that the agents of a world share."""

_RULES = {
    "count": Rule(int, accepts=lambda count: count >= 0, expected="a whole number, 0 or more"),
    "heroes": Rule(dict, expected="a mapping from each agent's name to its settings of the experiment"),
    "ended": one_of("remove", "stop"),
    "stop_seconds": Rule(int, float, accepts=lambda seconds: seconds >= 0.0, expected="seconds, 0 or more"),
    "lives": Rule(int, accepts=lambda lives: lives >= 1, expected="a whole number, 1 or more"),
    "rewards": Rule(str, type(None), expected="a function as 'package.module:function', or null"),
}


def resolve_agents(config: Settings | None) -> Record:
    """Lay the `agents` section over `AGENTS_CONFIG`.

    Raises:
        ConfigError: A key is unknown, a value is of the wrong type, or there is no agent.
    """
    resolved = merge(AGENTS_CONFIG, dict(config or {}), "env_config.agents", rules=_RULES, free=("heroes",))
    if bool(resolved["count"]) == bool(resolved["heroes"]):
        raise ConfigError(
            "env_config.agents has to name the agents in one of two ways: `count: 8`, or `heroes:` with a name each."
        )
    for name in resolved["heroes"]:
        if not isinstance(name, str) or not name or _LIFE_MARK in name or "/" in name or name.startswith("__"):
            raise ConfigError(
                f"env_config.agents.heroes has the name {name!r}; a name is a text without dots and slashes, "
                "and does not begin with two underscores."
            )
    return resolved


def experiments_of(agents: Settings, experiment: Settings) -> dict[str, Record]:
    """The experiment's settings of each agent, by its name.

    Args:
        agents: The `agents` section, complete.
        experiment: The `experiment` section that all of them share.

    Raises:
        ConfigError: An agent's settings have an unknown key, a wrong value, or one that belongs to the world.
    """
    if agents["count"]:
        return {f"agent_{number}": dict(experiment) for number in range(agents["count"])}
    found: dict[str, Record] = {}
    for name, own in agents["heroes"].items():
        where = f"env_config.agents.heroes.{name}"
        own = {} if own is None else own
        if not isinstance(own, Mapping):
            raise ConfigError(f"{where} is {own!r}, but it has to be a mapping of the experiment's settings.")
        for key in _WORLD_SETTINGS:
            if key in own:
                raise ConfigError(f"{where}.{key}: all agents share one world; set env_config.experiment.{key}.")
        try:
            resolve_experiment_config(own)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        shared = {**experiment, "route": None} if "route" in own else experiment  # routes are not merged
        if own.get("type", shared.get("type")) != shared.get("type"):
            shared = {**shared, "others": {}}  # they belong to another class
        found[name] = overlay(shared, own)
    return found


def life_name(agent: str, life: int) -> str:
    """Id of one of an agent's lives; that of the first is the agent's name."""
    return agent if life == 1 else f"{agent}{_LIFE_MARK}{life}"


def name_of_life(life: str) -> str:
    """The name of a life's agent."""
    return life.partition(_LIFE_MARK)[0]
