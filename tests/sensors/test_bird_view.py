"""The bird view shows what is there, where it is, whichever way its map came to be."""

from __future__ import annotations

import math
import os
import signal
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import carla
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rllib_integration.roads.lanes import sample_lanes, town_lanes
from rllib_integration.roads.routes import plan_route
from rllib_integration.sensors import SensorFactory, SensorInterface
from rllib_integration.sensors.actor_roster import PROP, TWO_WHEELER, VEHICLE, WALKER, ActorRoster, ActorStates, Box
from rllib_integration.sensors.bird_view import map_pyramid
from rllib_integration.sensors.bird_view.map_drawing import PALETTE, SURFACES, draw_map
from rllib_integration.sensors.bird_view.map_pyramid import MapPyramid
from rllib_integration.sensors.bird_view.painter import COLOURS, HERO_COLOUR, BirdviewPainter, Scene, Signals
from rllib_integration.sensors.bird_view_manager import BirdviewManager, read_planes
from tests.known import actors_of, present
from tests.sensors.crossing_roads import BRIDGE_HEIGHT, crossing_roads

GOLDEN = Path(__file__).parent / "golden"
LARGE_TOWNS = ("Town11", "Town12", "Town13")  # take up to minutes to draw, and are tested where that has been done
TOWNS = ("Minitown", "Town01", "Town02", "Town03", "Town04", "Town05", "Town06", "Town07", "Town10HD", "Town15")
CAR = Box(2.4, 1.05, 0.0, 0.0)
NOBODY = ActorStates(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros(0, np.int64))


def scene(x: float, y: float, yaw: float = 0.0, z: float = 0.0, **rest: Any) -> Scene:
    return Scene(x, y, z, yaw, rest.pop("speed", 0.0), CAR, rest.pop("actors", NOBODY), **rest)


def actors(*rows: tuple[float, float, float, float, float, float, int]) -> ActorStates:
    """x, y, z, yaw, half length, half width, kind."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    return ActorStates(table[:, :4].copy(), table[:, 4:6], table[:, 6].astype(np.int64))


def share_of(picture: NDArray[np.uint8], colour: NDArray[np.uint8], ground: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much of each pixel shows a colour over a ground."""
    span = colour.astype(float) - ground
    return np.clip(((picture - ground.astype(float)) @ span) / (span @ span), 0.0, 1.0)


