"""Determines an episode's scenarios: drawn by type, or taken from a route file.

The result is a start, a route and pinned situations, laid over the experiment's settings. Passing them to
`reset(options=...)` repeats the episode.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import carla
import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, nearest_sentence, overlay
from rllib_integration.roads.routes import RoutePlanner
from rllib_integration.scenarios.director import trigger_on_route
from rllib_integration.scenarios.places import POINT_STEP, Place, find_places
from rllib_integration.scenarios.route_file import RouteEntry, read_routes
from rllib_integration.scenarios.settings import WHERE, at_level
from rllib_integration.scenarios.situations import Situation
from rllib_integration.scenarios.types import SCENARIO_TYPES

logger = logging.getLogger(__name__)

_ABOVE_GROUND = 0.5  # [m] of the hero's start, as in the Leaderboard
_FIRST_START = 10.0  # [m] before a trigger: the nearest of a place's starts
_START_STEP = 5.0  # [m] between two starts of a place


def choose_route(experiment: Settings, rng: np.random.Generator) -> Record:
    """An episode's settings; with a route file, they have the town and the weather of one of its routes.

    Args:
        experiment: A complete `experiment` section.
        rng: Draws the route.

    Raises:
        ConfigError: The file can't be used, or has no such route.
    """
    settings = experiment["scenarios"]
    if settings["pinned"] or not settings["file"]:
        return dict(experiment)
    routes = _routes_of(settings["file"], tuple(str(name) for name in settings["routes"]))
    route = routes[int(rng.integers(len(routes)))]
    chosen = {"town": route.town, "weather": dict(route.weathers[0].parameters)}
    return overlay(experiment, {**chosen, "scenarios": {"routes": [route.route_id]}})


def situate(experiment: Settings, carla_map: carla.Map, rng: np.random.Generator) -> Record:
    """An episode's settings with its start, route and scenarios in a town.

    Args:
        experiment: The result of `choose_route`.
        carla_map: The town.
        rng: Draws the episode's scenarios.

    Raises:
        ConfigError: The file can't be used, or the town has no place for any of the types.
        RouteError: A route can't be driven over the town's lanes.
    """
    settings = experiment["scenarios"]
    if settings["pinned"]:
        return dict(experiment)
    if settings["file"]:
        (route,) = _routes_of(settings["file"], tuple(settings["routes"]))
        return overlay(experiment, along_route(route, carla_map))
    if not (settings["types"] or settings["levels"]) or rng.random() >= settings["share"]:
        return dict(experiment)
    return overlay(experiment, draw_place(settings, carla_map, rng))


def along_route(route: RouteEntry, carla_map: carla.Map) -> Record:
    """The settings of an episode on a route of a file; scenarios that are off the route are skipped with a warning."""
    points = [carla.Location(*point) for point in route.points]
    planned = RoutePlanner.for_map(carla_map).route_along(points)
    situations = []
    for situation in route.situations:
        if trigger_on_route(planned, situation.trigger) is None:
            logger.warning("Route %s: %s is not on it, so it is left out.", route.route_id, situation.name)
        else:
            situations.append(situation.settings())
    x, y, z, yaw = planned.points[0]
    return {
        "hero": {"spawn_points": [_pose(x, y, z, math.degrees(yaw))]},
        "route": {"via": [_text(*point) for point in route.points]},
        "scenarios": {"pinned": situations},
    }


def draw_place(settings: Settings, carla_map: carla.Map, rng: np.random.Generator) -> Record:
    """The settings of an episode that begins shortly before a trigger.

    Args:
        settings: The `scenarios` section.
        carla_map: The town.
        rng: Draws type, place, parameters and start.

    Raises:
        ConfigError: The town has no place for any of the types.
    """
    level, types = at_level(settings, rng)
    possible = {kind: given for kind, given in types.items() if find_places(carla_map, kind)}
    if not possible:
        raise ConfigError(
            f"{WHERE}.types: {carla_map.name.rsplit('/', 1)[-1]} has no place for {', '.join(types)}. "
            "Choose other types or another town."
        )
    weights = np.array([float(given.get("weight", 1.0)) for given in possible.values()])
    kind = list(possible)[int(rng.choice(len(possible), p=weights / weights.sum()))]
    places = find_places(carla_map, kind)
    place = places[int(rng.integers(len(places)))]
    given = {name: value for name, value in possible[kind].items() if name != "weight"}
    drawn = _settings_of(draw_at(place, given, settings["lead"], rng))
    drawn["scenarios"]["level"] = level
    return drawn


class Drawn(NamedTuple):
    """A situation that has been drawn at a place.

    Attributes:
        start: Where the hero starts, x, y, z (m) and yaw [degrees].
        points: Points that the route passes from the trigger on, x, y, z (m); the last is its goal.
        situation: With all its parameters.
    """

    start: tuple[float, float, float, float]
    points: list[tuple[float, float, float]]
    situation: Situation


def draw_at(place: Place, given: Settings, lead: Sequence[float], rng: np.random.Generator) -> Drawn:
    """Draw what a place leaves open.

    Args:
        place: Where.
        given: Parameters that are set, also as ranges; of the others the place says what fits.
        lead: Range of the distance from the start to the trigger (m).
        rng: Draws start and parameters.

    Raises:
        ConfigError: A parameter can't be used.
    """
    low, high = (round((float(end) - _FIRST_START) / _START_STEP) for end in lead)
    last = len(place.starts) - 1
    first, farthest = min(max(low, 0), last), min(max(high, 0), last)
    start = place.starts[int(rng.integers(first, farthest + 1))]
    fitting = {name: value for name, value in place.given.items() if name not in given}
    situation = Situation(place.kind, place.trigger, {**fitting, **given}, place.kind)
    drawn = situation._replace(given=situation.values(rng))
    points = place.points
    if "distance" in drawn.given and SCENARIO_TYPES[place.kind].distance_is_ahead:
        distance = min(drawn.given["distance"], place.room)
        drawn = drawn._replace(given={**drawn.given, "distance": distance})
        points = points[: math.ceil((distance + SCENARIO_TYPES[place.kind].reach) / POINT_STEP) + 1]
    return Drawn(start, points, drawn)


def _settings_of(drawn: Drawn) -> Record:
    return {
        "hero": {"spawn_points": [_pose(*drawn.start)]},
        "route": {"via": [_text(*point) for point in drawn.points]},
        "scenarios": {"pinned": [drawn.situation.settings()]},
    }


@functools.lru_cache(maxsize=8)
def _routes_of(file: str, names: tuple[str, ...]) -> list[RouteEntry]:
    """The routes of a file, or those of some ids.

    Raises:
        ConfigError: The file can't be used, or has no such route.
    """
    routes = read_routes(Path(file))
    ids = [route.route_id for route in routes]
    for name in names:
        if name not in ids:
            raise ConfigError(f"{WHERE}.routes: '{file}' has no route '{name}'. {nearest_sentence(name, ids)}")
    return [route for route in routes if not names or route.route_id in names]


def _pose(x: float, y: float, z: float, yaw: float) -> str:
    return f"{x:.3f},{y:.3f},{z + _ABOVE_GROUND:.3f},0,0,{yaw:.2f}"


def _text(x: float, y: float, z: float) -> str:
    return f"{x:.3f},{y:.3f},{z:.3f}"
