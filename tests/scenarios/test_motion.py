"""Scripted cars keep the speed that a scenario gives them, and stop behind who stands in their way."""

from __future__ import annotations

from collections.abc import Callable

import carla
import numpy as np
import pytest

from benchmarks.fidelity import Road
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.scenarios.motion import Car, Flow
from rllib_integration.scenarios.road import Path, back_along, path_of
from rllib_integration.scenarios.road import Road as RouteRoad
from rllib_integration.scenarios.stage import Stage

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


def open_lane(town: carla.Map, length: float) -> carla.Waypoint:
    """A place that a lane of this length leads to without a junction (m)."""
    for lane in town.generate_waypoints(20.0):
        ahead = lane.next(length)
        if not lane.is_junction and ahead and not ahead[0].is_junction and ahead[0].road_id == lane.road_id:
            return ahead[0]
    raise AssertionError("the town has no such lane")


def test_a_flow_stops_behind_who_stands_in_its_way(make_env: Callable[..., CarlaEnv], town: carla.Map) -> None:
    env = make_env(route={"length": 200.0})
    env.reset(seed=3)
    core = env.core
    assert core.sensor_interface.route is not None
    stage = Stage(core, RouteRoad(core.map, core.sensor_interface.route), np.random.default_rng(0))
    path = path_of(back_along(open_lane(town, 90.0), 90.0))
    stands = core.spawn("vehicle.nissan.patrol", path.pose(70.0, above=0.3))
    flow = Flow(stage, path, (25.0, 25.0), 12.0)
    reached = []
    for _ in range(150):
        flow.move()
        env.step(np.array([-1.0, 0.0], np.float32))
        reached.append([car.at for car in flow._cars])
    assert 55.0 < reached[-1][0] < 66.0
    assert len(reached[-1]) > 1  # those behind it wait, too
    assert path.nearest(stands.get_location().x, stands.get_location().y)[1] == pytest.approx(70.0, abs=0.2)
    stage.clear()


def test_the_way_behind_a_lane_ends_at_a_junction_or_leads_through_it(town: carla.Map) -> None:
    after = next(
        waypoint
        for waypoint in town.generate_waypoints(2.0)
        if not waypoint.is_junction and waypoint.previous(4.0) and waypoint.previous(4.0)[0].is_junction
    )
    short, long = (path_of([*back_along(after, 60.0, through), *after.next(3.0)]) for through in (False, True))
    assert short.length < 20.0
    assert long.length > 55.0
    turns = np.abs(np.diff(np.unwrap([long.yaw(at) for at in np.arange(0.0, long.length, 2.0)])))
    assert turns.max() < 0.5
