"""Cameras show what is there, where it is, in its colour."""

from __future__ import annotations

import math

import carla
import numpy as np
import pytest

from tests.compliance.conftest import beside, run, seen_from
from tests.compliance.messages import Inbox, metres, pixels, shows
from tests.known import weather_named


@pytest.fixture
def up(spawn_points):
    """A place high above a road, where only what a test puts there is seen."""
    return beside(carla.Transform(spawn_points[0].location, carla.Rotation(yaw=30.0)), up=40.0)


@pytest.fixture
def hang(spawn):
    """Puts a vehicle into the air, where it stays: `hang(place, **attributes)`."""

    def put(place, **attributes):
        vehicle = spawn("vehicle.tesla.model3", place, **attributes)
        vehicle.set_simulate_physics(False)
        return vehicle

    return put


@pytest.fixture
def look(fresh_world, spawn):
    """Looks once: `look(kind, place, **attributes)` gives the picture."""

    def take(kind, place, **attributes):
        size = {"image_size_x": "160", "image_size_y": "120"}
        inbox = Inbox(spawn(f"sensor.camera.{kind}", place, **{**size, **attributes}))
        fresh_world.tick()
        return inbox.of_frame(fresh_world.tick())

    return take


@pytest.mark.parametrize(
    ("turn", "fov", "where"),
    [
        (carla.Rotation(), 90.0, (14.0, 4.0, 3.0)),
        (carla.Rotation(), 60.0, (14.0, -4.0, -3.0)),
        (carla.Rotation(pitch=-10.0, yaw=25.0, roll=30.0), 75.0, (14.0, 1.0, -2.0)),
    ],
    ids=["right-above", "left-below-narrow", "tilted"],
)
def test_what_is_seen_is_where_a_pinhole_camera_shows_it(fresh_world, look, hang, up, turn, fov, where):
    forward, right, above = where
    seen = hang(beside(up, forward, right, above))
    camera = carla.Transform(up.location, carla.Rotation(turn.pitch, up.rotation.yaw + turn.yaw, turn.roll))
    fresh_world.tick()
    image = look("instance_segmentation", camera, fov=str(fov))
    rows, columns = np.nonzero(shows(image, seen))
    centre = carla.Location(seen.bounding_box.location)
    seen.get_transform().transform(centre)
    local = seen_from(camera, centre)
    focal = image.width / 2.0 / math.tan(math.radians(fov) / 2.0)
    expected = (image.width / 2.0 + focal * local.y / local.x, image.height / 2.0 - focal * local.z / local.x)
    assert (np.mean(columns), np.mean(rows)) == pytest.approx(expected, abs=6.0)


def test_depth_is_told_in_metres_along_the_axis(fresh_world, look, hang, up):
    seen = hang(beside(up, forward=14.0, up=-0.7))
    fresh_world.tick()
    depth = metres(look("depth", up))
    assert depth[60, 80] == pytest.approx(14.0 - seen.bounding_box.extent.x, abs=0.8)
    assert depth[5, 80] > 900.0  # the sky


def test_a_level_road_from_above_is_one_distance_one_tag_and_one_normal(fresh_world, look, spawn_points):
    height = 5.0
    above = beside(spawn_points[0], up=height)
    down = carla.Transform(above.location, carla.Rotation(pitch=-90.0, yaw=above.rotation.yaw))
    ground = fresh_world.ground_projection(above.location, 20.0).location.z
    depth = metres(look("depth", down, fov="30"))
    assert depth == pytest.approx(np.full_like(depth, above.location.z - ground), rel=0.03)
    tags = pixels(look("semantic_segmentation", down, fov="30"))[..., 2]
    assert set(tags.ravel()) <= {float(carla.CityObjectLabel.Roads), float(carla.CityObjectLabel.RoadLines)}
    normals = pixels(look("normals", down, fov="30")) / 127.5 - 1.0
    assert np.linalg.norm(normals, axis=-1).mean() == pytest.approx(1.0, abs=0.1)
    assert normals.std(axis=(0, 1)).max() < 0.15


def test_paint_has_the_colour_that_was_chosen(fresh_world, look, hang, up):
    cars = [
        hang(beside(up, 10.0, right, -2.0), color=colour) for right, colour in ((-3.0, "255,0,0"), (3.0, "0,0,255"))
    ]
    fresh_world.tick()
    picture, instances = look("rgb", up), look("instance_segmentation", up)
    red, blue = (pixels(picture)[shows(instances, car)].mean(axis=0) for car in cars)
    assert red[2] > 1.3 * red[0]
    assert blue[0] > 1.3 * blue[2]


def test_the_sky_is_blue_and_above(look, up):
    picture = pixels(look("rgb", carla.Transform(up.location, carla.Rotation(pitch=10.0))))
    sky = picture[:30].mean(axis=(0, 1))
    assert sky[0] > sky[2]
    assert sky.mean() > 60.0
    depth = metres(look("depth", carla.Transform(up.location, carla.Rotation(pitch=-10.0))))
    assert depth[:20].mean() > 2.0 * depth[-20:].mean()


def test_nights_are_dark_and_fog_hides(fresh_world, look, hang, up, note, spawn_points):
    seen = hang(beside(up, forward=30.0, up=-0.7), color="255,0,0")

    def weather(named, **changes):
        fresh_world.set_weather(named)
        changed = fresh_world.get_weather()
        for name, value in changes.items():
            setattr(changed, name, value)
        fresh_world.set_weather(changed)
        run(fresh_world, 0.2)
        street = pixels(look("rgb", beside(spawn_points[0], up=1.6))).mean()
        paint = pixels(look("rgb", up, fov="20"))[shows(look("instance_segmentation", up, fov="20"), seen)]
        return street, (paint[:, 2] - paint[:, 0]).mean()

    noon, red = weather(weather_named("ClearNoon"))
    _, veiled = weather(weather_named("ClearNoon"), fog_density=100.0, fog_distance=0.0)
    night, _ = weather(weather_named("ClearNight"))
    fresh_world.set_weather(weather_named("ClearNoon"))
    note("mean brightness of a street at noon", noon, "of 255")
    note("mean brightness of a street at night", night, "of 255")
    assert night < 0.7 * noon
    assert veiled < 0.8 * red


def test_flow_is_that_of_the_camera_s_motion(fresh_world, spawn, spawn_points):
    street = beside(spawn_points[0], up=1.6)
    camera = spawn("sensor.camera.optical_flow", street, image_size_x="160", image_size_y="120")
    inbox = Inbox(camera)
    run(fresh_world, 0.2)

    def flow():
        image = inbox.of_frame(fresh_world.tick())
        return np.frombuffer(image.raw_data, np.float32).reshape(image.height, image.width, 2)[-40:]

    still = np.abs(flow()).mean()
    camera.set_transform(beside(street, forward=0.5))
    moved = flow()
    assert still < 0.1 * np.abs(moved).mean()
    # What is passed moves out of the picture on its own side.
    assert moved[:, :60, 0].mean() * moved[:, 100:, 0].mean() < 0.0
