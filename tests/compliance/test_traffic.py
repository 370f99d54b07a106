"""Traffic lights, signs, the Traffic Manager, walkers of the client's navigation, recordings."""

from __future__ import annotations

import carla
import pytest

from tests.ports import free_port

from .conftest import run


@pytest.fixture
def light(fresh_world):
    """Some traffic light."""
    lights = fresh_world.get_actors().filter("traffic.traffic_light*")
    if not lights:
        pytest.skip("the map has no traffic lights")
    yield lights[0]
    fresh_world.reset_all_traffic_lights()
    fresh_world.freeze_all_traffic_lights(False)


def test_a_light_shows_the_state_that_is_set(fresh_world, light):
    fresh_world.freeze_all_traffic_lights(True)
    for state in (carla.TrafficLightState.Green, carla.TrafficLightState.Red, carla.TrafficLightState.Yellow):
        light.set_state(state)
        fresh_world.tick()
        assert light.get_state() == state
    assert light.is_frozen()


def test_a_light_is_tagged_as_what_it_is_made_of(light):
    assert {int(carla.CityObjectLabel.Poles), int(carla.CityObjectLabel.TrafficLight)} <= set(light.semantic_tags)


def test_a_light_takes_new_times(fresh_world, light):
    light.set_green_time(7.0)
    light.set_yellow_time(2.0)
    light.set_red_time(4.0)
    fresh_world.tick()
    assert (light.get_green_time(), light.get_yellow_time(), light.get_red_time()) == (7.0, 2.0, 4.0)


def test_the_lights_of_a_junction_are_one_group_that_is_never_all_green(fresh_world, light):
    group = light.get_group_traffic_lights()
    assert light.id in [member.id for member in group]
    seen = set()
    for _ in range(60):
        run(fresh_world, 0.5)
        states = [member.get_state() for member in group]
        seen.update(states)
        if len(group) > 1:
            assert not all(state == carla.TrafficLightState.Green for state in states)
    assert carla.TrafficLightState.Green in seen


def test_a_light_knows_its_lanes(fresh_world, light):
    assert light.get_affected_lane_waypoints()
    assert light.get_opendrive_id()


def test_the_traffic_manager_drives(client, fresh_world, spawn, spawn_points):
    manager = client.get_trafficmanager(free_port())
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(7)
    cars = [spawn("vehicle.tesla.model3", point) for point in spawn_points[:5]]
    fresh_world.tick()
    before = {car.id: car.get_location() for car in cars}
    for car in cars:
        car.set_autopilot(True, manager.get_port())
    run(fresh_world, 20.0)
    moved = [car.get_location().distance(before[car.id]) for car in cars]
    for car in cars:
        car.set_autopilot(False, manager.get_port())
    fresh_world.tick()
    manager.shut_down()
    assert sum(distance > 5.0 for distance in moved) >= 3


def test_walkers_of_the_navigation_walk(client, fresh_world, spawn):
    places = [fresh_world.get_random_location_from_navigation() for _ in range(5)]
    if None in places:
        pytest.skip("the map has no navigation mesh")
    walkers = [spawn(f"walker.pedestrian.000{i + 1}", carla.Transform(place)) for i, place in enumerate(places)]
    controllers = [spawn("controller.ai.walker", carla.Transform(), walker) for walker in walkers]
    fresh_world.tick()
    before = [walker.get_location() for walker in walkers]
    for controller in controllers:
        controller.start()
        controller.go_to_location(fresh_world.get_random_location_from_navigation())
        controller.set_max_speed(1.4)
    run(fresh_world, 10.0)
    places = [walker.get_location() for walker in walkers]
    moved = [place.distance(start) for place, start in zip(places, before)]
    grounds = [fresh_world.ground_projection(place, 5.0) for place in places]
    for controller in controllers:
        controller.stop()
    assert sum(distance > 2.0 for distance in moved) >= 3
    for walker, place, ground in zip(walkers, places, grounds):
        assert place.z - ground.location.z == pytest.approx(walker.bounding_box.extent.z, abs=0.3)


def test_a_recording_is_listed_and_replayed(client, fresh_world, spawn, spawn_points):
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    fresh_world.tick()
    client.start_recorder("compliance.log", True)
    car.apply_control(carla.VehicleControl(throttle=0.6))
    run(fresh_world, 3.0)
    end = car.get_location()
    client.stop_recorder()
    assert f"Create {car.id}: vehicle.tesla.model3" in client.show_recorder_file_info("compliance.log", False)
    car.set_transform(spawn_points[1])
    fresh_world.tick()
    client.replay_file("compliance.log", 0.0, 0.0, 0)
    run(fresh_world, 3.0)
    # Servers differ in whether the replay takes the living car over or spawns its double.
    played = [actor.get_location().distance(end) for actor in fresh_world.get_actors().filter("vehicle.*")]
    client.stop_replayer(False)
    fresh_world.tick()
    assert min(played) < 1.0


def test_a_replay_moves_the_spectator_as_asked(client, fresh_world, spawn, spawn_points):
    spectator = fresh_world.get_spectator()
    car = spawn("vehicle.tesla.model3", spawn_points[0])
    fresh_world.tick()
    client.start_recorder("spectator.log")
    seen = carla.Transform(carla.Location(30.0, 20.0, 60.0), carla.Rotation(pitch=-40.0, yaw=70.0))
    spectator.set_transform(seen)
    run(fresh_world, 1.0)
    client.stop_recorder()
    away = carla.Transform(carla.Location(z=500.0))
    # An actor to follow is followed, whether the spectator's recorded places are ignored or not.
    for ignored, followed, place in ((True, 0, away), (False, 0, seen), (True, car.id, spawn_points[0])):
        client.set_replayer_ignore_spectator(ignored)
        spectator.set_transform(away)
        client.replay_file("spectator.log", 0.0, 0.0, followed)
        run(fresh_world, 0.5)
        assert spectator.get_location().distance(place.location) < (20.0 if followed else 0.1)
        client.stop_replayer(True)
    client.set_replayer_ignore_spectator(True)
