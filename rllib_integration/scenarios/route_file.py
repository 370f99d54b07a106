"""Route files of the CARLA Leaderboard: routes with weathers and scenarios, as XML.

The format is that of the Leaderboard 2.0, which Bench2Drive uses, too. Routes of version 1.0 (`<route map=...>` with
`<waypoint>` elements) are read without their scenarios, which are in separate files. Scenarios of unknown types are
skipped with a warning.
"""

from __future__ import annotations

import logging
import xml.parsers.expat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

import carla
import numpy as np

from rllib_integration.config.merging import ConfigError
from rllib_integration.scenarios.errors import ScenarioFileError
from rllib_integration.scenarios.situations import Situation, Trigger, check_parameters
from rllib_integration.scenarios.types import SCENARIO_TYPES

logger = logging.getLogger(__name__)

Point = tuple[float, float, float]

_DEFAULT_WEATHER = {"sun_altitude_angle": 70.0, "cloudiness": 50.0}
_WEATHER_ATTRIBUTES = sorted(
    name for name in dir(carla.WeatherParameters()) if isinstance(getattr(carla.WeatherParameters(), name), float)
)


class Weather(NamedTuple):
    """The weather from a part of a route on.

    Attributes:
        percentage: Share of the route before it [%].
        parameters: Parameters of `carla.WeatherParameters`, by name.
    """

    percentage: float
    parameters: Mapping[str, float]


@dataclass(frozen=True)
class RouteEntry:
    """A route of a file.

    Attributes:
        route_id: Its number or name.
        town: The town.
        points: Its points, x, y, z (m).
        weathers: The weathers along it; at least one.
        situations: Its scenarios.
    """

    route_id: str
    town: str
    points: tuple[Point, ...]
    weathers: tuple[Weather, ...] = (Weather(0.0, _DEFAULT_WEATHER),)
    situations: tuple[Situation, ...] = ()


@dataclass
class _Element:
    tag: str
    attributes: dict[str, str]
    line: int
    children: list[_Element] = field(default_factory=list)

    def find(self, tag: str) -> _Element | None:
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, tag: str) -> Iterator[_Element]:
        return (child for child in self.children if child.tag == tag)