@pytest.fixture(scope="module")
def pyramid(built_in_town: carla.Map, tmp_path_factory: pytest.TempPathFactory) -> MapPyramid:
    return MapPyramid.of_map(built_in_town, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def meadow() -> MapPyramid:
    """A town whose only road is far away."""
    road = carla.Map("road", crossing_roads())
    return MapPyramid.draw(draw_map(sample_lanes(road)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    forward=st.floats(-3.0, 25.0),
    right=st.floats(-20.0, 20.0),
    yaw=st.floats(-4.0, 4.0),
    turn=st.floats(-4.0, 4.0),
    size=st.sampled_from([84, 100, 300]),
)
def test_a_car_covers_its_true_area_at_its_true_place(
    meadow: MapPyramid, forward: float, right: float, yaw: float, turn: float, size: int
) -> None:
    painter = BirdviewPainter(meadow, size, 30.0)
    x = 900.0 + forward * math.cos(yaw) - right * math.sin(yaw)
    y = 900.0 + forward * math.sin(yaw) + right * math.cos(yaw)
    empty = painter.paint(scene(900.0, 900.0, yaw))
    picture = painter.paint(scene(900.0, 900.0, yaw, actors=actors((x, y, 0.0, yaw + turn, 2.4, 1.05, WALKER))))
    # A walker is drawn at twice its box, and has no nose.
    share = share_of(picture, COLOURS[3], PALETTE[0])
    share[(picture == empty).all(axis=2)] = 0.0
    scale = size / 60.0
    hero_hides = abs(forward) < 8.0 and abs(right) < 8.0
    if not hero_hides:
        assert share.sum() == pytest.approx(4 * 4.8 * 2.1 * scale**2, rel=0.04)
        rows, columns = np.indices(share.shape)
        assert (columns * share).sum() / share.sum() + 0.5 == pytest.approx(size / 2 + right * scale, abs=0.15)
        assert (rows * share).sum() / share.sum() + 0.5 == pytest.approx(0.75 * size - forward * scale, abs=0.15)


def test_the_hero_is_green_heads_up_and_is_half_a_radius_behind_the_middle(meadow: MapPyramid) -> None:
    picture = BirdviewPainter(meadow, 300, 15.0).paint(scene(900.0, 900.0, 1.0))
    green = (picture == COLOURS[HERO_COLOUR]).all(axis=2)
    rows, columns = np.nonzero(green)
    assert (rows.min(), rows.max()) == pytest.approx((202, 248), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((140, 159), abs=1)
    assert green[204].sum() < green[220].sum() / 2  # the nose


def test_kinds_have_their_colours(meadow: MapPyramid) -> None:
    others = actors(
        (910.0, 900.0, 0.0, 0.0, 2.4, 1.05, VEHICLE),
        (900.0, 907.0, 0.0, 0.0, 1.0, 0.4, TWO_WHEELER),
        (900.0, 893.0, 0.0, 0.0, 0.2, 0.2, WALKER),
        (906.0, 900.0, 0.0, 0.0, 0.3, 0.3, PROP),
    )
    lights = Signals(np.array([[915.0, 910.0, 0.0], [915.0, 890.0, 0.0]]), (0, 3), (np.zeros((0, 5)),) * 2)
    picture = BirdviewPainter(meadow, 300, 15.0).paint(scene(900.0, 900.0, actors=others, signals=lights))
    assert tuple(picture[125, 150]) == (114, 159, 207)
    assert tuple(picture[225, 220]) == (193, 125, 17)
    assert tuple(picture[225, 80]) == (173, 127, 168)
    assert tuple(picture[165, 150]) == (245, 121, 0)
    assert tuple(picture[75, 250]) == (239, 41, 41)
    assert tuple(picture[75, 50]) == (85, 87, 83)
    assert tuple(picture[75, 262]) == (255, 255, 255)


def test_every_surface_of_the_picture_is_in_the_palette(pyramid: MapPyramid, built_in_town: carla.Map) -> None:
    spot = built_in_town.generate_waypoints(40.0)[3].transform
    pose = scene(spot.location.x, spot.location.y, math.radians(spot.rotation.yaw), spot.location.z)
    picture = BirdviewPainter(pyramid, 300, 15.0).paint(pose)
    shown = {SURFACES[n] for n, colour in enumerate(PALETTE) if (picture == colour).all(axis=2).sum() > 20}
    assert {"ground", "road", "sidewalk", "white"} <= shown


def test_fault_17_the_picture_is_the_same_drawn_or_cached_and_whatever_size_came_first(
    built_in_town: carla.Map, tmp_path: Path
) -> None:
    spot = built_in_town.generate_waypoints(40.0)[5].transform
    pose = scene(spot.location.x, spot.location.y, math.radians(spot.rotation.yaw), spot.location.z)
    drawn = MapPyramid.draw(draw_map(town_lanes(built_in_town, tmp_path)))
    small_first = BirdviewPainter(drawn, 84, 15.0).paint(pose)
    large_second = BirdviewPainter(drawn, 300, 15.0).paint(pose)
    cached = MapPyramid.of_map(built_in_town, tmp_path)
    assert np.array_equal(BirdviewPainter(cached, 300, 15.0).paint(pose), large_second)
    assert np.array_equal(BirdviewPainter(cached, 84, 15.0).paint(pose), small_first)


def test_fault_17_workers_that_draw_at_once_leave_one_complete_entry(built_in_town: carla.Map, tmp_path: Path) -> None:
    drawing = draw_map(town_lanes(built_in_town, tmp_path))

    def draw(_: int) -> MapPyramid:
        return MapPyramid._load_or_draw(built_in_town, tmp_path)

    with ThreadPoolExecutor(4) as pool:
        pyramids = list(pool.map(draw, range(4)))
    (entry,) = (tmp_path / "bird_view").iterdir()
    loaded = MapPyramid.load(entry)
    assert loaded is not None
    for level, expected in zip(loaded.levels, MapPyramid.draw(drawing).levels):
        assert np.array_equal(level.tiles, expected.tiles)
        assert np.array_equal(level.numbers, expected.numbers)
    assert all(np.array_equal(p.levels[0].tiles, loaded.levels[0].tiles) for p in pyramids)


def test_a_folder_that_cannot_be_written_costs_a_warning_not_the_run(
    built_in_town: carla.Map, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bird_view").write_text("a file where the folder should be")
    pyramid = MapPyramid._load_or_draw(built_in_town, tmp_path)
    assert pyramid.levels
    assert "bird_view" in caplog.text


def test_at_a_crossing_of_roads_above_one_another_the_heros_own_road_is_shown() -> None:
    pyramid = MapPyramid.draw(draw_map(sample_lanes(carla.Map("crossing", crossing_roads()))))
    painter = BirdviewPainter(pyramid, 300, 15.0)
    below = actors((0.0, 8.0, 0.0, math.pi / 2, 2.4, 1.05, VEHICLE))
    above = actors((8.0, 0.0, BRIDGE_HEIGHT, 0.0, 2.4, 1.05, VEHICLE))
    # Road one goes along x on the ground, road two along y over it; each has a yellow line in its middle.
    on_ground = painter.paint(scene(-10.0, 1.75, 0.0, z=0.2, actors=above))
    on_bridge = painter.paint(scene(1.75, 10.0, -math.pi / 2, z=BRIDGE_HEIGHT + 0.2, actors=below))
    yellow = PALETTE[SURFACES.index("yellow")].astype(int)
    blue = np.array([114, 159, 207])
    # The crossing is 10 m ahead of both heroes, the middle line of their road 1.75 m to their left.
    for picture in (on_ground, on_bridge):
        line = picture[95:155, 130:136].astype(int)
        assert (np.abs(line - yellow).sum(axis=2).min(axis=1) < 40).all()
        assert not (picture == blue).all(axis=2).any()
    visible = painter.paint(scene(-10.0, 1.75, 0.0, z=0.2, actors=actors((8.0, 0.0, 0.0, 0.0, 2.4, 1.05, VEHICLE))))
    assert (visible == blue).all(axis=2).any()


def test_masks_hold_one_thing_each(pyramid: MapPyramid, built_in_town: carla.Map) -> None:
    spot = next(w for w in built_in_town.generate_waypoints(10.0) if not w.is_junction and w.next(30.0)).transform
    x, y, yaw = spot.location.x, spot.location.y, math.radians(spot.rotation.yaw)
    planes = ("road", "ground", "white_marking", "yellow_marking", "sidewalk", "vehicles", "hero", "route", "speed")
    there = (x + 10.0 * math.cos(yaw), y + 10.0 * math.sin(yaw), spot.location.z, yaw, 2.4, 1.05, VEHICLE)
    route = np.array([[x, y], [x + 20 * math.cos(yaw), y + 20 * math.sin(yaw)]])
    pose = scene(x, y, yaw, spot.location.z, actors=actors(there), route=route, speed=15.0)
    stack = BirdviewPainter(pyramid, 150, 15.0, planes).paint(pose)
    assert stack.shape == (150, 150, len(planes))
    mask = dict(zip(planes, np.moveaxis(stack, 2, 0)))
    assert mask["road"][112, 75] == mask["hero"][112, 75] == 255
    assert mask["vehicles"][62, 75] == 255
    assert mask["road"][62, 75] > 200  # under the car
    assert mask["hero"].sum() / 255 == pytest.approx(25 * (4.8 * 2.1 - 0.8 * 1.05), rel=0.04)
    assert mask["vehicles"].sum() == pytest.approx(mask["hero"].sum(), rel=0.02)
    assert mask["route"][40, 75] == 255
    assert mask["route"][40, 55] == 0
    assert np.all(mask["speed"] == 128)
    assert np.all(mask["white_marking"] <= mask["road"].astype(int) + 2)
    assert np.all(mask["road"].astype(int) + mask["ground"] <= 257)
    assert np.all(BirdviewPainter(pyramid, 150, 15.0, ("route", "road")).paint(pose)[..., 1] == mask["road"])


def test_lights_are_stop_lines_of_their_state_in_the_masks(meadow: MapPyramid) -> None:
    line = np.array([[910.0, 900.0, 0.0, 0.5, 1.75]])
    planes = ("red_light", "green_light", "stop_sign")
    signals = Signals(np.array([[918.0, 905.0, 0.0]]), (0,), (line,), ((900.0, 910.0, 0.0, 0.5, 1.0),))
    red = BirdviewPainter(meadow, 150, 15.0, planes).paint(scene(900.0, 900.0, signals=signals))
    assert red[..., 0].sum() / 255 == pytest.approx(3.5 * 1.0 * 25, rel=0.02)
    assert red[62, 75, 0] > 200
    assert not red[..., 1].any()
    assert red[..., 2].sum() / 255 == pytest.approx(2.0 * 25, rel=0.02)
    green = BirdviewPainter(meadow, 150, 15.0, planes).paint(scene(900.0, 900.0, signals=signals._replace(states=(2,))))
    assert np.array_equal(green[..., 1], red[..., 0])


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"size": 0}, "size is 0"),
        ({"radius": -1}, "radius is -1"),
        ({"sise": 84}, "no attribute 'sise': did you mean 'size'"),
        ({"format": "mask"}, "allowed are: rgb, masks"),
        ({"planes": "road,vehicels"}, "no mask 'vehicels': did you mean 'vehicles'"),
        ({"planes": ["road", "road"]}, "different masks"),
    ],
)
def test_a_wrong_attribute_is_a_sentence(attributes: dict[str, Any], sentence: str) -> None:
    nobody: Any = None
    with pytest.raises(ValueError, match=sentence):
        SensorFactory.spawn("view", {"type": "sensor.birdview", **attributes}, SensorInterface(), nobody)


