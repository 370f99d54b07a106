"""The virtual lidar measures to the true edge of the road, in bends, junctions and on bridges, and to vehicles."""

from __future__ import annotations

import math
from pathlib import Path

import carla
import numpy as np
import pytest
from numpy.typing import NDArray

from rllib_integration.roads.lanes import sample_lanes
from rllib_integration.sensors import SensorFactory, SensorInterface
from rllib_integration.sensors.road_field import EdgeRays, RoadField
from rllib_integration.sensors.virtual_lidar import VirtualLidarSensor, ray_angles
from rllib_integration.tracks import Track, racetrack_opendrive
from tests.sensors.crossing_roads import BRIDGE_HEIGHT, crossing_roads

FAR = 40.0
ALL_AROUND = ray_angles(tuple(range(2, 89, 2)), rear=True)
DENSE = {"type": "sensor.virtual_lidar", "angles": {"from": 2, "to": 88, "step": 2}}


@pytest.fixture(scope="module")
def racing() -> carla.Map:
    return carla.Map("Racetrack01", racetrack_opendrive("Racetrack01"))


def edge_segments(track: Track) -> NDArray[np.float64]:
    """Both edges of a course as short straight pieces, `float64 (n, 2, 2)`."""
    at = np.array([track.at(distance) for distance in np.arange(0.0, track.length, 0.05)])
    aside = np.stack([-np.sin(at[:, 3]), np.cos(at[:, 3])], axis=1) * at[:, 4:5] / 2.0
    lines = [at[:, :2] - aside, at[:, :2] + aside]
    return np.concatenate([np.stack([line, np.roll(line, -1, axis=0)], axis=1) for line in lines])


