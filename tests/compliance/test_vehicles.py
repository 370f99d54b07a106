"""Vehicles obey their controls."""

from __future__ import annotations

import math

import carla
import pytest

from tests.compliance.conftest import STEP, needs, run, seen_from


def _forward_speed(vehicle):
    forward, velocity = vehicle.get_transform().get_forward_vector(), vehicle.get_velocity()
    return forward.x * velocity.x + forward.y * velocity.y + forward.z * velocity.z


def test_a_parked_car_stays(fresh_world, car):
    before = car.get_location()
    run(fresh_world, 2.0)
    assert car.get_location().distance(before) < 0.05


def test_throttle_drives_forward_and_the_brake_stops(fresh_world, car):
    car.apply_control(carla.VehicleControl(throttle=0.6))
    run(fresh_world, 2.0)
    assert _forward_speed(car) > 2.0
    car.apply_control(carla.VehicleControl(brake=1.0))
    run(fresh_world, 3.0)
    assert abs(_forward_speed(car)) < 0.1


def _push(vehicle, speed):
    """Let a vehicle go forward [m/s]."""
    forward = vehicle.get_transform().get_forward_vector()
    vehicle.set_target_velocity(carla.Vector3D(speed * forward.x, speed * forward.y, 0.0))


def test_a_hand_brake_stops(fresh_world, car):
    _push(car, 8.0)
    car.apply_control(carla.VehicleControl(hand_brake=True))
    run(fresh_world, 4.0)
    assert abs(_forward_speed(car)) < 0.5
    assert car.get_control().hand_brake


@pytest.mark.parametrize(("gear", "least", "most"), [(1, 1.0, 30.0), (0, -0.3, 0.3), (-1, -30.0, -0.5)])
def test_a_gear_may_be_chosen_by_hand(fresh_world, car, gear, least, most):
    car.apply_control(carla.VehicleControl(throttle=0.7, manual_gear_shift=True, gear=gear))
    run(fresh_world, 2.5)
    assert least < _forward_speed(car) < most
    assert car.get_control().gear == gear


def test_full_throttle_and_full_brake_have_figures(fresh_world, car, note):
    car.apply_control(carla.VehicleControl(throttle=1.0))
    run(fresh_world, 3.0)
    fast, place = _forward_speed(car), car.get_location()
    car.apply_control(carla.VehicleControl(brake=1.0))
    run(fresh_world, 5.0)
    way = car.get_location().distance(place)
    note("speed of a tesla.model3 after 3 s of full throttle", fast, "m/s")
    note("its deceleration under full brake", fast**2 / (2.0 * way), "m/s2")
    assert 4.0 < fast < 40.0
    assert 3.0 < fast**2 / (2.0 * way) < 15.0


@needs(carla.Vehicle, "get_telemetry_data")
def test_wheels_tell_how_they_turn(fresh_world, car):
    front_right = carla.VehicleWheelLocation.FR_Wheel
    car.apply_control(carla.VehicleControl(throttle=0.4, steer=0.3))
    run(fresh_world, 1.5)
    control, telemetry = car.get_physics_control(), car.get_telemetry_data()
    assert 3.0 < car.get_wheel_steer_angle(front_right) <= control.wheels[1].max_steer_angle
    rolling = [wheel.omega * control.wheels[0].radius / 100.0 for wheel in telemetry.wheels]
    assert sum(rolling) / len(rolling) == pytest.approx(_forward_speed(car), rel=0.15)
    assert telemetry.speed == pytest.approx(_forward_speed(car), rel=0.1)
    assert telemetry.throttle == pytest.approx(0.4, abs=0.05)


def _stopping_distance(world, car):
    _push(car, 10.0)
    world.tick()
    place = car.get_location()
    car.apply_control(carla.VehicleControl(brake=1.0))
    run(world, 3.0)
    return car.get_location().distance(place)


def test_a_slippery_tyre_brakes_late(fresh_world, car, spawn_points):
    dry = _stopping_distance(fresh_world, car)
    car.set_transform(spawn_points[0])
    run(fresh_world, 0.5)
    control = car.get_physics_control()
    wheels = control.wheels
    for wheel in wheels:
        wheel.tire_friction = 0.15
    control.wheels = wheels
    car.apply_physics_control(control)
    fresh_world.tick()
    assert _stopping_distance(fresh_world, car) > 1.5 * dry


