"""Vehicles and walkers around the hero: there, moving, seeded, and replaced with every episode."""

from __future__ import annotations

import socket

import numpy as np
import psutil
import pytest

from rllib_integration.servers import ServerHangError
from rllib_integration.ticking.frame_watch import FrameWatch
from tests.patience import PATIENCE
from tests.traffic.episodes import begin, drive, poses


def test_vehicles_drive_and_walkers_walk(core):
    begin(core, 1, n_vehicles=6, n_walkers=4)
    kinds = [core.world.get_actor(actor).type_id.split(".")[0] for actor in core.actors]
    assert kinds == ["vehicle"] * 6 + ["walker"] * 4
    track = drive(core, 120)
    moved = np.hypot(*(track[-1] - track[0])[:, :2].T)
    assert (moved[:6] > 3.0).sum() >= 4
    assert (moved[6:] > 1.0).sum() >= 3


def test_a_frame_that_another_client_ticks_is_waited_for(core):
    begin(core, 1)
    frames = FrameWatch(core.world)
    try:
        frames.wait_for(core.world.tick(), 5.0)
        with pytest.raises(ServerHangError, match=r"did not arrive within 0\.05 s"):
            frames.wait_for(core.world.get_snapshot().frame + 1, 0.05)
    finally:
        frames.stop()


def test_fault_7_traffic_is_seeded_bit_for_bit_and_its_manager_synchronous(core):
    tracks = []
    for seed in (3, 4, 3):
        begin(core, seed, n_vehicles=5, n_walkers=3)
        tracks.append(drive(core, 80))
    assert tracks[0].tobytes() == tracks[2].tobytes()
    assert tracks[0].tobytes() != tracks[1].tobytes()


def test_a_traffic_seed_gives_the_same_traffic_whatever_the_episode(core):
    starts = []
    for seed in (5, 6):
        begin(core, seed, n_vehicles=5, seed=11)
        kinds = [core.world.get_actor(actor).type_id for actor in core.actors]
        starts.append((kinds, core.hero.get_location()))
    assert starts[0][0] == starts[1][0]
    assert starts[0][1] != starts[1][1]


def test_no_vehicle_takes_the_heros_place(core):
    for seed in range(3):
        begin(core, seed, n_vehicles=30)
        place = core.hero.get_location()
        gaps = np.hypot(*(poses(core)[:, :2] - (place.x, place.y)).T)
        assert gaps.min() > 4.0


def test_every_episode_has_its_own_traffic_and_no_other(core):
    for vehicles, walkers in ((4, 2), (2, 0), (0, 3), (0, 0)):
        begin(core, 1, n_vehicles=vehicles, n_walkers=walkers)
        core.tick(None)
        actors = core.world.get_actors()
        assert len(actors.filter("vehicle.*")) == vehicles + 1
        assert len(actors.filter("walker.*")) == walkers
        assert len(actors.filter("controller.*")) == walkers


def test_the_traffic_manager_is_reached_from_here(core):
    begin(core, 1, n_vehicles=2)
    assert core.traffic_manager.get_port() == core.tm_port
    core.traffic_manager.global_percentage_speed_difference(50.0)
    drive(core, 5)


def test_the_traffic_manager_hears_nobody_from_elsewhere(core):
    begin(core, 1, n_vehicles=2)
    manager = ("127.0.0.1", core.tm_port)
    socket.create_connection(manager, timeout=PATIENCE).close()
    for address in addresses_of_this_machine():
        with socket.socket() as elsewhere:
            elsewhere.bind((address, 0))  # to the packet filter it is a stranger that asks for 127.0.0.1
            elsewhere.settimeout(0.3)
            with pytest.raises(TimeoutError):
                elsewhere.connect(manager)


def addresses_of_this_machine():
    known = (address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return [each.address for each in known if each.family == socket.AF_INET and not each.address.startswith("127.")]


def test_no_vehicle_rolls_backwards_when_the_hero_comes_near(core):
    speeds = []
    for seed in range(5):
        begin(core, seed, n_vehicles=20)
        cars = [core.world.get_actor(actor) for actor in core.actors]
        for place in core.map.get_spawn_points()[::3][:15]:
            core.hero.set_transform(place)
            core.tick(None)
            speeds += [car.get_velocity().dot(car.get_transform().get_forward_vector()) for car in cars]
    assert max(speeds) > 3.0
    assert min(speeds) > -1.0
