"""Walkers that the server itself walks: where they go, whom they avoid, what they wait for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicarla.labels import ROADS
from minicarla.physics.ground import ground_at
from minicarla.town.detour import CROSSWALK_AREA, ROAD_AREA, SIDEWALK_AREA
from minicarla.town.walk_mesh import build_walk_mesh
from minicarla.world.actors import Actor
from minicarla.world.pedestrians import Pedestrians
from minicarla.world.simulation import Simulation
from minicarla.world.spawning import spawn
from minicarla.world.traffic_lights import GREEN, RED

_STEP = 0.05
_HIGH_UP = 500.0


class _Nobody:
    """Listens to no sensor."""

    def has_subscribers(self, stream_id: int) -> bool:
        return False


class World:
    """The built-in town with walkers, and the pedestrians' own records."""

    def __init__(self, count: int, seed: int = 1, crossing_share: float = 0.0, speed: float = 1.4) -> None:
        self.simulation = Simulation()
        nobody: Any = _Nobody()
        self.simulation.publisher = nobody
        self.simulation.load("Minitown")
        self.pedestrians = Pedestrians(self.simulation)
        self.simulation.observers.append(self.pedestrians)
        library = self.simulation.library
        places = [((2.0 * k, 0.0, _HIGH_UP), (0.0, 0.0, 0.0)) for k in range(count)]
        self.actors = [spawn(self.simulation, library.find("walker.pedestrian.0001"), {}, place) for place in places]
        self.pedestrians.take([(actor, speed) for actor in self.actors], seed, crossing_share)
        self.mesh = build_walk_mesh(self.simulation.full_town)

    @property
    def rows(self) -> np.ndarray:
        return self.simulation.episode.walkers.rows

    @property
    def own(self) -> np.ndarray:
        """Records of `PEDESTRIAN`."""
        return self.pedestrians._pedestrians

    @property
    def places(self) -> np.ndarray:
        return np.stack([self.rows["x"], self.rows["y"]], axis=1)

    def car(self, x: float, y: float, z: float, yaw: float = 0.0, kind: str = "vehicle.tesla.model3") -> Actor:
        return spawn(self.simulation, self.simulation.library.find(kind), {}, ((x, y, z), (0.0, yaw, 0.0)))

    def tick(self, seconds: float = _STEP) -> None:
        for _ in range(round(seconds / _STEP)):
            self.simulation.advance(_STEP)

    def send_over(self, crossing: int, back: float) -> tuple[np.ndarray, np.ndarray]:
        """Put the first walker so far before a crossing, on its way over it; returns both ends of its way."""
        mesh, own = self.mesh, self.own[0]
        first, last = (k for k in range(4) if mesh.beyond[crossing, k] >= 0)
        near, far = mesh.beyond[crossing, first], mesh.beyond[crossing, last]
        ends = [mesh.corner[crossing, [k, (k + 1) % 4]].mean(axis=0) for k in (first, last)]
        ahead = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        begin = ends[0] - back * ahead
        own["polygon"], own["ahead_count"], own["ahead_at"], own["looked"] = near, 2, 0, 0
        own["ahead"][:2] = crossing, far
        own["goal_x"], own["goal_y"], _ = ends[1] + 1.0 * ahead
        own["share"] = 0.5
        row = self.rows[self.actors[0].row]
        row["x"], row["y"] = row["guide_x"], row["guide_y"] = begin[:2]
        row["z"] = begin[2] + row["extent_z"]
        row["ticked"] = 0
        return ends[0], ends[1]

    def areas(self) -> np.ndarray:
        return self.mesh.area[self.own["polygon"]]


def _crossing(world: World, with_light: bool) -> int:
    """A straight crossing between two sidewalks."""
    mesh = world.mesh
    for row in np.flatnonzero((mesh.area == CROSSWALK_AREA) & ((mesh.light >= 0) == with_light)).tolist():
        beyond = mesh.beyond[row, : mesh.size[row]]
        if (beyond >= 0).sum() == 2 and all(mesh.area[k] == SIDEWALK_AREA for k in beyond[beyond >= 0]):
            return int(row)
    raise AssertionError("there is no such crossing")


def test_they_walk_on_sidewalks_and_crossings_to_one_place_after_another():
    world = World(20)
    begins, goals = world.places, world.own["goal_x"].copy()
    surface = world.simulation.episode.town.surface
    off_ways, way = 0, np.zeros(20)
    for _ in range(60 * 20):
        before = world.places
        world.tick()
        steps = np.hypot(*(world.places - before).T)
        assert steps.max() < 1.4 * _STEP + 0.05  # nobody jumps
        way += steps
        for row, area in zip(world.rows, world.areas()):
            height, *_, label = ground_at(surface, row["x"], row["y"], row["z"])
            assert row["z"] - row["extent_z"] == pytest.approx(height, abs=0.01)
            off_ways += area == SIDEWALK_AREA and label == ROADS
    assert np.hypot(*(world.places - begins).T).max() > 30.0
    assert np.median(way) > 50.0
    assert (world.own["goal_x"] != goals).all()
    assert off_ways < 0.02 * 60 * 20 * 20


def test_the_same_seed_gives_the_same_ways_bit_for_bit():
    def walked(seed: int) -> bytes:
        world = World(12, seed, crossing_share=0.5)
        world.tick(20.0)
        return world.rows.tobytes()

    assert walked(1) == walked(1)
    assert walked(1) != walked(2)


def test_only_those_who_may_leave_crossings_and_sidewalks_for_the_road():
    for share, roads in ((0.0, False), (1.0, True)):
        world = World(60, seed=0, crossing_share=share, speed=3.0)
        stepped = False
        for _ in range(600):
            world.tick(0.5)
            stepped |= bool((world.areas() == ROAD_AREA).any())
            if stepped:
                break
        assert stepped == roads


