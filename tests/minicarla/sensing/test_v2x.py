"""Radio between vehicles, through the real client: who hears what, when, and how loud."""

from __future__ import annotations

import itertools
import json
import math
import queue
from typing import Any

import carla
import pytest

from minicarla.protocol.version import V0_9_15
from minicarla.sensing.path_loss import Link, Obstacle, Path, Propagation
from minicarla.sensing.v2x import LONGEST_TEXT, V2xSensor
from minicarla.world.blueprints import BlueprintError, load_library
from tests.minicarla.raw_client import RawClient
from tests.patience import PATIENCE

CAM, CUSTOM = "sensor.other.v2x", "sensor.other.v2x_custom"
STEADY = {"use_etsi_fading": "false"}


class Station:
    """A car with a V2X sensor, and what it hears."""

    def __init__(self, world, transform, sensor=CAM, vehicle="vehicle.tesla.model3", **attributes):
        library = world.get_blueprint_library()
        self.world = world
        self.heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.car = world.spawn_actor(library.find(vehicle), transform)
        blueprint = library.find(sensor)
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        self.sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(z=2.0)), attach_to=self.car)
        self.sensor.listen(self.heard.put)

    def events(self, until):
        """All events that have come, up to a frame."""
        found = []
        while not self.heard.empty():
            found.append(self.heard.get())
        return [event for event in found if event.frame <= until]


def container(message):
    return message.get()["Message"]["Message"]["CAM Parameters"]


def tells_role(message):
    return container(message)["Low Frequency Container"]["Low Frequency Container Present"].startswith("Basic Vehicle")


def fast(message):
    return container(message)["High Frequency Container"]["Basic Vehicle Container High Frequency"]


@pytest.fixture
def street(world):
    """A straight line of places on one lane, 20 m apart."""
    waypoint = world.get_map().get_waypoint(world.get_map().get_spawn_points()[0].location)
    places = []
    for _ in range(4):
        transform = waypoint.transform
        transform.location.z += 0.3
        places.append(transform)
        waypoint = waypoint.next(20.0)[0]
    return places


@pytest.fixture
def drive(world):
    """Advance the world; afterwards everything that was sent has come."""
    blueprint = world.get_blueprint_library().find("sensor.other.gnss")
    last = world.spawn_actor(blueprint, carla.Transform())
    came: queue.SimpleQueue[Any] = queue.SimpleQueue()
    last.listen(came.put)
    world.tick()

    def ticks(count):
        frames = [world.tick() for _ in range(count)]
        while came.get(timeout=PATIENCE).frame < frames[-1]:
            pass
        return frames

    yield ticks
    last.stop()
    last.destroy()


def hear(station, first):
    """The next events of a station, which must come, beginning with a frame."""
    while True:
        event = station.heard.get(timeout=PATIENCE)
        if event.frame >= first:
            return event


def test_two_cars_hear_where_the_other_one_was_before_the_tick(world, street):
    one, other = (Station(world, place, fixed_rate="true", gen_cam_min=0.0) for place in street[:2])
    other.car.set_target_velocity(other.car.get_transform().get_forward_vector() * 12.0)
    other.car.apply_control(carla.VehicleControl(throttle=0.8, steer=0.3))
    for _ in range(20):
        world.tick()
    before = world.get_snapshot().find(other.car.id)
    frame = world.tick()
    (message,) = hear(one, frame)
    pose, velocity = before.get_transform(), before.get_velocity()
    place = world.get_map().transform_to_geolocation(pose.location)
    position = container(message)["Basic Container"]["Reference Position"]
    assert position["Latitude"] == pytest.approx(place.latitude * 1e7, abs=11)
    assert position["Longitude"] == pytest.approx(place.longitude * 1e7, abs=11)
    speed = velocity.dot(pose.get_forward_vector())
    assert speed > 5.0
    assert fast(message)["Speed"]["Value"] == pytest.approx(100.0 * speed, abs=1.0)
    assert fast(message)["Heading"]["Value"] == pytest.approx(10.0 * ((pose.rotation.yaw + 90.0) % 360.0), abs=1.0)
    assert fast(message)["Yaw Rate"]["Value"] == pytest.approx(100.0 * before.get_angular_velocity().z, abs=2.0)
    assert fast(message)["Vehicle Length"]["Value"] == round(20.0 * other.car.bounding_box.extent.x)
    assert message.get()["Message"]["Header"] == {
        "Protocol Version": 2, "Message ID": "CAM", "Station ID": other.car.id,
    }  # fmt: skip
    (back,) = hear(other, frame)
    assert back.get()["Message"]["Header"]["Station ID"] == one.car.id


def test_who_stands_speaks_every_second_and_who_moves_when_much_has_changed(world, street, drive):
    one, other = Station(world, street[0]), Station(world, street[1])
    drive(60)
    calm = drive(80)
    events = [event for event in one.events(calm[-1]) if event.frame >= calm[0]]
    assert {later.frame - earlier.frame for earlier, later in itertools.pairwise(events)} == {20}
    assert all(tells_role(message) for event in events for message in event)
    other.car.apply_control(carla.VehicleControl(throttle=1.0))
    lively = drive(60)
    events = [event for event in one.events(lively[-1]) if event.frame >= lively[20]]
    gaps = [later.frame - earlier.frame for earlier, later in itertools.pairwise(events)]
    assert min(gaps) >= 2  # gen_cam_min
    assert max(gaps) <= 6  # 0.5 m/s or 4 m
    assert 0 < sum(tells_role(message) for event in events for message in event) < len(events) / 2


