"""Definitions of the suites: routes, weathers, traffic, and criteria of success.

CoRL2017 is the test of Dosovitskiy et al. 2017, NoCrash that of Codevilla et al. 2019, long routes follow the form of
longest6 (Chitta et al. 2022). The poses are this project's own, see `drawing`. Weathers are stored by value, and do
not depend on CARLA's version.
"""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, nearest_sentence

_FOLDER = Path(__file__).parent
TRAINING_WEATHERS = ("ClearNoon", "WetNoon", "HardRainNoon", "ClearSunset")
LONG_WEATHERS = ("ClearNoon", "CloudySunset", "WetNoon", "WetCloudyNoon", "MidRainyNoon", "HardRainNoon")
KMH = 1.0 / 3.6


@dataclass(frozen=True)
class Rules:
    """The ends of an episode, and the criteria of success.

    Attributes:
        speed: Mean speed that determines the time limit [km/h]; 0 = no limit.
        extra_seconds: Time added to the route's duration at this speed.
        collision_fails: Whether a collision ends the episode.
        blocked_seconds: Standing time that ends the episode; 0 = none.
        farthest_off: Distance from the route that ends the episode [m]; 0 = none.
        goal_distance: Distance within which the goal counts as reached [m].
    """

    speed: float
    extra_seconds: float
    collision_fails: bool = False
    blocked_seconds: float = 0.0
    farthest_off: float = 0.0
    goal_distance: float = 2.0

    def seconds(self, length: float) -> float:
        """Time limit for a route of a length [m]; infinite without a limit."""
        return length / (self.speed * KMH) + self.extra_seconds if self.speed > 0.0 else float("inf")


@dataclass(frozen=True)
class Scenario:
    """One episode of a suite, before it is driven.

    Attributes:
        suite, task, split: Table, line and column of its result.
        number: Number of its route, from 0.
        town: Its town.
        weather: Name of its weather.
        start: x, y, z [m], yaw [degrees].
        points: Points of the route, x, y, z [m]; the last is the goal.
        vehicles, walkers: Numbers of the traffic.
        rules: Rules of the suite.
    """

    suite: str
    task: str
    split: str
    number: int
    town: str
    weather: str
    start: tuple[float, ...]
    points: tuple[tuple[float, ...], ...]
    vehicles: int
    walkers: int
    rules: Rules

    def key(self, seed: int) -> str:
        """A unique name of the episode in a run."""
        return f"{self.suite}/{self.task}/{self.split}/{self.town}/{self.weather}/{self.number}/{seed}"

    def options(self, weathers: Settings) -> Record:
        """The options of `CarlaEnv.reset` for this episode."""
        x, y, z, yaw = self.start
        return {
            "town": self.town,
            "weather": dict(weathers[self.weather]),
            "hero": {"spawn_points": [f"{x},{y},{z},0,0,{yaw}"]},
            "route": {"via": [",".join(map(str, point[:3])) for point in self.points]},
            "background_activity": {"n_vehicles": self.vehicles, "n_walkers": self.walkers},
        }


CORL2017 = Rules(speed=10.0, extra_seconds=10.0)
NOCRASH = Rules(speed=5.0, extra_seconds=20.0, collision_fails=True)
LONG = Rules(speed=0.0, extra_seconds=0.0, blocked_seconds=90.0, farthest_off=30.0)

_SPLITS = {  # town, weathers
    "train": ("Town01", TRAINING_WEATHERS),
    "new weather": ("Town01", ("WetCloudyNoon", "SoftRainSunset")),
    "new town": ("Town02", TRAINING_WEATHERS),
    "new town and weather": ("Town02", ("WetCloudyNoon", "SoftRainSunset")),
}
_TRAFFIC = {  # task -> town -> vehicles, walkers
    "dynamic": {"Town01": (20, 50), "Town02": (15, 50)},
    "empty": {"Town01": (0, 0), "Town02": (0, 0)},
    "regular": {"Town01": (20, 50), "Town02": (15, 50)},
    "dense": {"Town01": (100, 250), "Town02": (70, 150)},
}
_LONG_VEHICLES = {"Town01": 120, "Town02": 70, "Town03": 70, "Town04": 150, "Town05": 120, "Town06": 120}


