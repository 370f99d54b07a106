"""How background traffic drives: the same parameters for the Traffic Manager and for the server's own drivers."""

from __future__ import annotations

import numpy as np
import pytest

from rllib_integration.traffic.manners import TRAFFIC_MANNERS, draw_manners
from tests.traffic.episodes import begin, drive


def test_every_parameter_is_a_method_of_the_traffic_manager():
    import carla

    assert all(hasattr(carla.TrafficManager, name) for name in TRAFFIC_MANNERS)


def test_vehicles_draw_their_own_values_of_a_range_by_the_seed():
    settings = {"vehicle_percentage_speed_difference": [-20, 40], "distance_to_leading_vehicle": 3.0}
    first, again, other = (draw_manners(settings, 50, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert draw_manners(settings, 7, 1) == first[:7]
    differences = [own["vehicle_percentage_speed_difference"] for own in first]
    assert len(set(differences)) == 50
    assert -20 <= min(differences) < 0 < 20 < max(differences) <= 40
    assert {own["distance_to_leading_vehicle"] for own in first} == {3.0}
    assert {own["ignore_lights_percentage"] for own in first} == {0.0}


@pytest.mark.parametrize("driver", ["manager", "server"])
def test_both_drivers_keep_to_the_speed_that_they_are_told(core, driver):
    moved = {}
    for slower in (0, 60, 100):
        begin(core, 3, n_vehicles=6, traffic=driver, vehicle_percentage_speed_difference=slower)
        drive(core, 40)  # past the manager's first decisions
        track = drive(core, 60)
        moved[slower] = np.hypot(*np.diff(track[:, :, :2], axis=0).transpose(2, 0, 1)).sum()
    assert moved[100] < 0.02 * moved[0]
    assert 0.2 * moved[0] < moved[60] < 0.8 * moved[0]


@pytest.mark.parametrize("driver", ["manager", "server"])
def test_traffic_with_manners_of_ranges_is_seeded_bit_for_bit(core, driver):
    ranges = {
        "vehicle_percentage_speed_difference": [-30, 30],
        "distance_to_leading_vehicle": [1.0, 5.0],
        "random_left_lanechange_percentage": [0, 5],
        "random_right_lanechange_percentage": [0, 5],
        "ignore_lights_percentage": [0, 50],
    }
    tracks = []
    for activity in (ranges, {}, ranges):
        begin(core, 3, n_vehicles=6, traffic=driver, **activity)
        tracks.append(drive(core, 80))
    assert tracks[0].tobytes() == tracks[2].tobytes()
    assert tracks[0].tobytes() != tracks[1].tobytes()
