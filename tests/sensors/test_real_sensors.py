"""Every sensor of CARLA, through the real client, in its documented form."""

from __future__ import annotations

import time
from typing import Any

import carla
import gymnasium
import numpy as np
import pytest

from rllib_integration.sensors import EventSensor, SensorFactory, SensorInterface
from rllib_integration.sensors.cameras import CameraRGB
from rllib_integration.sensors.events import CustomV2x
from rllib_integration.sensors.ranging import SEMANTIC_POINT
from tests.patience import PATIENCE

CAMERA = {"transform": "1.0,0.0,1.7,0.0,0.0,0.0", "image_size_x": 64, "image_size_y": 48}
LIDAR = {
    "transform": "0,0,2.4,0,0,0",
    "channels": 16,
    "range": 50.0,
    "rotation_frequency": 20.0,
    "points_per_second": 16 * 90 * 20,
    "upper_fov": 5.0,
    "lower_fov": -25.0,
}
CASES: list[tuple[dict[str, Any], tuple[int | None, ...], Any]] = [
    ({"type": "sensor.camera.rgb", **CAMERA}, (48, 64, 3), np.uint8),
    ({"type": "sensor.camera.rgb", **CAMERA, "grayscale": True, "resize_x": 32, "resize_y": 24}, (24, 32, 1), np.uint8),
    ({"type": "sensor.camera.depth", **CAMERA}, (48, 64, 3), np.uint8),
    ({"type": "sensor.camera.depth", **CAMERA, "format": "metres"}, (48, 64), np.float32),
    ({"type": "sensor.camera.semantic_segmentation", **CAMERA}, (48, 64, 3), np.uint8),
    ({"type": "sensor.camera.semantic_segmentation", **CAMERA, "format": "tags"}, (48, 64), np.uint8),
    ({"type": "sensor.camera.semantic_segmentation", **CAMERA, "format": "cityscapes"}, (48, 64, 3), np.uint8),
    ({"type": "sensor.camera.instance_segmentation", **CAMERA}, (48, 64, 3), np.uint8),
    ({"type": "sensor.camera.instance_segmentation", **CAMERA, "format": "instances"}, (48, 64, 2), np.int32),
    ({"type": "sensor.camera.normals", **CAMERA, "format": "vectors"}, (48, 64, 3), np.float32),
    ({"type": "sensor.camera.optical_flow", **CAMERA}, (48, 64, 2), np.float32),
    ({"type": "sensor.camera.optical_flow", **CAMERA, "format": "rgb"}, (48, 64, 3), np.uint8),
    ({"type": "sensor.lidar.ray_cast", **LIDAR}, (None, 4), np.float32),
    ({"type": "sensor.lidar.ray_cast", **LIDAR, "format": "padded", "max_points": 500}, (500, 4), np.float32),
    ({"type": "sensor.lidar.ray_cast", **LIDAR, "format": "ring", "columns": 90}, (16, 90, 2), np.float32),
    ({"type": "sensor.lidar.ray_cast_semantic", **LIDAR}, (None, 6), np.float64),
    ({"type": "sensor.lidar.ray_cast_semantic", **LIDAR, "format": "structured"}, (None,), SEMANTIC_POINT),
    ({"type": "sensor.lidar.ray_cast_semantic", **LIDAR, "format": "ring", "columns": 90}, (16, 90, 2), np.float32),
    ({"type": "sensor.other.radar", "transform": "2,0,1,0,5,0"}, (None, 4), np.float32),
    ({"type": "sensor.other.radar", "format": "padded", "max_points": 60}, (60, 4), np.float32),
    ({"type": "sensor.other.gnss"}, (3,), np.float64),
    ({"type": "sensor.other.imu"}, (7,), np.float64),
]


