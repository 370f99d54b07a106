"""Routes lead over lanes, in the direction of travel, to where they were asked for."""

from __future__ import annotations

import math

import carla
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.town.minitown import minitown
from rllib_integration.roads.lanes import LaneIndex
from rllib_integration.roads.routes import RoadOption, Route, RouteError, plan_route
from tests.known import present
from tests.sensors.crossing_roads import crossing_roads


@pytest.fixture(scope="module")
def town() -> carla.Map:
    return carla.Map("Minitown", minitown())


@pytest.fixture(scope="module")
def waypoints(town: carla.Map) -> list[carla.Waypoint]:
    return [w for w in town.generate_waypoints(10.0) if not w.is_junction]


def assert_follows_lanes(route: Route, town: carla.Map) -> None:
    index = LaneIndex.for_map(town)
    steps = np.hypot(*np.diff(route.points[:, :2], axis=0).T)
    assert steps.max() < 1.6
    for (x, y, z, yaw), option in zip(route.points, route.options):
        position = index.locate(x, y, z, math.degrees(yaw))
        assert position is not None
        changing = option in (RoadOption.CHANGE_LANE_LEFT, RoadOption.CHANGE_LANE_RIGHT)
        assert abs(position.lateral) < (2.0 if changing else 0.3)
        assert abs(position.heading_error) < (35.0 if changing else 20.0)


@settings(max_examples=25)
@given(start=st.integers(0, 10_000), goal=st.integers(0, 10_000))
def test_a_route_leads_over_lanes_from_start_to_goal(
    town: carla.Map, waypoints: list[carla.Waypoint], start: int, goal: int
) -> None:
    begin, end = waypoints[start % len(waypoints)].transform, waypoints[goal % len(waypoints)].transform.location
    if begin.location.distance(end) < 1.0:
        return
    route = plan_route(town, begin, goal=end)
    assert_follows_lanes(route, town)
    assert np.hypot(*(route.points[0, :2] - (begin.location.x, begin.location.y))) < 0.5
    assert route.goal.distance(end) < 0.7
    assert route.length >= begin.location.distance(end) - 1.5


def test_no_other_way_is_shorter_than_straight_ahead(town: carla.Map, waypoints: list[carla.Waypoint]) -> None:
    start = next(w for w in waypoints if w.next(30.0) and w.next(30.0)[0].road_id == w.road_id)
    route = plan_route(town, start.transform, goal=start.next(30.0)[0].transform.location)
    assert route.length == pytest.approx(30.0, abs=1.0)
    assert set(route.options) == {RoadOption.LANE_FOLLOW}


def test_a_random_route_has_the_length_asked_for_and_repeats_with_its_seed(
    town: carla.Map, waypoints: list[carla.Waypoint]
) -> None:
    for waypoint in waypoints[:20]:
        route = plan_route(town, waypoint.transform, length=400.0, rng=np.random.default_rng(3))
        assert route.length == pytest.approx(400.0, abs=8.0)
        again = plan_route(town, waypoint.transform, length=400.0, rng=np.random.default_rng(3))
        assert np.array_equal(route.points, again.points)
    assert_follows_lanes(route, town)


def test_a_route_longer_than_the_road_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    town = carla.Map("Crossing", crossing_roads())
    start = town.generate_waypoints(10.0)[0].transform
    for _ in range(2):
        assert plan_route(town, start, length=50_000.0).length < 50_000.0
    (record,) = caplog.records
    assert "of 50000 m was asked for" in record.getMessage()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), spacing=st.sampled_from([3.0, 25.0, 90.0]))
def test_a_route_through_points_of_another_is_that_one(town: carla.Map, seed: int, spacing: float) -> None:
    rng = np.random.default_rng(seed)
    starts = [w for w in town.generate_waypoints(10.0) if not w.is_junction]
    start = starts[int(rng.integers(len(starts)))].transform
    wanted = plan_route(town, start, length=600.0, rng=rng)
    at = np.unique(np.r_[np.arange(0.0, wanted.length, spacing), wanted.length - 0.01])
    rows = np.searchsorted(np.r_[0.0, np.cumsum(np.hypot(*np.diff(wanted.points[:, :2], axis=0).T))], at)
    points = [carla.Location(x, y, z) for x, y, z, _ in wanted.points[np.minimum(rows, len(wanted.points) - 1)]]
    route = plan_route(town, start, via=points)
    assert_follows_lanes(route, town)
    assert route.length == pytest.approx(wanted.length, abs=2.0)
    for point in points:
        assert np.hypot(route.points[:, 0] - point.x, route.points[:, 1] - point.y).min() < 1.0


