"""Scripted cars keep the speed that a scenario gives them, whatever they are."""

from __future__ import annotations

import carla
import numpy as np
import pytest

from benchmarks.fidelity import Road
from rllib_integration.scenarios.motion import Car
from rllib_integration.scenarios.road import Path

_VEHICLES = ("vehicle.lincoln.mkz_2017", "vehicle.tesla.model3", "vehicle.nissan.patrol", "vehicle.mini.cooper_s")
_TICKS = 2  # of 0.05 s, between two decisions


@pytest.fixture(scope="module")
def road(embedded_server: tuple[str, int]) -> Road:
    return Road(*embedded_server)


@pytest.mark.parametrize(("speed", "is_launched"), [(3.0, False), (8.0, True), (20.0, True)])
def test_a_car_keeps_its_speed(road: Road, speed: float, is_launched: bool) -> None:
    library, carla_map = road.world.get_blueprint_library(), road.world.get_map()
    cars = []
    for number, name in enumerate(_VEHICLES):
        waypoint = carla_map.get_waypoint(carla.Location(600.0 + 600.0 * number, 0.0))
        pose, forward = waypoint.transform, waypoint.transform.get_forward_vector()
        points = [[pose.location.x + 500.0 * at * forward.x, pose.location.y, 0.0] for at in (0.0, 1.0)]
        pose.location.z += 0.3
        cars.append(Car(road.world.spawn_actor(library.find(name), pose), Path(np.array(points))))
    road.world.tick()
    if is_launched:
        for car in cars:
            car.launch(speed)
    speeds = []
    for _ in range(80):
        for car in cars:
            car.drive(speed)
        for _ in range(_TICKS):
            road.world.tick()
        speeds.append([car.speed for car in cars])
    for car in cars:
        car.vehicle.destroy()
    road.world.tick()
    assert np.abs(np.array(speeds)[50:] - speed).max() < 0.2
