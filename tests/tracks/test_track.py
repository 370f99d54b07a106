"""Closed courses: found in towns, measured from a pose, followed over laps."""

from __future__ import annotations

import math

import carla
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicarla.town.minitown import minitown
from minicarla.town.racetracks import racetrack
from rllib_integration.tracks import RACETRACKS, Track, TrackError, TrackProgress, racetrack_opendrive
from rllib_integration.tracks.track import SPACING


def circle(radius: float = 30.0, width: float = 7.0) -> Track:
    """A ring, driven clockwise: CARLA's y points to the right of x."""
    angles = np.arange(0.0, 2.0 * math.pi, SPACING / radius)
    columns = (radius * np.cos(angles), radius * np.sin(angles), 0 * angles, angles + math.pi / 2, 0 * angles + width)
    return Track(np.stack(columns, axis=1), "ring")


def eight() -> Track:
    """A figure of eight whose second crossing lies 6 m above the first."""
    angles = np.arange(0.0, 2.0 * math.pi, SPACING / 60.0)
    x, y = 40.0 * np.sin(angles), 20.0 * np.sin(2.0 * angles)
    yaw = np.arctan2(40.0 * np.cos(2.0 * angles), 40.0 * np.cos(angles))
    height = np.where(np.abs(angles - math.pi) < math.pi / 2, 6.0, 0.0)
    return Track(np.stack([x, y, height, yaw, 0 * x + 7.0], axis=1), "eight")


@pytest.fixture(scope="module")
def racing() -> Track:
    return Track.of_map(carla.Map("Racetrack01", racetrack_opendrive("Racetrack01")))


@pytest.mark.parametrize("name", RACETRACKS)
def test_the_librarys_texts_are_the_embedded_servers(name: str) -> None:
    command = f"python3 -m minicarla.town.racetracks {name} > rllib_integration/tracks/{name}.xodr"
    assert racetrack_opendrive(name) == racetrack(name), command


def test_a_ring_is_as_wide_as_all_its_lanes_and_as_long_as_its_middle(racing: Track) -> None:
    assert racing.length == pytest.approx(332.4, abs=0.2)
    assert racing.points[:, 4] == pytest.approx(7.0)
    tightest = max(abs(racing.curvature(at, over=1.0)) for at in np.arange(0.0, racing.length, 0.25))
    assert 1.0 / tightest == pytest.approx(6.4, rel=0.02)
    assert not racing.is_clockwise


@given(along=st.floats(0.0, 331.0), aside=st.floats(-3.4, 3.4), turn=st.floats(-170.0, 170.0))
def test_a_pose_made_along_the_course_is_found_again(racing: Track, along: float, aside: float, turn: float) -> None:
    pose = racing.transform_at(along, aside)
    found = racing.locate(pose.location.x, pose.location.y, 0.5, pose.rotation.yaw + turn)
    # In a bend a point beside the middle is nearest to a place some centimetres on, because the middle is a polygon.
    assert found.lateral == pytest.approx(aside, abs=0.02)
    assert abs((found.distance - along + 100.0) % racing.length - 100.0) < 0.3
    assert found.heading_error == pytest.approx(turn, abs=3.0)
    assert found.width == pytest.approx(7.0)


def test_driven_the_other_way_right_is_left_and_the_course_turns_the_other_way(racing: Track) -> None:
    back = racing.reversed()
    assert back.length == pytest.approx(racing.length)
    assert back.is_clockwise
    pose = racing.transform_at(100.0, 1.0)
    there = racing.locate(pose.location.x, pose.location.y, 0.0, pose.rotation.yaw)
    found = back.locate(pose.location.x, pose.location.y, 0.0, pose.rotation.yaw)
    assert found.lateral == pytest.approx(-there.lateral, abs=0.01)
    assert abs(found.heading_error) == pytest.approx(180.0, abs=0.5)
    assert found.distance == pytest.approx(back.length - there.distance, abs=0.1)


