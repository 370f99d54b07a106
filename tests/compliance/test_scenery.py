"""What stands around: street lights give light, disabled objects are neither seen nor in the way."""

from __future__ import annotations

import carla
import pytest

from tests.compliance.conftest import beside
from tests.compliance.messages import Inbox, pixels
from tests.known import weather_named


@pytest.fixture
def look(fresh_world, spawn):
    """A picture from a place: `look(transform, **attributes)` gives a function that ticks and returns float BGR."""

    def open_eye(transform, **attributes):
        size = {"image_size_x": "120", "image_size_y": "90"}
        inbox = Inbox(spawn("sensor.camera.rgb", transform, **size, **attributes))

        def picture():
            for _ in range(3):  # a lamp may be lit a frame or two late
                frame = fresh_world.tick()
            return pixels(inbox.of_frame(frame))

        return picture

    return open_eye


@pytest.fixture
def night(fresh_world):
    """A clear night; noon again afterwards."""
    fresh_world.set_weather(weather_named("ClearNight"))
    fresh_world.tick()
    fresh_world.tick()
    yield
    fresh_world.set_weather(weather_named("ClearNoon"))
    fresh_world.tick()


def test_street_lights_follow_the_sun_and_light_the_ground_in_their_colour(fresh_world, night, look):
    manager = fresh_world.get_lightmanager()
    lamps = manager.get_all_lights(carla.LightGroup.Street)
    assert lamps
    assert all(lamp.is_on for lamp in lamps)
    place = lamps[0].location
    below = carla.Location(place.x, place.y, place.z - 1.0)
    picture = look(carla.Transform(below, carla.Rotation(pitch=-90.0)), exposure_mode="manual")
    lit = picture().mean()
    manager.turn_off(lamps)
    assert picture().mean() < 0.7 * lit
    assert not any(manager.is_active(lamps))
    manager.set_color(lamps, carla.Color(0, 0, 255))
    manager.turn_on(lamps)
    blue, _, red = picture().mean(axis=(0, 1))
    assert blue > 1.5 * red


@pytest.mark.parametrize("label", [carla.CityObjectLabel.TrafficLight, carla.CityObjectLabel.TrafficSigns])
def test_rays_meet_signals_where_their_boxes_are(fresh_world, label):
    boxes = list(fresh_world.get_level_bbs(label))[:5]
    above = [box.location + carla.Location(z=box.extent.z + 1.0) for box in boxes]
    points = [fresh_world.cast_ray(start, box.location) for start, box in zip(above, boxes, strict=True)]
    assert any(label in {point.label for point in met} for met in points)


def test_a_disabled_object_is_passed_by_rays(fresh_world):
    building = fresh_world.get_environment_objects(carla.CityObjectLabel.Buildings)[0]
    box = building.bounding_box
    above, below = (box.location + carla.Location(z=z) for z in (box.extent.z + 5.0, -box.extent.z + 1.0))

    def labels():
        return [point.label for point in fresh_world.cast_ray(above, below)]

    assert carla.CityObjectLabel.Buildings in labels()
    fresh_world.enable_environment_objects({building.id}, False)
    fresh_world.tick()
    assert carla.CityObjectLabel.Buildings not in labels()
    fresh_world.enable_environment_objects({building.id}, True)
    fresh_world.tick()
    assert carla.CityObjectLabel.Buildings in labels()


def test_rays_meet_the_road_and_what_stands_on_it(fresh_world, spawn, spawn_points):
    place = spawn_points[0]
    road = {carla.CityObjectLabel.Roads, carla.CityObjectLabel.RoadLines}
    high = beside(place, up=20.0).location
    met = fresh_world.project_point(high, carla.Vector3D(z=-1.0), 40.0)
    ground = fresh_world.ground_projection(high, 40.0)
    assert met.label in road
    assert ground.label in road
    assert met.location.distance(ground.location) < 0.1
    assert abs(ground.location.z - place.location.z) < 1.5
    assert fresh_world.project_point(high, carla.Vector3D(z=-1.0), 5.0) is None
    car = spawn("vehicle.tesla.model3", place)
    fresh_world.tick()
    through = fresh_world.cast_ray(high, carla.Location(high.x, high.y, place.location.z - 5.0))
    assert through[0].label == carla.CityObjectLabel.Car
    assert through[0].location.z - ground.location.z == pytest.approx(2.0 * car.bounding_box.extent.z, abs=0.5)
    assert through[-1].label in road
