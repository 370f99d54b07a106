"""Collisions: impulses, events, and that nothing passes through anything."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicarla.physics.state import OBSTACLE_KIND, PROP_KIND, VEHICLE_KIND, WALKER_KIND
from tests.minicarla.physics.scene import Scene, launch, obstacle, prop, sedan, vehicles, walker


def _momentum(rows: np.ndarray) -> float:
    return float(np.sum(rows["mass"] * rows["vx"]))


def test_a_head_on_collision_conserves_momentum_and_reports_the_impulse_once_per_tick():
    scene = Scene(vehicles("vehicle.lincoln.mkz_2020", "vehicle.carlamotors.firetruck"))
    v = scene.vehicles
    v["x"], v["y"], v["yaw"] = [0.0, 20.0], 0.0, [0.0, math.pi]
    launch(v, 15.0)
    scene.tick(2)
    before = v.copy()
    while len(contacts := scene.tick()) == 0:
        before = v.copy()
    assert _momentum(v) == pytest.approx(_momentum(before), rel=0.02, abs=0.01 * before["mass"][0] * 15.0)
    assert len(contacts) == 1
    c = contacts[0]
    assert {c["kind_a"], c["kind_b"]} == {VEHICLE_KIND}
    assert {c["row_a"], c["row_b"]} == {0, 1}
    a = int(c["row_a"])
    # the impulse that a receives is what its momentum changed by, along the normal towards a
    change = v["mass"][a] * (v["vx"][a] - before["vx"][a])
    assert c["impulse_x"] == pytest.approx(change, rel=0.02)
    assert c["impulse_x"] * c["nx"] > 0.0
    assert c["speed"] == pytest.approx(30.0, abs=1.0)
    # the car is thrown back by the truck
    assert v["vx"][0] < 0.0


def test_an_off_centre_hit_turns_both_cars():
    scene = Scene(sedan(2))
    v = scene.vehicles
    v["x"], v["y"] = [0.0, 12.0], [0.0, 1.2]
    v["target_velocity"], v["target_vx"] = [1, 0], [15.0, 0.0]
    scene.tick(12)
    assert np.all(np.abs(v["wz"]) > 0.1)
    assert v["vx"][1] > 3.0


@pytest.mark.parametrize("speed", [3.0, 20.0, 60.0, 120.0])
@pytest.mark.parametrize("offset", [0.0, 0.6, -0.85])
def test_a_thin_pole_stops_a_car_at_any_speed(speed: float, offset: float):
    scene = Scene(sedan(), obstacle_rows=obstacle(30.0, offset, 0.15, 0.15))
    v = scene.vehicles
    v["x"] = 10.0
    launch(v, speed)
    furthest, hits = -math.inf, 0
    v["throttle"] = 1.0
    for _ in range(160):
        hits += len(scene.tick())
        if hits and abs(v["y"][0]) > 1.0:
            break
        furthest = max(furthest, float(v["x"][0] + v["extent_x"][0] * math.cos(v["yaw"][0])))
    assert hits > 0
    # its front gets no further than the pole, unless it was turned aside by it
    assert furthest < 30.0 + 0.35
    kinds = set(scene.contacts["kind_b"]) | set(scene.contacts["kind_a"])
    assert kinds <= {VEHICLE_KIND, OBSTACLE_KIND}


def test_two_fast_cars_do_not_pass_through_each_other():
    scene = Scene(sedan(2))
    v = scene.vehicles
    v["x"], v["y"], v["yaw"] = [-60.0, 60.0], 0.0, [0.0, math.pi]
    launch(v, 60.0)
    for _ in range(60):
        scene.tick()
        assert v["x"][0] + v["extent_x"][0] < v["x"][1] - v["extent_x"][1] + 0.7
    assert v["x"][0] < v["x"][1]


def test_a_wall_is_not_crossed_in_constant_velocity_mode():
    scene = Scene(sedan(), obstacle_rows=obstacle(30.0, 0.0, 0.1, 10.0))
    v = scene.vehicles
    v["constant_velocity"], v["constant_vx"] = 1, 30.0
    for _ in range(100):
        scene.tick()
        assert v["x"][0] + v["extent_x"][0] < 30.6


def test_a_bridge_above_and_a_kerb_below_the_body_do_not_collide():
    rows = np.concatenate([obstacle(20.0, 0.0, 1.0, 5.0, 3.0, 4.0), obstacle(30.0, 0.0, 0.2, 5.0, 0.0, 0.1)])
    scene = Scene(sedan(), obstacle_rows=rows)
    launch(scene.vehicles, 15.0)
    assert len(scene.tick(60)) == 0
    assert scene.vehicles["x"][0] > 35.0


def test_a_hit_walker_is_thrown_and_the_car_hardly_slows_down():
    scene = Scene(sedan(), walker_rows=walker(15.0))
    launch(scene.vehicles, 10.0)
    contacts = scene.tick(30)
    first = contacts[0]
    assert {first["kind_a"], first["kind_b"]} == {VEHICLE_KIND, WALKER_KIND}
    assert scene.walkers["vx"][0] > 5.0
    assert scene.speed()[0] > 7.0


def test_a_led_walker_is_knocked_over_by_a_car_but_stands_against_one_that_creeps():
    led = np.concatenate([walker(15.0), walker(15.0, 20.0)])
    led["physics"], led["led"] = 0, 1
    scene = Scene(sedan(2), walker_rows=led)
    launch(scene.vehicles, np.array([14.0, 1.2]))
    scene.vehicles["throttle"] = [0.0, 0.1]
    scene.tick(25)
    assert scene.speed()[0] > 11.0
    assert led["fallen"][0] == 1.0
    assert abs(led["pitch"][0]) == pytest.approx(math.pi / 2)
    assert led["z"][0] < 0.5
    scene.tick(200)
    assert led["x"][1] == 15.0
    assert scene.vehicles["x"][1] + scene.vehicles["extent_x"][1] < 15.0


def test_a_led_walker_that_was_knocked_over_lies_low_gets_up_and_walks_back():
    led = walker(15.0)
    led["physics"], led["led"], led["guide_x"] = 0, 1, 15.0
    scene = Scene(sedan(), walker_rows=led)
    launch(scene.vehicles, 6.0)
    contacts = scene.tick(60)
    # The car meets it again as it lies, no higher than half a metre.
    assert contacts["z"][0] > 0.6
    assert contacts["z"][-1] < 0.4
    assert led["fallen"][0] > 0.9
    assert led["x"][0] > 17.0
    scene.vehicles["y"], scene.vehicles["brake"] = -40.0, 1.0
    places = []
    for _ in range(400):
        scene.tick()
        places.append(float(led["x"][0]))
    assert -0.15 < np.min(np.diff(places)) < -0.05  # back at less than 3 m/s: no leap
    assert places[-1] == pytest.approx(15.0, abs=0.31)
    assert (led["fallen"][0], led["astray"][0]) == (0.0, 0.0)


def test_a_mortal_walker_stays_where_it_fell_and_others_get_up():
    rows = np.concatenate([walker(15.0), walker(15.0, 20.0)])
    rows["mortal"] = [1, 0]
    scene = Scene(sedan(2), walker_rows=rows)
    launch(scene.vehicles, 8.0)
    scene.tick(40)
    scene.vehicles["brake"] = 1.0
    scene.tick(120)
    rows["direction_x"], rows["speed"] = 1.0, 1.5
    before = rows["x"].copy()
    scene.tick(40)
    assert rows["fallen"].tolist() == [1.0, 0.0]
    assert rows["x"][0] == before[0]
    assert rows["x"][1] - before[1] > 2.0
    assert rows["z"][1] == pytest.approx(0.93, abs=1e-6)


def test_a_walker_is_stopped_by_a_parked_car_and_does_not_move_it():
    scene = Scene(sedan(), walker_rows=walker(-5.0))
    w = scene.walkers
    scene.tick(40)
    parked = scene.vehicles["x"][0]
    w["direction_x"], w["speed"] = 1.0, 1.5
    scene.tick(100)
    assert w["x"][0] < parked - scene.vehicles["extent_x"][0]
    assert scene.vehicles["x"][0] == pytest.approx(parked, abs=1e-3)


def test_a_movable_prop_is_pushed_an_immovable_one_holds():
    scene = Scene(sedan(2), prop_rows=np.concatenate([prop(15.0), prop(15.0, 20.0, movable=False)]))
    launch(scene.vehicles, 10.0)
    contacts = scene.tick(40)
    assert scene.props["x"][0] > 16.0
    assert scene.props["x"][1] == 15.0
    assert scene.vehicles["x"][1] < 15.0
    assert PROP_KIND in set(contacts["kind_a"]) | set(contacts["kind_b"])


@pytest.mark.parametrize(
    ("throttle", "mass", "yields"), [(0.4, 800.0, False), (0.5, 2000.0, False), (1.0, 1000.0, True)]
)
def test_a_car_moves_only_what_it_can_push_over_the_ground(throttle, mass, yields):
    scene = Scene(sedan(), prop_rows=prop(10.0, half=0.5, mass=mass))
    scene.vehicles["throttle"] = throttle
    scene.tick(200)
    before = scene.props["x"][0]
    scene.tick(40)
    way = scene.props["x"][0] - before
    assert way > 5.0 if yields else abs(way) < 1e-3
    assert yields or scene.speed()[0] < 1e-3


def test_a_car_that_pushes_against_an_oblique_wall_stands():
    scene = Scene(sedan(), obstacle_rows=obstacle(12.0, 0.0, 0.5, 10.0, yaw=0.5))
    scene.vehicles["throttle"] = 1.0
    scene.tick(200)
    x, y = scene.vehicles["x"][0], scene.vehicles["y"][0]
    scene.tick(100)
    assert math.hypot(scene.vehicles["x"][0] - x, scene.vehicles["y"][0] - y) < 0.02


def test_what_has_collisions_switched_off_is_passed_through():
    scene = Scene(sedan(2))
    v = scene.vehicles
    v["x"], v["y"] = [0.0, 15.0], 0.0
    v["collisions"][1] = 0
    v["target_velocity"], v["target_vx"] = [1, 0], [15.0, 0.0]
    assert len(scene.tick(40)) == 0
    assert v["x"][0] > 20.0


def test_a_dropped_car_lies_on_another():
    scene = Scene(sedan(2))
    v = scene.vehicles
    v["y"], v["z"] = 0.0, [0.0, 3.0]
    scene.tick(60)
    assert v["z"][1] > 1.0
    np.testing.assert_allclose(v["x"], 0.0, atol=0.05)


def test_touching_cars_at_rest_make_no_events():
    scene = Scene(sedan(2))
    v = scene.vehicles
    v["y"] = 0.0
    v["x"] = [0.0, 2.0 * v["extent_x"][0] - 0.002]
    scene.tick(40)
    assert len(scene.tick(40)) == 0
    assert np.all(v["asleep"] == 1)


def test_a_queue_of_four_hundred_cars_keeps_apart():
    scene = Scene(sedan(400))
    v = scene.vehicles
    v["x"], v["y"] = (np.arange(400) % 20) * 12.0 - 120.0, (np.arange(400) // 20) * 8.0 - 80.0
    v["throttle"][::2], v["brake"][1::2] = 0.6, 1.0
    scene.tick(60)
    for line in range(20):
        x = v["x"][line * 20 : line * 20 + 20]
        assert np.all(np.diff(x) > 2.0 * v["extent_x"][0] - 0.3)
