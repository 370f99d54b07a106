"""Lidars, radars and obstacle sensors measure where things are."""

from __future__ import annotations

import math

import carla
import numpy as np
import pytest

from tests.compliance.conftest import STEP, beside, needs, run
from tests.compliance.messages import Inbox, points
from tests.patience import PATIENCE

HEIGHT = 6.0
"""[m] of the lidar above a road."""

WHOLE_TURNS = {"rotation_frequency": str(1 / STEP), "points_per_second": "200000"}
CLEAN = {"dropoff_general_rate": "0.0", "dropoff_intensity_limit": "0.0", "dropoff_zero_intensity": "0.0"}


@pytest.fixture
def above(spawn_points):
    """A place above a straight and level road."""
    return beside(spawn_points[0], up=HEIGHT)


@pytest.fixture
def sweep(fresh_world, spawn, above):
    """One turn of a lidar above the road: `sweep(**attributes)` gives the points (N, 4)."""

    def turn(**attributes):
        lidar = spawn("sensor.lidar.ray_cast", above, **{**WHOLE_TURNS, **CLEAN, **attributes})
        inbox = Inbox(lidar)
        fresh_world.tick()
        return points(inbox.of_frame(fresh_world.tick()))

    return turn


def test_a_lidar_s_points_lie_on_what_they_name(fresh_world, spawn, above):
    target = spawn("vehicle.tesla.model3", beside(above, forward=10.0, right=4.0, up=-1.5))
    target.set_simulate_physics(False)
    lidar = spawn("sensor.lidar.ray_cast_semantic", above, range="40", **WHOLE_TURNS)
    inbox = Inbox(lidar)
    fresh_world.tick()
    hits = [hit for hit in inbox.of_frame(fresh_world.tick()) if hit.object_idx == target.id]
    assert len(hits) > 20
    box, pose = target.bounding_box, target.get_transform()
    box.extent += carla.Vector3D(0.3, 0.3, 0.3)
    for hit in hits:
        place = carla.Location(hit.point.x, hit.point.y, hit.point.z)
        above.transform(place)
        assert box.contains(place, pose)
    plain = Inbox(spawn("sensor.lidar.ray_cast", above, range="40", **WHOLE_TURNS, **CLEAN))
    fresh_world.tick()
    places = [carla.Location(*map(float, point[:3])) for point in points(plain.of_frame(fresh_world.tick()))]
    for place in places:
        above.transform(place)
    assert sum(box.contains(place, pose) for place in places) > 20
    assert {int(hit.object_tag) for hit in hits} <= set(target.semantic_tags)
    assert all(0.0 <= abs(hit.cos_inc_angle) <= 1.0 for hit in hits)


@pytest.mark.parametrize("reach", [20.0, 40.0])
def test_a_lidar_reaches_as_far_as_its_range(sweep, note, reach):
    cloud = sweep(range=str(reach))
    distances = np.linalg.norm(cloud[:, :3], axis=1)
    note(f"points of a lidar of {reach:.0f} m above a road", len(cloud), "a turn")
    assert 0.7 * reach < distances.max() <= reach + 0.1
    assert np.abs(cloud[:, 2] + HEIGHT).min() < 0.4  # the road


def test_a_lidar_s_rays_stay_in_its_field_of_view(sweep):
    cloud = sweep(range="60", channels="16", upper_fov="0.0", lower_fov="-30.0", horizontal_fov="90.0")
    elevation = np.degrees(np.arctan2(cloud[:, 2], np.hypot(cloud[:, 0], cloud[:, 1])))
    azimuth = np.degrees(np.arctan2(cloud[:, 1], cloud[:, 0]))
    assert -30.1 < elevation.min() < -25.0
    assert elevation.max() < 0.1
    assert len(np.unique(np.round(elevation))) <= 16
    assert np.ptp(azimuth) < 90.5


def test_a_lidar_s_intensity_falls_with_the_distance(sweep):
    cloud = sweep(range="40", atmosphere_attenuation_rate="0.02")
    expected = np.exp(-0.02 * np.linalg.norm(cloud[:, :3], axis=1))
    assert cloud[:, 3] == pytest.approx(expected, abs=0.02)


def test_a_lidar_loses_the_share_of_points_that_it_shall(sweep):
    whole, half = sweep(range="30"), sweep(range="30", dropoff_general_rate="0.5")
    assert len(half) == pytest.approx(0.5 * len(whole), rel=0.15)


