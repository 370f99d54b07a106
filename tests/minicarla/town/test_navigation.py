"""The navigation mesh that the client's walkers use."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from minicarla.labels import ROADS
from minicarla.physics.ground import ground_at
from minicarla.town import Town, detour
from minicarla.town.detour import CROSSWALK_AREA, ROAD_AREA, SIDEWALK_AREA, encode
from minicarla.town.town import STOP_ZONE_BEYOND
from minicarla.town.walk_mesh import build_walk_mesh

TOWNS = ["Minitown", "Town02", "Town05"]


def decode(data: bytes) -> tuple[np.ndarray, list[list[int]], list[list[int]], list[int]]:
    """Vertices in CARLA's frame, polygons, neighbours (-1 = none) and areas of a mesh file."""
    assert struct.unpack_from("<3i", data) == (0x4D534554, 1, 1)
    reference, size = struct.unpack_from("<Ii", data, 40)
    assert size == len(data) - 48
    tile = data[48:]
    magic, version, *_, polygon_count, vertex_count = struct.unpack_from("<8i", tile)
    assert (magic, version) == (0x444E4156, 7)
    assert reference >= polygon_count
    vertices = np.frombuffer(tile, "<f4", 3 * vertex_count, 100).reshape(-1, 3)[:, [0, 2, 1]]
    polygons, neighbours, areas = [], [], []
    for index in range(polygon_count):
        fields = struct.unpack_from("<I6H6HHBB", tile, 100 + 12 * vertex_count + 32 * index)
        count = fields[14]
        polygons.append(list(fields[1 : 1 + count]))
        neighbours.append([other - 1 for other in fields[7 : 7 + count]])
        areas.append(fields[15])
        assert fields[13] == {SIDEWALK_AREA: 0x02, CROSSWALK_AREA: 0x04, ROAD_AREA: 0x08}[areas[-1]]
    return vertices, polygons, neighbours, areas


def reachable(neighbours: list[list[int]], start: int = 0) -> set[int]:
    seen, front = {start}, [start]
    while front:
        following = [other for index in front for other in neighbours[index] if other >= 0 and other not in seen]
        seen |= set(following)
        front = following
    return seen


@pytest.mark.parametrize("name", [*TOWNS, "Town06"])  # which has no sidewalks, but narrow shoulders
def test_walkers_reach_every_sidewalk(name: str, town_named: Callable[[str], Town]) -> None:
    vertices, polygons, neighbours, areas = decode(town_named(name).navigation_mesh()[1])
    # Most walkers stay off the roads.
    on_road = {k for k, area in enumerate(areas) if area == ROAD_AREA}
    neighbours = [
        [-1 if k in on_road or other in on_road else other for other in row] for k, row in enumerate(neighbours)
    ]
    area = np.array([abs(_area(vertices[polygon])) * (k not in on_road) for k, polygon in enumerate(polygons)])
    largest = max((reachable(neighbours, start) for start in range(0, len(polygons), 50)), key=len)
    assert area[list(largest)].sum() / area.sum() > 0.97
    assert areas.count(CROSSWALK_AREA) > 10


@pytest.mark.parametrize("name", TOWNS)
def test_every_crossing_leads_to_a_sidewalk(name: str, town_named: Callable[[str], Town]) -> None:
    _, _, neighbours, areas = decode(town_named(name).navigation_mesh()[1])
    for crossing in np.flatnonzero(np.array(areas) == CROSSWALK_AREA).tolist():
        assert any(areas[k] == SIDEWALK_AREA for k in reachable(neighbours, crossing)), "walkers' clients end on it"


@pytest.mark.parametrize("name", TOWNS)
def test_ways_over_roads_join_two_sidewalks(name: str, town_named: Callable[[str], Town]) -> None:
    _, _, neighbours, areas = decode(town_named(name).navigation_mesh()[1])
    joined = [sum(other >= 0 for other in neighbours[k]) for k, area in enumerate(areas) if area == ROAD_AREA]
    assert len(joined) > 5
    assert np.mean(np.array(joined) >= 2) > 0.9


