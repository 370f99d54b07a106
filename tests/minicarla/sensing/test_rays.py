"""Lidar, radar and the obstacle detector against what geometry says."""

from __future__ import annotations

import math
import struct

import msgpack
import numpy as np
import pytest

from minicarla.sensing import SENSORS, SensorError
from minicarla.sensing.lidar import SEMANTIC_POINT
from tests.minicarla.sensing.world import WALL_AT_TEN_METRES, Town, make_mount, make_view

QUIET = {"dropoff_general_rate": "0", "dropoff_zero_intensity": "0"}


PLAIN_POINT = np.dtype(("<f4", 4))


def read_lidar(body, dtype=PLAIN_POINT):
    angle, channels = struct.unpack_from("<fI", body)
    counts = np.frombuffer(body, "<u4", channels, 8)
    points = np.frombuffer(body, dtype, offset=8 + 4 * channels)
    assert counts.sum() == len(points)
    return angle, counts, points


def test_points_of_a_lidar_over_flat_ground_lie_on_it():
    lidar = SENSORS["sensor.lidar.ray_cast"]({"range": "50", "upper_fov": "-5", **QUIET})
    (body,) = lidar.capture(make_view(), make_mount(z=2.0))
    _, counts, points = read_lidar(body)
    assert counts.tolist() == [88] * 32
    assert points[:, 2] == pytest.approx(-2.0, abs=0.01)
    distance = np.linalg.norm(points[:, :3], axis=1)
    assert points[:, 3] == pytest.approx(np.exp(-0.004 * distance), rel=1e-5)


def test_lidar_points_are_in_the_frame_of_a_leaning_sensor():
    mount = make_mount(3.0, -4.0, 2.0, roll=5.0, pitch=-10.0, yaw=70.0)
    lidar = SENSORS["sensor.lidar.ray_cast"]({"range": "40", **QUIET})
    (body,) = lidar.capture(make_view(), mount)
    world = read_lidar(body)[2][:, :3] @ mount.rotation.T + mount.position
    assert len(world) > 100
    assert world[:, 2] == pytest.approx(0.0, abs=0.02)


def test_lidar_turns_a_tenth_of_its_circle_in_a_tenth_of_its_period():
    lidar = SENSORS["sensor.lidar.ray_cast"]({"rotation_frequency": "2", "range": "40", **QUIET})
    first = read_lidar(lidar.capture(make_view(), make_mount())[0])
    second = read_lidar(lidar.capture(make_view(time=0.1), make_mount())[0])
    assert first[0] == pytest.approx(2 * math.pi * 0.1, rel=1e-5)
    assert second[0] == pytest.approx(2 * math.pi * 0.2, rel=1e-5)
    azimuth = np.arctan2(second[2][:, 1], second[2][:, 0]) + math.pi
    assert azimuth.min() >= 2 * math.pi * 0.1 - 1e-5
    assert azimuth.max() <= 2 * math.pi * 0.2 + 1e-5


def test_semantic_lidar_names_wall_car_and_road():
    view = make_view(Town([WALL_AT_TEN_METRES]), vehicles=[{"x": -8.0}])
    lidar = SENSORS["sensor.lidar.ray_cast_semantic"]({"range": "30", "points_per_second": "200000"})
    points = read_lidar(lidar.capture(view, make_mount(z=1.0))[0], SEMANTIC_POINT)[2]
    wall = points[points["label"] == 4]
    assert wall["x"] == pytest.approx(10.0, abs=1e-4)
    assert set(wall["object_id"]) == {0}, "an actor's id means that actor"
    ray = np.stack([wall[axis] for axis in "xyz"], axis=-1)
    assert wall["cos"] == pytest.approx(wall["x"] / np.linalg.norm(ray, axis=1), abs=1e-5)
    car = points[points["label"] == 14]
    assert set(car["object_id"]) == {100}
    assert car["x"].max() == pytest.approx(-5.6, abs=1e-4)
    assert set(points["label"]) == {1, 4, 14}


def test_general_drop_off_loses_that_share_of_the_points():
    lidar = SENSORS["sensor.lidar.ray_cast"](
        {"range": "100", "upper_fov": "-5", "dropoff_general_rate": "0.45", "dropoff_zero_intensity": "0"}, seed=3
    )
    kept = len(read_lidar(lidar.capture(make_view(), make_mount())[0])[2])
    assert kept == pytest.approx(0.55 * 32 * 88, rel=0.05)


def test_points_of_low_intensity_are_lost_with_the_chance_that_carla_documents():
    options = {"atmosphere_attenuation_rate": "100", "dropoff_general_rate": "0", "dropoff_zero_intensity": "0.4"}
    lidar = SENSORS["sensor.lidar.ray_cast"]({"range": "100", "upper_fov": "-5", **options})
    kept = len(read_lidar(lidar.capture(make_view(), make_mount())[0])[2])
    assert kept == pytest.approx(0.6 * 32 * 88, rel=0.05)