def test_the_same_seed_hears_the_same_again(carla_client, street):
    def run(seed):
        world = carla_client.reload_world(reset_settings=False)
        noise = {"noise_seed": seed, "noise_lat_stddev": 1e-5, "noise_vel_stddev_x": 0.5, "fixed_rate": "true"}
        one, other = (Station(world, place, **noise) for place in street[:2])
        world.tick()
        first = hear(one, 0).frame
        told = []
        for _ in range(5):
            frame = world.tick()
            world.tick()
            told.append([frame - first, [message.get() for message in hear(one, frame)]])
        return json.dumps(told).replace(str(other.car.id), "other")

    assert run(5) == run(5) != run(6)


@pytest.mark.parametrize(
    ("scenario", "model", "between", "state"),
    [
        ("highway", "winner", None, Path.FREE),
        ("urban", "winner", None, Path.FREE),
        ("rural", "geometric", None, Path.FREE),
        ("urban", "winner", "static.prop.container", Path.BUILDING),
        ("urban", "geometric", "static.prop.container", Path.BUILDING),
        ("highway", "geometric", "vehicle.carlamotors.firetruck", Path.VEHICLE),
    ],
)
def test_power_falls_with_distance_walls_and_trucks(world, street, scenario, model, between, state):
    attributes = {**STEADY, "scenario": scenario, "path_loss_model": model, "fixed_rate": "true", "transmit_power": 15}
    one, other = Station(world, street[0], **attributes), Station(world, street[2], **attributes)
    if between is not None:
        obstacle = world.spawn_actor(world.get_blueprint_library().find(between), street[1])
    for _ in range(10):
        frame = world.tick()
    (message,) = hear(one, frame - 1)
    roof = one.car.bounding_box.location.z + one.car.bounding_box.extent.z + 0.02
    vehicles: tuple[Obstacle, ...] = ()
    if state is Path.VEHICLE:
        here = obstacle.get_location()
        behind, before = (
            math.dist((here.x, here.y), (s.car.get_location().x, s.car.get_location().y)) for s in (other, one)
        )
        height = here.z + obstacle.bounding_box.location.z + obstacle.bounding_box.extent.z + 0.02
        vehicles = (Obstacle(behind, before, height - one.car.get_location().z),)
    distance = one.car.get_location().distance(other.car.get_location())
    values = {name: spec.default for name, spec in V2xSensor.ATTRIBUTES.items()}
    radio = Propagation({**values, "scenario": scenario, "path_loss_model": model})
    expected = 15.0 + 10.0 - radio.loss(Link(distance, roof, roof, state, vehicles))
    assert message.power == pytest.approx(expected, abs=0.5)


def test_what_is_too_weak_or_too_far_is_not_heard(world, street, drive):
    listeners = [
        Station(world, place, **STEADY, fixed_rate="true", **attributes)
        for place, attributes in zip(street, ({"filter_distance": 30}, {"receiver_sensitivity": -40}, {}))
    ]
    frames = drive(5)
    heard = [{m.get()["Message"]["Header"]["Station ID"] for e in s.events(frames[-1]) for m in e} for s in listeners]
    first, second = (station.car.id for station in listeners[:2])
    assert heard == [{second}, set(), {first, second}]


def test_a_message_of_ones_own_comes_as_it_was_sent_once_and_with_its_sender(world, street, drive):
    one = Station(world, street[0], CUSTOM, **STEADY, transmit_power=10)
    other = Station(world, street[1], CUSTOM, **STEADY, combined_antenna_gain=3)
    third = Station(world, street[2])
    text = "grüß dich" * 9
    one.sensor.send("overwritten")
    one.sensor.send(text)
    frames = drive(4)
    event = hear(other, 0)
    (message,) = event
    assert other.events(frames[-1]) == []
    assert event.frame == frames[0]
    assert message.get()["Message"]["Message"] == text
    assert message.get()["Message"]["Header"]["Station ID"] == one.car.id
    distance = one.car.get_location().distance(other.car.get_location())
    loss = 32.4 + 20.0 * math.log10(distance) + 20.0 * math.log10(5.9)
    assert message.power == pytest.approx(10.0 + 3.0 - loss, abs=0.1)
    assert one.events(frames[-1]) == third.events(frames[-1]) == []


def test_a_message_that_cannot_be_sent_is_refused_with_a_sentence(world, street, embedded_server):
    station, raw = Station(world, street[0], CUSTOM), RawClient(embedded_server)
    assert f"allowed are {LONGEST_TEXT}" in str(raw.call("send", station.sensor.id, "x" * 100))
    assert "only sensor.other.v2x_custom sends" in str(raw.call("send", station.car.id, "x"))


def test_minima_above_maxima_are_refused(world, street):
    with pytest.raises(RuntimeError, match="gen_cam_min"):
        Station(world, street[0], gen_cam_min=2.0)


@pytest.mark.parametrize("sensor", [CAM, CUSTOM])
def test_an_older_client_is_told_that_its_version_has_no_v2x(sensor):
    with pytest.raises(BlueprintError, match=r"CARLA 0\.9\.15 has no"):
        load_library(V0_9_15).find(sensor)