def test_bends_to_the_right_have_positive_curvature() -> None:
    ring = circle(radius=20.0)
    assert ring.is_clockwise
    assert ring.curvature(10.0) == pytest.approx(1.0 / 20.0, rel=0.01)
    assert ring.reversed().curvature(10.0) == pytest.approx(-1.0 / 20.0, rel=0.01)


def test_milestones_are_evenly_spaced_and_end_where_they_begin(racing: Track) -> None:
    milestones = racing.milestones(2.0)
    steps = np.hypot(*np.diff(milestones, axis=0).T)
    assert (milestones[0] == milestones[-1]).all()
    assert steps == pytest.approx(2.0, abs=0.03)


def test_progress_counts_on_over_laps_and_tells_each_ones_time() -> None:
    ring = circle()
    progress = TrackProgress(ring)
    for step, along in enumerate(np.arange(50.0, 50.0 + 2.5 * ring.length, 0.7)):
        pose = ring.transform_at(along)
        progress.update(pose.location.x, pose.location.y, 0.0, pose.rotation.yaw, 0.1 * step)
    assert progress.laps == 2
    assert progress.progress == pytest.approx(2.5, abs=0.01)
    assert progress.lap_times == pytest.approx([ring.length / 7.0] * 2, abs=0.02)


def test_a_vehicle_that_rolls_back_loses_progress_and_gains_no_lap() -> None:
    ring = circle()
    progress = TrackProgress(ring)
    for along in (0.0, 5.0, 10.0, 5.0, 0.0, -5.0, -10.0, -5.0, 0.0, 5.0):
        pose = ring.transform_at(along)
        progress.update(pose.location.x, pose.location.y, 0.0, pose.rotation.yaw, 0.0)
        assert progress.travelled == pytest.approx(along, abs=1e-6)
    assert progress.laps == 0


def test_where_the_course_crosses_itself_the_storey_decides() -> None:
    course = eight()
    below, above = course.locate(0.0, 0.0, 0.2, 45.0), course.locate(0.0, 0.0, 6.2, 135.0)
    assert (below.z, above.z) == (0.0, 6.0)
    assert abs(below.distance - above.distance) == pytest.approx(course.length / 2.0, abs=1.0)


def test_a_neighbouring_part_of_the_course_is_not_taken_for_the_one_driven() -> None:
    course = eight()
    flat = course.points.copy()
    flat[:, 2] = 0.0
    level = Track(flat, "crossing")
    progress = TrackProgress(level)
    for step, along in enumerate(np.arange(5.0, level.length, 1.0)):
        pose = level.transform_at(along, lateral=2.0)
        progress.update(pose.location.x, pose.location.y, 0.0, pose.rotation.yaw, float(step))
        assert progress.travelled == pytest.approx(along - 5.0, abs=2.5)


def test_a_closed_route_of_a_town_is_a_course_of_its_lanes() -> None:
    town = carla.Map("Minitown", minitown())
    spawn_points = [w.transform.location for w in town.generate_waypoints(40.0) if not w.is_junction]
    course = Track.of_map(town, through=[spawn_points[0], spawn_points[len(spawn_points) // 2]])
    assert course.length > 100.0
    steps = np.hypot(*np.diff(np.r_[course.points, course.points[:1]][:, :2], axis=0).T)
    assert steps.max() < 1.5
    assert course.points[:, 4].min() >= 3.0
    assert course.points[:, 4].max() <= 5.0
    for x, y, z, _, _ in course.points[::50]:
        assert town.get_waypoint(carla.Location(x, y, z)).transform.location.distance(carla.Location(x, y, z)) < 0.2


def test_a_town_with_junctions_is_no_ring_and_the_sentence_says_where_and_what_to_do() -> None:
    with pytest.raises(TrackError, match=r"Minitown is not one closed course: the road forks at \(.*Name the places"):
        Track.of_map(carla.Map("Minitown", minitown()))


def test_an_open_line_is_no_course() -> None:
    line = np.stack([np.arange(100.0), *(np.zeros(100),) * 3, np.full(100, 7.0)], axis=1)
    with pytest.raises(TrackError, match=r"its two ends are 99\.0 m apart"):
        Track(line)
