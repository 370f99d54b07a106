"""Draws the poses of the suites: python3 -m rllib_integration.suites.drawing

The rules follow the published tasks: straight on, exactly one turn at a junction, or several turns. All poses are spawn
points of the town, stored by their coordinates in `poses.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import carla
import numpy as np

from rllib_integration.annotations import Record
from rllib_integration.base_experiment import BASE_EXPERIMENT_CONFIG
from rllib_integration.carla_core import CarlaCore
from rllib_integration.config.merging import overlay
from rllib_integration.roads.routes import RoadOption, Route, RouteError, RoutePlanner

POSES_FILE = Path(__file__).with_name("poses.json")
SEED = 2026
ROUTES = 25
LENGTHS = {  # [m] least and greatest length of a route
    "straight": {"Town01": (100.0, 260.0), "Town02": (70.0, 180.0)},
    "one_turn": {"Town01": (100.0, 500.0), "Town02": (70.0, 350.0)},
    "navigation": {"Town01": (1000.0, 2000.0), "Town02": (500.0, 1200.0)},
    "crossing_town": {"Town01": (250.0, 1200.0), "Town02": (170.0, 700.0)},
}
LONG_TOWNS = ("Town01", "Town02", "Town03", "Town04", "Town05", "Town06")
LONG_ROUTES = 6
LONG_LENGTH = 1500.0  # [m]
LONG_SPACING = 40.0  # [m] between the points that define a long route
_TURNS = (RoadOption.LEFT, RoadOption.RIGHT)
_CHANGES = (RoadOption.CHANGE_LANE_LEFT, RoadOption.CHANGE_LANE_RIGHT)


def turns_of(route: Route) -> int:
    """Number of a route's turns at junctions."""
    return sum(int(option) in _TURNS for option, _ in groupby(route.options.tolist()))


RULES: dict[str, Callable[[Route], bool]] = {
    "straight": lambda route: turns_of(route) == 0,
    "one_turn": lambda route: turns_of(route) == 1,
    "navigation": lambda route: turns_of(route) >= 2,
    "crossing_town": lambda route: True,
}


def draw_routes(carla_map: carla.Map, town: str, task: str, rng: np.random.Generator) -> list[list[list[float]]]:
    """`ROUTES` pairs of poses, [[x, y, z, yaw], [x, y, z, yaw]] in m and degrees, whose route fits the task.

    Each start is used once.
    """
    planner = RoutePlanner.for_map(carla_map)
    least, most = LENGTHS[task][town]
    points = carla_map.get_spawn_points()
    found = []
    for first in rng.permutation(len(points)).tolist():
        for last in rng.permutation(len(points))[:40].tolist():
            try:
                route = planner.route_to(points[first], points[last].location)
            except RouteError:
                continue
            changes = any(int(option) in _CHANGES for option in route.options)
            if least <= route.length <= most and not changes and RULES[task](route):
                found.append([_numbers(points[first]), _numbers(points[last])])
                break
        if len(found) == ROUTES:
            return found
    raise RuntimeError(f"{town} has only {len(found)} routes for {task!r}.")


def draw_long_routes(carla_map: carla.Map, rng: np.random.Generator) -> list[list[list[float]]]:
    """`LONG_ROUTES` lists of a start [x, y, z, yaw] and points [x, y, z] to pass: some 1.5 km, turning at random."""
    planner = RoutePlanner.for_map(carla_map)
    points = carla_map.get_spawn_points()
    found = []
    for number in rng.permutation(len(points)).tolist():
        try:
            route = planner.random_route(points[number], LONG_LENGTH, rng)
            via = list(_points_along(route))
            again = planner.route_through(points[number], [carla.Location(x, y, z) for x, y, z in via])
        except RouteError:
            continue
        if route.length > 0.9 * LONG_LENGTH and abs(again.length - route.length) < 0.02 * route.length:
            found.append([_numbers(points[number]), *([round(x, 1), round(y, 1), round(z, 1)] for x, y, z in via)])
        if len(found) == LONG_ROUTES:
            return found
    raise RuntimeError(f"The town has only {len(found)} long routes.")


def _points_along(route: Route) -> Iterator[tuple[float, float, float]]:
    steps = np.hypot(np.diff(route.points[:, 0]), np.diff(route.points[:, 1]))
    distance = np.r_[0.0, np.cumsum(steps)]
    for at in np.arange(LONG_SPACING, route.length, LONG_SPACING):
        x, y, z, _ = route.points[int(np.searchsorted(distance, at))]
        yield float(x), float(y), float(z)


def _numbers(pose: carla.Transform) -> list[float]:
    place = pose.location
    return [round(number, 2) for number in (place.x, place.y, place.z, pose.rotation.yaw)]


def draw_all() -> Record:
    """Draw every suite's poses, on a server that is started for this."""
    poses: Record = {task: {} for task in (*LENGTHS, "long")}
    core = CarlaCore({"timeout": 60.0})
    try:
        for town in LONG_TOWNS:
            core.setup_experiment(overlay(BASE_EXPERIMENT_CONFIG, {"town": town}), seed=SEED)
            rng = np.random.default_rng(SEED)
            for task in LENGTHS:
                if town in LENGTHS[task]:
                    poses[task][town] = draw_routes(core.map, town, task, rng)
            poses["long"][town] = draw_long_routes(core.map, rng)
    finally:
        core.close()
    return poses


def main() -> None:
    """Draw, and write `poses.json`."""
    poses = draw_all()
    lines = ",\n".join(f' "{task}": {json.dumps(towns)}' for task, towns in poses.items())
    POSES_FILE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    print(f"Written: {POSES_FILE}")


if __name__ == "__main__":
    main()