def test_planes_may_be_written_as_text() -> None:
    assert read_planes("road, vehicles") == read_planes(["road", "vehicles"]) == ("road", "vehicles")


@pytest.mark.parametrize("town", [*TOWNS, *(LARGE_TOWNS if "GOLDEN_OF_LARGE_TOWNS" in os.environ else ())])
def test_golden_pictures_of_every_town(carla_town: Callable[[str], carla.Map], town: str) -> None:
    """To accept a new drawing, delete the picture and run the test with UPDATE_GOLDEN=1.

    The large towns take minutes to draw: GOLDEN_OF_LARGE_TOWNS=1 python3 -m pytest tests/sensors -k golden
    """
    carla_map = carla_town(town)
    pyramid = MapPyramid.of_map(carla_map)
    waypoints = carla_map.generate_waypoints(200.0 if town in LARGE_TOWNS else 10.0)
    pictures = []
    for number in range(5):
        spot = waypoints[number * len(waypoints) // 5].transform
        pose = scene(spot.location.x, spot.location.y, math.radians(spot.rotation.yaw), spot.location.z)
        pictures.append(BirdviewPainter(pyramid, 84, 15.0 * (1 + number % 2)).paint(pose))
    strip = np.hstack(pictures)
    path = GOLDEN / f"{town}.png"
    if os.environ.get("UPDATE_GOLDEN") and not path.exists():
        GOLDEN.mkdir(exist_ok=True)
        cv2.imwrite(str(path), strip[..., ::-1])
    golden = cv2.imread(str(path))
    assert golden is not None, f"{path} is missing"
    difference = np.abs(strip.astype(int) - golden[..., ::-1])
    assert (difference.max(axis=2) > 24).mean() < 0.002
    assert difference.mean() < 0.5


def test_a_very_large_town_is_drawn_coarser_and_looks_alike(
    built_in_town: carla.Map, pyramid: MapPyramid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_pyramid, "LARGE_TOWN_LENGTH", 1.0)
    coarse = MapPyramid.draw(draw_map(sample_lanes(built_in_town)))
    assert (pyramid.resolution, coarse.resolution) == (10.0, 2.5)
    spot = built_in_town.generate_waypoints(10.0)[0].transform
    pose = scene(spot.location.x, spot.location.y, math.radians(spot.rotation.yaw), spot.location.z)
    fine, rough = (BirdviewPainter(drawn, 84, 15.0).paint(pose).astype(int) for drawn in (pyramid, coarse))
    assert 0.0 < np.abs(fine - rough).mean() < 6.0


def test_the_view_follows_the_world_through_the_real_client(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    attributes = {"type": "sensor.birdview", "size": 300, "radius": 15.0}
    sensor = SensorFactory.spawn("view", attributes, interface, hero)
    masks = {"type": "sensor.birdview", "size": 84, "radius": 15.0, "format": "masks"}
    SensorFactory.spawn("masks", masks, interface, hero)
    frame = world.tick()
    data = interface.get_data(frame)
    assert data["view"][0] == data["masks"][0] == frame
    assert sensor.space().contains(data["view"][1])
    assert SensorFactory.space(masks).contains(data["masks"][1])
    blue = (114, 159, 207)
    assert not (data["view"][1] == blue).all(axis=2).any()

    pose = hero.get_transform()
    pose.location += pose.get_forward_vector() * 10.0
    pose.location.z += 0.3
    other = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), pose)
    picture = interface.get_data(world.tick())["view"][1]
    rows, columns = np.nonzero((picture == blue).all(axis=2))
    assert rows.mean() == pytest.approx(125, abs=5)
    assert columns.mean() == pytest.approx(150, abs=5)
    other.destroy()
    picture = interface.get_data(world.tick())["view"][1]
    assert not (picture == blue).all(axis=2).any()


