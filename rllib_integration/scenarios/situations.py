"""Situations: a scenario type with its place and parameters, as written in settings.

A situation is written `{type: DynamicObjectCrossing, trigger: "x,y,z,yaw", distance: 12, direction: left}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, nearest, nearest_sentence
from rllib_integration.scenarios.scenario import Scenario
from rllib_integration.scenarios.types import SCENARIO_TYPES

_OWN_KEYS = ("type", "trigger", "name")


class Trigger(NamedTuple):
    """The pose at which a passing hero starts a scenario.

    Attributes:
        x, y, z: The place (m).
        yaw: The direction [degrees].
    """

    x: float
    y: float
    z: float
    yaw: float

    @classmethod
    def read(cls, entry: object, where: str) -> Trigger:
        """The trigger that `"x,y,z,yaw"`, or a list of these, names.

        Raises:
            ConfigError: These are not four finite numbers.
        """
        parts = entry if isinstance(entry, (list, tuple)) else str(entry).split(",")
        try:
            numbers = [float(part) for part in parts]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) != 4 or not np.isfinite(numbers).all():
            raise ConfigError(f"{where} is {entry!r}, but it has to be 'x,y,z,yaw' in metres and degrees.")
        return cls(*numbers)

    def __str__(self) -> str:
        return f"{self.x:.2f},{self.y:.2f},{self.z:.2f},{self.yaw:.1f}"


class Situation(NamedTuple):
    """A scenario at a place.

    Attributes:
        kind: Name of its type.
        trigger: Its trigger.
        given: The parameters that are set; the others have their defaults.
        name: Its name in messages and results.
    """

    kind: str
    trigger: Trigger
    given: Settings
    name: str

    @classmethod
    def read(cls, entry: object, where: str) -> Situation:
        """The situation that a mapping of settings describes.

        Raises:
            ConfigError: Its type or a parameter does not exist, or a value can't be used.
        """
        if not isinstance(entry, Mapping) or "type" not in entry or "trigger" not in entry:
            raise ConfigError(
                f"{where} is {entry!r}, but it has to be a mapping with a type and a trigger, such as "
                "{type: HardBreakRoute, trigger: 'x,y,z,yaw'}."
            )
        kind = scenario_type(entry["type"], where).__name__
        given = {name: value for name, value in entry.items() if name not in _OWN_KEYS}
        check_parameters(kind, given, where)
        trigger = Trigger.read(entry["trigger"], f"{where}.trigger")
        return cls(kind, trigger, given, str(entry.get("name", kind)))

    def settings(self) -> Record:
        """The mapping of settings that describes it."""
        plain = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.given.items()
            if value is not None
        }
        return {"type": self.kind, "trigger": str(self.trigger), "name": self.name, **plain}

    def values(self, rng: np.random.Generator) -> Record:
        """All parameters; values are drawn from ranges."""
        return draw_parameters(self.kind, self.given, rng, self.name)


def scenario_type(name: object, where: str) -> type[Scenario]:
    """The type of a name.

    Raises:
        ConfigError: There is no such type; the message suggests the nearest.
    """
    if name not in SCENARIO_TYPES:
        near = nearest(str(name), SCENARIO_TYPES)
        hint = f"Did you mean {near}?" if near else nearest_sentence(str(name), SCENARIO_TYPES)
        raise ConfigError(f"{where}: there is no scenario type {name!r}. {hint}")
    return SCENARIO_TYPES[name]


def check_parameters(kind: str, given: Settings, where: str) -> None:
    """Check given parameters of a type.

    Raises:
        ConfigError: One does not exist, or its value can't be used.
    """
    parameters = SCENARIO_TYPES[kind].parameters
    for name in given:
        if name not in parameters:
            known = nearest_sentence(name, parameters) if parameters else "It has none."
            raise ConfigError(f"{where}.{name} is no parameter of {kind}. {known}")
    draw_parameters(kind, given, np.random.default_rng(0), where)


def draw_parameters(kind: str, given: Settings, rng: np.random.Generator, where: str) -> Record:
    """All parameters of a type: given ones, with values drawn from ranges, and defaults.

    Raises:
        ConfigError: A value can't be used.
    """
    values: Record = {}
    for name, parameter in SCENARIO_TYPES[kind].parameters.items():
        if name not in given:
            values[name] = parameter.default
            continue
        try:
            values[name] = parameter.draw(given[name], rng)
        except (TypeError, ValueError):
            raise ConfigError(f"{where}.{name} is {given[name]!r}, but it has to be {parameter.expected}.") from None
    return values
