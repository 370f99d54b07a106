"""Cars that the server drives itself, one by one: how they change lanes, and what they stop for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import carla
import pytest

from rllib_integration.traffic.manners import TRAFFIC_MANNERS
from rllib_integration.traffic.server_traffic import order_driving
from tests.conftest import EmbeddedServer
from tests.known import actors_of, of_kind, present
from tests.patience import PATIENCE

_CAR = "vehicle.tesla.model3"


class Scene:
    """Minitown, synchronous and empty, with its avenue: 62 m with two lanes for each direction."""

    def __init__(self, client: carla.Client) -> None:
        self.client = client
        self.world = client.load_world("Minitown", reset_settings=True)
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        self.world.apply_settings(settings)
        self.map = self.world.get_map()
        self.touched: list[carla.CollisionEvent] = []
        self._sensors: list[carla.Sensor] = []

    def avenue(self, lane: int, s: float) -> carla.Waypoint:
        """A place on one of its eastern lanes, -1 or -2 (the right one)."""
        return present(self.map.get_waypoint_xodr(0, lane, s))

    def park(self, place: carla.Waypoint) -> carla.Vehicle:
        """A car that stands there."""
        pose = place.transform
        pose.location.z += 0.3
        blueprint = self.world.get_blueprint_library().find(_CAR)
        return of_kind(carla.Vehicle, self.world.spawn_actor(blueprint, pose))

    def drive(self, place: carla.Waypoint, **manners: float) -> carla.Vehicle:
        """A car that the server drives from there on, like the Traffic Manager's but for these manners."""
        car = self.park(place)
        blueprint = self.world.get_blueprint_library().find("sensor.other.collision")
        sensor = of_kind(carla.Sensor, self.world.spawn_actor(blueprint, carla.Transform(), attach_to=car))
        sensor.listen(self.touched.append)
        self._sensors.append(sensor)
        self.world.tick()
        order_driving(self.client, {car.id: {**TRAFFIC_MANNERS, **manners}}, 1)
        return car

    def lane_of(self, car: carla.Vehicle) -> int:
        """The lane under its middle."""
        return present(self.map.get_waypoint(car.get_location())).lane_id

    def tick_until(self, happened: Callable[[], bool], ticks: int = 600) -> bool:
        """Whether something happened within so many ticks; the world is ticked until it does."""
        for _ in range(ticks):
            self.world.tick()
            if happened():
                return True
        return False

    def close(self) -> None:
        """End the sensors."""
        for sensor in self._sensors:
            sensor.stop()


@pytest.fixture(scope="module")
def client(start_server: Callable[..., EmbeddedServer]) -> Iterator[carla.Client]:
    server = start_server("--skip-overtaken-frames")
    client = carla.Client(*server.address, worker_threads=1)
    client.set_timeout(PATIENCE)
    yield client
    server.stop()


@pytest.fixture
def scene(client: carla.Client) -> Iterator[Scene]:
    scene = Scene(client)
    yield scene
    scene.close()


@pytest.mark.parametrize(("own", "other"), [(-1, -2), (-2, -1)])
def test_a_car_drives_round_one_that_stands_ahead(scene: Scene, own: int, other: int) -> None:
    obstacle = scene.park(scene.avenue(own, 44.0))
    car = scene.drive(scene.avenue(own, 4.0))
    assert scene.tick_until(lambda: scene.lane_of(car) == other)
    assert scene.tick_until(lambda: car.get_location().x > obstacle.get_location().x + 5.0)
    assert scene.touched == []


def test_a_car_waits_behind_one_that_stands_ahead_if_there_is_no_room_beside_it(scene: Scene) -> None:
    obstacle = scene.park(scene.avenue(-1, 44.0))
    scene.park(scene.avenue(-2, 34.0))
    car = scene.drive(scene.avenue(-1, 4.0))
    assert not scene.tick_until(lambda: scene.lane_of(car) != -1)
    assert car.get_velocity().length() < 0.1
    assert 5.0 < obstacle.get_location().x - car.get_location().x < 10.0
    assert scene.touched == []


@pytest.mark.parametrize("distance", [1.0, 6.0])
def test_a_car_that_changes_no_lanes_waits_behind_one_that_stands_ahead(scene: Scene, distance: float) -> None:
    obstacle = scene.park(scene.avenue(-1, 44.0))
    car = scene.drive(scene.avenue(-1, 4.0), auto_lane_change=False, distance_to_leading_vehicle=distance)
    assert not scene.tick_until(lambda: scene.lane_of(car) != -1, 400)
    assert car.get_velocity().length() < 0.1
    between = obstacle.get_location().x - car.get_location().x - 2.0 * car.bounding_box.extent.x
    assert between == pytest.approx(distance, abs=0.7)


