"""Makes situations for a town, by seed: routes in the form of the CARLA Leaderboard, with one scenario each.

Places for tests are held out: a town is cut into squares, and in every fifth of them lie only triggers of tests.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import carla
import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError
from rllib_integration.roads.routes import RouteError, RoutePlanner
from rllib_integration.scenarios.director import trigger_on_route
from rllib_integration.scenarios.drawing import Drawn, draw_at
from rllib_integration.scenarios.parameters import Choice, Interval, Number
from rllib_integration.scenarios.places import Place, find_places
from rllib_integration.scenarios.route_file import RouteEntry, Weather
from rllib_integration.scenarios.settings import SCENARIOS_CONFIG
from rllib_integration.scenarios.situations import Trigger
from rllib_integration.scenarios.types import SCENARIO_TYPES

Point = tuple[float, float]

APART = 10.0
"""Distance of starts from evaluated starts, and of triggers from evaluated triggers (m)."""

_SQUARE = 100.0  # [m] side of the squares of which every fifth is held out
_VARIETY = (0.75, 1.25)  # times its default, a number
_WHOLE = 10.0  # numbers from here on are written without a fraction
_ROUNDS = 10  # how often a place is tried, each time with another start and other parameters
_AHEAD = 10.0  # [m] of the trigger, the car on the lane beside


def is_held_out(trigger: Trigger) -> bool:
    """Whether a place is one for tests."""
    return (int(trigger.x // _SQUARE) + 2 * int(trigger.y // _SQUARE)) % 5 == 0


@dataclass(frozen=True)
class RouteGenerator:
    """Makes routes for a town.

    Attributes:
        carla_map: The town; one made of OpenDRIVE text will do.
        seed: Decides all; 0 or more.
        weathers: To draw from, each as parameters of `carla.WeatherParameters`.
        for_tests: Whether the places are those held out, or the others.
        evaluated_starts: Where evaluated routes start, x and y (m); starts are `APART` from them.
        evaluated_triggers: Where their scenarios begin; triggers are as far from them.
    """

    carla_map: carla.Map
    seed: int
    weathers: Sequence[Mapping[str, float]]
    for_tests: bool = False
    evaluated_starts: Sequence[Point] = ()
    evaluated_triggers: Sequence[Point] = ()

    @property
    def town(self) -> str:
        """The town's plain name."""
        return str(self.carla_map.name).rsplit("/", 1)[-1]

    def kinds_with_places(self, kinds: Sequence[str]) -> list[str]:
        """Those of some types that have a place in the town.

        Raises:
            ConfigError: None has.
        """
        found = [kind for kind in kinds if self._places(kind)]
        if not found:
            held_out = "held-out " if self.for_tests else ""
            raise ConfigError(
                f"{self.town} has no {held_out}place for {', '.join(kinds)}. Choose other types or another town."
            )
        return found

    def routes(self, kinds: Sequence[str], count: int, first_id: int = 0) -> list[RouteEntry]:
        """Routes of some types in turn, no two alike; those of a type do not depend on the others.

        Args:
            kinds: Names of the types.
            count: How many routes.
            first_id: Id of the first; the others follow.

        Raises:
            ConfigError: The town has no place for any of the types, or has not as many routes.
        """
        streams = [self._routes_of(kind) for kind in self.kinds_with_places(kinds)]
        found = list(islice(_in_turn(streams), count))
        if len(found) < count:
            raise ConfigError(
                f"{self.town} has only {len(found)} different routes for {', '.join(kinds)}, but {count} were asked "
                "for. Ask for fewer, or add types."
            )
        return [self._numbered(route, first_id + number) for number, route in enumerate(found)]

    def _numbered(self, route: RouteEntry, number: int) -> RouteEntry:
        named = tuple(situation._replace(name=f"{situation.kind}_{number}") for situation in route.situations)
        return RouteEntry(str(number), route.town, route.points, route.weathers, named)

    def _places(self, kind: str) -> list[Place]:
        return [place for place in find_places(self.carla_map, kind) if is_held_out(place.trigger) == self.for_tests]

    def _routes_of(self, kind: str) -> Iterator[RouteEntry]:
        rng = np.random.default_rng([self.seed, *(zlib.crc32(name.encode()) for name in (self.town, kind))])
        places = self._places(kind)
        known: set[str] = set()
        for _ in range(_ROUNDS):
            for number in rng.permutation(len(places)).tolist():
                place = places[number]
                drawn = draw_at(place, self._parameters(place, rng), SCENARIOS_CONFIG["lead"], rng)
                weather = self.weathers[int(rng.integers(len(self.weathers)))]
                if str(drawn) in known or not self._is_good(drawn):
                    continue
                known.add(str(drawn))
                given = {name: value for name, value in drawn.situation.given.items() if value is not None}
                points = (drawn.start[:3], *drawn.points)
                situation = drawn.situation._replace(given=given)
                yield RouteEntry("", self.town, points, (Weather(0.0, weather),), (situation,))

    def _parameters(self, place: Place, rng: np.random.Generator) -> Settings:
        """Those that the place leaves open, drawn."""
        values: Record = {}
        for name, parameter in SCENARIO_TYPES[place.kind].parameters.items():
            factor = rng.uniform(*_VARIETY)
            if name in place.given:
                continue
            if isinstance(parameter, Number):
                values[name] = _varied(parameter.default, factor, parameter)
            elif isinstance(parameter, Interval):
                values[name] = tuple(_varied(end, factor, parameter) for end in parameter.default)
            elif isinstance(parameter, Choice):
                values[name] = list(parameter.words) or parameter.default
            elif name == "other_actor_location":
                values[name] = self._beside(place.trigger)
        return values

    def _beside(self, trigger: Trigger) -> tuple[float, float, float] | None:
        """A place a little ahead of a trigger, on the lane of the same direction beside it."""
        here = self.carla_map.get_waypoint(carla.Location(trigger.x, trigger.y, trigger.z))
        for ahead in here.next(_AHEAD):
            for lane in (ahead.get_right_lane(), ahead.get_left_lane()):
                if lane is not None and lane.lane_type == carla.LaneType.Driving and lane.lane_id * ahead.lane_id > 0:
                    at = lane.transform.location
                    return round(at.x, 2), round(at.y, 2), round(at.z, 2)
        return None

    def _is_good(self, drawn: Drawn) -> bool:
        """Whether it is apart from what is evaluated, and the way along its points leads over the trigger."""
        trigger = drawn.situation.trigger
        if not (_is_apart(drawn.start, self.evaluated_starts) and _is_apart(trigger, self.evaluated_triggers)):
            return False
        points = [carla.Location(*point) for point in (drawn.start[:3], *drawn.points)]
        try:
            route = RoutePlanner.for_map(self.carla_map).route_along(points)
        except RouteError:
            return False
        return trigger_on_route(route, trigger) is not None


def _is_apart(place: Sequence[float], others: Sequence[Point]) -> bool:
    return all(math.hypot(x - place[0], y - place[1]) >= APART for x, y in others)


def _varied(default: float, factor: float, limits: Number | Interval) -> float:
    value = min(max(default * factor, limits.low), limits.high)
    return round(value, 0 if default >= _WHOLE else 2)


def _in_turn(streams: list[Iterator[RouteEntry]]) -> Iterator[RouteEntry]:
    """One of each in turn, until all have ended."""
    while streams:
        for stream in list(streams):
            route = next(stream, None)
            if route is None:
                streams.remove(stream)
            else:
                yield route
