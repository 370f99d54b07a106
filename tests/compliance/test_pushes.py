"""Velocities, impulses and forces that are given to a body, in the air, where nothing else acts on it."""

from __future__ import annotations

import carla
import pytest

from tests.compliance.conftest import STEP, run


@pytest.fixture
def flying(fresh_world, spawn, spawn_points):
    """A car high above the road."""
    place = carla.Transform(spawn_points[0].location + carla.Location(z=30.0), carla.Rotation())
    car = spawn("vehicle.tesla.model3", place)
    fresh_world.tick()
    return car


def test_an_impulse_acts_at_once_and_a_force_for_one_tick(fresh_world, flying):
    mass = flying.get_physics_control().mass
    flying.add_impulse(carla.Vector3D(x=3.0 * mass))
    fresh_world.tick()
    assert flying.get_velocity().x == pytest.approx(3.0, abs=0.2)
    flying.add_force(carla.Vector3D(y=2.0 * mass / STEP))
    fresh_world.tick()
    assert flying.get_velocity().y == pytest.approx(2.0, abs=0.2)
    fresh_world.tick()
    assert flying.get_velocity().y == pytest.approx(2.0, abs=0.2)


def test_turning_is_told_in_degrees_and_to_the_right(fresh_world, flying):
    flying.set_target_angular_velocity(carla.Vector3D(z=90.0))
    yaw = flying.get_transform().rotation.yaw
    fresh_world.tick()
    assert flying.get_angular_velocity().z == pytest.approx(90.0, abs=3.0)
    run(fresh_world, 0.2)
    assert flying.get_transform().rotation.yaw - yaw == pytest.approx(90.0 * 0.25, abs=5.0)


@pytest.mark.parametrize("name", ["add_angular_impulse", "add_torque"])
def test_a_turn_is_undone_by_the_opposite_one(fresh_world, flying, name):
    mass = flying.get_physics_control().mass
    getattr(flying, name)(carla.Vector3D(z=2000.0 * mass))
    fresh_world.tick()
    turning = flying.get_angular_velocity().z
    assert turning > 1.0
    getattr(flying, name)(carla.Vector3D(z=-2000.0 * mass))
    fresh_world.tick()
    assert abs(flying.get_angular_velocity().z) < 0.1 * turning


def test_a_body_without_gravity_stays_in_the_air_and_without_physics_where_it_is(fresh_world, flying):
    flying.set_enable_gravity(False)
    flying.set_target_velocity(carla.Vector3D())
    fresh_world.tick()
    before = flying.get_location()
    run(fresh_world, 0.5)
    assert flying.get_location().distance(before) < 0.1
    flying.set_enable_gravity(True)
    flying.set_simulate_physics(False)
    run(fresh_world, 0.5)
    assert flying.get_location().distance(before) < 0.5


def test_a_body_falls_as_bodies_do(fresh_world, flying):
    flying.set_target_velocity(carla.Vector3D())
    fresh_world.tick()
    start, speed = flying.get_location().z, flying.get_velocity().z
    run(fresh_world, 0.5)
    assert flying.get_acceleration().z == pytest.approx(-9.81, abs=0.5)
    assert flying.get_velocity().z - speed == pytest.approx(-9.81 * 0.5, abs=0.5)
    assert start - flying.get_location().z == pytest.approx(9.81 * 0.5**2 / 2.0 - speed * 0.5, abs=0.4)


def test_an_impulse_moves_what_is_heavy_less(fresh_world, flying):
    control = flying.get_physics_control()
    light = control.mass
    control.mass = 2.0 * light
    flying.apply_physics_control(control)
    fresh_world.tick()
    flying.set_target_velocity(carla.Vector3D())
    flying.add_impulse(carla.Vector3D(x=4.0 * light))
    fresh_world.tick()
    assert flying.get_velocity().x == pytest.approx(2.0, abs=0.3)