def test_a_lidar_s_noise_moves_points_along_their_rays(sweep):
    def roughness(cloud):
        near = (np.hypot(cloud[:, 0], cloud[:, 1]) < 10.0) & (np.abs(cloud[:, 2] + HEIGHT) < 2.0)
        return cloud[near, 2].std()

    def elevations(cloud):
        return np.degrees(np.arctan2(cloud[:, 2], np.hypot(cloud[:, 0], cloud[:, 1])))

    down = {"range": "30", "lower_fov": "-60.0", "upper_fov": "-20.0", "channels": "16"}
    still, noisy = sweep(**down), sweep(**down, noise_stddev="0.5")
    assert roughness(noisy) > roughness(still) + 0.15
    rays = np.linspace(-60.0, -20.0, 16)
    assert np.abs(elevations(noisy)[:, None] - rays).min(axis=1).max() < 0.2


def test_a_radar_tells_where_and_how_fast(fresh_world, spawn, above):
    radar_place = beside(above, up=30.0)
    target = spawn("vehicle.tesla.model3", beside(radar_place, forward=20.0, right=3.0, up=-2.0))
    radar = spawn("sensor.other.radar", radar_place, points_per_second="20000", range="50")
    inbox = Inbox(radar)
    target.set_enable_gravity(False)
    forward = above.get_forward_vector()
    target.set_target_velocity(carla.Vector3D(8.0 * forward.x, 8.0 * forward.y, 0.0))
    fresh_world.tick()
    hits = [hit for hit in inbox.of_frame(fresh_world.tick()) if hit.depth < 35.0]
    assert hits
    assert np.mean([hit.depth for hit in hits]) == pytest.approx(18.5, abs=2.5)
    assert np.mean([hit.azimuth for hit in hits]) == pytest.approx(math.atan2(3.0, 18.5), abs=0.07)
    assert np.mean([hit.altitude for hit in hits]) == pytest.approx(math.atan2(-1.3, 18.5), abs=0.07)
    assert np.mean([hit.velocity for hit in hits]) == pytest.approx(8.0, abs=1.0)  # away from the radar


def test_an_obstacle_ahead_is_told_with_its_distance(fresh_world, spawn, car):
    other = spawn("vehicle.audi.tt", beside(car.get_transform(), forward=12.0, up=0.3))
    run(fresh_world, 0.5)
    sensor = spawn("sensor.other.obstacle", carla.Transform(carla.Location(x=2.6, z=0.8)), car,
                   distance="20", only_dynamics="True")  # fmt: skip
    inbox = Inbox(sensor)
    run(fresh_world, 0.3)
    event = inbox.get(timeout=PATIENCE)
    assert event.other_actor.id == other.id
    assert event.distance == pytest.approx(12.0 - 2.6 - other.bounding_box.extent.x, abs=1.5)


def test_a_whole_number_may_be_written_with_a_point(fresh_world, spawn, car):
    inbox = Inbox(spawn("sensor.lidar.ray_cast", carla.Transform(carla.Location(z=2.4)), car, channels="64.0"))
    assert inbox.of_frame(fresh_world.tick()).channels == 64


@needs(vars(carla)["ServerSideSensor"], "set_ignored_vehicles")
def test_a_lidar_looks_through_the_vehicles_it_ignores(fresh_world, spawn, car):
    forward = car.get_transform().get_forward_vector()
    ahead = carla.Transform(car.get_location() + carla.Location(9.0 * forward.x, 9.0 * forward.y, 0.5))
    ahead.rotation.yaw = car.get_transform().rotation.yaw
    other = spawn("vehicle.audi.tt", ahead)
    run(fresh_world, 0.5)
    lidar = spawn(
        "sensor.lidar.ray_cast_semantic", carla.Transform(carla.Location(z=2.4)), car,
        rotation_frequency=str(1 / STEP), range="40", points_per_second="200000",
    )  # fmt: skip
    inbox = Inbox(lidar)
    assert other.id in {detection.object_idx for detection in inbox.of_frame(fresh_world.tick())}
    lidar.set_ignored_vehicles([other.id])
    assert other.id not in {detection.object_idx for detection in inbox.of_frame(fresh_world.tick())}
    lidar.set_ignored_vehicles([])
    assert other.id in {detection.object_idx for detection in inbox.of_frame(fresh_world.tick())}
