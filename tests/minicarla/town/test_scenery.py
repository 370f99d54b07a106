"""What cameras see of a town and what vehicles can hit."""

from __future__ import annotations

from collections.abc import Callable

import carla
import numpy as np
import pytest

from minicarla.labels import (
    BUILDINGS,
    POLES,
    ROAD_LINES,
    ROADS,
    SIDEWALKS,
    TERRAIN,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGNS,
    VEGETATION,
)
from minicarla.physics.ground import ground_at, ground_heights
from minicarla.town import Town
from minicarla.town.parking_lots import PARKING_LOTS
from tests.known import present

TOWNS = ["Minitown", "Town05"]


@pytest.mark.parametrize("name", TOWNS)
def test_a_town_has_all_that_one_expects_to_see(name: str, town_named: Callable[[str], Town]) -> None:
    scenery = town_named(name).scenery
    expected = {ROADS, SIDEWALKS, BUILDINGS, POLES, TRAFFIC_LIGHT, TRAFFIC_SIGNS, VEGETATION, TERRAIN, ROAD_LINES}
    assert expected <= set(scenery.label.tolist())
    assert np.isfinite(scenery.vertices).all()
    assert scenery.triangles.min() >= 0
    assert scenery.triangles.max() < len(scenery.vertices)
    count = len(scenery.triangles)
    assert scenery.label.shape == (count,)
    assert scenery.colour.shape == (count, 3)
    assert scenery.object_id.shape == (count,)


@pytest.mark.parametrize("name", TOWNS)
def test_roads_and_terrain_face_upward(name: str, town_named: Callable[[str], Town]) -> None:
    scenery = town_named(name).scenery
    for label in (ROADS, TERRAIN):
        corners = scenery.vertices[scenery.triangles[scenery.label == label]].astype(float)
        up = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
        assert (up > -1e-6).all()


@pytest.mark.parametrize("name", TOWNS)
def test_what_is_drawn_as_road_is_where_wheels_roll(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    scenery = town.scenery
    corners = scenery.vertices[scenery.triangles[scenery.label == ROADS]].astype(float)
    edge = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).min(axis=1)
    middle = corners[edge > 0.5].mean(axis=1)
    height = ground_heights(town.surface, middle[:, 0], middle[:, 1], middle[:, 2] + 0.3)
    assert np.quantile(np.abs(height - middle[:, 2]), 0.99) < 0.15


