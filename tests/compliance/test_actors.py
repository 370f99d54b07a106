"""Blueprints, spawning, attaching, destroying, batches."""

from __future__ import annotations

from typing import Any

import carla
import pytest

from tests.compliance.conftest import run


def test_the_library_holds_vehicles_walkers_props_sensors_and_controllers(fresh_world):
    library = fresh_world.get_blueprint_library()
    for pattern, least in (("vehicle.*", 20), ("walker.pedestrian.*", 20), ("static.prop.*", 20), ("sensor.*", 10)):
        assert len(library.filter(pattern)) >= least, pattern
    assert library.find("controller.ai.walker") is not None
    assert {b.id for b in library.filter("model3")} == {"vehicle.tesla.model3"}


def test_attributes_have_types_and_defaults(fresh_world):
    camera = fresh_world.get_blueprint_library().find("sensor.camera.rgb")
    assert camera.get_attribute("image_size_x").as_int() == 800
    assert camera.get_attribute("fov").as_float() == pytest.approx(90.0)
    car = fresh_world.get_blueprint_library().find("vehicle.tesla.model3")
    assert car.get_attribute("number_of_wheels").as_int() == 4
    assert not car.get_attribute("number_of_wheels").is_modifiable
    assert car.has_attribute("color")


def test_a_blueprint_takes_only_what_fits(fresh_world):
    library = fresh_world.get_blueprint_library()
    car = library.find("vehicle.tesla.model3")
    colour = car.get_attribute("color")
    car.set_attribute("color", colour.recommended_values[0])
    for name in ("number_of_wheels", "wings"):  # the one not to be changed, the other not known
        with pytest.raises((IndexError, ValueError)):
            car.set_attribute(name, "2")
    with pytest.raises(IndexError):
        library.find("vehicle.flying.saucer")


@pytest.mark.parametrize(
    ("blueprint_id", "length"),
    [("vehicle.tesla.model3", 4.79), ("vehicle.mini.cooper_s", 3.81), ("vehicle.carlamotors.firetruck", 8.47),
     ("vehicle.diamondback.century", 1.64)],
)  # fmt: skip
def test_vehicles_are_as_long_as_carla_s(fresh_world, spawn, spawn_points, blueprint_id, length):
    box = spawn(blueprint_id, spawn_points[0]).bounding_box
    assert 2.0 * box.extent.x == pytest.approx(length, rel=0.05)


def test_every_vehicle_stands_on_the_road_where_it_was_put(client, fresh_world, spawn_points):
    library = sorted(fresh_world.get_blueprint_library().filter("vehicle.*"), key=lambda blueprint: blueprint.id)
    apart: list[carla.Transform] = []
    for point in spawn_points:
        if all(point.location.distance(other.location) > 14.0 for other in apart):
            apart.append(point)
    grounds = [fresh_world.ground_projection(point.location + carla.Location(z=2.0), 10.0).location for point in apart]
    wrong = []
    for first in range(0, len(library), len(apart)):
        batch = list(zip(library[first : first + len(apart)], apart, grounds))
        commands = [carla.command.SpawnActor(blueprint, point) for blueprint, point, _ in batch]
        answers = client.apply_batch_sync(commands, True)
        run(fresh_world, 2.0)
        for (blueprint, point, ground), answer in zip(batch, answers):
            if answer.error:
                wrong.append(f"{blueprint.id}: {answer.error}")
                continue
            vehicle = fresh_world.get_actor(answer.actor_id)
            pose, box = vehicle.get_transform(), vehicle.bounding_box
            moved = pose.location.distance_2d(point.location)
            gap = pose.location.z + box.location.z - box.extent.z - ground.z
            lean = max(abs(pose.rotation.roll), abs(pose.rotation.pitch))
            if moved > 0.7 or abs(gap) > 0.5 or lean > 12.0:
                wrong.append(f"{blueprint.id}: moved {moved:.2f} m, {gap:.2f} m high, leans by {lean:.0f}°")
            vehicle.destroy()
        fresh_world.tick()
    assert not wrong