def _area(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


@pytest.mark.parametrize("name", TOWNS)
def test_sidewalks_of_the_mesh_are_on_the_ground_and_not_on_roads(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    vertices, polygons, _, areas = decode(town.navigation_mesh()[1])
    on_road = 0
    for polygon, area in zip(polygons, areas):
        points = vertices[polygon].astype(float)
        assert _area(points) < 0.0
        if area == SIDEWALK_AREA:
            x, y, z = points.mean(axis=0)
            height, *_, label = ground_at(town.surface, x, y, z)
            assert abs(height - z) < 0.3
            on_road += label == ROADS
    assert on_road < 0.02 * len(polygons)


def test_neighbours_are_mutual(minitown: Town) -> None:
    _, _, neighbours, _ = decode(minitown.navigation_mesh()[1])
    for index, row in enumerate(neighbours):
        assert all(index in neighbours[other] for other in row if other >= 0)


def test_the_files_name_tells_its_content(minitown: Town, town_named: Callable[[str], Town]) -> None:
    name, data = minitown.navigation_mesh()
    assert (name, data) == minitown.navigation_mesh()
    assert name != town_named("Town02").navigation_mesh()[0]
    assert name.startswith("Minitown-")
    assert name.endswith(".bin")
    assert "/" not in name


def test_a_mesh_beyond_the_formats_numbers_is_refused() -> None:
    square = np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.0)])
    with pytest.raises(ValueError, match="40000 polygons"):
        encode(square, [[0, 1, 2, 3]] * 40000, [SIDEWALK_AREA] * 40000)


@pytest.mark.parametrize("name", TOWNS)
def test_the_servers_own_walkers_have_the_same_mesh(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    vertices, polygons, neighbours, areas = decode(town.navigation_mesh()[1])
    mesh = build_walk_mesh(town)
    assert mesh.area.tolist() == areas
    for row, (polygon, beyond) in enumerate(zip(polygons, neighbours)):
        assert mesh.corner[row, : mesh.size[row]].tolist() == vertices[polygon].tolist()
        assert mesh.beyond[row, : mesh.size[row]].tolist() == beyond
    # Random places are on nearly all sidewalks, and on nothing else.
    drawn = set(mesh.triangle[:, 0].tolist())
    size = np.array([abs(_area(vertices[polygon])) for polygon in polygons])
    sidewalks = {row for row, area in enumerate(areas) if area == SIDEWALK_AREA}
    assert drawn <= sidewalks
    assert size[list(drawn)].sum() > 0.95 * size[list(sidewalks)].sum()
    assert mesh.share[-1] == pytest.approx(1.0)
    assert (np.diff(mesh.share) >= 0.0).all()


def test_crossings_before_traffic_lights_know_them(minitown: Town) -> None:
    mesh = build_walk_mesh(minitown)
    lights = sum(signal.is_traffic_light for signal in minitown.signals)
    known = set(mesh.light[mesh.area == CROSSWALK_AREA].tolist()) - {-1}
    assert known <= set(range(lights))
    assert len(known) > 0.8 * lights  # not every arm has a crossing
    assert (mesh.light[mesh.area == SIDEWALK_AREA] == -1).all()


def test_vehicles_stop_before_the_crossings(town_named: Callable[[str], Town]) -> None:
    town = town_named("Town02")  # whose OpenDRIVE text has no crosswalk
    vertices, polygons, _, areas = decode(town.navigation_mesh()[1])
    crossings = [vertices[polygon, :2] for polygon, area in zip(polygons, areas) if area == CROSSWALK_AREA]
    lights = [zone for zone in town.signal_zones if town.signals[zone["signal"]].is_traffic_light]
    assert len(lights) >= 24
    for zone in lights:
        ahead = np.array([np.cos(zone["yaw"]), np.sin(zone["yaw"])])
        line = np.array([zone["x"], zone["y"]]) + (zone["extent_x"] - STOP_ZONE_BEYOND) * ahead
        offsets = [corners - line for corners in crossings]
        on_lane = [corners for corners in offsets if np.ptp(np.sign(corners @ [-ahead[1], ahead[0]])) == 2.0]
        nearest = min((corners @ ahead for corners in on_lane), key=lambda along: abs(along.mean()))
        assert -0.01 < nearest.min() < nearest.max() < 5.0


def test_nothing_is_a_mesh_without_polygons() -> None:
    mesh = detour.decode(b"")
    assert (len(mesh.vertices), len(mesh.area)) == (0, 0)
