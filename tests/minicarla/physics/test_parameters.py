"""Physics control: what is read can be applied, and what is applied has its effect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minicarla.physics.parameters import PhysicsControlError, WheelControl, apply_physics_control, physics_control
from minicarla.physics.telemetry import telemetry, wheel_pitch_angle, wheel_steer_angle
from tests.known import of_kind
from tests.minicarla.physics.scene import GRAVITY, Scene, launch, sedan, vehicle_facts, vehicles


def _with(row: np.void, **changes: Any) -> None:
    apply_physics_control(row, physics_control(row)._replace(**changes))


def _wheels(row: np.void) -> list[WheelControl]:
    return [of_kind(WheelControl, wheel) for wheel in physics_control(row).wheels]


def _with_wheels(row: np.void, **changes: Any) -> None:
    _with(row, wheels=[wheel._replace(**changes) for wheel in _wheels(row)])


def test_applying_what_was_read_changes_nothing_for_any_vehicle():
    rows = vehicles(*vehicle_facts())
    for row in rows:
        before = row.copy()
        # as it comes back from a client: single precision
        control = physics_control(row)
        rounded = control._replace(mass=float(np.float32(control.mass)), max_rpm=float(np.float32(control.max_rpm)))
        apply_physics_control(row, rounded)
        for name in row.dtype.names:
            np.testing.assert_allclose(row[name], before[name], rtol=1e-6, atol=1e-12, err_msg=name)


def test_vehicles_differ_as_their_models_do():
    bicycle, mini, hgv = vehicles(
        "vehicle.diamondback.century", "vehicle.mini.cooper_s", "vehicle.carlamotors.european_hgv"
    )
    assert bicycle["mass"] < 150 < mini["mass"] < 2000 < hgv["mass"]
    assert len(physics_control(hgv).forward_gears) > len(physics_control(mini).forward_gears)
    assert np.ptp(hgv["wheel_x"]) > np.ptp(mini["wheel_x"]) > np.ptp(bicycle["wheel_x"])
    for row in vehicles(*vehicle_facts()):
        assert np.ptp(row["wheel_x"]) < 2.0 * row["extent_x"]
        assert np.sum(row["wheel_rest_load"]) == pytest.approx(row["mass"] * GRAVITY)


def test_less_tire_friction_brakes_longer():
    scene = Scene(sedan(2))
    _with_wheels(scene.vehicles[1], tire_friction=0.25)
    launch(scene.vehicles, 15.0)
    scene.tick()
    scene.vehicles["brake"] = 1.0
    scene.tick(160)
    x = scene.vehicles["x"]
    assert x[1] > 2.0 * x[0]


def test_a_friction_trigger_acts_until_it_is_left():
    scene = Scene(sedan(2))
    launch(scene.vehicles, 15.0)
    scene.vehicles["friction_override"][1] = 0.2
    scene.vehicles["brake"] = 1.0
    scene.tick(20)
    slippery = scene.speed()[1]
    assert slippery > 13.0
    assert scene.speed()[0] < 11.0
    scene.vehicles["friction_override"][1] = -1.0
    scene.tick(70)
    assert scene.speed()[1] < 0.1


def test_a_slippery_road_still_brakes():
    scene = Scene(vehicles("vehicle.carlamotors.european_hgv", "vehicle.carlamotors.european_hgv"))
    _with_wheels(scene.vehicles[0], tire_friction=0.0)
    _with_wheels(scene.vehicles[1], tire_friction=0.5)
    launch(scene.vehicles, 27.0)
    scene.tick()
    scene.vehicles["brake"] = 1.0
    scene.tick(150)
    x = scene.vehicles["x"]
    assert x[0] > 190.0
    assert x[1] < 0.75 * x[0]


def test_a_trigger_s_friction_is_what_the_wheels_show_and_ends_with_it():
    row = sedan()[0]
    own = _wheels(row)[0].tire_friction
    row["friction_override"] = 0.2
    assert {wheel.tire_friction for wheel in _wheels(row)} == {0.2}
    _with(row, mass=1500.0)  # what was read inside the trigger is applied there
    row["friction_override"] = -1.0
    assert _wheels(row)[0].tire_friction == own


def test_a_soft_tread_accelerates_less():
    scene = Scene(sedan(3))
    for row, stiffness in zip(scene.vehicles, (100.0, 500.0, 1000.0)):
        _with_wheels(row, long_stiff_value=stiffness)
    scene.vehicles["throttle"] = 1.0
    scene.tick(80)
    soft, medium, standard = scene.vehicles["x"]
    assert soft < 0.8 * medium < 0.9 * standard


def test_engines_slow_cars_down_without_throttle():
    scene = Scene(vehicles(*(name for name, facts in vehicle_facts().items() if facts["base"] == "car"), gap=8.0))
    scene.vehicles["y"] -= 4.0 * len(scene.vehicles)
    scene.vehicles["throttle"] = 1.0
    scene.tick(80)
    scene.vehicles["throttle"] = 0.0
    scene.tick(20)
    speed = scene.speed()
    scene.tick(20)
    assert np.all(scene.speed() < speed - 0.4)
    assert np.all(scene.speed() > 0.3 * speed)


def test_wheels_turn_with_the_way_driven():
    scene = Scene(sedan(2))
    scene.vehicles["physics"][1] = 0
    launch(scene.vehicles[:1], 5.0)
    scene.tick()
    eighth = 2.0 * math.pi * float(scene.vehicles["wheel_radius"][1, 0]) / 8.0
    before = [wheel_pitch_angle(row, 0) for row in scene.vehicles]
    start = float(scene.vehicles["x"][0])
    for _ in range(10):
        scene.vehicles["x"][1] += eighth / 10.0
        scene.tick()
    assert wheel_pitch_angle(scene.vehicles[1], 0) - before[1] == pytest.approx(-45.0, abs=0.1)
    driven = float(scene.vehicles["x"][0]) - start
    turned = math.radians(wheel_pitch_angle(scene.vehicles[0], 0) - before[0])
    way = -turned * float(scene.vehicles["wheel_radius"][0, 0])
    assert math.remainder(way - driven, 16.0 * eighth / 2.0) == pytest.approx(0.0, abs=0.02)
    scene.vehicles["x"][1] += 50.0
    scene.tick()
    assert wheel_pitch_angle(scene.vehicles[1], 0) - before[1] == pytest.approx(-45.0, abs=0.1)  # teleported


def test_mass_torque_gears_drag_and_brakes_have_their_effect():
    scene = Scene(sedan(5))
    v = scene.vehicles
    _with(v[1], mass=4.0 * physics_control(v[1]).mass)
    _with(v[2], torque_curve=[[rpm, 0.3 * torque] for rpm, torque in physics_control(v[2]).torque_curve])
    _with(v[3], drag_coefficient=20.0)
    _with(v[4], final_ratio=0.5 * physics_control(v[4]).final_ratio)
    v["throttle"] = 1.0
    scene.tick(100)
    assert np.all(scene.speed()[1:4] < 0.9 * scene.speed()[0])
    # half the ratio: half the engine speed at the same speed and gear
    turns = v["rpm"] / scene.speed() / np.take(physics_control(v[0]).forward_gears, v["gear"] - 1, axis=0)[:, 0]
    assert turns[4] == pytest.approx(0.5 * turns[0], rel=0.2)
    _with_wheels(v[0], max_brake_torque=100.0, max_handbrake_torque=0.0)
    v["throttle"], v["brake"] = 0.0, 1.0
    v["target_velocity"], v["target_vx"] = 1, 15.0
    scene.tick(20)
    assert scene.speed()[0] > 11.0 > 9.0 > scene.speed()[4]


def test_more_torque_lifts_the_top_speed():
    scene = Scene(vehicles("vehicle.vespa.zx125", "vehicle.vespa.zx125"))
    row = scene.vehicles[1]
    control = physics_control(row)
    _with(
        row,
        torque_curve=[[2.0 * rpm, 3.0 * torque] for rpm, torque in control.torque_curve],
        max_rpm=2.0 * control.max_rpm,
    )
    launch(scene.vehicles, 20.0)
    scene.vehicles["throttle"], scene.vehicles["x"] = 1.0, -280.0
    scene.tick(300)
    assert scene.speed()[1] > 1.15 * scene.speed()[0]


def test_steering_lock_and_curve_bound_the_wheel_angle():
    scene = Scene(sedan())
    row = scene.vehicles[0]
    row["steer"] = 1.0
    scene.tick(20)
    assert wheel_steer_angle(row, 1) == pytest.approx(70.0, abs=1.0)
    # the outer wheel turns less
    assert 30.0 < wheel_steer_angle(row, 0) < 60.0
    _with_wheels(row, max_steer_angle=30.0)
    scene.tick(20)
    assert wheel_steer_angle(row, 1) == pytest.approx(30.0, abs=0.5)
    _with(row, steering_curve=[[0.0, 0.5]])
    scene.tick(20)
    assert wheel_steer_angle(row, 1) == pytest.approx(15.0, abs=0.5)


def test_moving_the_centre_of_mass_moves_the_load():
    row = sedan()[0]
    before = row["wheel_rest_load"][:2].sum()
    centre = physics_control(row).center_of_mass
    _with(row, center_of_mass=[centre[0] - 0.5, centre[1], centre[2]])
    assert row["wheel_rest_load"][:2].sum() < 0.8 * before


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"mass": 0.0}, "mass"),
        ({"mass": math.nan}, "mass"),
        ({"max_rpm": -1.0}, "max_rpm"),
        ({"torque_curve": []}, "torque_curve"),
        ({"torque_curve": [[100.0, 1.0], [50.0, 1.0]]}, "torque_curve"),
        ({"torque_curve": [[100.0, 1.0], [100.0, 2.0]]}, "torque_curve"),
        ({"torque_curve": [[100.0, math.nan]]}, "torque_curve"),
        ({"forward_gears": []}, "forward_gears"),
        ({"clutch_strength": math.inf}, "clutch_strength"),
        ({"forward_gears": [[1.0, 0.5, math.inf]]}, "forward_gears"),
        ({"steering_curve": [[0.0, 1.0]] * 9}, "steering_curve"),
        ({"wheels": []}, "wheels"),
        ({"center_of_mass": [0.0, 0.0]}, "center_of_mass"),
    ],
)
def test_impossible_values_are_refused_by_name_and_change_nothing(changes: dict, word: str):
    row = sedan()[0]
    before = row.copy()
    with pytest.raises(PhysicsControlError, match=word):
        _with(row, **changes)
    assert row == before


def test_telemetry_shows_speed_engine_and_loads():
    scene = Scene(sedan())
    row = scene.vehicles[0]
    row["throttle"] = 1.0
    scene.tick(50)
    shown = telemetry(row)
    assert shown.speed == pytest.approx(scene.speed()[0], rel=1e-3)
    assert 500.0 < shown.engine_rpm <= row["max_rpm"]
    assert shown.gear == row["gear"]
    assert sum(wheel.tire_load for wheel in shown.wheels) == pytest.approx(row["mass"] * GRAVITY, rel=0.05)
    assert shown.wheels[0].omega == pytest.approx(shown.speed / row["wheel_radius"][0], rel=0.1)
    assert shown.wheels[0].long_force > 0.0