@pytest.mark.parametrize("state", [GREEN, RED])
def test_they_cross_when_the_light_holds_the_cars(state):
    world = World(1)
    crossing = _crossing(world, with_light=True)
    _, end = world.send_over(crossing, back=1.0)
    lights = world.simulation.episode.lights
    crossed = False
    for _ in range(15 * 20):
        lights.rows["state"] = state
        world.simulation.observers[-1].before_tick(_STEP)
        world.simulation.episode.step(_STEP, 0.01, 10, 9.81)
        crossed |= bool(np.hypot(*(world.places[0] - end[:2])) < 1.0)
        if state == GREEN:
            assert world.own["polygon"][0] != crossing
    assert crossed == (state == RED)


def test_they_let_a_car_pass_before_they_step_on_the_road():
    world = World(1)
    crossing = _crossing(world, with_light=False)
    start, end = world.send_over(crossing, back=0.4)
    way = (end - start) / np.linalg.norm(end - start)
    middle, aside = 0.5 * (start + end), np.array((-way[1], way[0], 0.0))
    begin = middle - 15.0 * aside
    x, y, z = begin.tolist()
    car = world.car(x, y, z + 0.3, float(np.degrees(np.arctan2(aside[1], aside[0]))))
    vehicles = world.simulation.episode.vehicles

    def beside() -> float:
        row = vehicles.rows[car.row]
        return float(np.dot((row["x"] - middle[0], row["y"] - middle[1]), aside[:2]))

    while beside() < -4.0:
        row = vehicles.rows[car.row]
        row["vx"], row["vy"] = 8.0 * aside[:2]
        world.tick()
        assert world.own["polygon"][0] != crossing
    vehicles.rows[car.row]["x"] += 40.0 * aside[0]
    vehicles.rows[car.row]["y"] += 40.0 * aside[1]
    world.tick(3.0)
    assert world.own["polygon"][0] == crossing


def test_who_finds_a_standing_car_on_the_crossing_soon_takes_another_way():
    world = World(1)
    start, end = world.send_over(_crossing(world, with_light=False), back=0.4)
    world.tick(2.5)
    goal = world.own["goal_x"][0]
    ahead = (end - start) / np.linalg.norm(end - start)
    x, y, _ = (np.append(world.places[0], 0.0) + 3.5 * ahead).tolist()
    # Across its way, so long that it cannot be passed within the crossing's width.
    world.car(x, y, start[2] + 0.3, float(np.degrees(np.arctan2(ahead[0], -ahead[1]))), "vehicle.carlamotors.firetruck")
    world.tick(8.0)
    assert world.own["goal_x"][0] == goal
    before = world.places[0]
    assert world.own["waiting"][0] > 5.0
    world.tick(20.0)
    assert world.own["goal_x"][0] != goal
    assert np.dot(world.places[0] - before, ahead[:2]) < 1.0  # not through the car


def test_two_who_meet_pass_each_other():
    world = World(2)
    crossing = _crossing(world, with_light=False)
    start, end = world.send_over(crossing, back=0.0)
    world.own[1] = world.own[0]
    other = world.own[1]
    other["ahead"][:2] = other["polygon"], -1
    first = world.own[0]
    other["polygon"], other["ahead_count"] = crossing, 1
    other["goal_x"], other["goal_y"] = start[:2] - 0.5 * (end - start)[:2] / np.linalg.norm((end - start)[:2])
    first["polygon"], first["ahead_at"], first["looked"] = crossing, 1, 1
    row = world.rows[1]
    row["x"], row["y"] = row["guide_x"], row["guide_y"] = end[:2]
    row["z"], row["ticked"] = end[2] + row["extent_z"], 0
    apart, passed = np.inf, False
    for _ in range(20 * 20):
        world.tick()
        apart = min(apart, float(np.hypot(*(world.places[0] - world.places[1]))))
        passed |= bool(np.dot(world.places[1] - world.places[0], (end - start)[:2]) < -4.0)
    assert passed
    assert apart > 0.4


def test_who_is_knocked_over_gets_up_and_walks_on():
    world = World(1)
    world.tick(1.0)
    row = world.rows[0]
    row["stagger"], row["astray"], row["fall"] = 1.0, 20.0, 1.0
    row["vx"] = 4.0
    world.tick(0.5)
    assert world.rows[0]["fallen"] > 0.5
    world.tick(10.0)
    before = world.places[0]
    world.tick(3.0)
    assert world.rows[0]["fallen"] == 0.0
    assert np.hypot(*(world.places[0] - before)) > 2.0


def test_walkers_that_end_leave_the_others_walking():
    world = World(3)
    world.tick(1.0)
    world.simulation.destroy(world.actors[1])
    before = world.places
    world.tick(3.0)
    assert (np.hypot(*(world.places - before).T) > 1.0).all()
    world.simulation.load("Minitown")
    world.tick(1.0)


def test_a_town_without_sidewalks_leaves_them_where_they_are(monkeypatch):
    simulation = Simulation()
    nobody: Any = _Nobody()
    simulation.publisher = nobody
    simulation.load("Minitown")
    monkeypatch.setattr(simulation.full_town, "make_navigation_mesh", lambda: ("", b""))
    vars(simulation.full_town).pop("_navigation_mesh", None)
    pedestrians = Pedestrians(simulation)
    simulation.observers.append(pedestrians)
    walker = spawn(
        simulation, simulation.library.find("walker.pedestrian.0001"), {}, ((0.0, 0.0, 500.0), (0.0, 0.0, 0.0))
    )
    pedestrians.take([(walker, 1.4)], 1, 0.0)
    simulation.advance(_STEP)
    assert float(simulation.episode.row(walker)["x"]) == 0.0
