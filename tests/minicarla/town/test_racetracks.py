"""The race tracks: closed for CARLA's own client, as long, wide and bent as they say, and free of any file."""

from __future__ import annotations

import carla
import numpy as np
import pytest

from minicarla.town import available_towns, load_town
from minicarla.town.racetracks import racetrack
from minicarla.town.sources import RACETRACKS
from tests.known import present

LENGTHS = {"Racetrack01": 332.4, "Racetrack02": 277.6}
TIGHTEST = {"Racetrack01": 6.4, "Racetrack02": 7.0}


@pytest.mark.parametrize("name", RACETRACKS)
@pytest.mark.parametrize("way", ["next", "previous"])
def test_both_lanes_lead_round_and_back_to_their_start(name: str, way: str) -> None:
    carla_map = carla.Map(name, racetrack(name))
    first = carla_map.get_waypoint(carla.Location())
    for start in (first, present(first.get_left_lane())):
        there = start
        for _ in range(round(LENGTHS[name])):
            following = getattr(there, way)(1.0)
            assert len(following) == 1
            there = following[0]
        assert there.lane_id == start.lane_id
        assert there.transform.location.distance(start.transform.location) < 1.5


@pytest.mark.parametrize("name", RACETRACKS)
def test_length_width_and_tightest_bend_are_what_they_say(name: str) -> None:
    carla_map = carla.Map(name, racetrack(name))
    waypoints = carla_map.generate_waypoints(0.5)
    ours = [waypoint for waypoint in waypoints if waypoint.lane_id == -1]
    middles = np.array([(w.transform.location.x, w.transform.location.y) for w in ours])
    left = np.array(
        [(v.transform.location.x, v.transform.location.y) for v in (present(w.get_left_lane()) for w in ours)]
    )
    centre = (middles + left) / 2.0
    steps = np.hypot(*np.diff(centre, axis=0).T)
    assert len(ours) * 0.5 == pytest.approx(LENGTHS[name], abs=2.0)
    assert np.hypot(*(middles - left).T) + 3.5 == pytest.approx(7.0, abs=0.01)
    yaw = np.unwrap(np.radians([w.transform.rotation.yaw for w in ours]))
    bends = np.abs(np.diff(yaw))[steps < 0.6] / 0.5
    assert 1.0 / bends.max() == pytest.approx(TIGHTEST[name], rel=0.05)


@pytest.mark.parametrize("name", RACETRACKS)
def test_cars_fit_on_all_around(name: str) -> None:
    town = load_town(name)
    assert len(town.spawn_points) >= 20
    assert f"/Game/Carla/Maps/{name}" in available_towns()