def test_what_stands_on_the_road_is_seen_but_not_what_lies_flat_on_it(world: carla.World, hero: carla.Actor) -> None:
    roster, library, place = ActorRoster(world, hero), world.get_blueprint_library(), hero.get_transform()
    for name, ahead in (("constructioncone", 8.0), ("dirtdebris01", 14.0)):
        prop = library.find(f"static.prop.{name}")
        world.spawn_actor(prop, carla.Transform(carla.Location(place.location + carla.Location(x=ahead, z=0.5))))
    world.tick()
    seen = roster.read(place.location.x, place.location.y, 20.0)
    assert seen.kinds.tolist() == [PROP]
    assert seen.poses[0, 0] - place.location.x == pytest.approx(8.0, abs=0.2)


def test_who_leaves_as_another_one_comes_is_seen_no_longer(world: carla.World, hero: carla.Actor) -> None:
    roster, library = ActorRoster(world, hero), world.get_blueprint_library()
    place, car = hero.get_transform(), library.find("vehicle.audi.tt")
    leaving = world.spawn_actor(car, carla.Transform(carla.Location(place.location + carla.Location(x=8.0, z=0.5))))
    camera = world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=hero)
    at_origin = world.spawn_actor(car, carla.Transform(carla.Location(z=30.0)))
    world.tick()

    def seen() -> list[float]:
        x, y = place.location.x, place.location.y
        return sorted(round(float(pose[0]) - x) for pose in roster.read(x, y, 15.0).poses)

    alone = seen()
    assert 8 in alone
    for gone, ahead in ((leaving, 14.0), (camera, -8.0), (at_origin, -14.0)):
        gone.destroy()
        world.spawn_actor(car, carla.Transform(carla.Location(place.location + carla.Location(x=ahead, z=2.0))))
        world.tick()
        assert round(ahead) in seen()
    assert 8 not in seen()


