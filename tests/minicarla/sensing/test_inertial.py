"""Receiver and inertial unit against what mechanics and the map say."""

from __future__ import annotations

import math

import carla
import msgpack
import numpy as np
import pytest

from minicarla.protocol.version import version_of_client
from minicarla.sensing import SENSORS
from minicarla.sensing.geodesy import mercator, transverse_mercator
from tests.minicarla.sensing.world import field_map, make_mount, make_view


def imu_readings(sensor, path, dt=0.05, **angles):
    """Readings along `path`: function of time to (x, y, z, velocity)."""
    out = []
    for tick in range(1, 6):
        place = path(tick * dt)
        view = make_view(frame=tick, time=tick * dt, dt=dt)
        x, y, z, velocity = place
        mount = make_mount(x=x, y=y, z=z, velocity=velocity, **angles)
        out.append(msgpack.unpackb(sensor.capture(view, mount)[0]))
    return out


def test_accelerometer_at_rest_feels_gravity_upwards():
    readings = imu_readings(SENSORS["sensor.other.imu"]({}), lambda t: (1.0, 2.0, 3.0, (0.0, 0.0, 0.0)))
    for accelerometer, gyroscope, _ in readings:
        assert accelerometer == pytest.approx([0.0, 0.0, 9.81])
        assert gyroscope == [0.0, 0.0, 0.0]


def test_accelerometer_reads_in_the_frame_of_the_sensor():
    path = lambda t: (1.5 * t * t, 0.0, 1.0, (3.0 * t, 0.0, 0.0))  # noqa: E731
    accelerometer = imu_readings(SENSORS["sensor.other.imu"]({}), path, yaw=90.0)[-1][0]
    assert accelerometer == pytest.approx([0.0, -3.0, 9.81], abs=1e-6)


def test_a_teleport_is_not_an_acceleration():
    path = lambda t: (0.0 if t < 0.12 else 500.0, 0.0, 1.0, (0.0, 0.0, 0.0))  # noqa: E731
    for accelerometer, _, _ in imu_readings(SENSORS["sensor.other.imu"]({}), path):
        assert accelerometer == pytest.approx([0.0, 0.0, 9.81])


@pytest.mark.parametrize(("yaw", "expected"), [(-90.0, 0.0), (0.0, 90.0), (90.0, 180.0), (180.0, 270.0)])
def test_compass_counts_clockwise_from_north(yaw, expected):
    reading = msgpack.unpackb(SENSORS["sensor.other.imu"]({}).capture(make_view(), make_mount(yaw=yaw))[0])
    assert math.degrees(reading[2]) % 360.0 == pytest.approx(expected, abs=1e-6)


def test_gyroscope_turns_with_the_parent():
    view = make_view(vehicles=[{"wz": 0.3, "wx": 0.1}])
    reading = msgpack.unpackb(SENSORS["sensor.other.imu"]({}).capture(view, make_mount(yaw=90.0, kind=0, row=0))[0])
    assert reading[1] == pytest.approx([0.0, -0.1, 0.3])


def test_imu_noise_has_the_asked_spread_and_bias():
    attributes = {"noise_accel_stddev_x": "0.5", "noise_gyro_bias_z": "0.25", "noise_gyro_stddev_y": "0.1"}
    sensor = SENSORS["sensor.other.imu"]({**attributes, "noise_seed": "4"})
    view, mount = make_view(), make_mount()
    readings = [msgpack.unpackb(sensor.capture(view, mount)[0]) for _ in range(400)]
    accelerometer, gyroscope = (np.array([reading[i] for reading in readings]) for i in (0, 1))
    assert accelerometer[:, 0].std() == pytest.approx(0.5, rel=0.15)
    assert accelerometer[:, 1].std() == 0.0
    assert gyroscope[:, 1].std() == pytest.approx(0.1, rel=0.15)
    assert gyroscope[:, 2] == pytest.approx(0.25)


def test_gnss_agrees_with_the_projection_of_the_clients_map():
    version = version_of_client()
    view = make_view()._replace(projection=mercator if version.latitude_falls_along_y else transverse_mercator)
    reading = msgpack.unpackb(SENSORS["sensor.other.gnss"]({}).capture(view, make_mount(30.0, -40.0, 5.0))[0])
    expected = field_map().transform_to_geolocation(carla.Location(30.0, -40.0, 5.0))
    assert reading == pytest.approx([expected.latitude, expected.longitude, expected.altitude], abs=1e-12)


@pytest.mark.parametrize(
    ("projection", "origin", "place", "expected"),
    [
        (transverse_mercator, (0.0, 0.0), (0.0, 50.0), (0.000449337377, 0.0)),
        (transverse_mercator, (49.0, 8.0), (1000.0, 2000.0), (49.017972683812, 8.013703023112)),
        (transverse_mercator, (-35.0, 149.0), (-30000.0, 40000.0), (-34.640091866528, 148.672311677284)),
        (mercator, (0.0, 0.0), (0.0, 50.0), (-0.000449157642, 0.0)),
        (mercator, (49.0, 8.0), (1000.0, 2000.0), (48.982030453798, 8.013692598447)),
        (mercator, (-35.0, 149.0), (-30000.0, 40000.0), (-35.358535970651, 148.671007858535)),
    ],
)
def test_projections_give_what_the_clients_of_both_versions_gave(projection, origin, place, expected):
    assert projection(origin, *place) == pytest.approx(expected, abs=1e-11)


def test_gnss_noise_and_bias_are_added_per_axis():
    sensor = SENSORS["sensor.other.gnss"]({"noise_alt_bias": "2", "noise_alt_stddev": "0.5", "noise_seed": "1"})
    view, mount = make_view(), make_mount(z=5.0)
    readings = np.array([msgpack.unpackb(sensor.capture(view, mount)[0]) for _ in range(400)])
    assert readings[:, 2].mean() == pytest.approx(7.0, abs=0.1)
    assert readings[:, 2].std() == pytest.approx(0.5, rel=0.15)
    assert np.ptp(readings[:, 0]) == 0.0
