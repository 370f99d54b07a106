"""How the client's Traffic Manager drives here."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import carla
import pytest

from benchmarks.traffic import Measurement, Traffic, read_drives, row
from tests.known import actors_of, of_kind


def test_the_traffic_manager_keeps_to_lights_and_limits_and_hits_nothing(embedded_server: tuple[str, int]) -> None:
    client = carla.Client(*embedded_server)
    client.set_timeout(60.0)
    measurement = Measurement(client, "Minitown", 15, 1, "vehicle.*")
    traffic = measurement.run(90.0)
    measurement.close()
    assert traffic.cars == 15
    assert traffic.events == []
    assert not traffic.lost
    assert traffic.speed > 10.0
    assert traffic.speeding < 0.01


@pytest.mark.parametrize(("ignored", "stops"), [(0, True), (100, False)])
def test_the_traffic_manager_stops_at_stop_signs_unless_told_otherwise(
    embedded_server: tuple[str, int], ignored: int, stops: bool
) -> None:
    client = carla.Client(*embedded_server)
    client.set_timeout(60.0)
    measurement = Measurement(client, "Minitown", 0, 1)
    world, manager = measurement.world, measurement.manager
    assert manager is not None
    sign = actors_of(world, "traffic.stop")[0]
    line = world.get_map().get_waypoint(sign.get_transform().transform(sign.trigger_volume.location))
    start = line.previous(20.0)[0].transform
    start.location.z += 0.3
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = of_kind(carla.Vehicle, world.spawn_actor(blueprint, start))
    measurement.cars[car.id] = car
    car.set_autopilot(True, manager.get_port())
    manager.ignore_signs_percentage(car, ignored)
    speeds, reds = [], 0
    for _ in range(300):
        world.tick()
        reds += car.get_traffic_light_state() == carla.TrafficLightState.Red
        assert not car.is_at_traffic_light()
        speeds.append(car.get_velocity().length())
        beyond = car.get_location() - line.transform.location
        if beyond.dot(line.transform.get_forward_vector()) > 6.0:
            break
    measurement.close()
    assert reds > 5
    assert len(speeds) < 300
    fast = next(k for k, speed in enumerate(speeds) if speed > 3.0)
    assert (min(speeds[fast:]) < 0.01) == stops


def test_drives_of_several_processes_are_shown_together(tmp_path: Path) -> None:
    short = Traffic("Town01", 1, cars=50, car_hours=1.0, speed=10.0, events=[{"what": "collision"}])
    drives = [short, Traffic("Town01", 2, cars=50, car_hours=3.0, speed=20.0, lost={7})]
    for drive in drives:
        (tmp_path / f"{drive.seed}.jsonl").write_text(json.dumps(asdict(drive), default=sorted) + "\n")
    read = read_drives(sorted(tmp_path.iterdir()))
    assert read == drives
    assert row("all", read)[:10] == ("all", "2", "100", "4.00", "0.25", "0", "1.0", "1", "0.00", "17.5")
    assert row("all", read)[10:] == ("0.0", "0.0", "0.0")