def test_fault_16_every_sensor_has_its_documented_shape_type_space_and_frame(
    carla_client: carla.Client, world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    carla_client.set_timeout(120.0)  # the first pictures on a machine are compiled
    for number, (attributes, _, _) in enumerate(CASES):
        SensorFactory.spawn(f"sensor{number}", attributes, interface, hero)
    world.tick()
    for _ in range(3):
        frame = world.tick()
        data = interface.get_data(frame, timeout=PATIENCE)
        for number, (attributes, shape, dtype) in enumerate(CASES):
            got_frame, value = data[f"sensor{number}"]
            assert got_frame == frame
            assert value.dtype == dtype, attributes
            expected = tuple(have if want is None else want for want, have in zip(shape, value.shape))
            assert value.shape == expected, attributes
            if attributes.get("format") != "structured":
                space = SensorFactory.space(attributes)
                assert space.contains(value), (attributes, value.min(), value.max(), space)


def test_fault_16_depth_semantics_and_lidar_agree_about_the_ground_and_a_car_ahead(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    pose = hero.get_transform()
    ahead = pose.get_forward_vector()
    pose.location += ahead * 12.0
    pose.location.z += 0.3
    other = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), pose)
    world.tick()
    for name, attributes in {
        "depth": {"type": "sensor.camera.depth", **CAMERA, "format": "metres"},
        "tags": {"type": "sensor.camera.semantic_segmentation", **CAMERA, "format": "tags"},
        "points": {"type": "sensor.lidar.ray_cast_semantic", **LIDAR},
        "normals": {"type": "sensor.camera.normals", **CAMERA, "format": "vectors"},
    }.items():
        SensorFactory.spawn(name, attributes, interface, hero)
    for _ in range(10):
        frame = world.tick()
    data = {name: value for name, (_, value) in interface.get_data(frame, timeout=PATIENCE).items()}
    tail = 12.0 - 1.0 - other.bounding_box.extent.x
    car = data["tags"] == int(carla.CityObjectLabel.Car)
    assert car.any()
    assert tail - 0.5 < data["depth"][car].min() < tail + 1.0
    hits = data["points"][data["points"][:, 4] == other.id]
    assert len(hits)
    assert np.all(hits[:, 5] == int(carla.CityObjectLabel.Car))
    assert abs(hits[:, 0].min() - (tail + 1.0)) < 0.7
    assert np.all(np.abs(hits[:, 1]) < 1.5)
    ground = data["points"][data["points"][:, 5] == int(carla.CityObjectLabel.Roads)]
    assert np.median(ground[:, 2]) == pytest.approx(-2.4, abs=0.3)


def test_fault_15_a_longer_sensor_tick_gives_the_latest_data_with_its_own_frame(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    SensorFactory.spawn("slow", {"type": "sensor.other.gnss", "sensor_tick": 0.2}, interface, hero)
    SensorFactory.spawn("fast", {"type": "sensor.other.gnss"}, interface, hero)
    ages = []
    world.tick()
    for _ in range(12):
        frame = world.tick()
        data = interface.get_data(frame, timeout=PATIENCE)
        assert data["fast"][0] == frame
        ages.append(frame - data["slow"][0])
    assert max(ages) == 3
    assert set(np.diff(ages)) == {1, -3}


def test_fault_13_every_collision_is_delivered_in_its_own_frame_and_the_strongest_is_shown(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    pose = hero.get_transform()
    ahead = pose.get_forward_vector()
    pose.location += ahead * 12.0
    pose.location.z += 0.2
    world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), pose)
    SensorFactory.spawn("hit", {"type": "sensor.other.collision"}, interface, hero)
    SensorFactory.spawn(
        "near", {"type": "sensor.other.obstacle", "distance": 10, "only_dynamics": True}, interface, hero
    )
    hero.set_target_velocity(carla.Vector3D(ahead.x * 15, ahead.y * 15, 0.0))
    hits, near = [], []
    for _ in range(40):
        frame = world.tick()
        data = interface.get_data(frame, timeout=PATIENCE)
        events = interface.events.get("hit", [])
        assert all(event_frame == frame for event_frame, _ in events)
        assert ("hit" in data) == bool(events)
        if events:
            other, impulse = data["hit"][1]
            assert impulse == max(event[1] for _, event in events)
            hits.append((other.type_id, impulse))
        if "near" in data:
            near.append(data["near"][1][1])
    assert hits[0][0] == "vehicle.audi.tt"
    assert hits[0][1] > 1000.0
    assert near
    assert max(near) <= 10.0