def test_a_lane_is_kept_until_the_points_leave_it(town: carla.Map) -> None:
    lane = [w for w in outer_lane(town) if (w.road_id, w.lane_id) == (0, -2)]
    kept, goal = lane[0].next(30.0)[0], present(lane[0].get_left_lane()).next(58.0)[0]
    route = plan_route(town, lane[0].transform, via=[kept.transform.location, goal.transform.location])
    assert np.flatnonzero(np.isin(route.options, CHANGES))[0] >= 29
    assert route.goal.distance(goal.transform.location) < 0.7


def test_a_loop_is_driven_where_the_points_ask_for_it(town: carla.Map, waypoints: list[carla.Waypoint]) -> None:
    start = waypoints[0].transform
    ahead = waypoints[0].next(20.0)[0].transform.location
    once = plan_route(town, start, via=[ahead])
    twice = plan_route(town, start, via=[ahead, start.location, ahead])
    assert twice.length > 2.0 * once.length + 50.0
    assert twice.goal.distance(ahead) < 0.7


def straight(length: float = 100.0) -> Route:
    x = np.arange(0.0, length + 0.5)
    options = np.full(len(x), RoadOption.LANE_FOLLOW, np.int8)
    options[60:70] = RoadOption.LEFT
    return Route(np.stack([x, np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)], axis=1), options)


@settings(max_examples=50)
@given(steps=st.lists(st.floats(-3.0, 6.0), min_size=1, max_size=60), aside=st.floats(-4.0, 4.0))
def test_progress_follows_the_hero_and_never_falls(steps: list[float], aside: float) -> None:
    route, x, farthest = straight(), 0.0, 0.0
    for step in steps:
        x = max(0.0, x + step)
        before = route.travelled
        progress = route.update(x, aside)
        farthest = min(max(farthest, x), 100.0)
        assert route.travelled >= before
        assert route.travelled == pytest.approx(farthest, abs=1e-6)
        assert progress == pytest.approx(route.travelled / 100.0)


def test_how_a_pose_lies_to_the_route_and_how_it_bends() -> None:
    route = straight()
    route.update(10.0, -3.0)
    assert route.deviation == 3.0
    assert route.locate(10.0, 1.5, 20.0) == pytest.approx((1.5, 20.0))
    assert route.locate(10.0, -2.0, 350.0) == pytest.approx((-2.0, -10.0))
    points, distances = route.piece(behind=2.0, ahead=5.0)
    assert (distances[0], distances[-1]) == (8.0, 15.0)
    assert np.array_equal(points, route.points[8:16])
    assert route.bend(30.0) == 0.0
    angle = np.arange(0.0, 3.0, 0.05)
    arc = np.stack([20.0 * np.sin(angle), 20.0 - 20.0 * np.cos(angle), 0.0 * angle, angle], axis=1)
    assert Route(arc, np.zeros(len(arc), np.int8)).bend(12.0) == pytest.approx(1.0 / 20.0, rel=0.3)


def test_a_route_that_crosses_itself_is_not_cut_short() -> None:
    angle = np.linspace(0.0, 2 * math.pi, 200)
    loop = np.stack([40 * np.sin(angle), 40 * np.sin(2 * angle)], axis=1)  # an eight: it crosses itself halfway
    points = np.hstack([loop, np.zeros((200, 2))])
    route = Route(points, np.zeros(200, np.int8))
    for x, y in loop[:20]:
        route.update(x, y)
    assert route.progress < 0.15
    route.update(0.0, 0.0)
    assert route.progress < 0.25


def test_points_ahead_are_in_the_heros_frame_and_end_at_the_goal() -> None:
    route = straight()
    route.update(10.0, 0.0)
    hero = carla.Transform(carla.Location(10.0, 2.0, 0.0), carla.Rotation(yaw=90.0))
    points = route.next_points(hero, 4, spacing=5.0)
    assert points.dtype == np.float32
    # The hero heads along y, so the route along x leads to its left, 2 m behind it.
    assert np.allclose(points, [[-2, -5], [-2, -10], [-2, -15], [-2, -20]], atol=1e-4)
    route.update(20.0, 0.0)
    for x in range(20, 99, 5):
        route.update(float(x), 0.0)
    assert np.allclose(route.next_points(hero, 3, spacing=20.0)[-1], [-2, -90], atol=1e-4)
    assert not route.finished
    route.update(99.5, 0.0)
    assert route.finished