def test_a_spawned_vehicle_is_where_it_was_put(fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0], role_name="hero")
    fresh_world.tick()
    transform = car.get_transform()
    assert transform.location.distance(spawn_points[0].location) < 1.0
    assert abs((transform.rotation.yaw - spawn_points[0].rotation.yaw + 180) % 360 - 180) < 1.0
    assert car.attributes["role_name"] == "hero"
    assert car.type_id == "vehicle.tesla.model3"
    assert 2.0 < car.bounding_box.extent.x < 3.0
    assert [int(tag) for tag in car.semantic_tags] == [int(carla.CityObjectLabel.Car)]


def test_a_taken_place_is_refused(fresh_world, spawn, spawn_points):
    spawn("vehicle.tesla.model3", spawn_points[0])
    blueprint = fresh_world.get_blueprint_library().find("vehicle.tesla.model3")
    assert fresh_world.try_spawn_actor(blueprint, spawn_points[0]) is None
    with pytest.raises(RuntimeError, match="collision"):
        fresh_world.spawn_actor(blueprint, spawn_points[0])


def test_an_actor_is_found_by_id_and_pattern_until_it_is_destroyed(fresh_world, spawn_points):
    blueprint = fresh_world.get_blueprint_library().find("vehicle.tesla.model3")
    car = fresh_world.spawn_actor(blueprint, spawn_points[0])
    fresh_world.tick()
    assert fresh_world.get_actor(car.id).id == car.id
    assert car.id in [actor.id for actor in fresh_world.get_actors().filter("vehicle.tesla.*")]
    assert car.destroy()
    assert not car.is_alive
    fresh_world.tick()
    assert fresh_world.get_actors().find(car.id) is None


