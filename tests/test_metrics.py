"""Episode metrics count what happened, through the real client."""

from __future__ import annotations

import math

import carla
import numpy as np
import pytest

from rllib_integration.metrics import COLLISION_SENSOR, EpisodeMetrics
from rllib_integration.road_ahead import SIGHT, RoadAhead
from rllib_integration.roads.routes import RoadOption, Route, plan_route
from rllib_integration.sensors import SensorFactory, SensorInterface
from rllib_integration.tracks import Track, TrackProgress
from tests.known import actors_of, present
from tests.patience import PATIENCE


class Drive:
    """Moves a hero by hand and lets metrics watch."""

    def __init__(self, world: carla.World, hero: carla.Vehicle, interface: SensorInterface) -> None:
        self.world, self.hero, self.interface = world, hero, interface
        self.metrics = EpisodeMetrics(hero, present(interface.map), interface)
        self.tick()

    def tick(self) -> None:
        self.interface.get_data(self.world.tick(), timeout=PATIENCE)
        self.metrics.update()

    def put(self, transform: carla.Transform, along: float = 0.0, aside: float = 0.0) -> None:
        location = transform.location + transform.get_forward_vector() * along
        location += transform.get_right_vector() * aside
        self.hero.set_transform(carla.Transform(carla.Location(location), transform.rotation))
        self.tick()

    def run_towards(self, blueprint: str, distance: float, speed: float) -> None:
        """Spawn something so many metres ahead, a little above the ground, and set off towards it [m/s]."""
        pose = self.hero.get_transform()
        ahead = pose.get_forward_vector()
        pose.location += ahead * distance
        pose.location.z += 1.0 if blueprint.startswith("walker.") else 0.2  # a walker's location is its middle
        self.world.spawn_actor(self.world.get_blueprint_library().find(blueprint), pose)
        self.hero.set_target_velocity(ahead * speed)

    def slide(self, transform: carla.Transform, begin: float, end: float, step: float = 0.5) -> None:
        self.hero.set_simulate_physics(False)
        for along in np.arange(begin, end, step):
            self.put(transform, float(along))


@pytest.fixture
def drive(world: carla.World, hero: carla.Vehicle, interface: SensorInterface) -> Drive:
    return Drive(world, hero, interface)


def test_distance_duration_and_speed_of_a_drive(drive: Drive) -> None:
    start = drive.hero.get_location()
    drive.hero.apply_control(carla.VehicleControl(throttle=0.8))
    last, driven = start, 0.0
    for _ in range(60):
        drive.tick()
        driven += drive.hero.get_location().distance_2d(last)
        last = drive.hero.get_location()
    summary = drive.metrics.summary("time_limit")
    assert summary["distance"] == pytest.approx(driven, abs=1e-3)
    assert driven > 5.0
    assert summary["duration"] == pytest.approx(3.0, abs=1e-6)
    assert summary["mean_speed"] == pytest.approx(driven / 3.0, abs=1e-3)
    assert summary["end_reason"] == "time_limit"
    assert "driving_score" not in summary


def test_being_put_elsewhere_is_not_driving(drive: Drive) -> None:
    points = present(drive.interface.map).get_spawn_points()
    drive.put(points[-1])
    assert drive.metrics.distance < 5.0


def test_time_off_the_lanes(drive: Drive) -> None:
    pose = drive.hero.get_transform()
    drive.hero.set_simulate_physics(False)
    for _ in range(10):
        drive.put(pose, aside=60.0)
    assert drive.metrics.time_off_lane == pytest.approx(0.5, abs=0.1)
    for _ in range(10):
        drive.put(pose)
    assert drive.metrics.time_off_lane == pytest.approx(0.5, abs=0.1)


def test_a_collision_counts_once_by_what_was_hit(drive: Drive) -> None:
    drive.run_towards("vehicle.audi.tt", 10.0, 12.0)
    for _ in range(40):
        drive.tick()
    assert drive.metrics.counts["collisions_vehicle"] == 1
    assert drive.metrics.counts["collisions_pedestrian"] == 0
    assert drive.metrics.penalty == pytest.approx(0.6 * 0.65 ** drive.metrics.counts["collisions_static"])
    assert COLLISION_SENSOR in drive.interface.sensors


