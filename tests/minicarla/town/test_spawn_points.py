"""Where vehicles can be put."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import carla
import numpy as np
import pytest

from minicarla import world
from minicarla.labels import ROADS
from minicarla.physics.ground import ground_at
from minicarla.town import Town
from minicarla.town.known_spawn_points import KNOWN
from minicarla.town.spawn_points import IN_CARLA, LONGEST, WIDEST
from tests.minicarla.truth import recorded

TOWNS = ["Minitown", "Town02", "Town05", "Town10HD"]


def outline(pose: np.ndarray, half_x: float, half_y: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (4, 2) and both axes of a box around a pose."""
    yaw = math.radians(pose[4])
    forward, right = np.array([math.cos(yaw), math.sin(yaw)]), np.array([-math.sin(yaw), math.cos(yaw)])
    corners = [pose[:2] + a * half_x * forward + b * half_y * right for a in (-1, 1) for b in (-1, 1)]
    return np.array(corners), forward, right


@pytest.mark.parametrize("name", sorted({*TOWNS} - {*KNOWN}))
def test_the_largest_vehicles_fit_on_all_spawn_points_at_once(name: str, town_named: Callable[[str], Town]) -> None:
    poses = town_named(name).spawn_points
    boxes = [outline(pose, LONGEST / 2, WIDEST / 2) for pose in poses]
    for (i, a), (j, b) in itertools.combinations(enumerate(boxes), 2):
        if np.hypot(*(poses[i] - poses[j])[:2]) > 12.0 or abs(poses[i, 2] - poses[j, 2]) > 4.0:
            continue
        axes = [*a[1:], *b[1:]]
        apart = any(
            (a[0] @ axis).max() <= (b[0] @ axis).min() or (b[0] @ axis).max() <= (a[0] @ axis).min() for axis in axes
        )
        assert apart, f"{poses[i]} and {poses[j]}"


@pytest.mark.parametrize("name", ["Town02", "Town10HD"])  # one with too many places, one with too few
def test_there_are_as_many_spawn_points_as_in_carla(name: str, town_named: Callable[[str], Town]) -> None:
    assert len(town_named(name).spawn_points) == IN_CARLA[name]


def test_town10hd_has_carla_s_spawn_points_in_their_order(town_named: Callable[[str], Town]) -> None:
    with recorded("spawn_points_town10hd.csv").open(newline="") as file:
        theirs = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    ours = town_named("Town10HD").spawn_points
    assert len(ours) == len(theirs)
    for (x, y, z, _, yaw, _), one in zip(ours, theirs):
        assert math.dist((x, y), (one["x"], one["y"])) < 0.3
        assert abs(z - one["z"]) < 0.5
        assert math.cos(math.radians(yaw - one["yaw"])) > math.cos(math.radians(4.0))


def test_every_blueprint_is_within_the_assumed_size() -> None:
    document = json.loads((Path(world.__file__).parent / "blueprints.json").read_text())
    sizes = np.array([vehicle["size"] for vehicle in document["vehicles"].values()])
    assert len(sizes) > 20
    assert sizes[:, 0].max() <= LONGEST
    assert sizes[:, 1].max() <= WIDEST + 0.005


@pytest.mark.parametrize("name", TOWNS)
def test_spawn_points_stand_raised_on_driving_lanes_in_driving_direction(
    name: str, town_named: Callable[[str], Town]
) -> None:
    town = town_named(name)
    assert len(town.spawn_points) >= 50
    for x, y, z, pitch, yaw, roll in town.spawn_points[::3]:
        height, *_, label = ground_at(town.surface, x, y, z)
        assert 0.3 < z - height < 0.7
        assert label == ROADS
        waypoint = town.carla_map.get_waypoint(carla.Location(x, y, z))
        assert waypoint.lane_type == carla.LaneType.Driving
        assert not waypoint.is_junction or name in KNOWN
        offset = carla.Location(x, y, z) - waypoint.transform.location
        assert abs(offset.dot(waypoint.transform.get_right_vector())) < (0.6 if name in IN_CARLA else 0.1)
        assert math.cos(math.radians(waypoint.transform.rotation.yaw - yaw)) > 0.99
        assert abs(pitch) < 20.0
        assert roll == 0.0


@pytest.mark.parametrize("name", TOWNS)
def test_nothing_stands_on_spawn_points(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    boxes = town.obstacles
    reach = np.hypot(boxes["extent_x"], boxes["extent_y"]) + math.hypot(LONGEST, WIDEST) / 2
    for pose in town.spawn_points:
        near = np.hypot(boxes["x"] - pose[0], boxes["y"] - pose[1]) < reach
        near &= (boxes["z"] - boxes["extent_z"] < pose[2] + 3.0) & (boxes["z"] + boxes["extent_z"] > pose[2])
        corners, forward, right = outline(pose, LONGEST / 2, WIDEST / 2)
        for box in boxes[near]:
            other = np.array([box["x"], box["y"], 0, 0, math.degrees(box["yaw"]), 0])
            theirs, *axes = outline(other, float(box["extent_x"]), float(box["extent_y"]))
            assert any(
                (corners @ axis).max() <= (theirs @ axis).min() or (theirs @ axis).max() <= (corners @ axis).min()
                for axis in (forward, right, *axes)
            ), f"obstacle {box} on spawn point {pose}"