def test_an_attached_actor_follows_its_parent_and_ends_with_it(fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    gnss = spawn("sensor.other.gnss", carla.Transform(carla.Location(x=1.0, z=2.0)), car)
    assert gnss.parent.id == car.id
    car.set_transform(spawn_points[1])
    fresh_world.tick()
    fresh_world.tick()
    ahead = car.get_transform().transform(carla.Location(x=1.0, z=2.0))
    assert gnss.get_location().distance(carla.Location(ahead.x, ahead.y, ahead.z)) < 0.1


def test_an_empty_actor_carries_sensors(fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    roof = spawn("util.actor.empty", carla.Transform(carla.Location(z=2.0)), car)
    unit = spawn("sensor.other.imu", carla.Transform(carla.Location(x=1.0)), roof)
    fresh_world.tick()
    car.set_transform(spawn_points[1])
    fresh_world.tick()
    place = carla.Location(x=1.0, z=2.0)
    car.get_transform().transform(place)
    assert unit.get_location().distance(place) < 0.2


def test_nothing_is_attached_to_an_actor_that_is_gone(client, fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    fresh_world.tick()  # the client destroys only what it has seen
    car.destroy()
    fresh_world.tick()
    before = len(fresh_world.get_actors())
    with pytest.raises(RuntimeError, match="parent actor not found"):
        spawn("sensor.other.gnss", carla.Transform(), car)
    gnss = fresh_world.get_blueprint_library().find("sensor.other.gnss")
    (response,) = client.apply_batch_sync([carla.command.SpawnActor(gnss, carla.Transform(), car.id)], True)
    assert "parent actor not found" in response.error
    fresh_world.tick()
    assert len(fresh_world.get_actors()) == before


def test_the_spectator_goes_where_it_is_put(fresh_world):
    spectator = fresh_world.get_spectator()
    target = carla.Transform(carla.Location(10.0, 20.0, 30.0), carla.Rotation(pitch=-20.0, yaw=40.0))
    spectator.set_transform(target)
    fresh_world.tick()
    assert spectator.get_transform().location.distance(target.location) < 0.01
    assert spectator.get_transform().rotation.yaw == pytest.approx(40.0, abs=0.01)


def test_a_batch_answers_every_command_on_its_own(client, fresh_world, spawn_points):
    command: Any = carla.command
    blueprint = fresh_world.get_blueprint_library().find("vehicle.tesla.model3")
    full = carla.VehicleControl(throttle=1.0)
    responses = client.apply_batch_sync(
        [
            command.SpawnActor(blueprint, spawn_points[0]).then(command.ApplyVehicleControl(command.FutureActor, full)),
            command.SpawnActor(blueprint, spawn_points[0]),
            command.DestroyActor(2**31),
        ],
        True,
    )
    assert [response.has_error() for response in responses] == [False, True, True]
    car = fresh_world.get_actor(responses[0].actor_id)
    assert car.get_control().throttle == pytest.approx(1.0)
    (ended,) = client.apply_batch_sync([command.DestroyActor(car)], True)
    assert not ended.has_error()


def test_a_spawn_succeeds_whatever_becomes_of_the_commands_after_it(client, fresh_world, spawn_points):
    command: Any = carla.command
    cone = fresh_world.get_blueprint_library().find("static.prop.constructioncone")
    spawn = command.SpawnActor(cone, spawn_points[0])
    spawn = spawn.then(command.ApplyVehicleControl(command.FutureActor, carla.VehicleControl(throttle=1.0)))
    (response,) = client.apply_batch_sync([spawn.then(command.SetSimulatePhysics(command.FutureActor, True))], True)
    assert not response.has_error()
    spawned = fresh_world.get_actor(response.actor_id)
    assert spawned.type_id == "static.prop.constructioncone"
    assert spawned.destroy()
    fresh_world.tick()


def test_props_stand_where_they_are_put(fresh_world, spawn, spawn_points):
    place = spawn_points[0]
    cone = spawn("static.prop.constructioncone", place)
    fresh_world.tick()
    assert cone.get_location().distance(place.location) < 1.0


def test_props_are_put_wherever_they_are_asked_for(fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    for name in ("static.prop.dirtdebris01", "static.prop.dirtdebris01", "static.prop.constructioncone"):
        prop = spawn(name, spawn_points[1])
        fresh_world.tick()
        assert prop.get_location().distance(spawn_points[1].location) < 1.0
    low = carla.Transform(carla.Location(spawn_points[0].location.x, spawn_points[0].location.y, 0.0))
    bench = spawn("static.prop.mesh", low, mesh_path="/Game/Carla/Static/Static/SM_Bench.SM_Bench")
    fresh_world.tick()  # before, the client does not know whether it is alive, and says either
    assert bench.is_alive
    assert car.get_velocity().length() < 20.0


def test_the_mesh_of_a_parked_car_is_as_large_as_the_car(fresh_world, spawn, spawn_points):
    folder = "/Game/Carla/Static/Vehicles/4Wheeled/ParkedVehicles"
    name = f"{folder}/TeslaM3/SM_TeslaM3_parked.SM_TeslaM3_parked"
    parked = spawn("static.prop.mesh", spawn_points[0], mesh_path=name, scale="0.9")
    car = spawn("vehicle.tesla.model3", spawn_points[1])
    fresh_world.tick()
    sizes = [(actor.bounding_box.extent.x, actor.bounding_box.extent.y) for actor in (parked, car)]
    assert sizes[0] == pytest.approx([0.9 * half for half in sizes[1]], rel=0.15)
    assert fresh_world.try_spawn_actor(fresh_world.get_blueprint_library().find(car.type_id), spawn_points[0]) is None
    seen = fresh_world.get_level_bbs(carla.CityObjectLabel.Car)
    assert min(box.location.distance(parked.get_location()) for box in seen) < 2.0


def test_the_level_s_bounding_boxes_have_those_of_the_actors_in_it(fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    fresh_world.tick()
    (box,) = (
        box
        for box in fresh_world.get_level_bbs(carla.CityObjectLabel.Car)
        if box.location.distance(car.get_location()) < 2.0
    )
    pose = car.get_transform()
    centre = carla.Location(car.bounding_box.location)
    pose.transform(centre)
    assert box.location.distance(centre) < 0.05
    assert (box.extent.x, box.extent.z) == pytest.approx((car.bounding_box.extent.x, car.bounding_box.extent.z))
    assert box.rotation.yaw == pytest.approx(pose.rotation.yaw, abs=0.1)
