"""Bodies stop each other, and collision sensors tell so to both."""

from __future__ import annotations

import carla
import pytest

from tests.compliance.conftest import beside, run, seen_from
from tests.compliance.messages import Inbox
from tests.patience import PATIENCE


@pytest.fixture
def collisions_of(spawn):
    """Listens to an actor's collisions: `collisions_of(actor)` gives their inbox."""
    return lambda actor: Inbox(spawn("sensor.other.collision", carla.Transform(), actor))


def _with(inbox, other):
    """The first collision with an actor."""
    while True:
        event = inbox.get(timeout=PATIENCE)
        if event.other_actor.id == other.id:
            return event


def _push(car, speed):
    """Let a car go forward [m/s], in gear."""
    forward = car.get_transform().get_forward_vector()
    car.set_target_velocity(carla.Vector3D(speed * forward.x, speed * forward.y, 0.0))
    car.apply_control(carla.VehicleControl(throttle=0.5))


def _ahead(car, place):
    """How far [m] something is before a car's centre, along the car's axis."""
    return seen_from(car.get_transform(), place).x


def test_both_cars_hear_of_their_collision_and_share_the_speed(fresh_world, spawn, car, collisions_of, note):
    other = spawn("vehicle.lincoln.mkz_2020", beside(car.get_transform(), forward=9.0, up=0.3))
    run(fresh_world, 1.0)
    mine, theirs = collisions_of(car), collisions_of(other)
    _push(car, 10.0)
    run(fresh_world, 1.0)
    for one, another, told in ((car, other, _with(mine, other)), (other, car, _with(theirs, car))):
        assert (told.actor.id, told.other_actor.id) == (one.id, another.id)
        impulse = told.normal_impulse.length()
        assert impulse > 100.0
    assert other.get_velocity().length() > 1.0
    assert car.get_velocity().length() < 9.0
    assert _ahead(car, other.get_location()) > 3.5
    note("impulse of a car that is run into with 10 m/s", impulse, "N s")


def test_a_walker_is_hit(fresh_world, spawn, car, collisions_of):
    walker = spawn("walker.pedestrian.0001", beside(car.get_transform(), forward=8.0, up=1.1))
    run(fresh_world, 0.5)
    events = collisions_of(car)
    _push(car, 8.0)
    run(fresh_world, 1.5)
    assert _with(events, walker).actor.id == car.id


def test_a_container_stops_a_car(fresh_world, spawn, car, collisions_of):
    container = spawn("static.prop.container", beside(car.get_transform(), forward=14.0))
    fresh_world.tick()
    events = collisions_of(car)
    _push(car, 12.0)
    run(fresh_world, 2.0)
    assert _with(events, container).actor.id == car.id
    assert _ahead(car, container.get_location()) > 2.0
    assert car.get_velocity().length() < 2.0


def _place_before_a_wall(world):
    """A place in the air and the distance [m] straight ahead of it at which a building stands."""
    for building in world.get_environment_objects(carla.CityObjectLabel.Buildings):
        box = building.bounding_box
        for yaw in (0.0, 90.0, 180.0, 270.0):
            turned = carla.Transform(box.location, carla.Rotation(yaw=yaw))
            start = beside(turned, forward=-box.extent.length() - 10.0, up=0.0)
            met = world.cast_ray(start.location, box.location)
            if met and met[0].label == carla.CityObjectLabel.Buildings:
                distance = start.location.distance(met[0].location)
                if distance > 8.0:
                    return start, distance
    pytest.skip("the map has no building that stands free")


def test_a_building_stops_a_flying_car(fresh_world, spawn, collisions_of):
    place, distance = _place_before_a_wall(fresh_world)
    car = spawn("vehicle.tesla.model3", place)
    events = collisions_of(car)
    car.set_enable_gravity(False)
    forward = place.get_forward_vector()
    car.set_target_velocity(carla.Vector3D(15.0 * forward.x, 15.0 * forward.y, 0.0))
    run(fresh_world, 2.0 * distance / 15.0 + 1.0)
    assert events.get(timeout=PATIENCE).actor.id == car.id
    went = seen_from(place, car.get_location()).x
    assert went < distance
    assert car.get_velocity().length() < 8.0
