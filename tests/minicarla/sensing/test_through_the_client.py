"""The sensors as a user meets them: the real client, a real server, a car that drives."""

from __future__ import annotations

import queue
from typing import Any

import carla
import numpy as np
import pytest

EVENT_SENSORS = (
    "sensor.camera.dvs",
    "sensor.other.collision",
    "sensor.other.lane_invasion",
    "sensor.other.obstacle",
    "sensor.other.v2x",
    "sensor.other.v2x_custom",
)
"""What is silent in ticks in which nothing happens, as by CARLA."""
PATIENCE = 240.0
"""[s] The first camera on a machine compiles its kernels."""


@pytest.fixture
def world(carla_client):
    carla_client.set_timeout(PATIENCE)
    return carla_client.get_world()


@pytest.fixture
def car(world):
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    return world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])


class Attached:
    """A sensor on a car, and the queue of what it sends."""

    def __init__(self, world, car, type_id, place=None, **attributes):
        blueprint = world.get_blueprint_library().find(type_id)
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        self.type_id = type_id
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.actor = world.spawn_actor(blueprint, place or carla.Transform(carla.Location(z=2.5)), attach_to=car)
        self.actor.listen(self.messages.put)

    def at(self, frame):
        """The message of a frame; earlier ones are dropped."""
        while True:
            message = self.messages.get(timeout=PATIENCE)
            if message.frame >= frame:
                return message


@pytest.fixture
def attach(world, car):
    attached = []

    def attach_one(type_id, place=None, **attributes):
        attached.append(Attached(world, car, type_id, place, **attributes))
        return attached[-1]

    yield attach_one
    for sensor in attached:
        sensor.actor.stop()
        sensor.actor.destroy()


def test_every_sensor_answers_with_the_frame_of_the_tick(world, car, attach):
    small = {"image_size_x": 64, "image_size_y": 48}
    sensors = []
    for blueprint in world.get_blueprint_library().filter("sensor.*"):
        if blueprint.id in EVENT_SENSORS or blueprint.id.endswith("rss"):
            continue
        sensors.append(attach(blueprint.id, **(small if blueprint.has_attribute("image_size_x") else {})))
    assert len(sensors) >= 12
    car.apply_control(carla.VehicleControl(throttle=0.7))
    world.tick()
    for _ in range(10):
        frame = world.tick()
        assert {sensor.type_id: sensor.at(frame).frame for sensor in sensors} == {
            sensor.type_id: frame for sensor in sensors
        }


def test_a_slow_sensor_sends_at_its_own_pace(world, attach):
    gnss = attach("sensor.other.gnss", sensor_tick=0.2)
    world.tick()
    frames = [world.tick() for _ in range(20)]
    world.tick()
    received = []
    while not gnss.messages.empty():
        received.append(gnss.messages.get().frame)
    inside = [frame for frame in received if frame in frames]
    assert len(inside) == 5
    assert set(np.diff(inside)) == {4}


def test_depth_agrees_with_lidar_on_what_lies_ahead(world, car, attach):
    place = carla.Transform(carla.Location(x=2.6, z=1.0))
    depth = attach("sensor.camera.depth", place, image_size_x=200, image_size_y=200)
    dense = {"channels": 64, "points_per_second": 200000, "rotation_frequency": 20, "upper_fov": -3, "lower_fov": -25}
    exact = {"dropoff_general_rate": 0, "dropoff_zero_intensity": 0}
    lidar = attach("sensor.lidar.ray_cast", place, range=40, **dense, **exact)
    world.tick()
    frame = world.tick()
    picture = np.frombuffer(depth.at(frame).raw_data, np.uint8).reshape(200, 200, 4).astype(np.float64)
    metres = (picture[..., 2] + 256 * picture[..., 1] + 65536 * picture[..., 0]) / (256**3 - 1) * 1000.0
    points = np.frombuffer(lidar.at(frame).raw_data, np.float32).reshape(-1, 4)
    ahead = points[(points[:, 0] > 2.0) & (np.abs(points[:, 1]) < 0.5 * points[:, 0])]
    column = np.floor(100.0 + 100.0 * ahead[:, 1] / ahead[:, 0]).astype(int)
    row = np.floor(100.0 - 100.0 * ahead[:, 2] / ahead[:, 0]).astype(int)
    inside = (row >= 0) & (row < 200)
    error = np.abs(metres[row[inside], column[inside]] - ahead[inside, 0]) / ahead[inside, 0]
    assert inside.sum() > 50
    assert np.median(error) < 0.03


def test_own_sensors_outlive_a_teleport(world, car, attach):
    imu = attach("sensor.other.imu")
    for _ in range(5):
        world.tick()
    car.set_transform(world.get_map().get_spawn_points()[5])
    readings = [imu.at(world.tick()) for _ in range(3)]
    assert max(abs(reading.accelerometer.x) for reading in readings) < 30.0


@pytest.mark.parametrize(
    ("type_id", "attributes", "sentence"),
    [
        ("sensor.camera.rgb", {"image_size_x": "-5"}, "image_size_x"),
        ("sensor.camera.rgb", {"exposure_mode": "auto"}, "one of histogram, manual"),
        ("sensor.lidar.ray_cast", {"channels": "0"}, "channels"),
    ],
)
def test_what_a_sensor_cannot_do_is_said_at_spawning(world, car, type_id, attributes, sentence):
    blueprint = world.get_blueprint_library().find(type_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, value)
    with pytest.raises(RuntimeError, match=sentence):
        world.spawn_actor(blueprint, carla.Transform(), attach_to=car)
    world.tick()
