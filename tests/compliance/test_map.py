"""Maps, their spawn points, and loading them."""

from __future__ import annotations

import carla
import pytest

from tests.compliance.conftest import bare, load, synchronous
from tests.known import weather_named
from tests.patience import PATIENCE


def test_the_loaded_map_is_among_the_available_ones(client, fresh_world):
    name = fresh_world.get_map().name.split("/")[-1]
    assert name in {path.split("/")[-1] for path in client.get_available_maps()}


def test_spawn_points_lie_on_driving_lanes(fresh_world, spawn_points):
    town = fresh_world.get_map()
    assert spawn_points
    for point in spawn_points:
        waypoint = town.get_waypoint(point.location, project_to_road=True, lane_type=carla.LaneType.Driving)
        assert waypoint is not None
        flat = carla.Location(point.location.x, point.location.y, waypoint.transform.location.z)
        assert flat.distance(waypoint.transform.location) < 2.0


def test_an_unknown_map_is_refused(client):
    with pytest.raises(RuntimeError):
        client.load_world("NoSuchTown")


def test_reloading_ends_all_actors_and_begins_another_episode(client, fresh_world, spawn_points):
    library = fresh_world.get_blueprint_library()
    vehicle = fresh_world.spawn_actor(library.find("vehicle.tesla.model3"), spawn_points[0])
    fresh_world.tick()
    old_id = fresh_world.id
    world = client.reload_world(False)
    assert world.id != old_id
    assert world.get_settings().synchronous_mode
    world.tick()
    assert not world.get_actors().filter("vehicle.*")
    assert not world.get_snapshot().has_actor(vehicle.id)
    if not client.get_client_version().startswith("0.9.15"):  # which answers from what it remembers
        assert world.get_actor(vehicle.id) is None


def test_reloading_with_reset_brings_back_all_settings_and_the_weather(client, fresh_world):
    kept = fresh_world.get_settings()
    changed = fresh_world.get_settings()
    changed.no_rendering_mode, changed.max_substeps = True, 7
    fresh_world.apply_settings(changed)
    fresh_world.set_weather(weather_named("HardRainNight"))
    world = client.reload_world(True)
    try:
        settings = world.get_settings()
        assert (settings.synchronous_mode, settings.fixed_delta_seconds) == (False, None)
        assert (settings.no_rendering_mode, settings.max_substeps) == (False, 10)
        assert world.get_weather().precipitation == 0.0
    finally:
        world.apply_settings(kept)


@pytest.fixture
def come_back(client, fresh_world):
    """Whatever town a test loads: the one before it is there again afterwards, synchronous."""
    town = fresh_world.get_map()
    yield
    synchronous(load(client, town))


@pytest.fixture
def bridges(client, fresh_world, come_back):
    """A world with roads above roads."""
    listed = {bare(path): path for path in client.get_available_maps()}
    for name in ("Town04", "Town05", "Town03", "Town04_Opt", "Town05_Opt", "Town03_Opt"):
        if name in listed:
            return name, client.load_world(name, False)
    pytest.skip("the server has no town that is known to have bridges")


def test_another_town_is_loaded_by_name_in_the_mode_of_before(bridges):
    name, world = bridges
    assert bare(world.get_map().name) == name
    assert world.get_settings().synchronous_mode
    assert world.tick() == world.get_snapshot().frame
    assert len(world.get_map().get_spawn_points()) > 50
    assert world.get_actors().filter("traffic.traffic_light*")
    assert world.get_environment_objects(carla.CityObjectLabel.Any)


def test_roads_above_roads_are_two_levels(bridges):
    _, world = bridges
    town = world.get_map()
    cells: dict[tuple[int, int], list[carla.Location]] = {}
    for waypoint in town.generate_waypoints(4.0):
        place = waypoint.transform.location
        cells.setdefault((round(place.x / 4.0), round(place.y / 4.0)), []).append(place)
    levels = [(min(c, key=lambda p: p.z), max(c, key=lambda p: p.z)) for c in cells.values()]
    pairs = [(low, high) for low, high in levels if high.z - low.z > 5.0 and low.distance_2d(high) < 3.0][:10]
    assert pairs
    for low, high in pairs:
        for place in (low, high):
            assert town.get_waypoint(place).transform.location.distance(place) < 1.0
            ground = world.ground_projection(place + carla.Location(z=2.0), 4.0)
            assert ground.location.z == pytest.approx(place.z, abs=0.5)


def test_a_world_can_be_made_of_an_opendrive_text(client, fresh_world, come_back):
    text = fresh_world.get_map().to_opendrive()
    world = client.generate_opendrive_world(text)
    assert world.get_map().to_opendrive() == text


def test_a_world_can_be_made_of_a_street_map(client, fresh_world, come_back):
    """Four residential streets around a block and one that leaves it, through the client's own converter."""
    nodes = ((41.002, 2.002), (41.002, 2.008), (41.006, 2.008), (41.006, 2.002), (41.002, 2.005), (41.008, 2.005))
    streets = ((1, 5, 2), (2, 3), (3, 4), (4, 1), (5, 6))
    osm = '<osm version="0.6"><bounds minlat="41.0" minlon="2.0" maxlat="41.01" maxlon="2.01"/>'
    for number, (latitude, longitude) in enumerate(nodes, 1):
        osm += f'<node id="{number}" lat="{latitude}" lon="{longitude}" version="1"/>'
    for number, ends in enumerate(streets, 10):
        ways = "".join(f'<nd ref="{end}"/>' for end in ends)
        osm += f'<way id="{number}" version="1">{ways}<tag k="highway" v="residential"/></way>'
    world = client.generate_opendrive_world(carla.Osm2Odr.convert(osm + "</osm>", carla.Osm2OdrSettings()))
    point = world.get_map().get_spawn_points()[0]
    vehicle = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), point)
    world.wait_for_tick(PATIENCE)
    assert vehicle.get_location().distance(point.location) < 2.0
