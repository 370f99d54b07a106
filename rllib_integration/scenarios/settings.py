"""The settings of scenarios, under `env_config.experiment.scenarios`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, Rule, merge, overlay
from rllib_integration.scenarios.situations import Situation, check_parameters, scenario_type
from rllib_integration.scenarios.types import SCENARIO_TYPES

WHERE = "env_config.experiment.scenarios"

SCENARIOS_CONFIG: Record = {
    "types": {},  # name -> {parameter: value or range, weight: 1}; or a list of names, or "all"; one for each episode
    "share": 1.0,  # share of episodes with a scenario
    "lead": [20.0, 60.0],  # [m] range of the start's distance before the trigger
    "start_speed": [0.0, 0.0],  # [m/s] range of the speed at the start
    "levels": [],  # a curriculum: settings of `types` for each level, from easy to hard, in place of `types` above
    "level": 0,  # present level of the curriculum; a callback raises it
    "earlier": 0.2,  # share of episodes that are drawn from an earlier level
    "file": "",  # a route file of the Leaderboard or Bench2Drive: each episode is one of its routes
    "leaderboard": False,  # use the Leaderboard's criteria: end routes as it does, and compare speeds
    "routes": [],  # ids of the file's routes to drive; none = all
    # Situations of every episode, instead of drawn ones, on the experiment's route:
    "pinned": [],  # {type: ..., trigger: "x,y,z,yaw", <parameter>: value}
}

Types = dict[str, Record]


def _is_range(value: Sequence[float], low: float = 0.0) -> bool:
    return (
        len(value) == 2
        and all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in value)
        and low <= value[0] <= value[1]
    )


_RULES = {
    "types": Rule(
        dict, list, str, expected="a mapping from names of types to their parameters, a list of names or all"
    ),
    "share": Rule(float, accepts=lambda share: 0.0 <= share <= 1.0, expected="a share from 0 to 1"),
    "lead": Rule(
        list, accepts=lambda value: _is_range(value, 10.0), expected="a range [low, high] of metres, 10 or more"
    ),
    "start_speed": Rule(list, accepts=_is_range, expected="a range [low, high] of speeds in m/s"),
    "levels": Rule(list, expected="a list with settings of `types` for each level"),
    "level": Rule(int, accepts=lambda level: level >= 0, expected="a whole number, 0 or more"),
    "earlier": Rule(float, accepts=lambda share: 0.0 <= share < 1.0, expected="a share from 0 to below 1"),
    "routes": Rule(list, expected="a list of the ids of routes"),
    "pinned": Rule(list, expected="a list of situations"),
}


def resolve_scenarios(settings: Settings | None, where: str = WHERE) -> Record:
    """Lay settings over `SCENARIOS_CONFIG`.

    Raises:
        ConfigError: A key, a type or a parameter does not exist, or a value can't be used.
    """
    resolved = merge(SCENARIOS_CONFIG, settings, where, rules=_RULES)
    resolved["types"] = _read_types(resolved["types"], f"{where}.types")
    resolved["levels"] = [
        _read_types(level, f"{where}.levels[{number}]") for number, level in enumerate(resolved["levels"])
    ]
    if resolved["levels"] and resolved["level"] >= len(resolved["levels"]):
        raise ConfigError(
            f"{where}.level is {resolved['level']}, but there are {len(resolved['levels'])} levels, counted from 0."
        )
    if resolved["file"] and (resolved["types"] or resolved["levels"]):
        raise ConfigError(f"{where}.file can't be set together with types: a route of a file has scenarios of its own.")
    pinned_situations(resolved, where)
    return resolved


def _read_types(given: object, where: str) -> Types:
    if given == "all":
        given = list(SCENARIO_TYPES)
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, (Mapping, list, tuple)):
        raise ConfigError(f"{where} is {given!r}, but it has to be {_RULES['types'].expected}.")
    named = given if isinstance(given, Mapping) else {name: {} for name in given}
    types: Types = {}
    for name, parameters in named.items():
        kind = scenario_type(name, where).__name__
        if parameters is not None and not isinstance(parameters, Mapping):
            raise ConfigError(f"{where}.{name} is {parameters!r}, but it has to be a mapping of parameters.")
        types[kind] = overlay({}, parameters or {})
        weight = types[kind].get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not weight > 0.0:
            raise ConfigError(f"{where}.{name}.weight is {weight!r}, but it has to be a number above 0.")
        check_parameters(kind, {key: value for key, value in types[kind].items() if key != "weight"}, f"{where}.{name}")
    return types


def at_level(settings: Settings, rng: np.random.Generator) -> tuple[int, Types]:
    """The level of an episode, the present or an earlier one, and the types of this level.

    Args:
        settings: A resolved section.
        rng: Draws the level.
    """
    if not settings["levels"]:
        return 0, settings["types"]
    level = int(settings["level"])
    if level > 0 and rng.random() < settings["earlier"]:
        level = int(rng.integers(level))
    return level, settings["levels"][level]


def pinned_situations(settings: Settings, where: str = WHERE) -> list[Situation]:
    """The situations under `pinned`."""
    return [Situation.read(entry, f"{where}.pinned[{number}]") for number, entry in enumerate(settings["pinned"])]