def test_air_that_is_thick_slows_down(fresh_world, car, spawn_points):
    speeds = []
    for drag in (0.1, 20.0):
        car.set_transform(spawn_points[0])
        control = car.get_physics_control()
        control.drag_coefficient = drag
        car.apply_physics_control(control)
        run(fresh_world, 0.5)
        _push(car, 15.0)
        run(fresh_world, 1.5)
        speeds.append(_forward_speed(car))
    assert speeds[1] < speeds[0] - 1.0


def test_a_constant_velocity_is_kept_in_the_car_s_own_frame(fresh_world, car):
    car.enable_constant_velocity(carla.Vector3D(5.0, 0.0, 0.0))
    run(fresh_world, 1.0)
    assert _forward_speed(car) == pytest.approx(5.0, abs=0.3)
    car.disable_constant_velocity()
    car.apply_control(carla.VehicleControl(brake=1.0))
    run(fresh_world, 2.0)
    assert abs(_forward_speed(car)) < 0.1


def test_the_same_inputs_give_the_same_way(client, fresh_world, spawn_points, note):
    ends = []
    for _ in range(2):
        world = client.reload_world(False)
        vehicle = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), spawn_points[0])
        run(world, 1.0)
        for steer in (0.0, 0.2, -0.1):
            vehicle.apply_control(carla.VehicleControl(throttle=0.6, steer=steer))
            run(world, 1.0)
        ends.append(vehicle.get_location())
        vehicle.destroy()
    note("difference between two equal drives of 3 s", ends[0].distance(ends[1]), "m")
    assert ends[0].distance(ends[1]) < 0.2


def test_reverse_drives_backward(fresh_world, car):
    car.apply_control(carla.VehicleControl(throttle=0.6, reverse=True))
    run(fresh_world, 2.0)
    assert _forward_speed(car) < -0.5
    assert car.get_control().reverse


def test_positive_steering_turns_right(fresh_world, car):
    yaw = car.get_transform().rotation.yaw
    car.apply_control(carla.VehicleControl(throttle=0.5, steer=0.5))
    run(fresh_world, 2.0)
    turned = (car.get_transform().rotation.yaw - yaw + 180.0) % 360.0 - 180.0
    assert turned > 5.0
    assert car.get_angular_velocity().z > 0.0


def test_a_teleport_keeps_the_pose(fresh_world, car, spawn_points):
    car.set_transform(spawn_points[-1])
    fresh_world.tick()
    assert car.get_location().distance(spawn_points[-1].location) < 1.0


def test_a_target_velocity_takes_effect(fresh_world, car):
    forward = car.get_transform().get_forward_vector()
    car.set_target_velocity(carla.Vector3D(8.0 * forward.x, 8.0 * forward.y, 0.0))
    fresh_world.tick()
    fresh_world.tick()
    assert _forward_speed(car) == pytest.approx(8.0, abs=1.0)


def test_without_physics_a_car_hangs_in_the_air_and_falls_when_physics_returns(fresh_world, car):
    car.set_simulate_physics(False)
    high = car.get_transform()
    high.location.z += 5.0
    car.set_transform(high)
    run(fresh_world, 1.0)
    assert car.get_location().z == pytest.approx(high.location.z, abs=0.05)
    car.set_simulate_physics(True)
    run(fresh_world, 2.0)
    assert car.get_location().z < high.location.z - 4.0


def test_a_physics_control_comes_back_as_it_was_applied(fresh_world, car):
    control = car.get_physics_control()
    control.mass, control.max_rpm = 2500.0, 7000.0
    car.apply_physics_control(control)
    fresh_world.tick()
    assert car.get_physics_control().mass == pytest.approx(2500.0)
    assert car.get_physics_control().max_rpm == pytest.approx(7000.0)
    assert len(car.get_physics_control().wheels) == 4


def test_a_friction_trigger_shows_in_the_wheels_while_a_car_is_inside(fresh_world, spawn, car):
    own = car.get_physics_control().wheels[0].tire_friction
    sizes = {f"extent_{axis}": "2000" for axis in "xyz"}
    trigger = spawn("static.trigger.friction", car.get_transform(), friction="0.5", **sizes)
    run(fresh_world, 0.2)
    assert car.get_physics_control().wheels[0].tire_friction == pytest.approx(0.5)
    trigger.destroy()
    run(fresh_world, 0.2)
    assert car.get_physics_control().wheels[0].tire_friction == pytest.approx(own)