def test_leaning_on_something_is_one_collision(drive: Drive) -> None:
    drive.run_towards("static.prop.container", 8.0, 5.0)
    drive.hero.apply_control(carla.VehicleControl(throttle=0.6))
    touched = 0
    for _ in range(60):
        drive.tick()
        touched += len(drive.interface.events.get(COLLISION_SENSOR, ()))
    assert touched > 1
    assert drive.metrics.counts["collisions_static"] == 1


def test_hitting_a_walker_costs_half_the_score(drive: Drive) -> None:
    drive.run_towards("walker.pedestrian.0001", 8.0, 10.0)
    for _ in range(30):
        drive.tick()
    assert drive.metrics.counts["collisions_pedestrian"] == 1


def test_the_heros_own_collision_sensor_is_shared_and_the_hidden_one_stays_hidden(
    world: carla.World, hero: carla.Vehicle, interface: SensorInterface
) -> None:
    SensorFactory.spawn("hit", {"type": "sensor.other.collision"}, interface, hero)
    EpisodeMetrics(hero, present(interface.map), interface)
    assert list(interface.sensors) == ["hit"]
    interface.destroy()
    drive = Drive(world, hero, interface)
    assert list(interface.sensors) == [COLLISION_SENSOR]
    drive.run_towards("vehicle.audi.tt", 10.0, 12.0)
    for _ in range(40):
        assert interface.get_data(world.tick(), timeout=PATIENCE) == {}
        drive.metrics.update()
    assert drive.metrics.counts["collisions_vehicle"] == 1


@pytest.mark.parametrize(("state", "runs"), [("Red", 1), ("Green", 0), ("Yellow", 0)])
def test_crossing_the_line_of_a_light(drive: Drive, state: str, runs: int) -> None:
    lights = actors_of(drive.world, "traffic.traffic_light")
    waypoint = lights[0].get_stop_waypoints()[0]
    for light in lights:
        light.set_state(getattr(carla.TrafficLightState, state))
        light.freeze(True)
    drive.put(waypoint.transform, -12.0)
    drive.slide(waypoint.transform, -12.0, 6.0)
    assert drive.metrics.counts["red_lights_run"] == runs
    drive.slide(waypoint.transform, 5.5, -12.0, -0.5)  # backwards is not running it again
    assert drive.metrics.counts["red_lights_run"] == runs


@pytest.mark.parametrize(("turned", "raised"), [(180.0, 0.0), (0.0, 8.0)])
def test_a_line_concerns_who_heads_along_its_lane_on_its_storey(drive: Drive, turned: float, raised: float) -> None:
    lights = actors_of(drive.world, "traffic.traffic_light")
    pose = lights[0].get_stop_waypoints()[0].transform
    for light in lights:
        light.set_state(carla.TrafficLightState.Red)
        light.freeze(True)
    pose.rotation.yaw += turned
    pose.location.z += raised
    onwards = -1.0 if turned else 1.0
    drive.put(pose, -12.0 * onwards)
    drive.slide(pose, -12.0 * onwards, 8.0 * onwards, 0.5 * onwards)
    assert drive.metrics.counts["red_lights_run"] == 0


def straight_route(pose: carla.Transform, begin: float, end: float) -> Route:
    """Straight along a pose, from so many metres before it to so many behind it."""
    place, yaw = pose.location, math.radians(pose.rotation.yaw)
    along = np.arange(begin, end)
    points = np.stack(
        [place.x + along * math.cos(yaw), place.y + along * math.sin(yaw), 0 * along + place.z, 0 * along + yaw], axis=1
    )
    return Route(points, np.full(len(along), RoadOption.LANE_FOLLOW, np.int8))