@pytest.mark.parametrize("name", TOWNS)
def test_markings_come_as_quadrilaterals_just_above_the_road(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    scenery = town.scenery
    marks = scenery.triangles[scenery.marking_start : scenery.marking_stop]
    assert set(scenery.label[scenery.marking_start : scenery.marking_stop]) == {ROAD_LINES}
    assert (scenery.label == ROAD_LINES).sum() == len(marks)
    assert (marks[0::2, 0] == marks[1::2, 0]).all()
    assert (marks[0::2, 2] == marks[1::2, 1]).all()
    middle = scenery.vertices[marks].astype(float).mean(axis=1)
    height = ground_heights(town.surface, middle[:, 0], middle[:, 1], middle[:, 2] + 0.3)
    # Crosswalks may reach over a kerb.
    assert np.quantile(np.abs(middle[:, 2] - height), 0.99) < 0.15


@pytest.mark.parametrize("name", TOWNS)
def test_nothing_solid_stands_on_driving_lanes(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    boxes = town.obstacles
    waypoints = town.carla_map.generate_waypoints(2.0)
    for waypoint in waypoints[::2]:
        at = waypoint.transform.location
        cos, sin = np.cos(boxes["yaw"]), np.sin(boxes["yaw"])
        dx, dy = at.x - boxes["x"], at.y - boxes["y"]
        beside = np.abs(dx * cos + dy * sin) - boxes["extent_x"], np.abs(dy * cos - dx * sin) - boxes["extent_y"]
        hit = (beside[0] < 1.0) & (beside[1] < 1.0)
        hit &= np.abs(at.z + 1.0 - boxes["z"]) < boxes["extent_z"] + 0.8
        assert not hit.any(), f"{boxes[hit]} at {at}"


@pytest.mark.parametrize("name", TOWNS)
def test_objects_obstacles_and_meshes_are_the_same_things(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    objects = town.environment_objects
    assert len(set(objects["object_id"].tolist())) == len(objects)
    assert len(set(objects["name"].tolist())) == len(objects)
    assert set(town.obstacles["object_id"].tolist()) <= set(objects["object_id"].tolist())
    assert set(town.scenery.object_id.tolist()) - {0} == set(objects["object_id"].tolist())
    by_id = {int(item["object_id"]): item for item in objects}
    for box in town.obstacles[::7]:
        item = by_id[int(box["object_id"])]
        assert item["label"] == box["label"]
        assert np.hypot(item["x"] - box["x"], item["y"] - box["y"]) < 1e-6


def test_the_box_of_a_tree_holds_its_crown_which_rays_meet(minitown: Town) -> None:
    scenery, objects, targets = minitown.scenery, minitown.environment_objects, minitown.ray_targets.boxes
    trees = objects[objects["label"] == VEGETATION]
    assert len(trees) > 10
    for item in trees[:10]:
        points = scenery.vertices[scenery.triangles[scenery.object_id == item["object_id"]]].reshape(-1, 3)
        middle = np.array([item[axis] for axis in "xyz"])
        half = np.array([item[f"extent_{axis}"] for axis in "xyz"])
        assert (np.abs(points - middle) <= half + 0.25).all()
        assert (np.ptp(points, axis=0) > 1.4 * half).all()
        crown = targets[targets["object_id"] == item["object_id"]][-1]
        assert crown["extent_x"] == pytest.approx(0.7 * half[0])
        assert item["z"] < crown["z"] < crown["z"] + crown["extent_z"] < item["z"] + half[2]


def test_buildings_stand_on_terrain(minitown: Town) -> None:
    buildings = minitown.environment_objects[minitown.environment_objects["label"] == BUILDINGS]
    assert len(buildings) > 30
    for item in buildings:
        height, *_, label = ground_at(minitown.surface, item["x"], item["y"], item["z"])
        assert label == TERRAIN
        assert item["z"] - item["extent_z"] < height < item["z"] + item["extent_z"]


def test_a_parking_lot_of_carla_s_town_is_paved_and_free(town_named: Callable[[str], Town]) -> None:
    town = town_named("Town05")
    (lot,) = PARKING_LOTS["Town05"]
    for x in lot.rows:
        for number in range(lot.slots):
            *_, label = ground_at(town.surface, x, lot.first + number * lot.spacing, 5.0)
            assert label == ROADS
    low_x, low_y, high_x, high_y = lot.area
    boxes = town.obstacles
    inside = (boxes["x"] > low_x) & (boxes["x"] < high_x) & (boxes["y"] > low_y) & (boxes["y"] < high_y)
    assert not inside.any()


def test_lamp_heads_face_the_traffic(minitown: Town) -> None:
    for signal in minitown.signals:
        if signal.is_traffic_light:
            road, lane, s = signal.stop_lanes[0]
            pose = present(minitown.carla_map.get_waypoint_xodr(road, lane, s)).transform
            for head in signal.light_boxes:
                facing = carla.Vector3D(float(np.cos(head[3])), float(np.sin(head[3])), 0.0)
                assert facing.dot(pose.get_forward_vector()) < -0.9
                assert head[2] > signal.z + 2.5


def test_street_lights_hang_high_beside_roads(minitown: Town) -> None:
    assert len(minitown.street_lights) >= 10
    for x, y, z in minitown.street_lights:
        assert 5.0 < z - ground_at(minitown.surface, x, y, z)[0] < 9.0
