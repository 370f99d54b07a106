"""Bodies under gravity and under what clients do to them: falling, landing, pushes, teleports, switches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicarla.physics.ground import flat_surface
from tests.minicarla.physics.scene import (
    GRAVITY,
    TICK,
    Scene,
    launch,
    obstacle,
    prop,
    sedan,
    slope,
    vehicle_facts,
    vehicles,
    walker,
)


def test_every_vehicle_settles_on_the_road_and_keeps_its_pose():
    names = list(vehicle_facts())
    scene = Scene(vehicles(*names, gap=12.0))
    v = scene.vehicles
    v["y"] -= 6.0 * len(names)
    v["z"], v["yaw"] = 0.5, 0.7
    placed = v.copy()
    scene.tick(60)
    np.testing.assert_allclose(v["z"], v["ride_height"], atol=0.01)
    for name in ("x", "y", "yaw", "pitch", "roll"):
        np.testing.assert_allclose(v[name], placed[name], atol=0.01)
    assert np.all(v["asleep"] == 1)


def test_what_falls_for_long_far_away_changes_nothing_for_those_who_collide():
    def crash(others: np.ndarray) -> bytes:
        scene = Scene(np.concatenate([sedan(3), others]), surface=flat_surface(60.0))
        v = scene.vehicles
        v["x"][:3], v["y"][:3], v["yaw"][1] = (-30.0, 0.0, 30.0), 0.0, 0.4
        launch(v[:1], 12.0)
        scene.tick(80)
        assert np.abs(v["wz"][:2]).max() > 0.0
        return b"".join(v[name][:3].tobytes() for name in ("x", "y", "yaw", "vx", "rpm"))

    falling = sedan(1)
    falling["x"], falling["z"], falling["vz"] = 300.0, 500.0, -150.0
    assert crash(falling) == crash(sedan(0))


def test_off_the_edge_of_the_world_a_car_falls_freely():
    scene = Scene(sedan(), surface=flat_surface(20.0))
    edge = -scene.surface.origin_x
    launch(scene.vehicles, 20.0)
    scene.vehicles["x"] = edge - 10.0
    scene.tick(40)
    speed, height = scene.vehicles["vz"][0], scene.vehicles["z"][0]
    scene.tick(40)
    assert height < -0.5
    # air takes a little of what gravity gives
    assert scene.vehicles["vz"][0] == pytest.approx(speed - GRAVITY * 40 * TICK, rel=0.05)
    scene.tick(400)
    assert scene.vehicles["z"][0] < -900.0
    assert np.isfinite(scene.vehicles["x"][0])


@pytest.mark.parametrize("height", [2.0, 30.0])
def test_a_dropped_car_lands_and_comes_to_rest(height: float):
    scene = Scene(sedan())
    scene.vehicles["z"] = height
    scene.tick(200)
    assert scene.vehicles["z"][0] == pytest.approx(0.0, abs=0.02)
    assert scene.vehicles["asleep"][0] == 1
    assert abs(scene.vehicles["roll"][0]) < 0.01


def test_a_car_on_its_roof_stays_there_above_the_ground():
    scene = Scene(sedan())
    scene.vehicles["roll"], scene.vehicles["z"] = math.pi, 2.5
    scene.tick(200)
    v = scene.vehicles
    assert abs(abs(v["roll"][0]) - math.pi) < 0.3
    assert v["z"][0] == pytest.approx(2.0 * v["extent_z"][0], abs=0.15)


def test_the_upper_of_two_levels_carries_and_the_lower_one_is_driven_under():
    ground = flat_surface(60.0)
    # a second level 6 m above the first, over the same places
    tiles = len(ground.tile_next)
    two = ground._replace(
        tile_first=ground.tile_first + tiles,
        tile_next=np.concatenate([ground.tile_next, np.arange(tiles, dtype=np.int32)]),
        height=np.concatenate([ground.height, ground.height + 6.0]),
        label=np.concatenate([ground.label, ground.label]),
    )
    scene = Scene(sedan(2), surface=two)
    v = scene.vehicles
    v["y"], v["z"] = 0.0, [0.2, 6.2]
    contacts = scene.tick(60)
    np.testing.assert_allclose(v["z"], [0.0, 6.0], atol=0.01)
    assert len(contacts) == 0


def test_impulse_force_and_turn_follow_newton():
    scene = Scene(sedan(3))
    v = scene.vehicles
    v["gravity"], v["z"] = 0, 20.0
    mass, inertia = float(v["mass"][0]), float(v["inertia_z"][2])
    v["impulse_x"][0] = 2.0 * mass
    v["force_y"][1] = 4.0 * mass
    v["angular_impulse_z"][2] = 0.5 * inertia
    scene.tick()
    assert v["vx"][0] == pytest.approx(2.0, rel=1e-3)
    assert v["vy"][1] == pytest.approx(4.0 * TICK, rel=1e-3)
    assert v["wz"][2] == pytest.approx(0.5, rel=1e-3)
    scene.tick()
    # a force lasts for one tick
    assert v["vy"][1] == pytest.approx(4.0 * TICK, rel=1e-2)
    assert v["z"][0] == pytest.approx(20.0, abs=1e-6)


def test_a_target_velocity_is_taken_over_at_the_next_tick():
    scene = Scene(sedan())
    scene.tick(20)
    v = scene.vehicles
    v["target_velocity"], v["target_vx"] = 1, 9.0
    v["target_angular_velocity"], v["target_wz"] = 1, 0.3
    scene.tick()
    assert v["vx"][0] == pytest.approx(9.0, abs=0.3)
    assert v["target_velocity"][0] == v["target_angular_velocity"][0] == 0


def test_constant_velocity_holds_in_the_vehicles_own_frame_and_follows_the_wheel():
    scene = Scene(sedan(), surface=slope(math.radians(5.0)))
    v = scene.vehicles
    v["constant_velocity"], v["constant_vx"], v["yaw"] = 1, 7.0, math.pi / 2
    scene.tick(20)
    assert scene.speed()[0] == pytest.approx(7.0, abs=0.05)
    assert v["vy"][0] == pytest.approx(7.0, abs=0.05)
    v["steer"] = 0.3
    scene.tick(40)
    assert v["yaw"][0] > math.pi / 2 + 0.5
    assert np.linalg.norm([v["vx"][0], v["vy"][0], v["vz"][0]]) == pytest.approx(7.0, abs=0.3)
    v["constant_velocity"], v["brake"] = 0, 1.0
    scene.tick(60)
    assert scene.speed()[0] == 0.0


def test_without_physics_a_vehicle_goes_only_where_it_is_put_and_shows_the_speed_of_that():
    scene = Scene(sedan())
    v = scene.vehicles
    v["physics"], v["z"], v["throttle"] = 0, 5.0, 1.0
    scene.tick(5)
    assert (v["x"][0], v["z"][0]) == (0.0, 5.0)
    for _ in range(10):
        v["x"] += 0.5
        scene.tick()
    assert v["vx"][0] == pytest.approx(10.0)
    v["x"] += 500.0
    scene.tick()
    assert v["vx"][0] == 0.0


def test_a_teleported_sleeper_wakes_and_settles_again():
    scene = Scene(sedan())
    v = scene.vehicles
    scene.tick(40)
    assert v["asleep"][0] == 1
    v["x"], v["z"], v["yaw"] = 50.0, 1.0, 2.0
    scene.tick(60)
    assert v["z"][0] == pytest.approx(0.0, abs=0.01)
    assert v["yaw"][0] == pytest.approx(2.0, abs=0.01)


def test_gravity_can_be_switched_off_and_on():
    scene = Scene(sedan())
    v = scene.vehicles
    v["z"], v["gravity"] = 10.0, 0
    scene.tick(40)
    assert v["z"][0] == pytest.approx(10.0)
    v["gravity"] = 1
    scene.tick(10)
    assert v["vz"][0] == pytest.approx(-GRAVITY * 10 * TICK, rel=0.01)


def test_a_walker_walks_turns_climbs_jumps_and_falls():
    scene = Scene(walker_rows=walker(0.0))
    w = scene.walkers
    w["direction_y"], w["speed"] = 1.0, 1.5
    scene.tick(40)
    assert w["vy"][0] == pytest.approx(1.5)
    assert w["y"][0] == pytest.approx(3.0, abs=0.2)
    assert w["yaw"][0] == pytest.approx(math.pi / 2, abs=0.01)
    w["jump"] = 1
    scene.tick(4)
    assert w["z"][0] > 1.3
    w["jump"], w["speed"] = 0, 0.0
    scene.tick(40)
    assert w["z"][0] == pytest.approx(0.93)
    w["x"] = 1000.0
    scene.tick(20)
    assert w["vz"][0] == pytest.approx(-GRAVITY * 1.0, rel=0.05)


def test_a_walker_that_runs_into_a_wall_can_turn_round_at_once():
    scene = Scene(walker_rows=walker(0.0), obstacle_rows=obstacle(1.5, 0.0, 0.1, 5.0))
    w = scene.walkers
    w["direction_x"], w["speed"] = 1.0, 4.0
    scene.tick(20)
    assert w["x"][0] < 1.3
    assert w["stagger"][0] == 0.0
    w["direction_x"] = -1.0
    scene.tick(5)
    assert w["vx"][0] == pytest.approx(-4.0, abs=0.1)


def test_a_walker_follows_the_slope():
    scene = Scene(walker_rows=walker(0.0), surface=slope(math.radians(10.0)))
    w = scene.walkers
    w["direction_x"], w["speed"] = 1.0, 2.0
    scene.tick(60)
    assert w["z"][0] == pytest.approx(0.93 + math.tan(math.radians(10.0)) * w["x"][0], abs=0.02)


def test_a_movable_prop_falls_and_slides_to_rest_an_immovable_one_stays():
    scene = Scene(prop_rows=np.concatenate([prop(0.0), prop(10.0, movable=False)]))
    p = scene.props
    p["z"] = 3.0
    p["target_velocity"][0], p["target_vx"][0] = 1, 4.0
    scene.tick(100)
    assert p["z"][0] == pytest.approx(0.0, abs=0.01)
    assert 2.0 < p["x"][0] < 8.0
    assert p["vx"][0] == 0.0
    assert (p["x"][1], p["z"][1]) == (10.0, 3.0)
