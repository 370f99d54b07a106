"""The blueprint library: what can be spawned, with which attributes, sizes and semantic tags.

`blueprints.json` holds the facts (ids, sizes, attributes with their defaults); this module gives them CARLA's form.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple, TypedDict

from minicarla.protocol.values import PackValue
from minicarla.protocol.version import V0_9_16, ProtocolVersion
from minicarla.sensing.actors import label_of
from minicarla.sensing.sensor import BOOLEAN_TEXTS

_FACTS = Path(__file__).with_name("blueprints.json")

LONGEST_VALUE = 4096
"""Characters of an attribute's value: every client is told of it."""


class AttributeType(enum.IntEnum):
    """Types of blueprint attributes, in the order of their values on the wire (`ProtocolVersion`)."""

    BOOL = 0
    INT = 1
    FLOAT = 2
    STRING = 3
    COLOR = 4


class Attribute(NamedTuple):
    """One attribute of a blueprint.

    Attributes:
        name: Its id.
        type: Its type.
        recommended: Texts that are suggested; the first one is the default.
        modifiable: Whether a client may set it.
        restricted: Whether only recommended values are allowed.
    """

    name: str
    type: AttributeType
    recommended: tuple[str, ...]
    modifiable: bool = True
    restricted: bool = False

    @property
    def default(self) -> str:
        """Value when a client sets nothing."""
        return self.recommended[0] if self.recommended else ""


class BlueprintError(ValueError):
    """An actor description does not fit the library."""


_ROLES_OF_SENSORS = ("front", "back", "left", "right", "front_left", "front_right", "back_left", "back_right")
_WORDS = {
    "exposure_mode": ("histogram", "manual"),
    "path_loss_model": ("winner", "geometric"),
    "scenario": ("highway", "rural", "urban"),
}
"""Words that attributes of sensors are restricted to; the first one is the default."""
_DRIVERS = tuple(str(number) for number in range(1, 8))
_TYPES = {
    "bool": AttributeType.BOOL,
    "int": AttributeType.INT,
    "float": AttributeType.FLOAT,
    "str": AttributeType.STRING,
}


@dataclass
class Blueprint:
    """One entry of the library.

    Attributes:
        uid: Number of the entry, from 1.
        id: Its id, such as "vehicle.tesla.model3".
        attributes: What it can be given.
        extent: Half sizes in metres along the actor's x, y and z; zero for what has no body.
        semantic_tag: How cameras and lidars label it, 0 for what they do not see.
        base: Of a vehicle, its sort, such as "car" or "truck".
        centre: Of its bounding box [m], where that is not above the middle of its ground.
    """

    uid: int
    id: str
    attributes: tuple[Attribute, ...]
    extent: tuple[float, float, float] = (0.0, 0.0, 0.0)
    semantic_tag: int = 0
    base: str = ""
    centre: tuple[float, float, float] | None = None

    @cached_property
    def defaults(self) -> dict[str, str]:
        """Attribute values when a client sets nothing."""
        return {attribute.name: attribute.default for attribute in self.attributes}

    @cached_property
    def by_name(self) -> dict[str, Attribute]:
        """Attributes by their names."""
        return {attribute.name: attribute for attribute in self.attributes}

    def definition(self, first_type: int) -> list[PackValue]:
        """Wire form for the client's library.

        Args:
            first_type: Wire value of the first `AttributeType`.
        """
        attributes: list[list[PackValue]] = [
            [
                a.name,
                first_type + a.type,
                a.default,
                list(a.recommended) if a.modifiable else [],
                a.modifiable,
                a.restricted,
            ]
            for a in self.attributes
        ]
        return [self.uid, self.id, self.id.replace(".", ","), attributes]

    def checked(self, given: Mapping[str, str]) -> dict[str, str]:
        """Complete and check the attribute values of a new actor.

        Args:
            given: What the client sent; unknown names and attributes that cannot be set are ignored, as the client
                sends every attribute that it knows.

        Raises:
            BlueprintError: A value does not have the attribute's type, is too long, or no text at all.
        """
        values = dict(self.defaults)
        for name, value in given.items():
            attribute = self.by_name.get(name)
            if attribute is not None and attribute.modifiable:
                _check_value(self.id, attribute, value)
                values[name] = value
        return values


