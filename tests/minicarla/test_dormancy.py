"""Actors of large maps sleep while they are far from every hero; the built-in town stands for a large one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicarla.protocol.layouts import ACTOR_ACTIVE, ACTOR_DORMANT, MESSAGE_HEADER, PLAIN_RECORD
from minicarla.rpc.world_stream import WorldStream
from minicarla.world import simulation as simulation_module
from minicarla.world.actors import Actor
from minicarla.world.settings import EpisodeSettings
from minicarla.world.simulation import Simulation
from minicarla.world.spawning import spawn

_STEP = 0.05
_DISTANCE = 60.0


class _Nobody:
    """Listens to no sensor."""

    def has_subscribers(self, stream_id: int) -> bool:
        return False


def _in_minitown() -> Simulation:
    simulation = Simulation()
    nobody: Any = _Nobody()
    simulation.publisher = nobody
    simulation.load("Minitown")
    return simulation


@pytest.fixture
def simulation(monkeypatch):
    monkeypatch.setattr(simulation_module, "LARGE_MAPS", {"Minitown"})
    one = _in_minitown()
    one.apply_settings(EpisodeSettings(actor_active_distance=_DISTANCE, spectator_as_ego=False))
    return one


def _car(simulation: Simulation, x: float, role: str = "autopilot") -> Actor:
    blueprint = simulation.library.find("vehicle.tesla.model3")
    place = ((x, 0.0, 300.0), (0.0, 0.0, 0.0))
    return spawn(simulation, blueprint, {"role_name": role}, place, None, 0)


def _states(simulation: Simulation) -> dict[int, int]:
    simulation.tick(_STEP)
    records = np.frombuffer(WorldStream(simulation).message(), np.uint8)[MESSAGE_HEADER.itemsize :].view(PLAIN_RECORD)
    return dict(zip(records["id"].tolist(), records["state"].tolist()))


def test_who_is_far_from_the_hero_sleeps_where_it_is_until_it_is_near_again(simulation):
    hero, near, far = (_car(simulation, x, role) for x, role in ((0.0, "hero"), (50.0, ""), (100.0, "")))
    states = _states(simulation)
    assert [states[car.id] for car in (hero, near, far)] == [ACTOR_ACTIVE, ACTOR_ACTIVE, ACTOR_DORMANT]
    height = simulation.episode.row(far)["z"]
    for _ in range(20):
        states = _states(simulation)
    assert simulation.episode.row(far)["z"] == height, "asleep, it does not fall"
    assert simulation.episode.row(near)["z"] < height - 3.0
    simulation.episode.place(far, (-50.0, 0.0, 300.0))
    states = _states(simulation)
    assert states[far.id] == ACTOR_ACTIVE
    assert simulation.episode.row(far)["vz"] < 0.0, "awake, it falls"


def test_without_a_hero_the_spectator_counts_if_it_may(simulation):
    car = _car(simulation, 500.0)
    assert _states(simulation)[car.id] == ACTOR_ACTIVE
    simulation.apply_settings(EpisodeSettings(actor_active_distance=_DISTANCE))
    assert _states(simulation)[car.id] == ACTOR_DORMANT
    hero = _car(simulation, 520.0, "hero")
    assert [_states(simulation)[one.id] for one in (car, hero)] == [ACTOR_ACTIVE, ACTOR_ACTIVE]


def test_nobody_sleeps_where_maps_are_small():
    simulation = _in_minitown()
    simulation.apply_settings(EpisodeSettings(actor_active_distance=_DISTANCE))
    cars = [_car(simulation, x, role) for x, role in ((0.0, "hero"), (100.0, ""))]
    assert [_states(simulation)[car.id] for car in cars] == [ACTOR_ACTIVE, ACTOR_ACTIVE]
