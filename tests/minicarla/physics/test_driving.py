"""How vehicles drive: from the pedals and the wheel to the motion."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicarla.physics.ground import flat_surface
from tests.minicarla.physics.scene import TICK, Scene, launch, sedan, slope, vehicle_facts, vehicles

KMH = 1.0 / 3.6


def _seconds_to(scene: Scene, speed: float, limit: float) -> float:
    for ticks in range(int(limit / TICK)):
        if scene.speed()[0] >= speed:
            return ticks * TICK
        scene.tick()
    return math.inf


def test_a_sedan_accelerates_like_one():
    scene = Scene(sedan(), surface=flat_surface(600.0))
    scene.vehicles["x"] = -500.0
    scene.vehicles["throttle"] = 1.0
    assert 6.0 <= _seconds_to(scene, 100 * KMH, 12.0) <= 9.0


def test_braking_in_gear_from_80_takes_25_to_36_metres_and_ends_in_rest():
    scene = Scene(sedan(), surface=flat_surface(600.0))
    scene.vehicles["x"] = -500.0
    scene.vehicles["throttle"] = 1.0
    assert math.isfinite(_seconds_to(scene, 80 * KMH, 12.0))
    start = scene.vehicles["x"][0]
    scene.vehicles["throttle"], scene.vehicles["brake"] = 0.0, 1.0
    scene.tick(120)
    assert 25.0 <= scene.vehicles["x"][0] - start <= 36.0
    assert scene.speed()[0] == 0.0


def test_every_vehicle_brakes_as_those_do_whose_brakes_are_known():
    scene = Scene(vehicles(*vehicle_facts(), gap=8.0))
    scene.vehicles["y"] -= 4.0 * len(scene.vehicles)
    launch(scene.vehicles, 20.0)
    scene.vehicles["brake"] = 1.0
    scene.tick(10)  # until the pedals are down
    speed = scene.speed()
    scene.tick(10)
    deceleration = (speed - scene.speed()) / 0.5
    # The Model 3's brakes are known to be weaker, and cyclists catch more wind.
    assert np.all((deceleration > 4.0) & (deceleration < 7.0))
    assert np.median(deceleration) == pytest.approx(5.5, abs=0.2)


@pytest.mark.parametrize(
    ("blueprint", "slowest", "fastest"),
    [
        ("vehicle.diamondback.century", 28, 50),
        ("vehicle.vespa.zx125", 80, 105),
        ("vehicle.carlamotors.european_hgv", 80, 105),
        ("vehicle.citroen.c3", 160, 190),
        ("vehicle.lincoln.mkz_2020", 240, 300),  # of the engine that CARLA gives it
    ],
)
def test_top_speed_follows_the_class(blueprint: str, slowest: float, fastest: float):
    scene = Scene(vehicles(blueprint), surface=flat_surface(600.0))
    scene.vehicles["throttle"] = 1.0
    for _ in range(2400):
        scene.tick()
        # an endless road: back to its beginning
        scene.vehicles["x"] -= 800.0 * (scene.vehicles["x"] > 400.0)
    assert slowest * KMH <= scene.speed()[0] <= fastest * KMH


@pytest.mark.parametrize(
    ("blueprint", "quickest", "slowest"),
    [
        ("vehicle.citroen.c3", 12, 18),
        ("vehicle.audi.tt", 5, 8),
        ("vehicle.toyota.prius", 9, 13),
        ("vehicle.mercedes.sprinter", 9, 15),
        ("vehicle.mitsubishi.fusorosa", 20, 35),
    ],
)
def test_vehicles_take_as_long_to_100_as_their_data_sheets_say_or_their_class_does(
    blueprint: str, quickest: float, slowest: float
):
    scene = Scene(vehicles(blueprint), surface=flat_surface(900.0))
    scene.vehicles["x"], scene.vehicles["throttle"] = -850.0, 1.0
    assert quickest <= _seconds_to(scene, 100 * KMH, 40.0) <= slowest


@pytest.mark.parametrize("speed", [5.0, 15.0, 30.0])
@pytest.mark.parametrize("steer", [0.1, 0.4, 1.0])
def test_no_steering_makes_a_car_spin_or_exceed_its_grip(speed: float, steer: float):
    scene = Scene(vehicles("vehicle.lincoln.mkz_2020", "vehicle.dodge.charger_2020"))
    launch(scene.vehicles, speed)
    scene.vehicles["steer"] = steer
    scene.vehicles["throttle"] = 0.4
    for _ in range(80):
        scene.tick()
        v = scene.vehicles
        lateral = v["ay"] * np.cos(v["yaw"]) - v["ax"] * np.sin(v["yaw"])
        sideways = v["vy"] * np.cos(v["yaw"]) - v["vx"] * np.sin(v["yaw"])
        rear_axle = sideways - v["wz"] * (v["com_x"] - v["wheel_x"][:, 2])
        assert np.all(np.abs(lateral) < 30.0)
        assert np.all(np.abs(rear_axle) < 0.35 * np.maximum(scene.speed(), 4.0))


def test_the_lateral_limit_is_above_two_g_without_a_slide_as_that_of_unreals_tyres():
    scene = Scene(vehicles("vehicle.lincoln.mkz_2017"))
    v = scene.vehicles
    launch(v, 20.0)
    v["steer"], v["throttle"] = 0.5, 0.5
    peak = slide = 0.0
    for _ in range(30):
        scene.tick()
        peak = max(peak, abs(float(v["wz"][0])) * scene.speed()[0])
        sideways = v["vy"] * np.cos(v["yaw"]) - v["vx"] * np.sin(v["yaw"])
        slide = max(slide, abs(float((sideways - v["wz"] * (v["com_x"] - v["wheel_x"][:, 2]))[0])) / scene.speed()[0])
    assert 20.0 <= peak <= 29.0
    assert slide < 0.3


def test_positive_steer_turns_right_and_lowers_the_left_side():
    scene = Scene(sedan())
    launch(scene.vehicles, 10.0)
    scene.vehicles["steer"] = 0.2
    scene.tick(15)
    assert scene.vehicles["yaw"][0] > 0.1
    assert scene.vehicles["wz"][0] > 0.0
    assert scene.vehicles["y"][0] > 0.0
    assert scene.vehicles["roll"][0] < 0.0


def test_straight_driving_stays_straight_for_every_vehicle():
    names = list(vehicle_facts())
    scene = Scene(vehicles(*names, gap=12.0))
    scene.vehicles["y"] -= 6.0 * len(names)
    before = scene.vehicles["y"].copy()
    scene.vehicles["throttle"] = 1.0
    scene.tick(160)
    assert np.all(scene.vehicles["vx"] > 3.0)
    np.testing.assert_allclose(scene.vehicles["y"], before, atol=1e-6)
    np.testing.assert_allclose(scene.vehicles["yaw"], 0.0, atol=1e-9)


def test_reverse_drives_backwards_and_says_gear_minus_one():
    scene = Scene(sedan())
    scene.vehicles["reverse"], scene.vehicles["throttle"] = 1, 0.5
    scene.tick(40)
    assert scene.vehicles["vx"][0] < -2.0
    assert scene.vehicles["gear"][0] == -1


def test_manual_gears_are_in_at_once_and_limit_the_speed():
    scene = Scene(sedan())
    scene.vehicles["manual"], scene.vehicles["gear_request"], scene.vehicles["throttle"] = 1, 2, 1.0
    scene.tick()
    assert scene.vehicles["gear"][0] == 2
    scene.tick(200)
    second = scene.speed()[0]
    assert scene.vehicles["rpm"][0] > 0.95 * scene.vehicles["max_rpm"][0]
    scene.vehicles["gear_request"] = 3
    scene.vehicles["x"] = -200.0
    scene.tick(120)
    assert scene.speed()[0] > 1.2 * second


def test_neutral_gives_no_drive_but_revs_the_engine():
    scene = Scene(sedan())
    scene.vehicles["manual"], scene.vehicles["gear_request"], scene.vehicles["throttle"] = 1, 0, 1.0
    scene.tick(40)
    assert scene.vehicles["gear"][0] == 0
    assert abs(scene.vehicles["vx"][0]) < 0.05
    assert scene.vehicles["rpm"][0] > 3000.0


def test_a_new_car_is_in_neutral_until_its_engine_turns_and_one_that_has_stopped_is_not():
    scene = Scene(sedan())
    scene.tick(20)
    assert scene.vehicles["gear"][0] == 0
    scene.vehicles["throttle"] = 1.0
    scene.tick(8)
    assert scene.speed()[0] < 1e-9
    scene.tick(8)
    assert scene.vehicles["gear"][0] == 1
    assert scene.speed()[0] > 1.0
    scene.vehicles["throttle"], scene.vehicles["brake"] = 0.0, 1.0
    scene.tick(60)
    scene.vehicles["brake"] = 0.0
    scene.tick(5)
    scene.vehicles["throttle"] = 1.0
    scene.tick(4)
    assert scene.speed()[0] > 0.05


def test_pedals_take_a_sixth_of_a_second_down_and_a_tenth_up():
    scene = Scene(sedan())
    scene.vehicles["throttle"], seen = 1.0, []
    for tick in range(10):
        if tick == 5:
            scene.vehicles["throttle"] = 0.0
        scene.tick()
        seen.append(float(scene.vehicles["throttle_pedal"][0]))
    np.testing.assert_allclose(seen, [0.3, 0.6, 0.9, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0], atol=1e-9)


def test_a_full_brake_stops_a_car_at_once_below_some_speed_unless_substeps_are_short():
    stops = []
    for substep, most in ((0.01, 10), (0.001, 50)):
        scene = Scene(sedan())
        scene.vehicles["throttle"] = 1.0
        while scene.speed()[0] < 9.0:
            scene.tick(substep=substep, max_substeps=most)
        scene.vehicles["throttle"], scene.vehicles["brake"] = 0.0, 1.0
        while scene.speed()[0] > 5.0:
            scene.tick(substep=substep, max_substeps=most)
        start, ticks = float(scene.vehicles["x"][0]), 0
        while scene.speed()[0] > 0.1:
            scene.tick(substep=substep, max_substeps=most)
            ticks += 1
        stops.append((ticks * TICK, float(scene.vehicles["x"][0]) - start))
    (at_once, short), (gently, long) = stops
    assert at_once <= 0.3
    assert short < 0.6
    assert gently > 0.4
    assert long > 1.0


def test_ticks_of_5_to_200_milliseconds_lead_to_the_same_speeds():
    found = []
    for dt in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        scene = Scene(
            vehicles("vehicle.lincoln.mkz_2017", "vehicle.tesla.model3", "vehicle.vespa.zx125"),
            surface=flat_surface(600.0),
        )
        v = scene.vehicles
        v["x"], v["throttle"] = -550.0, 0.7
        # Substeps that all of these can be cut into: PhysX's own wheels depend on theirs.
        scene.tick(round(12.0 / dt), dt=dt, substep=0.005, max_substeps=40)
        driven = scene.speed()
        v["throttle"] = 0.0
        scene.tick(round(1.0 / dt), dt=dt, substep=0.005, max_substeps=40)
        found.append(np.concatenate([driven, driven - scene.speed()]))
    np.testing.assert_allclose(found, np.broadcast_to(found[1], np.shape(found)), rtol=0.03, atol=0.3)


def test_the_automatic_box_changes_up_and_down():
    scene = Scene(sedan())
    scene.vehicles["throttle"], scene.vehicles["x"] = 1.0, -250.0
    scene.tick(160)
    assert scene.vehicles["gear"][0] >= 3
    scene.vehicles["throttle"], scene.vehicles["brake"] = 0.0, 1.0
    scene.tick(120)
    assert scene.vehicles["gear"][0] == 1


def test_the_hand_brake_swings_the_tail_out_where_the_foot_brake_does_not():
    scene = Scene(sedan(2))
    launch(scene.vehicles, 18.0)
    scene.vehicles["steer"] = 0.3
    scene.tick(5)
    scene.vehicles["hand_brake"][0], scene.vehicles["brake"][1] = 1, 1.0
    turned = np.zeros(2)
    for _ in range(25):
        scene.tick()
        turned += scene.vehicles["wz"] * TICK
    assert turned[0] > 1.1 * turned[1] > 0.0


def test_every_vehicle_sets_off_on_the_steepest_street_of_the_towns():
    steepest = math.atan(0.42)  # Town03, road 41
    rows = vehicles(*sorted(vehicle_facts()), gap=8.0)
    rows["y"] -= rows["y"].mean()
    rows["pitch"] = steepest
    scene = Scene(rows, surface=slope(steepest))
    scene.vehicles["brake"] = 1.0
    scene.tick(20)
    start = scene.vehicles["x"].copy()
    scene.vehicles["brake"], scene.vehicles["throttle"] = 0.0, 0.85  # as the Traffic Manager, at most
    scene.tick(200)
    assert (scene.vehicles["x"] - start).min() > 3.0


def test_a_car_stays_on_a_steep_slope_held_or_left_alone_and_rolls_when_pushed():
    scene = Scene(sedan(4), surface=slope(math.radians(12.0)))
    scene.vehicles["brake"], scene.vehicles["hand_brake"] = [1.0, 0.0, 0.0, 0.0], [0, 1, 0, 0]
    scene.vehicles["z"] = 0.5
    scene.tick(60)
    held = scene.vehicles[:3].copy()
    np.testing.assert_allclose(held["x"], 0.0, atol=0.2)
    scene.vehicles["impulse_x"][3] = -0.3 * scene.vehicles["mass"][3]
    scene.tick(200)
    np.testing.assert_array_equal(scene.vehicles[:3], held)
    assert scene.vehicles["vx"][3] < -1.0
    np.testing.assert_allclose(held["pitch"], math.radians(12.0), atol=0.01)


def test_a_car_stands_across_a_slope_without_sliding_down():
    scene = Scene(sedan(), surface=slope(0.0, math.radians(10.0)))
    scene.vehicles["hand_brake"] = 1
    scene.tick(60)
    settled = scene.vehicles.copy()
    scene.tick(100)
    np.testing.assert_array_equal(scene.vehicles, settled)
    # the right side is the higher one
    assert scene.vehicles["roll"][0] == pytest.approx(math.radians(-10.0), abs=0.02)


def test_a_resting_car_does_not_tremble_on_any_substep_setting():
    for substep, most in ((0.01, 10), (0.05, 1), (0.002, 50)):
        scene = Scene(sedan())
        scene.tick(40, substep=substep, max_substeps=most)
        settled = scene.vehicles.copy()
        scene.tick(10, substep=substep, max_substeps=most)
        np.testing.assert_array_equal(scene.vehicles, settled)


def test_long_ticks_stay_stable():
    scene = Scene(sedan())
    launch(scene.vehicles, 20.0)
    scene.vehicles["steer"], scene.vehicles["throttle"] = 0.3, 0.5
    scene.tick(20, dt=0.5, substep=0.1, max_substeps=1)
    assert scene.speed()[0] < 30.0
    assert abs(scene.vehicles["z"][0]) < 0.05
    assert abs(scene.vehicles["roll"][0]) < 0.1


def test_reported_acceleration_and_turn_rate_are_those_of_the_motion():
    scene = Scene(sedan())
    launch(scene.vehicles, 12.0)
    scene.vehicles["steer"], scene.vehicles["throttle"] = 0.15, 0.6
    scene.tick(10)
    for _ in range(20):
        before = scene.vehicles.copy()
        scene.tick()
        v = scene.vehicles
        for axis in "xyz":
            change = (v[f"v{axis}"] - before[f"v{axis}"]) / TICK
            np.testing.assert_allclose(v[f"a{axis}"], change, atol=1e-9)
        assert v["wz"][0] == pytest.approx((v["yaw"][0] - before["yaw"][0]) / TICK, rel=0.05)


@pytest.mark.parametrize("dt", [0.02, 0.05, 0.1])
def test_ackermann_control_reaches_speed_angle_and_stop(dt: float):
    scene = Scene(vehicles("vehicle.lincoln.mkz_2020", "vehicle.tesla.model3", "vehicle.carlamotors.firetruck"))
    v = scene.vehicles
    v["ackermann"], v["ackermann_speed"] = 1, 8.0
    scene.tick(int(14.0 / dt), dt=dt)
    np.testing.assert_allclose(v["vx"], 8.0, atol=0.3)
    v["ackermann_speed"] = -3.0
    scene.tick(int(16.0 / dt), dt=dt)
    np.testing.assert_allclose(v["vx"], -3.0, atol=0.3)
    v["ackermann_speed"], v["ackermann_steer"], v["ackermann_steer_speed"] = 0.0, 0.5, 0.1
    scene.tick(int(2.0 / dt), dt=dt)
    np.testing.assert_allclose(v["steer_angle"], 0.2, atol=0.03)
    scene.tick(int(8.0 / dt), dt=dt)
    np.testing.assert_allclose(scene.speed(), 0.0, atol=1e-3)
    np.testing.assert_allclose(v["brake"], 1.0)


def test_ackermann_keeps_to_the_commanded_acceleration():
    scene = Scene(sedan())
    v = scene.vehicles
    v["ackermann"], v["ackermann_speed"], v["ackermann_acceleration"] = 1, 20.0, 1.0
    scene.tick(60)
    speed = scene.speed()[0]
    scene.tick(80)
    assert (scene.speed()[0] - speed) / 4.0 == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("blueprint", ["vehicle.yamaha.yzf", "vehicle.gazelle.omafiets"])
def test_a_two_wheeler_stays_upright_in_turns_on_slopes_and_when_pushed(blueprint: str):
    scene = Scene(vehicles(blueprint), surface=slope(math.radians(4.0), math.radians(4.0)))
    v = scene.vehicles
    launch(v, 7.0)
    v["steer"], v["throttle"] = 0.5, 0.6
    scene.tick(40)
    v["steer"] = -0.5
    v["impulse_y"] = 2.0 * v["mass"]
    v["angular_impulse_x"] = 1.5 * v["inertia_x"]
    steepest = 0.0
    for _ in range(60):
        scene.tick()
        steepest = max(steepest, abs(float(v["roll"][0])))
    assert steepest < math.radians(25.0)
    assert abs(v["z"][0] - math.tan(math.radians(4.0)) * (v["x"][0] + v["y"][0])) < 0.2


def test_an_electric_car_is_no_faster_backwards_than_others():
    scene = Scene(vehicles("vehicle.tesla.model3", "vehicle.audi.etron"))
    scene.vehicles["reverse"], scene.vehicles["throttle"] = 1, 1.0
    scene.tick(300)
    assert np.all((scene.speed() > 30.0 * KMH) & (scene.speed() < 60.0 * KMH))


def test_the_longer_substeps_of_calm_vehicles_hardly_change_their_way():
    scenes = [Scene(vehicles("vehicle.tesla.model3", "vehicle.nissan.micra")) for _ in range(2)]
    for second in range(10):
        for scene, dt in zip(scenes, (0.05, 0.01)):
            v = scene.vehicles
            v["throttle"], v["steer"] = 0.4, 0.12 * math.sin(second)
            # ticks of one substep have nothing to lengthen
            scene.tick(round(1.0 / dt), dt=dt)
    a, b = (scene.vehicles for scene in scenes)
    way = np.hypot(b["x"], b["y"] - [0.0, 20.0])
    assert np.all(np.hypot(a["x"] - b["x"], a["y"] - b["y"]) < 0.01 * way)
    np.testing.assert_allclose(scenes[0].speed(), scenes[1].speed(), rtol=0.01)
