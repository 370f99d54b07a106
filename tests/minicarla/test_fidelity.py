"""Vehicles drive as real CARLA's do: what is recorded and published of it, driven again through the real client."""

from __future__ import annotations

import pytest

from benchmarks.fidelity import (
    FIGURES,
    Replay,
    Road,
    coast,
    curvature,
    dead_time,
    frames,
    gear_changes,
    held_speed,
    holding_throttle,
    stop,
    turn,
)
from tests.minicarla.truth import recorded

MKZ, MODEL3 = "vehicle.lincoln.mkz_2017", "vehicle.tesla.model3"


@pytest.fixture(scope="module")
def road(embedded_server: tuple[str, int]) -> Road:
    return Road(*embedded_server)


@pytest.mark.parametrize(("name", "vehicle", "most_speed", "most_yaw"), FIGURES["replays"]["rows"])
def test_a_recorder_log_driven_again_stays_near_what_was_recorded(
    road: Road, name: str, vehicle: str, most_speed: float, most_yaw: float
) -> None:
    replay = Replay(road, recorded(name), vehicle)
    assert replay.speed_error <= most_speed
    assert replay.yaw_error <= most_yaw
    driven, real = replay.ways
    assert driven == pytest.approx(real, rel=0.05)
    for seconds, what, expected in frames(name):
        assert replay.at(seconds, what) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("vehicle", "throttle", "seconds", "speed", "source"), FIGURES["held_speeds"]["rows"])
def test_a_held_throttle_leads_to_a_speed(
    road: Road, vehicle: str, throttle: float, seconds: float, speed: float, source: str
) -> None:
    found = held_speed(road, vehicle, throttle, seconds)
    if source == "model3":
        assert found == pytest.approx(speed, rel=0.1)
    elif source == "form" and throttle >= 0.4:
        assert found == pytest.approx(speed, rel=0.2)
    else:  # wheels flutter below 3 m/s, which the closed form leaves out, and the MKZ of 2020 is another car
        assert 0.3 * speed < found < 1.3 * speed


def test_the_throttle_that_holds_a_speed_is_the_recorded_one(road: Road) -> None:
    known = FIGURES["holding_throttle"]
    assert holding_throttle(road, known["vehicle"], known["speed"]) == pytest.approx(known["throttle"], rel=0.05)


@pytest.mark.parametrize(("vehicle", "gear", "speed", "acceleration", "source"), FIGURES["coasting"]["rows"])
def test_a_car_without_throttle_slows_down_as_strongly(
    road: Road, vehicle: str, gear: int, speed: float, acceleration: float, source: str
) -> None:
    # Those in 2nd and 1st gear were read off soon after changes of gear.
    near = 0.1 if gear == 3 or vehicle == MODEL3 else 0.15
    assert coast(road, vehicle, speed, gear) == pytest.approx(acceleration, rel=near)


@pytest.mark.parametrize(("vehicle", "brake", "speed", "acceleration", "source"), FIGURES["braking"]["rows"])
def test_brakes_are_as_strong(
    road: Road, vehicle: str, brake: float, speed: float, acceleration: float, source: str
) -> None:
    assert stop(road, vehicle, speed + 2.5, brake).acceleration_at(speed) == pytest.approx(acceleration, rel=0.1)


def test_a_full_brake_from_80_kmh_takes_as_long(road: Road) -> None:
    known = FIGURES["braking_from_80_kmh"]
    seconds, metres = stop(road, known["vehicle"], 80 / 3.6, 1.0).from_to(80 / 3.6, 0.1)
    assert seconds == pytest.approx(known["seconds"], rel=0.15)
    assert metres == pytest.approx(known["metres"], rel=0.15)


@pytest.mark.parametrize("step", [0.02, 0.025, 0.05])
def test_a_full_brake_stops_a_car_at_once_below_5_metres_a_second(road: Road, step: float) -> None:
    known = FIGURES["hard_stop"]
    with road.stepping(step):
        seconds, metres = stop(road, known["vehicle"], 10.0, 1.0).from_to(known["from speed"], 0.1)
    assert seconds <= known["seconds"] + 2 * step
    assert metres <= known["metres"] + 0.3


@pytest.mark.parametrize(("vehicle", "throttle", "seconds", "source"), FIGURES["dead_times"]["rows"])
def test_a_new_car_needs_as_long_until_it_moves(
    road: Road, vehicle: str, throttle: float, seconds: float, source: str
) -> None:
    assert dead_time(road, vehicle, throttle) == pytest.approx(seconds, abs=0.05)


def test_gears_change_at_the_recorded_speeds(road: Road) -> None:
    known = FIGURES["gears"]
    up, down = gear_changes(road, known["vehicle"])
    ups = known["changes_up_full_throttle"]
    assert up.speeds[: len(ups)] == pytest.approx(ups, abs=0.7)
    assert down.speeds[-3:] == pytest.approx(known["changes_down_no_throttle"], abs=0.7)
    # In whole ticks of 0.025 s.
    assert max(up.took) <= known["change_takes"] + 0.03
    assert min(b - a for a, b in zip(up.begins, up.begins[1:])) >= known["least_spacing"] - 0.03


def test_curvature_follows_the_steering_as_recorded(road: Road) -> None:
    for speed, steer, seconds, expected in FIGURES["steering"]["curvature_after_a_step"]:
        assert curvature(road, MKZ, speed, steer, seconds) == pytest.approx(expected, rel=0.1)


def test_a_car_bears_the_lateral_acceleration_that_was_recorded(road: Road) -> None:
    seen = FIGURES["steering"]["lateral_acceleration_seen_without_a_slide"]
    assert turn(road, MKZ, 20.0, 0.5, 1.0).lateral.max() >= seen


@pytest.mark.parametrize("vehicle", FIGURES["bodies"])
def test_boxes_axles_and_height_are_the_recorded_ones(road: Road, vehicle: str) -> None:
    known = FIGURES["bodies"][vehicle]
    with road.car(vehicle) as car:
        box, control, pose = car.bounding_box, car.get_physics_control(), car.get_transform()
    assert [box.location.x, box.location.y, box.location.z] == pytest.approx(known["centre"], abs=1e-3)
    assert [box.extent.x, box.extent.y, box.extent.z] == pytest.approx(known["extent"], abs=1e-3)
    places = [wheel.position for wheel in control.wheels]
    assert (places[0].x - places[2].x) / 100.0 == pytest.approx(known["wheelbase"], abs=2e-3)
    assert (places[1].y - places[0].y) / 100.0 == pytest.approx(known["track"], abs=1e-3)
    if "axles" in known:
        assert places[0].x / 100.0 - pose.location.x == pytest.approx(known["axles"][0], abs=2e-3)
        assert pose.location.z == pytest.approx(known["height_at_rest"], abs=2e-3)
