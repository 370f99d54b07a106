"""Sensors send what the tick was, in its frame."""

from __future__ import annotations

import contextlib
import itertools
import queue

import carla
import numpy as np
import pytest

from tests.patience import PATIENCE

from .conftest import STEP, run


class Inbox(queue.Queue):
    """Collects a sensor's messages."""

    def __init__(self, sensor):
        super().__init__()
        sensor.listen(self.put)

    def of_frame(self, frame):
        """The message of a frame; earlier ones are dropped."""
        while True:
            data = self.get(timeout=PATIENCE)
            if data.frame >= frame:
                assert data.frame == frame
                return data


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
        pixels = np.frombuffer(picture.raw_data, np.uint8).reshape(480, 640, 4).astype(float)
        depth = pixels[..., 2] + 256.0 * pixels[..., 1] + 65536.0 * pixels[..., 0]
        around = np.stack([depth[:-2, 1:-1], depth[2:, 1:-1], depth[1:-1, :-2], depth[1:-1, 2:]])
        # Single pixels that are far behind all four neighbours, which are of one surface.
        alone = (depth[1:-1, 1:-1] > 1.5 * around.max(axis=0)) & (around.max(axis=0) < 1.5 * around.min(axis=0))
        holes += int(alone[300:].sum())
    assert holes == 0


def test_an_accelerometer_at_rest_feels_gravity(fresh_world, spawn, car):
    inbox = Inbox(spawn("sensor.other.imu", carla.Transform(), car))
    frame = run(fresh_world, 1.0)
    data = inbox.of_frame(frame)
    assert data.accelerometer.z == pytest.approx(9.81, abs=0.3)
    assert abs(data.gyroscope.z) < 0.05


def test_a_satellite_position_follows_the_car(fresh_world, spawn, car, spawn_points):
    inbox = Inbox(spawn("sensor.other.gnss", carla.Transform(), car))
    here = inbox.of_frame(fresh_world.tick())
    car.set_transform(max(spawn_points, key=lambda point: point.location.distance(car.get_location())))
    there = inbox.of_frame(run(fresh_world, 0.2))
    assert (here.latitude, here.longitude) != (there.latitude, there.longitude)


def test_a_lidar_sees_the_ground(fresh_world, spawn, car):
    lidar = spawn(
        "sensor.lidar.ray_cast",
        carla.Transform(carla.Location(z=2.4)),
        car,
        rotation_frequency=str(1 / STEP),
        range="40",
    )
    inbox = Inbox(lidar)
    sweep = inbox.of_frame(fresh_world.tick())
    assert len(sweep) > 100
    assert any(abs(detection.point.z + 2.4) < 0.4 for detection in sweep)


def test_a_whole_number_may_be_written_with_a_point(fresh_world, spawn, car):
    inbox = Inbox(spawn("sensor.lidar.ray_cast", carla.Transform(carla.Location(z=2.4)), car, channels="64.0"))
    assert inbox.of_frame(fresh_world.tick()).channels == 64


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
    place = spawn_points[0]
    place.location.z += 1.6
    sizes = {"image_size_x": "64", "image_size_y": "48"}
    cameras = [spawn("sensor.camera.dvs", place, **sizes) for _ in range(2)]
    inboxes = [Inbox(camera) for camera in cameras]
    ticks = Inbox(spawn("sensor.other.gnss", place))
    forward = place.get_forward_vector()
    for _ in range(10):
        place.location += carla.Location(x=0.5 * forward.x, y=0.5 * forward.y)
        cameras[0].set_transform(place)
        ticks.of_frame(fresh_world.tick())
    moving, still = inboxes
    assert moving.qsize() >= 7
    assert still.empty()
    while not moving.empty():
        assert len(moving.get()) > 0


def test_a_stopped_sensor_is_silent(fresh_world, spawn, car):
    sensor = spawn("sensor.other.imu", carla.Transform(), car)
    inbox = Inbox(sensor)
    inbox.of_frame(fresh_world.tick())
    sensor.stop()
    run(fresh_world, 0.5)
    assert not sensor.is_listening()
    assert inbox.empty()