def test_crossing_a_marking_is_an_event_with_the_marking(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    SensorFactory.spawn("lane", {"type": "sensor.other.lane_invasion"}, interface, hero)
    waypoint = next(
        w for w in world.get_map().generate_waypoints(5.0)
        if not w.is_junction and w.get_right_lane() and w.right_lane_marking.type != carla.LaneMarkingType.NONE
    )  # fmt: skip
    right = waypoint.transform.get_right_vector()
    crossed = []
    for step in range(60):
        pose = waypoint.transform
        pose.location += right * (3.0 * (step % 2))
        hero.set_transform(pose)
        frame = world.tick()
        data = interface.get_data(frame, timeout=PATIENCE)
        if step:
            assert data["lane"][0] == frame
            crossed.extend(data["lane"][1][1])
    assert len(crossed) >= 59
    assert all(isinstance(marking, carla.LaneMarking) for marking in crossed)


def test_dynamic_vision_shows_changes_in_red_and_blue(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    SensorFactory.spawn("dvs", {"type": "sensor.camera.dvs", **CAMERA}, interface, hero)
    hero.set_target_velocity(hero.get_transform().get_forward_vector() * 10.0)
    pictures = []
    for _ in range(10):
        data = interface.get_data(world.tick(), timeout=PATIENCE)
        if "dvs" in data:
            pictures.append(data["dvs"][1])
    assert pictures
    stack = np.stack(pictures)
    assert stack.shape[1:] == (48, 64, 3)
    assert set(np.unique(stack)) == {0, 255}
    assert not stack[..., 1].any()
    assert stack[..., 0].any()
    assert stack[..., 2].any()


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"type": "sensor.camera.rgb", "image_size": 8}, "no attribute 'image_size': did you mean 'image_size_"),
        ({"type": "sensor.camera.rgb", "image_size_x": "wide"}, "'image_size_x' is 'wide'.*type int"),
        ({"type": "sensor.camera.rgb", "transform": "1,2,3"}, "transform '1,2,3' has to be six numbers"),
        ({"type": "sensor.camera.depth", "format": "feet"}, "'format' is 'feet', but allowed are: rgb, metres"),
        ({"type": "sensor.camera.rgb", "resize_x": 8.5}, "'resize_x' is 8.5, but it has to be a whole number"),
        ({"type": "sensor.camera.rgb", "grayscale": "grey"}, "'grayscale' is 'grey', but it has to be true or false"),
    ],
)
def test_a_wrong_attribute_is_a_sentence_and_leaves_no_sensor_behind(
    hero: carla.Actor, interface: SensorInterface, attributes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        SensorFactory.spawn("camera", attributes, interface, hero)
    assert interface.sensors == {}


class MeanBrightness(CameraRGB):
    """What a user would write: CARLA's camera, one number out of it."""

    def parse(self, data: carla.Image) -> Any:
        return np.array(super().parse(data).mean(), np.float32)

    @classmethod
    def space_for(cls, attributes: Any) -> gymnasium.Space:
        return gymnasium.spaces.Box(0.0, 255.0, (), np.float32)


def test_a_users_own_camera_is_one_small_class(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    sensor = SensorFactory.spawn("light", {"type": f"{__name__}:MeanBrightness", **CAMERA}, interface, hero)
    world.tick()
    frame = world.tick()
    brightness = interface.get_data(frame, timeout=PATIENCE)["light"][1]
    assert 0.0 < brightness < 255.0
    assert sensor.space().contains(brightness)


def test_fault_14_sensors_can_be_destroyed_and_made_anew_between_episodes(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    for episode in range(3):
        SensorFactory.spawn(f"gnss{episode}", {"type": "sensor.other.gnss"}, interface, hero)
        SensorFactory.spawn("imu", {"type": "sensor.other.imu"}, interface, hero)
        world.tick()
        frame = world.tick()
        assert {name: reading[0] for name, reading in interface.get_data(frame, timeout=PATIENCE).items()} == {
            f"gnss{episode}": frame,
            "imu": frame,
        }
        interface.destroy()
    world.tick()
    assert not world.get_actors().filter("sensor.*")


def test_event_sensors_have_no_space() -> None:
    with pytest.raises(TypeError, match="no space"):
        SensorFactory.space({"type": "sensor.other.collision"})
    assert issubclass(SensorFactory.sensor_class("sensor.other.collision"), EventSensor)


@pytest.mark.skipif(not hasattr(carla, "CAMEvent"), reason="this version of the client has no radio")
def test_messages_of_other_vehicles_are_events(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    hears = SensorFactory.spawn("radio", {"type": "sensor.other.v2x"}, interface, hero)
    texts = SensorFactory.spawn("texts", {"type": "sensor.other.v2x_custom"}, interface, hero)
    blueprint = world.get_blueprint_library().find("vehicle.audi.tt")
    other = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[1])
    others = SensorInterface()
    try:
        SensorFactory.spawn("radio", {"type": "sensor.other.v2x", "fixed_rate": True}, others, other)
        speaker = SensorFactory.spawn("texts", {"type": "sensor.other.v2x_custom"}, others, other)
        assert hears.is_event_sensor()
        assert texts.is_event_sensor()
        assert isinstance(speaker, CustomV2x)
        with pytest.raises(ValueError, match="99 bytes"):
            speaker.send("ä" * 50)
        speaker.send("brake")
        heard: dict[str, Any] = {}
        end = time.monotonic() + PATIENCE
        while len(heard) < 2 and time.monotonic() < end:
            heard |= {name: data for name, (_, data) in interface.get_data(world.tick(), PATIENCE).items()}
        assert heard["radio"][0]["Message"]["Header"]["Station ID"] == other.id
        assert [message["Message"]["Message"] for message in heard["texts"]] == ["brake"]
    finally:
        others.destroy()
