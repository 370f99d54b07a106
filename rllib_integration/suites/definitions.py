"""Definitions of the suites: routes, weathers, traffic, and criteria of success.

CoRL2017 is the test of Dosovitskiy et al. 2017, NoCrash that of Codevilla et al. 2019, long routes follow the form of
longest6 (Chitta et al. 2022). The poses are this project's own, see `drawing`. Weathers are stored by value, and do
not depend on CARLA's version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, nearest_sentence
from rllib_integration.scenarios.route_file import RouteEntry, read_routes

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
        goal_distance: Distance within which the goal counts as reached [m]; 0 = the route's end has to be reached.
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
        number: Number of its route in the town, from 0.
        town: Its town.
        weather: Name of its weather.
        start: x, y, z [m], yaw [degrees].
        points: Points of the route, x, y, z [m]; the last is the goal.
        vehicles, walkers: Numbers of the traffic.
        rules: Rules of the suite.
        route: The route of a file, with weather and scenarios; in place of `start` and `points`.
        file: Its file.
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
    route: RouteEntry | None = None
    file: Path | None = field(default=None, compare=False)

    def key(self, seed: int) -> str:
        """A unique name of the episode in a run."""
        return f"{self.suite}/{self.task}/{self.split}/{self.town}/{self.weather}/{self.number}/{seed}"

    def options(self, weathers: Settings) -> Record:
        """The options of `CarlaEnv.reset` for this episode."""
        traffic = {"n_vehicles": self.vehicles, "n_walkers": self.walkers}
        if self.route is not None:
            chosen = {"file": str(self.file), "routes": [self.route.route_id], "leaderboard": True}
            return {"town": self.town, "background_activity": traffic, "scenarios": chosen}
        x, y, z, yaw = self.start
        return {
            "town": self.town,
            "weather": dict(weathers[self.weather]),
            "hero": {"spawn_points": [f"{x},{y},{z},0,0,{yaw}"]},
            "route": {"via": [",".join(map(str, point[:3])) for point in self.points]},
            "background_activity": traffic,
        }


CORL2017 = Rules(speed=10.0, extra_seconds=10.0)
NOCRASH = Rules(speed=5.0, extra_seconds=20.0, collision_fails=True)
LONG = Rules(speed=0.0, extra_seconds=0.0, blocked_seconds=90.0, farthest_off=30.0)
LEADERBOARD = Rules(speed=0.0, extra_seconds=0.0, goal_distance=0.0)  # its own criteria end a route beside the goal

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
_SCENARIO_VEHICLES = 30  # in the town, beside those of the scenarios
_OF_FILE = "of the file"  # in place of a weather's name
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
    routes = read_routes(file)
    towns = [route.town for route in routes]
    return [_of_route(file, towns[:place].count(route.town), route) for place, route in enumerate(routes)]


def _of_route(file: Path, number: int, route: RouteEntry) -> Scenario:
    vehicles = _SCENARIO_VEHICLES if route.situations else _LONG_VEHICLES.get(route.town, 0)
    facts = (file.stem, "routes", route.town, number, route.town, _OF_FILE)
    return Scenario(*facts, (), (), vehicles, 0, LEADERBOARD, route, file.resolve())


def hash_of(scenarios: Sequence[Scenario]) -> str:
    """SHA-256 of the scenarios and weathers."""
    told = [asdict(one).items() for one in scenarios]
    found = [{name: fact for name, fact in one if fact is not None and name != "file"} for one in told]
    facts = {"scenarios": found, "weathers": weathers()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