def read_routes(path: str | Path) -> list[RouteEntry]:
    """The routes of a file, in the order of the file.

    Raises:
        ScenarioFileError: There is no such file, or it can't be used; the message names the line.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ScenarioFileError(f"The route file '{file}' can't be read: {error.strerror or error}.") from error
    try:
        root = _parse(text)
    except xml.parsers.expat.ExpatError as error:
        raise ScenarioFileError(f"{file}, line {error.lineno}: this is no valid XML: {error}.") from error
    if root is None or root.tag != "routes":
        raise ScenarioFileError(f"{file}, line {root.line if root else 1}: a route file begins with <routes>.")
    reader = _Reader(file)
    routes = [reader.route(element) for element in root.all("route")]
    if not routes:
        raise ScenarioFileError(f"{file}, line {root.line}: there is no <route> in it.")
    ids = [route.route_id for route in routes]
    for element, route_id in zip(root.all("route"), ids):
        if ids.count(route_id) > 1:
            raise ScenarioFileError(f"{file}, line {element.line}: there are two routes with the id '{route_id}'.")
    if reader.unknown:
        left_out = ", ".join(f"{kind} ({count})" for kind, count in sorted(reader.unknown.items()))
        logger.warning("%s: the routes are driven without scenarios of unknown types: %s.", file, left_out)
    return routes


def _parse(text: bytes) -> _Element | None:
    parser = xml.parsers.expat.ParserCreate()
    open_elements: list[_Element] = []
    roots: list[_Element] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = _Element(tag, attributes, parser.CurrentLineNumber)
        (open_elements[-1].children if open_elements else roots).append(element)
        open_elements.append(element)

    def end(tag: str) -> None:
        open_elements.pop()

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(text, True)
    return roots[0] if roots else None


class _Reader:
    def __init__(self, file: Path) -> None:
        self._file = file
        self.unknown: dict[str, int] = {}

    def route(self, element: _Element) -> RouteEntry:
        route_id = self._attribute(element, "id")
        town = element.attributes.get("town") or element.attributes.get("map")
        if not town:
            raise self._error(element, "a <route> needs the attribute 'town'")
        waypoints = element.find("waypoints")
        positions = list(waypoints.all("position") if waypoints is not None else element.all("waypoint"))
        if len(positions) < 2:
            raise self._error(waypoints or element, f"route {route_id} needs two positions or more")
        points = tuple(self._point(position) for position in positions)
        scenarios = element.find("scenarios")
        situations = [self._situation(child) for child in scenarios.all("scenario")] if scenarios is not None else []
        known = tuple(situation for situation in situations if situation is not None)
        return RouteEntry(route_id, town, points, self._weathers(element), known)

    def _weathers(self, route: _Element) -> tuple[Weather, ...]:
        parent = route.find("weathers") or route
        found = []
        for element in parent.all("weather"):
            percentage = self._number(element, "route_percentage", 0.0)
            given = {name: self._number(element, name) for name in element.attributes if name in _WEATHER_ATTRIBUTES}
            found.append(Weather(percentage, {**_DEFAULT_WEATHER, **given}))
        return tuple(sorted(found, key=lambda weather: weather.percentage)) or (Weather(0.0, _DEFAULT_WEATHER),)

    def _situation(self, element: _Element) -> Situation | None:
        kind = self._attribute(element, "type")
        trigger = element.find("trigger_point")
        if trigger is None:
            raise self._error(element, "a <scenario> needs a <trigger_point>")
        place = Trigger(*self._point(trigger), self._number(trigger, "yaw"))
        if kind not in SCENARIO_TYPES:
            self.unknown[kind] = self.unknown.get(kind, 0) + 1
            return None
        parameters = SCENARIO_TYPES[kind].parameters
        given = {}
        for child in element.children:
            if child.tag not in parameters:
                continue
            try:
                given[child.tag] = parameters[child.tag].read(child.attributes)
                check_parameters(kind, {child.tag: given[child.tag]}, kind)
            except (KeyError, ValueError, ConfigError):
                shown = " ".join(f"{name}={quoteattr(value)}" for name, value in child.attributes.items())
                expected = parameters[child.tag].expected
                raise self._error(
                    child, f"<{child.tag} {shown}/> of {kind} can't be used; it has to be {expected}"
                ) from None
        return Situation(kind, place, given, element.attributes.get("name", kind))

    def _point(self, element: _Element) -> Point:
        return self._number(element, "x"), self._number(element, "y"), self._number(element, "z", 0.0)

    def _number(self, element: _Element, name: str, default: float | None = None) -> float:
        text = element.attributes.get(name)
        if text is None and default is not None:
            return default
        try:
            number = float(text or "")
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            given = "is missing" if text is None else f"is {text!r}"
            raise self._error(element, f"{name} of <{element.tag}> {given}, but it has to be a number")
        return number

    def _attribute(self, element: _Element, name: str) -> str:
        if not element.attributes.get(name):
            raise self._error(element, f"a <{element.tag}> needs the attribute '{name}'")
        return element.attributes[name]

    def _error(self, element: _Element, message: str) -> ScenarioFileError:
        return ScenarioFileError(f"{self._file}, line {element.line}: {message}.")


def write_routes(path: str | Path, routes: Iterable[RouteEntry]) -> None:
    """Write routes as a file of the Leaderboard 2.0, which its unmodified evaluator reads."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<routes>"]
    for route in routes:
        lines += [f"  <route id={quoteattr(route.route_id)} town={quoteattr(route.town)}>", "    <weathers>"]
        for weather in route.weathers:
            shown = {"route_percentage": weather.percentage, **weather.parameters}
            lines.append(f"      <weather {_attributes({name: f'{value:g}' for name, value in shown.items()})}/>")
        lines += ["    </weathers>", "    <waypoints>"]
        lines += [f"      <position {_attributes(_place(point))}/>" for point in route.points]
        lines += ["    </waypoints>", "    <scenarios>"]
        for situation in route.situations:
            lines += _scenario_lines(situation)
        lines += ["    </scenarios>", "  </route>"]
    Path(path).write_text("\n".join([*lines, "</routes>", ""]), encoding="utf-8")


def _scenario_lines(situation: Situation) -> list[str]:
    trigger = situation.trigger
    place = {**_place((trigger.x, trigger.y, trigger.z)), "yaw": f"{trigger.yaw:.1f}"}
    lines = [
        f"      <scenario name={quoteattr(situation.name)} type={quoteattr(situation.kind)}>",
        f"        <trigger_point {_attributes(place)}/>",
    ]
    for name, value in situation.given.items():
        attributes = SCENARIO_TYPES[situation.kind].parameters[name].write(value)
        lines.append(f"        <{name} {_attributes(attributes)}/>")
    return [*lines, "      </scenario>"]


def _place(point: Point) -> dict[str, str]:
    return {name: f"{value:.2f}" for name, value in zip("xyz", point)}


def _attributes(values: Mapping[str, str]) -> str:
    return " ".join(f"{name}={quoteattr(value)}" for name, value in values.items())
