"""Worlds of a bare OpenDRIVE text, made as `carla.OpendriveGenerationParameters` ask."""

from __future__ import annotations

from typing import Any

import carla
import numpy as np
import pytest

from minicarla.labels import GROUND, ROAD_LINES, ROADS, SIDEWALKS, TERRAIN, WALLS
from minicarla.physics.ground import ground_at
from minicarla.town import GenerationParameters, Town, TownError, build_town


def _world(minitown: Town, parameters: GenerationParameters) -> Town:
    return build_town("OpenDriveMap", minitown.opendrive, parameters)


@pytest.fixture(scope="module")
def world(minitown: Town) -> Town:
    """As `Client.generate_opendrive_world` makes it by default."""
    return _world(minitown, GenerationParameters())


@pytest.fixture(scope="module")
def bare(minitown: Town) -> Town:
    """With roads as they are in the text, and no walls."""
    return _world(minitown, GenerationParameters(wall_height=0.0, additional_width=0.0))


@pytest.fixture(scope="module")
def changed(minitown: Town) -> Town:
    """With everything else than by default."""
    return _world(minitown, GenerationParameters(1.0, 10.0, 3.0, 2.0, False, False, False))


def _walls(town: Town) -> np.ndarray:
    return town.obstacles[town.obstacles["label"] == WALLS]


def _paved_share(town: Town, map_: carla.Map, aside: float) -> float:
    """How much of what lies beside the lanes of junctions, so far [m] from their edges, is road."""
    paved = []
    for waypoint in map_.generate_waypoints(3.0):
        if waypoint.is_junction:
            at, right = waypoint.transform.location, waypoint.transform.get_right_vector()
            for side in (-1.0, 1.0):
                reach = side * (0.5 * waypoint.lane_width + aside)
                label = ground_at(town.surface, at.x + reach * right.x, at.y + reach * right.y, at.z + 0.5)[4]
                paved.append(label == ROADS)
    return float(np.mean(paved))


def test_walls_stand_along_roads_and_not_on_lanes(minitown: Town, world: Town) -> None:
    walls = _walls(world)
    waypoints = [waypoint for waypoint in minitown.carla_map.generate_waypoints(2.0) if not waypoint.is_junction]
    beside = 0
    for waypoint in waypoints:
        at, right = waypoint.transform.location, waypoint.transform.get_right_vector()
        dx, dy = at.x - walls["x"], at.y - walls["y"]
        cos, sin = np.cos(walls["yaw"]), np.sin(walls["yaw"])
        along, across = np.abs(dx * cos + dy * sin), np.abs(dy * cos - dx * sin)
        same_level = np.abs(at.z + 0.5 - walls["z"]) < walls["extent_z"]
        assert not (same_level & (along < walls["extent_x"]) & (across < 0.5 * waypoint.lane_width)).any()
        faces = np.abs(right.x * cos + right.y * sin) < 0.1
        beside += bool((same_level & faces & (along < walls["extent_x"]) & (across < 12.0)).any())
    assert beside > 0.9 * len(waypoints)


def test_walls_are_as_high_and_as_long_as_asked(minitown: Town, bare: Town, world: Town, changed: Town) -> None:
    assert len(_walls(bare)) == 0
    for town, height, longest in ((world, 1.0, 50.0), (changed, 3.0, 10.0)):
        walls = town.environment_objects[town.environment_objects["label"] == WALLS]
        assert walls["extent_x"].max() == pytest.approx(0.5 * longest, rel=0.1)
        for wall in walls:
            low, high = (float(wall["z"] + sign * wall["extent_z"]) for sign in (-1.0, 1.0))
            at = carla.Location(float(wall["x"]), float(wall["y"]), low)
            edge = minitown.carla_map.get_waypoint(at, lane_type=carla.LaneType.Any).transform.location.z
            assert low < edge
            # Where it slopes, the box of a piece is higher than its wall.
            assert -0.2 < high - edge - height < 0.3 + 0.05 * wall["extent_x"]


def test_junctions_are_wider_by_the_additional_width(minitown: Town, bare: Town, world: Town, changed: Town) -> None:
    shares = [_paved_share(town, minitown.carla_map, aside=1.2) for town in (bare, world, changed)]
    assert shares[0] < shares[2]
    assert shares[0] <= shares[1] <= shares[2]


def test_an_invisible_mesh_carries_and_is_not_drawn(world: Town, changed: Town) -> None:
    mesh = {ROADS, SIDEWALKS, TERRAIN, ROAD_LINES, WALLS}
    assert mesh <= set(world.scenery.label.tolist())
    assert not {*mesh, GROUND} & set(changed.scenery.label.tolist())
    assert len(changed.scenery.triangles)
    assert len(_walls(changed))
    assert {ROADS, SIDEWALKS, TERRAIN} <= set(np.unique(changed.surface.label).tolist())


def test_there_is_a_navigation_mesh_only_if_wanted(world: Town, changed: Town) -> None:
    assert world.navigation_mesh()[1]
    assert changed.navigation_mesh() == ("", b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [("vertex_distance", 0.0), ("max_road_length", -1.0), ("wall_height", -0.1), ("wall_height", 1e6)],
)
def test_parameters_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    values: Any = {name: value}
    with pytest.raises(TownError, match=name):
        GenerationParameters(**values)
