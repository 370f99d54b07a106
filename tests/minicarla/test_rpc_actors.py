"""What the embedded server makes of actors where CARLA's documentation leaves room."""

from __future__ import annotations

import carla
import pytest


@pytest.fixture
def world(carla_client):
    return carla_client.get_world()


def _spawn(world, blueprint_id, transform, **attributes):
    blueprint = world.get_blueprint_library().find(blueprint_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, value)
    return world.spawn_actor(blueprint, transform)


def _run(world, ticks):
    for _ in range(ticks):
        world.tick()


def test_a_vehicle_has_failed_while_it_lies_on_its_roof(world):
    place = world.get_map().get_spawn_points()[0]
    vehicle = _spawn(world, "vehicle.tesla.model3", place)
    for roll, failure in ((180.0, carla.VehicleFailureState.Rollover), (0.0, carla.VehicleFailureState.NONE)):
        vehicle.set_transform(
            carla.Transform(place.location + carla.Location(z=2.5), carla.Rotation(yaw=place.rotation.yaw, roll=roll))
        )
        _run(world, 60)
        assert vehicle.get_failure_state() == failure


def test_a_two_wheeler_s_back_wheel_does_not_steer(world):
    bike = _spawn(world, "vehicle.yamaha.yzf", world.get_map().get_spawn_points()[0])
    bike.apply_control(carla.VehicleControl(steer=0.5))
    _run(world, 20)
    assert bike.get_wheel_steer_angle(carla.VehicleWheelLocation.Front_Wheel) > 10.0
    assert bike.get_wheel_steer_angle(carla.VehicleWheelLocation.Back_Wheel) == 0.0


@pytest.mark.parametrize("invincible", [True, False])
def test_a_car_knocks_a_led_walker_over_and_kills_who_is_not_invincible(carla_client, world, invincible):
    place = world.get_map().get_spawn_points()[0]
    ahead = place.get_forward_vector()
    car = _spawn(world, "vehicle.tesla.model3", place)
    feet = place.location + carla.Location(8.0 * ahead.x, 8.0 * ahead.y, 0.0)
    above = carla.Transform(feet + carla.Location(z=1.0))
    walker = _spawn(world, "walker.pedestrian.0005", above, is_invincible=str(invincible).lower())
    world.tick()
    walker.set_simulate_physics(False)  # as the client's navigation does with whom it leads
    lead = carla.command.ApplyWalkerState(walker, carla.Transform(feet), 0.0)

    def run(ticks):
        for _ in range(ticks):
            carla_client.apply_batch_sync([lead], False)
            world.tick()

    run(2)
    car.set_target_velocity(carla.Vector3D(12.0 * ahead.x, 12.0 * ahead.y, 0.0))
    run(16)
    assert car.get_velocity().length() > 9.0
    assert abs(walker.get_transform().rotation.pitch) == pytest.approx(90.0, abs=1.0)
    car.destroy()
    run(60)
    assert (walker.get_transform().rotation.pitch == 0.0) is invincible
    run(200)
    assert (world.get_snapshot().find(walker.id) is not None) is invincible