def weathers() -> dict[str, dict[str, float]]:
    """The parameters of each weather by its name."""
    found: dict[str, dict[str, float]] = json.loads((_FOLDER / "weathers.json").read_text(encoding="utf-8"))
    return found


def _poses() -> Record:
    found: Record = json.loads((_FOLDER / "poses.json").read_text(encoding="utf-8"))
    return found


def _pairs(
    suite: str, task: str, poses: Settings, traffic: Mapping[str, tuple[int, int]], rules: Rules
) -> list[Scenario]:
    """A task over all splits: each route in each weather."""
    return [
        Scenario(suite, task, split, number, town, weather, tuple(start), (tuple(goal[:3]),), *traffic[town], rules)
        for split, (town, names) in _SPLITS.items()
        for weather in names
        for number, (start, goal) in enumerate(poses[town])
    ]


def _corl2017() -> list[Scenario]:
    poses, empty = _poses(), _TRAFFIC["empty"]
    tasks = {"straight": "straight", "one turn": "one_turn", "navigation": "navigation"}
    found = [one for task, kind in tasks.items() for one in _pairs("corl2017", task, poses[kind], empty, CORL2017)]
    dynamic = _pairs("corl2017", "navigation dynamic", poses["navigation"], _TRAFFIC["dynamic"], CORL2017)
    return found + dynamic


def _nocrash() -> list[Scenario]:
    poses = _poses()["crossing_town"]
    return [
        one for task in ("empty", "regular", "dense") for one in _pairs("nocrash", task, poses, _TRAFFIC[task], NOCRASH)
    ]


def _long() -> list[Scenario]:
    return [
        Scenario(
            *("long", "long routes", town, number, town, LONG_WEATHERS[number % len(LONG_WEATHERS)]),
            *(tuple(start), tuple(tuple(point) for point in points), _LONG_VEHICLES[town], 0, LONG),
        )
        for town, routes in _poses()["long"].items()
        for number, (start, *points) in enumerate(routes)
    ]


SUITES: dict[str, Callable[[], list[Scenario]]] = {"corl2017": _corl2017, "nocrash": _nocrash, "long": _long}
"""By name."""


def find_suite(name: str) -> list[Scenario]:
    """The scenarios of a suite: one of `SUITES`, or a route file in the format of CARLA's Leaderboard (XML).

    Raises:
        ConfigError: There is no such suite or file, or the file can't be read.
    """
    if name in SUITES:
        return SUITES[name]()
    file = Path(name).expanduser()
    if not file.is_file():
        raise ConfigError(f"There is no suite {name!r}, and no file of that name. {nearest_sentence(name, SUITES)}")
    return _read_leaderboard(file)


def _read_leaderboard(file: Path) -> list[Scenario]:
    """Routes of a file in the format of CARLA's Leaderboard, with the rules of long routes."""
    try:
        root = ElementTree.parse(file).getroot()
        return [_leaderboard_route(file.stem, element) for element in root.iter("route")]
    except (ElementTree.ParseError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{file} is not a file of routes as CARLA's Leaderboard has them, <routes><route id= town=><waypoint x= y= "
            f"z= yaw=/>...: {error!r}."
        ) from error


def _leaderboard_route(suite: str, element: ElementTree.Element) -> Scenario:
    places = [*element.iter("waypoint"), *element.iter("position")]
    if len(places) < 2:
        raise ValueError(f"route {element.get('id')} has {len(places)} way points, but a start and a goal are needed")
    points = [tuple(float(place.attrib[name]) for name in ("x", "y", "z")) for place in places]
    town = element.attrib["town"]
    x, y, z = points[0]
    start = (x, y, z + 0.5, float(places[0].get("yaw", "nan")))
    number = int(element.attrib["id"])
    return Scenario(
        suite, "routes", town, number, town, "ClearNoon", start, tuple(points[1:]), _LONG_VEHICLES.get(town, 0), 0, LONG
    )


def hash_of(scenarios: Sequence[Scenario]) -> str:
    """SHA-256 of the scenarios and weathers."""
    facts = {"scenarios": [asdict(one) for one in scenarios], "weathers": weathers()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
