"""Sensors send what the tick was, in its frame."""

from __future__ import annotations

import contextlib
import itertools
import math
import queue

import carla
import numpy as np
import pytest

from tests.compliance.conftest import beside, run
from tests.compliance.messages import Inbox, metres
from tests.patience import PATIENCE


@pytest.mark.parametrize(
    "blueprint_id",
    ["sensor.other.gnss", "sensor.other.imu", "sensor.other.radar", "sensor.lidar.ray_cast",
     "sensor.lidar.ray_cast_semantic"],
)  # fmt: skip
def test_every_tick_has_a_message_of_its_frame(fresh_world, spawn, car, blueprint_id):
    inbox = Inbox(spawn(blueprint_id, carla.Transform(carla.Location(z=2.4)), car))
    for _ in range(5):
        frame = fresh_world.tick()
        assert inbox.of_frame(frame).timestamp == pytest.approx(fresh_world.get_snapshot().timestamp.elapsed_seconds)


def test_who_listens_after_a_tick_gets_its_data_without_another(fresh_world, spawn, car):
    sensor = spawn("sensor.other.gnss", carla.Transform(), car)
    frame = fresh_world.tick()
    assert Inbox(sensor).of_frame(frame).frame == frame


@pytest.mark.parametrize("kind", ["rgb", "depth", "semantic_segmentation", "instance_segmentation"])
def test_cameras_send_pictures_of_the_size_asked_for(fresh_world, spawn, car, kind):
    camera = spawn(
        f"sensor.camera.{kind}",
        carla.Transform(carla.Location(x=1.5, z=2.4)),
        car,
        image_size_x="64",
        image_size_y="48",
    )
    inbox = Inbox(camera)
    frame = fresh_world.tick()
    image = inbox.of_frame(frame)
    assert (image.width, image.height, len(image.raw_data)) == (64, 48, 64 * 48 * 4)
    assert len(set(bytes(image.raw_data))) > 4


@pytest.mark.parametrize("blueprint_id", ["vehicle.ford.ambulance", "vehicle.audi.tt", "static.prop.trafficcone01"])
def test_an_instance_camera_shows_an_actors_tag_and_number(fresh_world, spawn, car, blueprint_id):
    ahead = car.get_transform().transform(carla.Location(x=12.0, z=0.5))
    seen = spawn(blueprint_id, carla.Transform(ahead, car.get_transform().rotation))
    assert seen.semantic_tags
    pose = carla.Transform(carla.Location(x=2.5, z=1.5), carla.Rotation(pitch=-5.0))
    camera = spawn("sensor.camera.instance_segmentation", pose, car)
    inbox = Inbox(camera)
    image = inbox.of_frame(fresh_world.tick())
    pixels = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4).astype(int)
    shown = pixels[..., 1] + 256 * pixels[..., 0] == seen.id & 0xFFFF
    assert shown.any()
    assert set(pixels[shown][:, 2]) == set(seen.semantic_tags)