@needs(carla.Vehicle, "get_bone_names")
def test_wheel_bones_turn_as_the_car_rolls(fresh_world, car):
    wheels = [index for index, name in enumerate(car.get_bone_names()) if name.lower().startswith("wheel")]
    assert len(wheels) == 4
    radius = car.get_physics_control().wheels[0].radius / 100.0
    car.apply_control(carla.VehicleControl(throttle=0.35))
    run(fresh_world, 1.2)
    here, before = car.get_location(), car.get_bone_relative_transforms()
    fresh_world.tick()
    rolled = math.degrees(car.get_location().distance(here) / radius)
    after = car.get_bone_relative_transforms()
    for index in wheels:
        turns = [transform[index].get_forward_vector() for transform in (before, after)]
        first, second = (math.degrees(math.atan2(vector.z, vector.x)) for vector in turns)
        assert (first - second + 180.0) % 360.0 - 180.0 == pytest.approx(rolled, rel=0.3)


def test_ackermann_control_reaches_its_speed(fresh_world, car):
    car.apply_ackermann_control(carla.VehicleAckermannControl(steer=0.0, speed=5.0, acceleration=3.0))
    run(fresh_world, 4.0)
    assert _forward_speed(car) == pytest.approx(5.0, abs=1.5)


def test_lamps_come_back_as_they_were_switched(fresh_world, car):
    lamps = carla.VehicleLightState.LowBeam | carla.VehicleLightState.Brake
    car.set_light_state(carla.VehicleLightState(lamps))
    fresh_world.tick()
    assert int(car.get_light_state()) & int(lamps) == int(lamps)
    assert fresh_world.get_vehicles_light_states()[car.id] & lamps


def test_acceleration_and_velocity_belong_to_the_motion(fresh_world, car):
    car.apply_control(carla.VehicleControl(throttle=0.8))
    run(fresh_world, 1.5)
    here, velocity = car.get_location(), car.get_velocity()
    fresh_world.tick()
    there = car.get_location()
    moved = math.hypot(there.x - here.x, there.y - here.y) / STEP
    assert moved == pytest.approx(math.hypot(velocity.x, velocity.y), rel=0.2, abs=0.3)
    slower, before = _forward_speed(car), fresh_world.get_snapshot().timestamp.elapsed_seconds
    forward, felt = car.get_transform().get_forward_vector(), []
    for _ in range(10):
        fresh_world.tick()
        felt.append(car.get_acceleration().dot(forward))
    gained = _forward_speed(car) - slower
    seconds = fresh_world.get_snapshot().timestamp.elapsed_seconds - before
    assert sum(felt) / len(felt) == pytest.approx(gained / seconds, rel=0.3, abs=0.5)


@needs(carla.Walker, "get_bone_names")
def test_a_walker_has_the_bones_of_carla_s_pedestrians(fresh_world, spawn, spawn_points):
    walker = spawn("walker.pedestrian.0001", carla.Transform(spawn_points[0].location + carla.Location(z=0.7)))
    fresh_world.tick()
    names, world = walker.get_bone_names(), walker.get_bone_world_transforms()
    assert len(names) == len(world) == len(walker.get_bone_relative_transforms()) > 60
    height = {name: transform.location.z for name, transform in zip(names, world)}
    assert height["crl_Head__C"] > height["crl_hand__L"] > height["crl_handIndexEnd__L"] > height["crl_foot__L"]


def test_walkers_walk_as_told(fresh_world, spawn, spawn_points):
    place = carla.Transform(spawn_points[0].location + carla.Location(z=0.7))
    walker = spawn("walker.pedestrian.0001", place)
    run(fresh_world, 1.0)
    before = walker.get_location()
    forward = spawn_points[0].get_forward_vector()
    walker.apply_control(carla.WalkerControl(forward, 1.5, False))
    run(fresh_world, 2.0)
    walked = walker.get_location() - before
    assert walked.x * forward.x + walked.y * forward.y == pytest.approx(3.0, abs=0.8)
    assert walker.get_control().speed == pytest.approx(1.5)
    height = walker.get_location().z
    walker.apply_control(carla.WalkerControl(forward, 0.0, True))
    run(fresh_world, 0.2)
    assert walker.get_location().z > height + 0.1


@needs(carla.Vehicle, "get_component_world_transform")
@pytest.mark.parametrize(
    ("name", "forward", "right"), [("front-blinker-r-1", 1.0, 1.0), ("back-blinker-l-1", -1.0, -1.0)]
)
def test_an_indicator_is_a_part_at_its_corner_of_the_car(fresh_world, spawn, spawn_points, name, forward, right):
    audi = spawn("vehicle.audi.tt", spawn_points[0])
    fresh_world.tick()
    part = audi.get_component_world_transform(name).location
    place = seen_from(audi.get_transform(), part)
    assert 1.0 < forward * place.x < 3.0
    assert 0.3 < right * place.y < 1.5
