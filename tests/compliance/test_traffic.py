"""Traffic lights, the Traffic Manager, walkers of the client's navigation."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import carla
import pytest

from tests.compliance.conftest import STEP, beside, run
from tests.patience import PATIENCE
from tests.ports import free_port


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
    assert {carla.TrafficLightState.Green, carla.TrafficLightState.Yellow, carla.TrafficLightState.Red} <= seen


def test_frozen_lights_wait(fresh_world, light):
    lights = fresh_world.get_actors().filter("traffic.traffic_light*")
    fresh_world.freeze_all_traffic_lights(True)
    fresh_world.tick()
    before = [one.get_state() for one in lights]
    run(fresh_world, 20.0)
    assert [one.get_state() for one in lights] == before


def test_a_phase_lasts_as_long_as_is_set(fresh_world, light):
    group = light.get_group_traffic_lights()
    for member in group:
        member.set_green_time(2.0)
        member.set_yellow_time(1.0)
        member.set_red_time(1.0)
    light.reset_group()
    states = []
    for _ in range(round(len(group) * 8.0 / STEP)):
        fresh_world.tick()
        states.append(light.get_state())
    phases = [(state, len(list(ticks)) * STEP) for state, ticks in itertools.groupby(states)][1:-1]
    for state, seconds in ((carla.TrafficLightState.Green, 2.0), (carla.TrafficLightState.Yellow, 1.0)):
        lasted = [length for phase, length in phases if phase == state]
        assert lasted
        assert lasted == pytest.approx([seconds] * len(lasted), abs=0.16)


def test_a_car_knows_the_light_that_it_stands_at(fresh_world, spawn, light):
    fresh_world.freeze_all_traffic_lights(True)
    for state in (carla.TrafficLightState.Red, carla.TrafficLightState.Yellow):
        light.set_state(state)
        line = carla.Location(light.trigger_volume.location)
        light.get_transform().transform(line)
        behind = fresh_world.get_map().get_waypoint(line).previous(2.0)[0]  # its front reaches over the line
        car = spawn("vehicle.tesla.model3", beside(behind.transform, up=0.3))
        run(fresh_world, 0.5)
        assert car.is_at_traffic_light()
        assert car.get_traffic_light().id == light.id
        assert car.get_traffic_light_state() == state
        car.destroy()
        fresh_world.tick()


def test_a_light_knows_its_lanes(fresh_world, light):
    assert light.get_affected_lane_waypoints()
    assert light.get_opendrive_id()


def test_the_traffic_manager_drives(client, fresh_world, spawn, spawn_points, note):
    manager = client.get_trafficmanager(free_port())
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(7)
    cars = [spawn("vehicle.tesla.model3", point) for point in spawn_points[:5]]
    fresh_world.tick()
    before = {car.id: car.get_location() for car in cars}
    for car in cars:
        car.set_autopilot(True, manager.get_port())
    fastest = 0.0
    for _ in range(20):
        run(fresh_world, 1.0)
        fastest = max(fastest, *(car.get_velocity().length() * 3.6 / car.get_speed_limit() for car in cars))
    moved = [car.get_location().distance(before[car.id]) for car in cars]
    for car in cars:
        car.set_autopilot(False, manager.get_port())
    fresh_world.tick()
    manager.shut_down()
    note("metres that five cars of the Traffic Manager got away in 20 s", sum(moved) / len(moved), "on average")
    assert sum(distance > 5.0 for distance in moved) >= 3
    assert fastest < 1.2


_SECOND_CLIENT = """
import sys, carla
client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(float(sys.argv[5]))
manager = client.get_trafficmanager(int(sys.argv[3]))
car = client.get_world().get_actor(int(sys.argv[4]))
car.set_autopilot(True, manager.get_port())
manager.ignore_lights_percentage(car, 100.0)
manager.set_desired_speed(car, 10.0)
"""


def test_two_clients_share_a_traffic_manager(client, server_address, fresh_world, spawn, spawn_points):
    host, port = server_address
    manager = client.get_trafficmanager(free_port())
    manager.set_synchronous_mode(True)
    first = spawn_points[0]
    apart = max(spawn_points, key=lambda point: point.location.distance(first.location))
    cars = [spawn("vehicle.tesla.model3", point) for point in (first, apart)]
    run(fresh_world, 1.0)
    cars[0].set_autopilot(True, manager.get_port())
    manager.ignore_lights_percentage(cars[0], 100.0)
    manager.set_desired_speed(cars[0], 30.0)
    arguments = [host, port, manager.get_port(), cars[1].id, PATIENCE]
    second = subprocess.Popen([sys.executable, "-c", _SECOND_CLIENT, *map(str, arguments)])
    ends = time.monotonic() + PATIENCE
    while second.poll() is None and time.monotonic() < ends:
        fresh_world.tick()
    second.kill()
    top = [0.0, 0.0]
    for _ in range(300):
        fresh_world.tick()
        top = [max(fastest, 3.6 * car.get_velocity().length()) for fastest, car in zip(top, cars)]
    for car in cars:
        car.set_autopilot(False, manager.get_port())
    fresh_world.tick()
    manager.shut_down()
    assert second.wait() == 0
    assert 8.0 < top[1] < 15.0 < top[0]


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
