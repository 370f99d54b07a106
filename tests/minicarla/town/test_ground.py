"""The ground that wheels and rays meet."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from minicarla.labels import ROADS
from minicarla.physics.ground import flat_surface, ground_at, ground_heights
from minicarla.town import Town
from minicarla.town.lanes import DRIVING, ReferenceLines, sample_lanes
from minicarla.town.opendrive import parse_opendrive

TOWNS = ["Minitown", "Town03", "Town05"]


def lane_points(town: Town) -> np.ndarray:
    """Waypoints of the client's own map, every metre of every driving lane: (n, 3)."""
    waypoints = town.carla_map.generate_waypoints(1.0)
    return np.array([(w.transform.location.x, w.transform.location.y, w.transform.location.z) for w in waypoints])


@pytest.mark.parametrize("name", TOWNS)
def test_ground_lies_where_the_clients_waypoints_are(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    points = lane_points(town)
    height = ground_heights(town.surface, points[:, 0], points[:, 1], points[:, 2] + 0.3)
    error = np.abs(height - points[:, 2])
    assert np.isfinite(height).all()
    assert np.quantile(error, 0.999) < 0.12
    assert np.median(error) < 0.005
    assert error.max() < 0.3


@pytest.mark.parametrize("name", TOWNS)
def test_lanes_are_the_clients_lanes(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    network = parse_opendrive(town.opendrive)
    lanes = sample_lanes(network, ReferenceLines(network))
    rng = np.random.default_rng(0)
    stations = np.flatnonzero(lanes.type[lanes.lane] == DRIVING)
    compared = 0
    for station in rng.choice(stations, 300):
        row = lanes.lane[station]
        waypoint = town.carla_map.get_waypoint_xodr(
            int(lanes.road_id[row]), int(lanes.lane_id[row]), float(lanes.s[station])
        )
        if waypoint is None or waypoint.section_id != lanes.section[row]:
            continue
        location = waypoint.transform.location
        assert np.linalg.norm(lanes.centre[station] - (location.x, location.y, location.z)) < 0.01
        compared += 1
    assert compared > 150


def test_a_bridge_is_two_levels(minitown: Town) -> None:
    x, y = 100.0, -262.0
    road, *_, label = ground_at(minitown.surface, x + 1.75, y, 1.0)
    deck, *_, deck_label = ground_at(minitown.surface, x + 1.75, y, 7.0)
    assert road == pytest.approx(0.0, abs=0.05)
    assert deck == pytest.approx(6.8, abs=0.1)
    assert label == ROADS
    assert deck_label == ROADS


def test_the_way_over_the_bridge_is_smooth(minitown: Town) -> None:
    z = 3.0
    heights = []
    for x in np.arange(20.0, 190.0, 0.25):
        z = ground_at(minitown.surface, x, -263.7, z + 0.1)[0]
        heights.append(z)
    assert np.abs(np.diff(heights)).max() < 0.06
    assert max(heights) > 6.5


def test_normals_stand_upright_on_slopes(minitown: Town) -> None:
    height, nx, ny, nz, _ = ground_at(minitown.surface, 40.0, -263.7, 4.0)
    ahead = ground_at(minitown.surface, 40.5, -263.7, 4.0)[0]
    assert math.hypot(nx, ny, nz) == pytest.approx(1.0)
    assert nz > 0.9
    assert (ahead - height) / 0.5 == pytest.approx(-nx / nz, abs=0.02)


def test_the_terrain_joins_the_road(minitown: Town) -> None:
    across = np.arange(0.0, 12.0, 0.1)
    heights = ground_heights(minitown.surface, np.full(len(across), 293.0), np.zeros(len(across)) - 180, across * 0 + 1)
    beside = ground_heights(minitown.surface, 293.0 + across, np.full(len(across), -180.0), across * 0 + 1)
    assert np.isfinite(heights).all()
    assert np.abs(np.diff(beside)).max() < 0.15


def test_one_falls_off_the_end_of_the_map(minitown: Town) -> None:
    for angle in np.arange(0.0, 2 * np.pi, 0.3):
        assert (
            ground_at(minitown.surface, 100 + 900 * math.cos(angle), -200 + 900 * math.sin(angle), 0.0)[0] == -math.inf
        )


def test_below_the_ground_there_is_none(minitown: Town) -> None:
    assert ground_at(minitown.surface, 50.0, -98.0, -20.0)[0] == -math.inf


@pytest.mark.parametrize(
    ("x", "y"),
    [(-130.80, 103.26), (-258.58, 0.32), (82.57, -143.86), (60.39, -87.59), (-276.04, 58.77), (-54.10, 13.33)],
)
def test_the_dqn_examples_spawn_points_lie_on_roads(x: float, y: float, town_named: Callable[[str], Town]) -> None:
    height, *_, label = ground_at(town_named("Town05").surface, x, y, 1.0)
    assert abs(height) < 1.0
    assert label == ROADS


def test_flat_surface_covers_what_was_asked() -> None:
    surface = flat_surface(40.0, 2.0)
    assert ground_at(surface, -40.0, 39.9, 2.0) == (2.0, 0.0, 0.0, 1.0, ROADS)
    assert ground_at(surface, 100.0, 0.0, 2.0)[0] == -math.inf