def _check_value(blueprint_id: str, attribute: Attribute, value: str) -> None:
    kind = attribute.type
    if len(value) > LONGEST_VALUE:
        raise BlueprintError(
            f"attribute '{attribute.name}' of {blueprint_id} has {len(value)} characters, allowed are {LONGEST_VALUE}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BlueprintError(f"attribute '{attribute.name}' of {blueprint_id} is not UTF-8: {value!r:.100}") from None
    try:
        # CARLA's server takes what follows the point off a whole number: programs set 64 channels as "64.0".
        if kind in (AttributeType.INT, AttributeType.FLOAT):
            if not abs(float(value)) < 1e9:
                raise ValueError
        elif kind is AttributeType.BOOL:
            if value.strip().lower() not in BOOLEAN_TEXTS:
                raise ValueError
        elif kind is AttributeType.COLOR:
            colour = [int(part) for part in value.split(",")]
            if len(colour) != 3 or not all(0 <= part <= 255 for part in colour):
                raise ValueError
    except ValueError:
        expected = {
            AttributeType.INT: "a number below 1e9",
            AttributeType.FLOAT: "a number below 1e9",
            AttributeType.BOOL: "'true' or 'false'",
            AttributeType.COLOR: "a colour such as '255,0,0'",
        }[kind]
        raise BlueprintError(
            f"attribute '{attribute.name}' of {blueprint_id} must be {expected}, not '{value}'"
        ) from None
    if attribute.restricted and attribute.recommended and value not in attribute.recommended:
        raise BlueprintError(
            f"attribute '{attribute.name}' of {blueprint_id} must be one of "
            f"{', '.join(attribute.recommended)}, not '{value}'"
        )


class BlueprintLibrary:
    """All blueprints that clients of a version know, by id."""

    def __init__(self, blueprints: list[Blueprint], version: ProtocolVersion) -> None:
        self._version = version
        self._by_id = {blueprint.id: blueprint for blueprint in blueprints}
        self.blueprints = tuple(blueprints)

    def __len__(self) -> int:
        return len(self.blueprints)

    def __contains__(self, blueprint_id: object) -> bool:
        return blueprint_id in self._by_id

    def find(self, blueprint_id: str) -> Blueprint:
        """The blueprint of an id.

        Raises:
            BlueprintError: There is none.
        """
        blueprint = self._by_id.get(blueprint_id)
        if blueprint is None and blueprint_id in self._version.lacks:
            raise BlueprintError(f"CARLA {self._version.name} has no '{blueprint_id}'; it came with a later version")
        if blueprint is None:
            raise BlueprintError(f"there is no blueprint '{blueprint_id:.100}'")
        return blueprint

    @cached_property
    def definitions(self) -> list[list[PackValue]]:
        """Wire form of the whole library."""
        return [blueprint.definition(self._version.first_attribute_type) for blueprint in self.blueprints]


class _VehicleFacts(TypedDict):
    size: list[float]
    base: str
    special: str
    generation: int
    wheels: int
    lights: bool
    doors: bool
    colors: list[str]


class _WalkerFacts(TypedDict):
    size: list[float]
    age: str
    gender: str
    generation: int


def _role_name(*roles: str) -> Attribute:
    return Attribute("role_name", AttributeType.STRING, roles)


def _fixed(name: str, kind: AttributeType, value: object) -> Attribute:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Attribute(name, kind, (text,), modifiable=False)


def _half(size: list[float]) -> tuple[float, float, float]:
    return size[0] / 2, size[1] / 2, size[2] / 2


def _vehicle(facts: _VehicleFacts) -> tuple[Attribute, ...]:
    attributes = [
        _fixed("number_of_wheels", AttributeType.INT, facts["wheels"]),
        Attribute("sticky_control", AttributeType.BOOL, ("true",)),
        Attribute("terramechanics", AttributeType.BOOL, ("false",)),
        _fixed("object_type", AttributeType.STRING, ""),
        _fixed("base_type", AttributeType.STRING, facts["base"]),
        _fixed("special_type", AttributeType.STRING, facts["special"]),
        _fixed("has_dynamic_doors", AttributeType.BOOL, facts["doors"]),
        _fixed("has_lights", AttributeType.BOOL, facts["lights"]),
        _fixed("generation", AttributeType.INT, facts["generation"]),
        _role_name("autopilot", "scenario", "ego_vehicle"),
    ]
    if facts["colors"]:
        attributes.append(Attribute("color", AttributeType.COLOR, tuple(facts["colors"])))
    if facts["wheels"] == 2:
        attributes.append(Attribute("driver_id", AttributeType.INT, _DRIVERS))
    return tuple(attributes)


def _walker(facts: _WalkerFacts) -> tuple[Attribute, ...]:
    speeds = ("0.0", "1.43", "2.15") if facts["age"] == "adult" else ("0.0", "1.00", "1.60")
    return (
        _fixed("gender", AttributeType.STRING, facts["gender"]),
        _fixed("age", AttributeType.STRING, facts["age"]),
        Attribute("speed", AttributeType.FLOAT, speeds),
        Attribute("is_invincible", AttributeType.BOOL, ("true",)),
        _fixed("generation", AttributeType.INT, facts["generation"]),
        _fixed("can_use_wheelchair", AttributeType.BOOL, False),
        Attribute("use_wheelchair", AttributeType.BOOL, ("false",)),
        _role_name("pedestrian"),
    )


def _size_class(size: list[float]) -> str:
    largest = max(size)
    if largest < 0.35:
        return "tiny"
    if largest < 0.8:
        return "small"
    return "medium" if largest < 2.0 else "big"


def _prop(size: list[float]) -> tuple[Attribute, ...]:
    return (_role_name("prop"), _fixed("size", AttributeType.STRING, _size_class(size)))


def _sensor(facts: Mapping[str, list[str]]) -> tuple[Attribute, ...]:
    attributes = [
        Attribute(
            name,
            _TYPES[kind],
            _WORDS.get(name, (default,)),
            restricted=name in _WORDS,
        )
        for name, (kind, default) in facts.items()
    ]
    return (*attributes, _role_name(*_ROLES_OF_SENSORS))


_MESH = (
    Attribute("mesh_path", AttributeType.STRING, ("",)),
    Attribute("mass", AttributeType.FLOAT, ("0.0",)),
    Attribute("scale", AttributeType.FLOAT, ("1.0",)),
    _role_name("prop"),
)
_FRICTION_TRIGGER = (
    Attribute("friction", AttributeType.FLOAT, ("3.5",)),
    Attribute("extent_x", AttributeType.FLOAT, ("100.0",)),
    Attribute("extent_y", AttributeType.FLOAT, ("100.0",)),
    Attribute("extent_z", AttributeType.FLOAT, ("100.0",)),
    _role_name("trigger"),
)


@cache
def load_library(version: ProtocolVersion = V0_9_16) -> BlueprintLibrary:
    """Read the library for clients of a version; the same object at every call."""
    facts = json.loads(_FACTS.read_text(encoding="utf-8"))
    blueprints: list[Blueprint] = []

    def add(
        blueprint_id: str,
        attributes: tuple[Attribute, ...],
        size: list[float] | None = None,
        base: str = "",
        centre: list[float] | None = None,
    ) -> None:
        extent = _half(size) if size else (0.0, 0.0, 0.0)
        tag = label_of(blueprint_id) if size else 0
        middle = (centre[0], centre[1], centre[2]) if centre else None
        blueprints.append(Blueprint(len(blueprints) + 1, blueprint_id, attributes, extent, tag, base, middle))

    for name, about in facts["vehicles"].items():
        add(f"vehicle.{name}", _vehicle(about), about["size"], about["base"], about.get("centre"))
    for name, about in facts["walkers"].items():
        add(f"walker.pedestrian.{name}", _walker(about), about["size"])
    for name, size in facts["props"].items():
        add(f"static.prop.{name}", _prop(size), size)
    add("static.prop.mesh", _MESH, [1.0, 1.0, 1.0])
    add("static.trigger.friction", _FRICTION_TRIGGER)
    for name, about in facts["sensors"].items():
        add(name, _sensor(about))
    add("controller.ai.walker", (_role_name("default"),))
    add("util.actor.empty", (_role_name("default"),))
    return BlueprintLibrary([one for one in blueprints if one.id not in version.lacks], version)