def test_fault_17_a_step_asks_nothing_of_the_server(start_server: Callable[..., Any]) -> None:
    server = start_server()
    client = carla.Client(*server.address)
    client.set_timeout(60.0)
    world = client.get_world()
    options = world.get_settings()
    options.synchronous_mode, options.fixed_delta_seconds = True, 0.05
    world.apply_settings(options)
    carla_map = world.get_map()
    library = world.get_blueprint_library()
    points = carla_map.get_spawn_points()
    car = world.spawn_actor(library.find("vehicle.lincoln.mkz_2017"), points[0])
    world.spawn_actor(library.find("vehicle.audi.tt"), points[1])
    world.tick()
    manager = BirdviewManager(car, carla_map, 84, 15.0, ("road", "vehicles", "red_light", "green_light", "stop_sign"))
    first = manager.render()
    world.tick()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        client.set_timeout(0.5)
        assert np.array_equal(manager.render(), first)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
        server.stop()


def test_the_heros_route_is_shown(world: carla.World, hero: carla.Actor, interface: SensorInterface) -> None:
    masks = {"type": "sensor.birdview", "size": 100, "format": "masks", "planes": "route,road"}
    SensorFactory.spawn("view", masks, interface, hero)
    interface.route = plan_route(
        present(interface.map), hero.get_transform(), length=100.0, rng=np.random.default_rng(1)
    )
    stack = interface.get_data(world.tick())["view"][1]
    on_route = stack[..., 0] > 200
    assert 100 < on_route.sum() < 3000
    assert (stack[..., 1][on_route] > 100).mean() > 0.95


