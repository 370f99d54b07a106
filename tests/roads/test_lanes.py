"""The lane index agrees with CARLA's own map look-ups."""

from __future__ import annotations

import math
from pathlib import Path

import carla
import numpy as np
import pytest

from minicarla.town.minitown import minitown
from rllib_integration.roads.lanes import LaneIndex, sample_lanes, town_lanes
from rllib_integration.roads.town_cache import TownMemory, write_entry
from tests.known import present
from tests.sensors.crossing_roads import BRIDGE_HEIGHT, crossing_roads


@pytest.fixture(scope="module")
def town() -> carla.Map:
    return carla.Map("Minitown", minitown())


@pytest.fixture(scope="module")
def index(town: carla.Map) -> LaneIndex:
    return LaneIndex.for_map(town)


def test_offset_heading_and_lane_of_poses_beside_the_lanes_middle(town: carla.Map, index: LaneIndex) -> None:
    rng = np.random.default_rng(0)
    waypoints = [w for w in town.generate_waypoints(2.0) if not w.is_junction]
    others = 0
    for waypoint in rng.choice(waypoints, 400):  # type: ignore[arg-type]
        pose = waypoint.transform
        offset, turn = rng.uniform(-1.0, 1.0), rng.uniform(-25.0, 25.0)
        yaw = math.radians(pose.rotation.yaw)
        x, y = pose.location.x - math.sin(yaw) * offset, pose.location.y + math.cos(yaw) * offset
        position = index.locate(x, y, pose.location.z, pose.rotation.yaw + turn)
        assert position is not None
        if (position.road_id, position.lane_id) != (waypoint.road_id, waypoint.lane_id):
            others += 1  # one road ends here and the next begins
            continue
        assert position.lateral == pytest.approx(offset, abs=0.03)
        assert position.heading_error == pytest.approx(turn, abs=1.0)
        assert position.width == pytest.approx(waypoint.lane_width, abs=0.1)
        assert (position.x, position.y) == pytest.approx((pose.location.x, pose.location.y), abs=0.05)
        assert position.on_lane
        assert position.is_driving
    assert others < 20


def test_being_on_the_road_agrees_with_the_map(town: carla.Map, index: LaneIndex) -> None:
    rng = np.random.default_rng(1)
    kinds = carla.LaneType.Driving | carla.LaneType.Parking
    differ = 0
    for waypoint in rng.choice(town.generate_waypoints(2.0), 1000):  # type: ignore[arg-type]
        place = waypoint.transform.location + carla.Location(*rng.uniform(-8.0, 8.0, 2))
        differ += index.on_road(place.x, place.y, place.z) != (town.get_waypoint(place, False, kinds) is not None)
    assert differ < 15  # places within a hand's breadth of an edge


def test_against_the_traffic_the_own_lane_is_preferred_and_far_away_there_is_none(
    town: carla.Map, index: LaneIndex
) -> None:
    waypoint = next(
        w for w in town.generate_waypoints(5.0)
        if not w.is_junction and (left := w.get_left_lane()) and left.lane_id * w.lane_id < 0
    )  # fmt: skip
    other = present(waypoint.get_left_lane()).transform
    for turned in (0.0, 80.0):  # also across the road, as long as it is rather the own direction
        yaw = waypoint.transform.rotation.yaw + turned
        position = index.locate(other.location.x, other.location.y, other.location.z, yaw)
        assert position is not None
        assert position.lane_id == waypoint.lane_id
        assert position.lateral < -2.0
        assert not position.on_lane
    assert index.locate(5000.0, 5000.0, 0.0, 0.0) is None
    assert not index.on_road(5000.0, 5000.0, 0.0)


def test_in_a_junction_the_lane_of_ones_own_direction_is_found(town: carla.Map, index: LaneIndex) -> None:
    for waypoint in [w for w in town.generate_waypoints(2.0) if w.is_junction][:200]:
        pose, right = waypoint.transform, waypoint.transform.get_right_vector()
        for offset in (-0.5, 0.0, 0.5):
            place = pose.location + carla.Location(offset * right.x, offset * right.y)
            position = index.locate(place.x, place.y, place.z, pose.rotation.yaw)
            assert position is not None
            assert position.is_junction or offset  # at its border the road before it is as near
            assert abs(position.lateral) < 0.8
            assert abs(position.heading_error) < (15.0 if offset else 6.0)


def test_parking_lanes_are_found_and_are_no_driving_lanes() -> None:
    town = carla.Map("parking", minitown().replace('type="shoulder"', 'type="parking"'))
    index = LaneIndex(sample_lanes(town))
    street = next(w for w in town.generate_waypoints(2.0) if not w.is_junction and w.get_right_lane())
    pose = present(street.get_right_lane()).transform
    position = index.locate(pose.location.x, pose.location.y, pose.location.z, street.transform.rotation.yaw)
    assert position is not None
    assert (position.lane_id, position.is_driving) == (present(street.get_right_lane()).lane_id, False)
    assert index.on_road(pose.location.x, pose.location.y, pose.location.z)


def test_roads_above_one_another_are_told_apart() -> None:
    crossing = LaneIndex(sample_lanes(carla.Map("crossing", crossing_roads())))
    below = crossing.locate(0.0, 1.5, 0.1, 0.0)
    above = crossing.locate(0.0, 1.5, BRIDGE_HEIGHT + 0.1, 90.0)
    assert below is not None
    assert above is not None
    assert (below.road_id, above.road_id) == (1, 2)
    across = crossing.locate(0.0, 1.5, BRIDGE_HEIGHT + 0.1, 0.0)
    assert across is not None
    assert across.road_id == 2
    assert not crossing.on_road(0.0, 20.0, 0.0)
    assert crossing.on_road(0.0, 20.0, BRIDGE_HEIGHT)


def test_samples_are_the_same_out_of_the_cache(town: carla.Map, tmp_path: Path) -> None:
    fresh = sample_lanes(town)
    town_lanes(town, tmp_path)
    (entry,) = (tmp_path / "lanes").iterdir()
    for name, array in fresh._asdict().items():
        assert np.array_equal(np.load(entry / f"{name}.npy"), array)


def test_a_half_written_entry_is_never_seen(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "part").write_text("half")
        raise OSError("disk full")

    write_entry(tmp_path / "kind" / "key", fail)
    assert list((tmp_path / "kind").iterdir()) == []


def test_towns_are_remembered_by_map_and_by_text(town: carla.Map) -> None:
    memory: TownMemory[object] = TownMemory()
    first = memory.get(town, object)
    assert memory.get(town, object) is first
    assert memory.get(carla.Map("again", town.to_opendrive()), object) is first
    assert memory.get(carla.Map("other", crossing_roads()), object) is not first
    assert memory.get(town, object) is first
