"""Walkers that cross roads anywhere, moved by the server or by a Traffic Manager's client."""

from __future__ import annotations

import carla
import pytest

from tests.traffic.episodes import begin, poses


def seen_on_lanes(core, driver, share):
    """How often walkers are on a lane away from junctions, looked at once a second for five minutes."""
    begin(core, 1, town="Town03", n_vehicles=0, n_walkers=30, traffic=driver, pedestrians_cross_factor=share)
    seen = 0
    for _ in range(300):
        core.tick(None, 20)
        for x, y, z, _ in poses(core).tolist():
            lane = core.map.get_waypoint(carla.Location(x, y, z), project_to_road=False)
            seen += lane is not None and not lane.is_junction
    return seen


@pytest.mark.parametrize("driver", ["manager", "server"])
def test_only_those_cross_roads_away_from_crossings_who_may(core, driver):
    assert seen_on_lanes(core, driver, 0.0) == 0
    assert seen_on_lanes(core, driver, 1.0) > 0