@pytest.mark.parametrize(
    ("own", "other", "manners"),
    [
        (-1, -2, {"random_right_lanechange_percentage": 100.0}),
        (-1, -2, {"keep_slow_lane_rule_percentage": 100.0}),
        (-2, -1, {"random_left_lanechange_percentage": 100.0}),
        (-1, -1, {"random_left_lanechange_percentage": 100.0}),
        (-2, -2, {"random_right_lanechange_percentage": 100.0}),
        (-1, -1, {}),
    ],
)
def test_a_car_changes_lanes_as_often_as_it_was_told_to(
    scene: Scene, own: int, other: int, manners: dict[str, float]
) -> None:
    car = scene.drive(scene.avenue(own, 4.0), **manners)
    end = scene.avenue(own, 58.0).transform.location.x
    assert scene.tick_until(lambda: car.get_location().x > end)
    assert scene.lane_of(car) == other


@pytest.mark.parametrize(("difference", "share"), [(0.0, 1.0), (50.0, 0.5), (-20.0, 1.2)])
def test_a_car_keeps_to_its_share_of_the_speed_limit(scene: Scene, difference: float, share: float) -> None:
    car = scene.drive(scene.avenue(-1, 2.0), vehicle_percentage_speed_difference=difference)
    end = scene.avenue(-1, 50.0).transform.location.x
    speeds = []
    while car.get_location().x < end:
        scene.world.tick()
        speeds.append(3.6 * car.get_velocity().length() / car.get_speed_limit())
    assert max(speeds) == pytest.approx(share, abs=0.1)


def test_a_car_hits_what_it_was_told_to_ignore(scene: Scene) -> None:
    obstacle = scene.park(scene.avenue(-1, 44.0))
    scene.drive(scene.avenue(-1, 4.0), auto_lane_change=False, ignore_vehicles_percentage=100.0)
    assert scene.tick_until(lambda: scene.touched != [])
    assert scene.touched[0].other_actor.id == obstacle.id


def _place_of(scene: Scene, sign: carla.TrafficSign) -> carla.Waypoint:
    """Where on the road a sign holds."""
    centre = sign.get_transform().transform(sign.trigger_volume.location)
    return present(scene.map.get_waypoint(carla.Location(centre.x, centre.y, centre.z)))


def _approach(scene: Scene, sign: carla.TrafficSign, **manners: float) -> tuple[carla.Vehicle, Callable[[], float]]:
    """A car that comes to a sign, and how far its middle is beyond the sign's place on the road [m]."""
    place = _place_of(scene, sign)
    line, ahead = place.transform.location, place.transform.get_forward_vector()
    car = scene.drive(place.previous(25.0)[0], **manners)
    return car, lambda: (car.get_location() - line).dot(ahead)


def _slowest(scene: Scene, car: carla.Vehicle, beyond: Callable[[], float]) -> float:
    """The least speed [m/s] of a car from 20 m before a sign until it has passed it."""
    speeds = [float("inf")]
    for _ in range(600):
        scene.world.tick()
        if beyond() > 6.0:
            return min(speeds)
        if beyond() > -20.0:
            speeds.append(car.get_velocity().length())
    raise AssertionError(f"the car stands {beyond():.1f} m beyond the sign")


@pytest.mark.parametrize(("ignored", "stops"), [(0.0, True), (100.0, False)])
def test_a_car_stops_at_every_stop_sign_unless_it_was_told_otherwise(scene: Scene, ignored: float, stops: bool) -> None:
    for sign in actors_of(scene.world, "traffic.stop"):
        car, beyond = _approach(scene, sign, ignore_signs_percentage=ignored)
        slowest = _slowest(scene, car, beyond)
        assert slowest < 0.1 if stops else slowest > 1.0, (sign.get_location(), slowest)
        car.destroy()


def test_a_car_passes_a_yield_sign_without_a_stop_where_nobody_comes(scene: Scene) -> None:
    for sign in actors_of(scene.world, "traffic.yield"):
        car, beyond = _approach(scene, sign)
        assert _slowest(scene, car, beyond) > 1.0
        car.destroy()


@pytest.mark.parametrize("number", range(3))
def test_a_car_waits_at_a_yield_sign_for_one_that_is_on_the_road_ahead(scene: Scene, number: int) -> None:
    sign = actors_of(scene.world, "traffic.yield")[number]
    obstacle = scene.park(_place_of(scene, sign).next(12.0)[0])
    car, beyond = _approach(scene, sign)
    assert not scene.tick_until(lambda: beyond() > 3.0, 300)
    assert car.get_velocity().length() < 0.1
    obstacle.destroy()
    assert scene.tick_until(lambda: beyond() > 6.0)


def test_a_car_slows_down_before_a_lower_limit_begins(scene: Scene) -> None:
    car, _ = _approach(scene, actors_of(scene.world, "traffic.speed_limit.90")[0])
    assert scene.tick_until(lambda: car.get_speed_limit() == 90.0)
    fastest = 0.0
    while car.get_speed_limit() == 90.0:
        scene.world.tick()
        fastest = max(fastest, 3.6 * car.get_velocity().length())
    assert car.get_speed_limit() < 0.7 * fastest
    assert 3.6 * car.get_velocity().length() < 1.1 * car.get_speed_limit()
