"""Vehicles and walkers that the embedded server moves: there, on their ways, seeded, and without a second process."""

from __future__ import annotations

import carla
import numpy as np
import pytest

from rllib_integration.config.merging import ConfigError
from rllib_integration.ticking.tickers import BundledTicker
from tests.traffic import episodes
from tests.traffic.episodes import drive


def begin(core, episode_seed, **activity):
    episodes.begin(core, episode_seed, **{"n_vehicles": 12, "traffic": "server", **activity})


def test_the_server_drives_without_a_second_process_and_in_several_ticks_at_once(core):
    begin(core, 1)
    assert core.traffic.process is None
    assert isinstance(core.clock.ticker(), BundledTicker)
    assert len(core.actors) == 12
    begins = {actor: core.world.get_actor(actor).get_location() for actor in core.actors}
    aside, at_red = [], 0
    for _ in range(100):
        core.tick(None, 4)
        for actor in core.actors:
            car = core.world.get_actor(actor)
            place = car.get_location()
            waypoint = core.map.get_waypoint(place)
            aside.append(waypoint.transform.location.distance(place))
            at_red += not waypoint.is_junction and car.get_traffic_light_state() == carla.TrafficLightState.Red
    assert at_red > 0
    assert np.percentile(aside, 90) < 0.8
    moved = [core.world.get_actor(actor).get_location().distance(begins[actor]) for actor in core.actors]
    assert sum(way > 10.0 for way in moved) >= 8


def test_the_servers_traffic_is_seeded_bit_for_bit(core):
    tracks = []
    for seed in (3, 4, 3):
        begin(core, seed, n_walkers=6)
        tracks.append(drive(core, 60))
    assert tracks[0].tobytes() == tracks[2].tobytes()
    assert tracks[0].tobytes() != tracks[1].tobytes()


def test_the_same_seed_gives_the_manager_and_the_server_the_same_vehicles(core):
    kinds = {}
    for driver in ("manager", "server"):
        begin(core, 5, n_vehicles=4, traffic=driver)
        kinds[driver] = [core.world.get_actor(actor).type_id for actor in core.actors]
    assert kinds["manager"] == kinds["server"]


@pytest.mark.parametrize("n_vehicles", [0, 4])
def test_the_server_walks_walkers_and_all_end_with_the_episode(core, n_vehicles):
    begin(core, 1, n_vehicles=n_vehicles, n_walkers=3)
    assert core.traffic.process is None
    kinds = [core.world.get_actor(actor).type_id.split(".")[0] for actor in core.actors]
    assert kinds == ["vehicle"] * n_vehicles + ["walker"] * 3
    track = drive(core, 100)
    moved = np.hypot(*(track[-1] - track[0])[:, :2].T)
    assert (moved[n_vehicles:] > 1.0).all()
    for place in track[-1][n_vehicles:]:
        x, y, z, _ = place.tolist()
        sidewalk = core.map.get_waypoint(carla.Location(x, y, z), lane_type=carla.LaneType.Sidewalk)
        assert sidewalk.transform.location.distance(carla.Location(x, y, z)) < 20.0
    begin(core, 2, n_vehicles=0)
    core.tick(None)
    actors = core.world.get_actors()
    assert [len(actors.filter(kind)) for kind in ("vehicle.*", "walker.*", "controller.*")] == [1, 0, 0]


def test_a_town_without_sidewalks_has_no_walkers(core, caplog):
    begin(core, 1, n_vehicles=0, n_walkers=2, town="Racetrack01")
    assert core.actors == []
    assert "Only 0 of 2 walkers found a free place" in caplog.text


def test_there_is_no_traffic_manager_to_be_told_anything(core):
    begin(core, 1, n_vehicles=2)
    with pytest.raises(ConfigError, match="There is no Traffic Manager"):
        _ = core.traffic_manager