def exact_distances(
    segments: NDArray[np.float64], x: float, y: float, yaw: float, angles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where rays first cross a segment."""
    begin, way = segments[:, 0] - (x, y), segments[:, 1] - segments[:, 0]
    found = []
    for angle in yaw + angles:
        c, s = math.cos(angle), math.sin(angle)
        across = c * way[:, 1] - s * way[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            along = (begin[:, 0] * way[:, 1] - begin[:, 1] * way[:, 0]) / across
            share = (begin[:, 0] * s - begin[:, 1] * c) / across
        met = along[(along > 0.0) & (share >= 0.0) & (share <= 1.0)]
        found.append(min(FAR, met.min(initial=FAR)))
    return np.array(found)


@pytest.mark.parametrize("name", ["Racetrack01", "Racetrack02"])
def test_distances_are_exact_to_five_centimetres(name: str, tmp_path: Path) -> None:
    carla_map = carla.Map(name, racetrack_opendrive(name))
    rays = EdgeRays(RoadField.of_map(carla_map, tmp_path), ALL_AROUND, FAR)
    track = Track.of_map(carla_map)
    segments = edge_segments(track)
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(80):
        pose = track.transform_at(rng.uniform(0.0, track.length), rng.uniform(-2.5, 2.5))
        x, y = pose.location.x, pose.location.y
        yaw = math.radians(pose.rotation.yaw) + rng.uniform(-0.6, 0.6)
        errors.append(np.abs(rays.cast(x, y, 0.0, yaw) - exact_distances(segments, x, y, yaw, ALL_AROUND)))
    # The rest are rays that just touch or just miss the inside of a bend.
    assert np.quantile(errors, 0.95) < 0.04
    assert np.quantile(errors, 0.985) < 0.05
    assert np.median(errors) < 0.01


def test_in_junctions_rays_go_on_to_where_the_driving_lanes_end(built_in_town: carla.Map) -> None:
    rays = EdgeRays(RoadField.of_map(built_in_town), ray_angles((30.0, 60.0, 90.0), rear=True), FAR)
    junction_places = [
        w for w in built_in_town.generate_waypoints(4.0) if w.is_junction and w.transform.location.z < 0.1
    ]
    assert len(junction_places) > 20
    errors = []
    for waypoint in junction_places[::7]:
        place, yaw = waypoint.transform.location, math.radians(waypoint.transform.rotation.yaw)
        for angle, told in zip(ray_angles((30.0, 60.0, 90.0), rear=True), rays.cast(place.x, place.y, place.z, yaw)):
            c, s = math.cos(yaw + angle), math.sin(yaw + angle)

            def is_road(gone: float, c: float = c, s: float = s, place: carla.Location = place) -> bool:
                there = carla.Location(place.x + gone * c, place.y + gone * s, place.z)
                return built_in_town.get_waypoint(there, project_to_road=False) is not None

            true = next((gone for gone in np.arange(0.05, FAR, 0.05) if not is_road(gone)), FAR)
            errors.append(told - true)
    # The client takes the nearest lane alone for the one that a place is on, and so finds gaps where lanes cross.
    assert np.median(np.abs(errors)) < 0.06
    assert np.mean(np.array(errors) > -0.15) > 0.97


def test_above_and_below_a_bridge_only_the_own_road_counts() -> None:
    field = RoadField.make(sample_lanes(carla.Map("crossing", crossing_roads())))
    rays = EdgeRays(field, np.radians([-90.0, 0.0, 90.0]), FAR)
    # The road on the ground leads along x, the one above it along y; both are 7 m wide.
    assert rays.cast(0.0, 1.0, 0.0, 0.0) == pytest.approx([4.5, FAR, 2.5], abs=0.03)
    assert rays.cast(0.0, 1.0, BRIDGE_HEIGHT, 0.0) == pytest.approx([FAR, 3.5, FAR], abs=0.03)
    assert rays.cast(-60.0, 0.0, 0.0, 0.0) == pytest.approx([3.5, FAR, 3.5], abs=0.03)


def test_a_road_that_ends_stops_rays_and_off_the_road_all_tell_zero() -> None:
    field = RoadField.make(sample_lanes(carla.Map("crossing", crossing_roads())))
    rays = EdgeRays(field, np.radians([-90.0, 0.0, 90.0]), FAR)
    assert rays.cast(90.0, 0.0, 0.0, 0.0)[1] == pytest.approx(10.0, abs=0.05)
    assert (rays.cast(50.0, 20.0, 0.0, 0.0) == 0.0).all()
    assert (rays.cast(5000.0, 20.0, 0.0, 0.0) == 0.0).all()


def test_far_from_the_last_place_the_rays_see_what_is_there(built_in_town: carla.Map) -> None:
    field = RoadField.of_map(built_in_town)
    places = [w.transform for w in built_in_town.generate_waypoints(60.0)]
    kept = EdgeRays(field, ALL_AROUND, FAR)
    for pose in places:
        pose_of = (pose.location.x, pose.location.y, pose.location.z, math.radians(pose.rotation.yaw))
        assert (kept.cast(*pose_of) == EdgeRays(field, ALL_AROUND, FAR).cast(*pose_of)).all()


def test_rays_begin_at_the_bumpers_and_go_from_left_to_right(hero: carla.Actor, interface: SensorInterface) -> None:
    sensor = SensorFactory.spawn("lidar", {**DENSE, "format": "metres"}, interface, hero)
    pose, box = hero.get_transform(), hero.bounding_box
    assert isinstance(sensor, VirtualLidarSensor)
    distances = sensor.cast(pose)
    assert distances.shape == SensorFactory.space({**DENSE}).shape == (178,)
    lines = sensor.rays()
    front = pose.transform(carla.Location(box.location.x + box.extent.x, box.location.y, 0.0))
    rear = pose.transform(carla.Location(box.location.x - box.extent.x, box.location.y, 0.0))
    assert lines[:89, :2] == pytest.approx(np.tile((front.x, front.y), (89, 1)), abs=1e-3)
    assert lines[89:, :2] == pytest.approx(np.tile((rear.x, rear.y), (89, 1)), abs=1e-3)
    right = pose.get_right_vector()
    aside = (lines[:, 2] - lines[:, 0]) * right.x + (lines[:, 3] - lines[:, 1]) * right.y
    assert aside[0] < 0.0 < aside[88]
    assert aside[89] > 0.0 > aside[177]
    assert np.hypot(*(lines[:, 2:] - lines[:, :2]).T) == pytest.approx(distances, abs=1e-3)


def test_with_vehicles_a_ray_ends_at_the_next_car(
    world: carla.World, hero: carla.Actor, interface: SensorInterface
) -> None:
    pose = hero.get_transform()
    ahead = pose.transform(carla.Location(12.0, 0.0, 0.0))
    other = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.micro.microlino"),
        carla.Transform(carla.Location(ahead.x, ahead.y, pose.location.z + 0.3), pose.rotation),
    )
    plain = {"type": "sensor.virtual_lidar", "angles": [20], "rear": False, "format": "metres"}
    SensorFactory.spawn("road", plain, interface, hero)
    SensorFactory.spawn("both", {**plain, "planes": ["road", "vehicles"]}, interface, hero)
    SensorFactory.spawn("cars", {**plain, "planes": ["vehicles"]}, interface, hero)
    data = interface.get_data(world.tick())
    gap = (
        other.get_location().distance(hero.get_location()) - other.bounding_box.extent.x + other.bounding_box.location.x
    )
    gap -= hero.bounding_box.extent.x + hero.bounding_box.location.x
    assert data["both"][1][1] == pytest.approx(gap, abs=0.1)
    assert data["road"][1][1] > gap + 2.0
    assert data["cars"][1] == pytest.approx([FAR, gap, FAR], abs=0.1)
    other.destroy()
    data = interface.get_data(world.tick())
    assert (data["both"][1] == data["road"][1]).all()


def test_shares_are_metres_by_the_range(hero: carla.Actor, interface: SensorInterface, world: carla.World) -> None:
    SensorFactory.spawn("share", {**DENSE, "far": 20}, interface, hero)
    SensorFactory.spawn("metres", {**DENSE, "far": 20, "format": "metres"}, interface, hero)
    data = interface.get_data(world.tick())
    assert data["share"][1].dtype == np.float32
    assert data["share"][1] == pytest.approx(data["metres"][1] / 20.0)
    assert SensorFactory.space({**DENSE}).contains(data["share"][1])
    assert data["metres"][1].max() <= 20.0


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"angles": [0, 10]}, r"angles are \[0, 10\], but they have to be different numbers above 0 and up to 90"),
        ({"angles": [10, 10]}, "different numbers"),
        ({"angles": "wide"}, "angles are 'wide'"),
        ({"angles": {"from": 2, "to": 88}}, r"\{from: 2, to: 88, step: 2\}"),
        ({"angles": {"from": 2, "to": 88, "step": 0}}, r"\{from: 2, to: 88, step: 2\}"),
        ({"far": 0}, "far is 0, but it has to be above 0"),
        ({"planes": ["sky"]}, "planes are .* allowed are some of: road, vehicles"),
        ({"format": "feet"}, "allowed are: share, metres"),
        ({"transform": "0,0,1,0,0,0"}, "lie in the plane of the road"),
    ],
)
def test_what_can_not_be_used_is_refused_with_a_sentence(attributes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SensorFactory.space({"type": "sensor.virtual_lidar", **attributes})