def test_noise_moves_points_along_their_ray_only():
    options = {"noise_stddev": "0.2", "range": "50", "upper_fov": "-10", **QUIET}
    noisy = read_lidar(SENSORS["sensor.lidar.ray_cast"](options).capture(make_view(), make_mount())[0])[2]
    exact = read_lidar(
        SENSORS["sensor.lidar.ray_cast"]({**options, "noise_stddev": "0"}).capture(make_view(), make_mount())[0]
    )[2]
    lengths = np.linalg.norm(noisy[:, :3], axis=1), np.linalg.norm(exact[:, :3], axis=1)
    assert (lengths[0] - lengths[1]).std() == pytest.approx(0.2, rel=0.1)
    along = np.einsum("ij,ij->i", noisy[:, :3], exact[:, :3]) / (lengths[0] * lengths[1])
    assert along == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("type_id", ["sensor.lidar.ray_cast", "sensor.lidar.ray_cast_semantic", "sensor.other.radar"])
def test_same_seed_same_bytes_and_another_seed_others(type_id):
    view = make_view(Town([WALL_AT_TEN_METRES]), vehicles=[{"x": -8.0}])
    one, two, other = (SENSORS[type_id]({}, seed=seed).capture(view, make_mount(z=1.5)) for seed in (7, 7, 8))
    assert one == two
    assert (one == other) == (type_id == "sensor.lidar.ray_cast_semantic")


def test_radar_velocity_is_negative_when_something_approaches():
    view = make_view(vehicles=[{"x": 30.0, "vx": -5.0}])
    radar = SENSORS["sensor.other.radar"]({"points_per_second": "20000"})
    mount = make_mount(z=0.7, velocity=(10.0, 0.0, 0.0))
    found = np.frombuffer(radar.capture(view, mount)[0], "<f4").reshape(-1, 4)
    car = found[(np.abs(found[:, 3] - 27.6) < 0.05) & (found[:, 2] > -0.02)]
    assert len(car) > 5
    assert car[:, 0] == pytest.approx(-15.0 * np.cos(car[:, 1]) * np.cos(car[:, 2]), rel=1e-3)
    ground = found[found[:, 2] < -0.05]
    assert (ground[:, 0] < 0.0).all()
    assert ground[:, 3] == pytest.approx(-0.7 / np.sin(ground[:, 2]), rel=0.02)


def test_radar_sees_right_as_positive_azimuth_within_its_cone():
    view = make_view(vehicles=[{"x": 20.0, "y": 4.0}])
    radar = SENSORS["sensor.other.radar"]({"points_per_second": "20000", "horizontal_fov": "60", "range": "40"})
    found = np.frombuffer(radar.capture(view, make_mount(z=0.7))[0], "<f4").reshape(-1, 4)
    assert np.abs(found[:, 1]).max() <= math.radians(30.0) + 1e-6
    car = found[(found[:, 2] > -0.02) & (found[:, 3] < 30.0)]
    assert len(car) > 5
    assert (car[:, 1] > 0.0).all()


def test_obstacle_detector_reports_the_nearest_body_ahead():
    view = make_view(Town([WALL_AT_TEN_METRES]), vehicles=[{}, {"x": 7.0}])
    sensor = SENSORS["sensor.other.obstacle"]({"distance": "20", "hit_radius": "0.1"})
    (body,) = sensor.capture(view, make_mount(x=2.6, z=0.5, kind=0, row=0))
    actor, other, distance = msgpack.unpackb(body)
    assert (actor[0], other[0]) == (0, 1)
    assert distance == pytest.approx(7.0 - 2.4 - 2.6 - 0.1, abs=1e-6)


def test_obstacle_detector_can_ignore_what_never_moves():
    view = make_view(Town([WALL_AT_TEN_METRES]), vehicles=[{}])
    mount = make_mount(x=2.6, z=0.5, kind=0, row=0)
    seen = SENSORS["sensor.other.obstacle"]({"distance": "20"}).capture(view, mount)
    assert msgpack.unpackb(seen[0])[1][2][1] == "static.wall"
    assert SENSORS["sensor.other.obstacle"]({"distance": "20", "only_dynamics": "True"}).capture(view, mount) == ()


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"channel": "3"}, "did you mean 'channels'"),
        ({"channels": "many"}, "not a number"),
        ({"channels": "0"}, "allowed is 1 to 1024"),
        ({"range": "nan"}, "finite"),
    ],
)
def test_wrong_attributes_get_a_sentence(attributes, sentence):
    with pytest.raises(SensorError, match=sentence):
        SENSORS["sensor.lidar.ray_cast"](attributes)