def test_the_ground_has_no_holes(fresh_world, spawn, spawn_points):
    camera = spawn("sensor.camera.depth", carla.Transform(), image_size_x="640", image_size_y="480")
    inbox = Inbox(camera)
    holes = 0
    for point in spawn_points[:: max(1, len(spawn_points) // 10)]:
        camera.set_transform(carla.Transform(point.location + carla.Location(z=2.0), point.rotation))
        fresh_world.tick()
        picture = inbox.of_frame(fresh_world.tick())
        depth = metres(picture)
        around = np.stack([depth[:-2, 1:-1], depth[2:, 1:-1], depth[1:-1, :-2], depth[1:-1, 2:]])
        # Single pixels that are far behind all four neighbours, which are of one surface.
        alone = (depth[1:-1, 1:-1] > 1.5 * around.max(axis=0)) & (around.max(axis=0) < 1.5 * around.min(axis=0))
        holes += int(alone[300:].sum())
    assert holes == 0


def test_an_accelerometer_feels_gravity_and_the_car_s_motion(fresh_world, spawn, car):
    inbox = Inbox(spawn("sensor.other.imu", carla.Transform(), car))
    data = inbox.of_frame(run(fresh_world, 1.0))
    assert data.accelerometer.z == pytest.approx(9.81, abs=0.3)
    assert abs(data.gyroscope.z) < 0.05
    car.apply_control(carla.VehicleControl(throttle=1.0))
    run(fresh_world, 1.0)
    faster = [inbox.of_frame(fresh_world.tick()).accelerometer.x for _ in range(10)]
    car.apply_control(carla.VehicleControl(brake=1.0))
    run(fresh_world, 0.2)
    slower = [inbox.of_frame(fresh_world.tick()).accelerometer.x for _ in range(5)]
    assert np.mean(faster) > 0.5
    assert np.mean(slower) < -2.0


def test_a_gyroscope_turns_with_its_car_and_a_compass_tells_the_heading(fresh_world, spawn, spawn_points):
    flying = spawn("vehicle.tesla.model3", beside(carla.Transform(spawn_points[0].location), up=30.0))
    inbox = Inbox(spawn("sensor.other.imu", carla.Transform(), flying))
    flying.set_target_angular_velocity(carla.Vector3D(z=90.0))
    fresh_world.tick()
    for _ in range(8):
        data = inbox.of_frame(fresh_world.tick())
        assert data.gyroscope.z == pytest.approx(math.radians(90.0), abs=0.1)
        north = data.compass - math.radians(data.transform.rotation.yaw + 90.0)  # where y is negative
        assert math.cos(north) == pytest.approx(1.0, abs=0.01)


def test_a_satellite_position_is_that_of_the_map(fresh_world, spawn, car, spawn_points, note):
    inbox = Inbox(spawn("sensor.other.gnss", carla.Transform(carla.Location(z=1.0)), car))
    town = fresh_world.get_map()
    for place in (spawn_points[0], max(spawn_points, key=lambda point: point.location.distance(car.get_location()))):
        car.set_transform(place)
        fix = inbox.of_frame(run(fresh_world, 0.2))
        expected = town.transform_to_geolocation(fix.transform.location)
        assert (fix.latitude, fix.longitude) == pytest.approx((expected.latitude, expected.longitude), abs=2e-6)
        assert fix.altitude == pytest.approx(expected.altitude, abs=0.05)
    origin = town.transform_to_geolocation(carla.Location())
    note("latitude of the map's origin", origin.latitude, "degrees")
    note("longitude of the map's origin", origin.longitude, "degrees")


def test_noise_and_bias_show(fresh_world, spawn, spawn_points):
    place = beside(spawn_points[0], up=10.0)
    noisy = Inbox(spawn("sensor.other.gnss", place, noise_alt_stddev="5.0"))
    shifted = Inbox(spawn("sensor.other.gnss", place, noise_alt_bias="100.0"))
    frames = [fresh_world.tick() for _ in range(20)]
    altitudes = [noisy.of_frame(frame).altitude for frame in frames]
    assert 2.0 < np.std(altitudes) < 10.0
    assert shifted.of_frame(frames[-1]).altitude == pytest.approx(np.mean(altitudes) + 100.0, abs=8.0)


def test_a_line_that_is_crossed_is_told(fresh_world, spawn, car):
    events = Inbox(spawn("sensor.other.lane_invasion", carla.Transform(), car))
    car.apply_control(carla.VehicleControl(throttle=0.6, steer=0.3))
    run(fresh_world, 3.0)
    assert events.get(timeout=PATIENCE).crossed_lane_markings


def test_a_sprung_camera_hangs_where_a_rigid_one_does_while_its_car_stands(fresh_world, spawn, car):
    place = carla.Transform(carla.Location(x=-5.0, z=3.0))
    kinds = (carla.AttachmentType.Rigid, carla.AttachmentType.SpringArmGhost)
    cameras = [spawn("sensor.camera.rgb", place, car, attachment_type=kind) for kind in kinds]
    run(fresh_world, 1.0)
    assert cameras[0].get_location().distance(beside(car.get_transform(), forward=-5.0, up=3.0).location) < 0.1
    assert cameras[1].get_location().distance(cameras[0].get_location()) < 1.5


def test_a_slow_sensor_sends_at_its_own_pace(fresh_world, spawn, car):
    inbox = Inbox(spawn("sensor.other.gnss", carla.Transform(), car, sensor_tick="0.2"))
    run(fresh_world, 2.0)
    fresh_world.tick()
    frames = [inbox.get(timeout=PATIENCE).frame for _ in range(9)]
    with contextlib.suppress(queue.Empty):
        while True:
            frames.append(inbox.get(timeout=0.5).frame)
    gaps = {later - earlier for earlier, later in itertools.pairwise(frames)}
    assert len(frames) <= 12
    assert gaps == {4}


def test_a_sensor_needs_no_parent(fresh_world, spawn, spawn_points):
    inbox = Inbox(spawn("sensor.other.gnss", spawn_points[0]))
    data = inbox.of_frame(fresh_world.tick())
    assert data.transform.location.distance(spawn_points[0].location) < 0.01


def test_no_frame_is_missed_from_the_first_tick_on(fresh_world, spawn, spawn_points):
    sensors = [spawn("sensor.other.gnss", spawn_points[index]) for index in range(4)]
    inboxes = [Inbox(sensor) for sensor in sensors]
    frames = []
    for index in range(30):
        for sensor in sensors:
            sensor.set_transform(carla.Transform(carla.Location(x=float(index))))
        frames.append(fresh_world.tick())
    for inbox in inboxes:
        messages = [inbox.get(timeout=PATIENCE) for _ in frames]
        assert [message.frame for message in messages] == frames
        assert [message.transform.location.x for message in messages] == list(range(30))


def test_an_event_camera_speaks_only_of_events(fresh_world, spawn, spawn_points):
    place = beside(spawn_points[0], up=1.6)
    sizes = {"image_size_x": "64", "image_size_y": "48"}
    cameras = [spawn("sensor.camera.dvs", place, **sizes) for _ in range(2)]
    turning, still = (Inbox(camera) for camera in cameras)
    ticks = Inbox(spawn("sensor.other.gnss", place))
    for step in range(10):
        turned = carla.Rotation(yaw=place.rotation.yaw + 8.0 * step)
        cameras[0].set_transform(carla.Transform(place.location, turned))
        ticks.of_frame(fresh_world.tick())
    for _ in range(7):
        assert len(turning.get(timeout=PATIENCE)) > 0
    assert still.empty()


def test_a_stopped_sensor_is_silent(fresh_world, spawn, car):
    sensor = spawn("sensor.other.imu", carla.Transform(), car)
    inbox = Inbox(sensor)
    inbox.of_frame(fresh_world.tick())
    sensor.stop()
    run(fresh_world, 0.5)
    assert not sensor.is_listening()
    assert inbox.empty()