def test_signs_stand_where_the_world_has_them(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    SensorFactory.spawn("view", {"type": "sensor.birdview", "size": 300, "radius": 15.0}, interface, hero)
    signs = actors_of(world, "traffic.speed_limit.*")
    stops = actors_of(world, "traffic.stop")
    assert len(signs)
    assert len(stops)
    for sign, colour in ((signs[0], (204, 0, 0)), (stops[0], (186, 189, 182))):
        waypoint = present(interface.map).get_waypoint(sign.get_location())
        pose = waypoint.transform
        yaw = math.radians(pose.rotation.yaw)
        pose.location -= pose.get_forward_vector() * 8.0
        hero.set_transform(pose)
        picture = interface.get_data(world.tick())["view"][1]
        place = sign.get_location() if colour[0] == 204 else waypoint.transform.location
        dx, dy = place.x - hero.get_location().x, place.y - hero.get_location().y
        column = round(150 + 10 * (dy * math.cos(yaw) - dx * math.sin(yaw)))
        row = round(225 - 10 * (dx * math.cos(yaw) + dy * math.sin(yaw)))
        around = picture[row - 22 : row + 22, column - 22 : column + 22].astype(int)
        assert (np.abs(around - colour).sum(axis=2) < 30).sum() > 40


def test_driving_around_does_not_pile_up_memory(pyramid: MapPyramid, built_in_town: carla.Map) -> None:
    painter = BirdviewPainter(pyramid, 84, 15.0)
    poses = [waypoint.transform for waypoint in built_in_town.generate_waypoints(6.0)]

    def drive_around() -> None:
        for pose in poses:
            place = pose.location
            painter.paint(scene(place.x, place.y, math.radians(pose.rotation.yaw), place.z))

    drive_around()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        drive_around()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 6_000_000  # a few dozen tiles may be others than before


@pytest.mark.parametrize("form", ["rgb", "masks"])
def test_a_town_can_be_prepared_before_there_is_a_server(built_in_town: carla.Map, form: str) -> None:
    attributes = {"type": "sensor.birdview", "size": 84, "format": form}
    SensorFactory.prepare(attributes, built_in_town)
    SensorFactory.prepare({"type": "sensor.camera.rgb"}, built_in_town)
    with pytest.raises(ValueError, match="size is 0"):
        SensorFactory.prepare({**attributes, "size": 0}, built_in_town)