def test_the_next_option_is_seen_ahead_and_passes() -> None:
    route = straight()
    assert route.next_option(ahead=20.0) == RoadOption.LANE_FOLLOW
    assert route.next_option(ahead=80.0) == RoadOption.LEFT
    assert route.follows_lane_for(20.0) == 20.0
    to_turn = route.follows_lane_for(80.0)
    assert 20.0 < to_turn < 80.0
    for x in range(0, 66, 5):
        route.update(float(x), 0.0)
    assert route.next_option() == RoadOption.LEFT
    assert route.follows_lane_for(80.0) == pytest.approx(max(to_turn - 65.0, 0.0))
    for x in range(65, 80, 5):
        route.update(float(x), 0.0)
    assert route.next_option() == RoadOption.LANE_FOLLOW


def outer_lane(town: carla.Map) -> list[carla.Waypoint]:
    """Waypoints with another lane of their direction to the left."""
    waypoints = [(w, w.get_left_lane()) for w in town.generate_waypoints(5.0) if not w.is_junction]
    return [w for w, left in waypoints if left and left.lane_type == w.lane_type and left.lane_id * w.lane_id > 0]


CHANGES = (RoadOption.CHANGE_LANE_LEFT, RoadOption.CHANGE_LANE_RIGHT)


def test_a_lane_is_changed_where_there_is_room(town: carla.Map) -> None:
    lane = [w for w in outer_lane(town) if (w.road_id, w.lane_id) == (0, -2)]
    # Five metres ahead on the lane beside is too near for a lane change.
    goal = present(lane[0].get_left_lane()).next(5.0)[0].transform.location
    route = plan_route(town, lane[0].transform, goal=goal)
    assert route.goal.distance(goal) < 0.7
    assert route.length > 100.0
    # At the end of the road the change comes after the junction.
    (goal,) = [w.transform.location for w in present(lane[-1].get_left_lane()).next(60.0) if w.road_id == 1]
    route = plan_route(town, lane[-1].transform, goal=goal)
    assert route.length == pytest.approx(60.0, abs=2.0)
    assert np.flatnonzero(np.isin(route.options, CHANGES))[0] > 30


def test_a_solid_line_is_not_crossed() -> None:
    town = carla.Map("solid", minitown().replace('laneChange="both"', 'laneChange="none"'))
    start = outer_lane(town)[0]
    goal = present(start.get_left_lane()).next(30.0)[0].transform.location
    route = plan_route(town, start.transform, goal=goal)
    assert route.goal.distance(goal) < 0.7
    assert not np.isin(route.options, CHANGES).any()


def test_turns_at_junctions_are_named(town: carla.Map, waypoints: list[carla.Waypoint]) -> None:
    seen = set()
    for number, waypoint in enumerate(waypoints[:40]):
        route = plan_route(town, waypoint.transform, length=300.0, rng=np.random.default_rng(number))
        for option in (RoadOption.LEFT, RoadOption.RIGHT):
            at = np.flatnonzero(route.options == option)
            if len(at):
                runs = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
                turn = np.unwrap(route.points[:, 3])[runs[0][-1]] - np.unwrap(route.points[:, 3])[runs[0][0]]
                if len(runs[0]) > 5:
                    assert (turn > 0) == (option == RoadOption.RIGHT)
                    seen.add(option)
    assert seen == {RoadOption.LEFT, RoadOption.RIGHT}


def test_a_route_from_a_parking_lane_begins_on_the_driving_lane_beside_it() -> None:
    town = carla.Map("parking", minitown().replace('type="shoulder"', 'type="parking"'))
    parked = [
        (beside.transform, waypoint)
        for waypoint in town.generate_waypoints(20.0)
        if not waypoint.is_junction and (beside := waypoint.get_right_lane()) is not None
        if beside.lane_type == carla.LaneType.Parking
    ]
    assert parked
    for start, waypoint in parked[:10]:
        first = plan_route(town, start, length=50.0, rng=np.random.default_rng(0)).points[0]
        place = waypoint.transform.location
        assert math.hypot(first[0] - place.x, first[1] - place.y) < 1.0


def test_refusals_are_sentences(town: carla.Map, waypoints: list[carla.Waypoint]) -> None:
    here = waypoints[0].transform
    nowhere = carla.Transform(carla.Location(9000.0, 0.0, 0.0))
    with pytest.raises(RouteError, match=r"start \(9000\.0, 0\.0, 0\.0\) is away from every driving lane"):
        plan_route(town, nowhere, length=100.0)
    with pytest.raises(RouteError, match=r"goal .* is away from every driving lane"):
        plan_route(town, here, goal=nowhere.location)
    with pytest.raises(RouteError, match="longer than zero"):
        plan_route(town, here, length=0.0)
    crossing = carla.Map("crossing", crossing_roads())
    begin = carla.Transform(carla.Location(0.0, 1.75, 0.0))
    with pytest.raises(RouteError, match="no way over the lanes"):
        plan_route(crossing, begin, goal=carla.Location(1.75, 50.0, 8.0))