@pytest.mark.parametrize(("waits", "runs"), [(False, 1), (True, 0)])
def test_a_stop_sign_wants_a_stop(drive: Drive, waits: bool, runs: int) -> None:
    signs = actors_of(drive.world, "traffic.stop")
    assert signs, "the built-in town has a stop sign"
    waypoint = present(drive.interface.map).get_waypoint(signs[0].get_location())
    drive.put(waypoint.transform, -20.0)
    drive.interface.route = straight_route(waypoint.transform, -20.0, 30.0)
    road_ahead = RoadAhead(drive.hero, drive.interface, drive.metrics)
    drive.slide(waypoint.transform, -20.0, -3.0)
    front = drive.hero.bounding_box.extent.x + drive.hero.bounding_box.location.x
    assert road_ahead.look().line == pytest.approx(1.5 + 3.5 - front, abs=0.1)
    if waits:
        drive.hero.set_target_velocity(carla.Vector3D(0.0, 0.0, 0.0))
        for _ in range(5):
            drive.tick()
        assert road_ahead.look().line == SIGHT
    drive.slide(waypoint.transform, -3.0, 8.0)
    assert drive.metrics.counts["stop_signs_run"] == runs
    drive.put(waypoint.transform, -20.0)  # the next time round wants a stop of its own
    drive.slide(waypoint.transform, -20.0, 8.0)
    assert drive.metrics.counts["stop_signs_run"] == runs + 1


def test_the_driving_score_is_completion_times_penalties(drive: Drive) -> None:
    pose = drive.hero.get_transform()
    drive.interface.route = plan_route(present(drive.interface.map), pose, length=100.0, rng=np.random.default_rng(0))
    route = drive.interface.route
    drive.hero.set_simulate_physics(False)
    for x, y, z, yaw in route.points[: len(route.points) // 2]:
        drive.put(carla.Transform(carla.Location(x, y, z), carla.Rotation(yaw=float(np.degrees(yaw)))))
    summary = drive.metrics.summary()
    assert summary["route_completion"] == pytest.approx(50.0, abs=2.0)
    assert summary["route_length"] == pytest.approx(100.0, abs=3.0)
    assert summary["driving_score"] == pytest.approx(summary["route_completion"])
    for x, y, z, yaw in route.points[len(route.points) // 2 :]:
        end = carla.Transform(carla.Location(x, y, z), carla.Rotation(yaw=float(np.degrees(yaw))))
        drive.put(end, along=-0.5)  # half a metre before the end is there
    assert route.finished
    assert drive.metrics.route_completion == pytest.approx(100.0, abs=0.1)
    for aside in range(40, 62, 2):
        drive.put(pose, aside=float(aside))
    share_on_lane = 1.0 - 20.0 / drive.metrics.distance
    assert drive.metrics.route_completion == pytest.approx(100.0 * share_on_lane, abs=0.5)
    summary = drive.metrics.summary()
    drive.metrics.counts.update(red_lights_run=2, collisions_vehicle=1)
    score = drive.metrics.summary()["driving_score"]
    assert score == pytest.approx(float(summary["route_completion"]) * 0.7**2 * 0.6)


def test_on_a_course_laps_and_offsets_are_told(drive: Drive) -> None:
    angles = np.arange(0.0, 2.0 * math.pi, 0.01)
    place, yaw = drive.hero.get_location(), math.radians(drive.hero.get_transform().rotation.yaw)
    begin = yaw - math.pi / 2.0  # a ring to the right of the hero that begins where it stands
    x = place.x - 40.0 * math.cos(begin) + 40.0 * np.cos(begin + angles)
    y = place.y - 40.0 * math.sin(begin) + 40.0 * np.sin(begin + angles)
    ring = Track(np.stack([x, y, 0 * x + place.z, begin + angles + math.pi / 2, 0 * x + 7.0], axis=1), "ring")
    drive.metrics.track = TrackProgress(ring)
    drive.hero.set_simulate_physics(False)
    for along in np.arange(0.0, 1.5 * ring.length, 4.0):
        drive.put(ring.transform_at(along, lateral=1.0))
    summary = drive.metrics.summary()
    assert summary["laps"] == 1
    assert summary["laps_driven"] == pytest.approx(1.5, abs=0.02)
    assert summary["lap_time"] == pytest.approx(0.05 * ring.length / 4.0, rel=0.01)
    assert summary["offset_mean"] == pytest.approx(1.0, abs=0.05)
