"""Traffic lights and signs of the road network, and lights in time."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable

import carla
import numpy as np
import pytest

from minicarla.labels import POLES
from minicarla.physics.ground import ground_at
from minicarla.physics.state import VEHICLE
from minicarla.town import Signal, Town
from minicarla.world.actors import VEHICLE_STATUS
from minicarla.world.signal_zones import STOP_TIME, index_zones, look_at_signals
from minicarla.world.traffic_lights import GREEN, GREEN_TIME, LIGHT, RED, RED_TIME, YELLOW, YELLOW_TIME, TrafficLights
from tests.known import present
from tests.minicarla.truth import recorded

TOWNS = ["Minitown", "Town01", "Town02", "Town03", "Town04", "Town05", "Town10HD"]
_STEP = 0.05


def lights_of(town: Town) -> list[Signal]:
    return [signal for signal in town.signals if signal.is_traffic_light]


def trigger_location(signal: Signal) -> carla.Location:
    """Middle of the trigger volume in the world, as scenario tools compute it."""
    transform = carla.Transform(
        carla.Location(signal.x, signal.y, signal.z), carla.Rotation(signal.pitch, signal.yaw, signal.roll)
    )
    return carla.Location(transform.transform(carla.Location(signal.trigger_x, signal.trigger_y, signal.trigger_z)))


def test_the_built_in_town_has_every_kind_of_signal(minitown: Town) -> None:
    kinds = Counter(signal.type_id for signal in minitown.signals)
    assert kinds["traffic.traffic_light"] >= 8
    assert kinds["traffic.stop"] >= 3
    assert kinds["traffic.yield"] == 3
    assert {"traffic.speed_limit.30", "traffic.speed_limit.60", "traffic.speed_limit.90"} <= set(kinds)


@pytest.mark.parametrize("name", TOWNS)
def test_signals_are_the_clients_landmarks(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    landmarks = {landmark.id: landmark for landmark in town.carla_map.get_all_landmarks()}
    assert town.signals
    for signal in town.signals:
        # The client moves signals that stand on or close to a lane away from it.
        location = landmarks[signal.sign_id].transform.location
        assert math.hypot(location.x - signal.x, location.y - signal.y) < 5.0


@pytest.mark.parametrize("name", TOWNS)
def test_trigger_volumes_lie_before_junctions_on_the_lanes_that_they_stop(
    name: str, town_named: Callable[[str], Town]
) -> None:
    town = town_named(name)
    for signal in lights_of(town):
        waypoint = town.carla_map.get_waypoint(trigger_location(signal))
        assert not waypoint.is_junction
        # The light faces the traffic: its actor's yaw is that of the traffic plus 90 degrees, as in CARLA.
        difference = (waypoint.transform.rotation.yaw + 90.0 - signal.yaw + 180.0) % 360.0 - 180.0
        assert abs(difference) < 45.0
        assert any((road, lane) == (waypoint.road_id, waypoint.lane_id) for road, lane, _ in signal.stop_lanes)
        assert any(following.is_junction for following in waypoint.next(6.0))


@pytest.mark.parametrize("name", TOWNS)
def test_every_approach_of_a_junction_with_lights_has_one(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    junctions = {light.junction for light in lights_of(town)}
    stops = {(road, lane) for light in lights_of(town) for road, lane, _ in light.stop_lanes}
    for before, inside in town.carla_map.get_topology():
        if before.is_junction or not inside.is_junction or inside.get_junction().id not in junctions:
            continue
        last = [before, *before.next_until_lane_end(1.0)][-1]
        # CARLA's Town05 has a junction with one approach that is not controlled.
        if (name, last.road_id) != ("Town05", 13):
            assert (last.road_id, last.lane_id) in stops


@pytest.mark.parametrize("name", TOWNS)
def test_posts_stand_on_the_ground_and_not_on_the_way(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    for signal in town.signals:
        height = ground_at(town.surface, signal.x, signal.y, signal.z + 0.2)[0]
        assert height == pytest.approx(signal.z, abs=0.05)
        waypoint = town.carla_map.get_waypoint(carla.Location(signal.x, signal.y, signal.z))
        offset = waypoint.transform.location.distance(carla.Location(signal.x, signal.y, signal.z))
        assert offset > 0.5 * waypoint.lane_width - 0.1, f"{signal.type_id} {signal.sign_id} stands on a lane"


@pytest.mark.parametrize("name", TOWNS)
def test_lights_of_a_junction_never_let_crossing_traffic_go_at_once(
    name: str, town_named: Callable[[str], Town]
) -> None:
    town = town_named(name)
    signals = lights_of(town)
    lights = TrafficLights(town.signals)
    for _ in range(900):
        lights.tick(0.1)
        for group in set(lights.group.tolist()):
            going = [
                signals[row]
                for row in np.flatnonzero(lights.group == group)
                if lights.rows["state"][row] in (GREEN, YELLOW)
            ]
            for other in going[1:]:
                turn = abs((other.yaw - going[0].yaw + 180.0) % 360.0 - 180.0)
                assert turn < 45.0 or turn > 135.0


def test_a_phase_runs_green_yellow_red_and_then_it_is_the_next_ones_turn(minitown: Town) -> None:
    lights = TrafficLights(minitown.signals)
    members = lights.group_rows(0)
    assert len(members) >= 3
    first = [row for row in members if lights.rows["state"][row] == GREEN]
    rest = [row for row in members if row not in first]
    assert first
    assert rest
    lights.tick(GREEN_TIME - 0.01)
    assert lights.rows["elapsed"][first[0]] == pytest.approx(GREEN_TIME - 0.01, abs=1e-4)
    assert set(lights.rows["state"][first]) == {GREEN}
    lights.tick(0.02)
    assert set(lights.rows["state"][first]) == {YELLOW}
    lights.tick(YELLOW_TIME)
    assert set(lights.rows["state"][members]) == {RED}
    lights.tick(RED_TIME)
    assert set(lights.rows["state"][rest]) == {GREEN}
    assert set(lights.rows["state"][first]) == {RED}


def test_times_freeze_state_and_reset(minitown: Town) -> None:
    lights = TrafficLights(minitown.signals)
    members = lights.group_rows(0)
    green = next(row for row in members if lights.rows["state"][row] == GREEN)
    lights.set_green_time(green, 20.0)
    lights.tick(15.0)
    assert lights.rows["state"][green] == GREEN
    lights.freeze(green, True)
    lights.tick(60.0)
    assert lights.rows["state"][green] == GREEN
    assert lights.rows["frozen"][members].all()
    lights.freeze_all(False)
    lights.set_state(green, RED)
    assert lights.rows["state"][green] == RED
    assert lights.rows["elapsed"][green] == 0.0
    lights.reset_group(green)
    assert lights.rows["state"][green] == GREEN
    assert lights.rows["green"][green] == 20.0
    lights.restore()
    assert lights.rows["green"][green] == np.float32(GREEN_TIME)


@pytest.mark.parametrize("colour", ["green", "yellow", "red"])
def test_a_time_is_that_of_all_lights_of_a_phase_and_of_no_other(minitown: Town, colour: str) -> None:
    lights = TrafficLights(minitown.signals)
    before = lights.rows[colour].copy()
    phases = list(zip(lights.group.tolist(), lights.phase.tolist()))
    row, twin = next((a, b) for a in range(len(phases)) for b in range(a) if phases[a] == phases[b])
    getattr(lights, f"set_{colour}_time")(row, 7.5)
    changed = np.flatnonzero(lights.rows[colour] != before).tolist()
    assert twin in changed
    assert changed == [number for number, phase in enumerate(phases) if phase == phases[row]]


def test_times_of_zero_do_not_hang(minitown: Town) -> None:
    lights = TrafficLights(minitown.signals)
    for row in range(len(lights.rows)):
        lights.set_green_time(row, 0.0)
        lights.set_yellow_time(row, 0.0)
        lights.set_red_time(row, 0.0)
    lights.tick(1.0)
    assert set(lights.rows["state"]) <= {RED, YELLOW, GREEN}


def look(town: Town, x: float, y: float, z: float, yaw: float, half_length: float = 2.0) -> np.void:
    """What a vehicle at a place notes of the signals; before, it stood at some light."""
    vehicles, status = np.zeros(1, VEHICLE), np.zeros(1, VEHICLE_STATUS)
    vehicles["x"], vehicles["y"], vehicles["z"], vehicles["yaw"] = x, y, z, yaw
    vehicles["extent_x"] = half_length
    status["light_id"] = 7
    lights = TrafficLights(town.signals)
    lights.tick(_STEP)
    ids = np.arange(1000, 1000 + len(lights.rows), dtype=np.uint32)
    look_at_signals(index_zones(town.signal_zones, town.signals), vehicles, lights.rows, ids, status, _STEP)
    return status[0]


@pytest.mark.parametrize("name", TOWNS)
def test_a_vehicle_at_the_stop_line_stands_at_its_light(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    signals = lights_of(town)
    for index, signal in enumerate(signals):
        for road, lane, s in signal.stop_lanes:
            waypoint = present(town.carla_map.get_waypoint_xodr(road, lane, s))
            location, yaw = waypoint.transform.location, math.radians(waypoint.transform.rotation.yaw)
            at = (location.x - 3.0 * math.cos(yaw), location.y - 3.0 * math.sin(yaw), location.z)
            noted = look(town, *at, yaw)
            assert noted["has_light"]
            assert signals[int(noted["light_id"]) - 1000].group == signals[index].group
            assert not look(town, *at, yaw + math.pi)["has_light"]
            past = (location.x + 8.0 * math.cos(yaw), location.y + 8.0 * math.sin(yaw), location.z)
            beyond = look(town, *past, yaw)
            assert (beyond["has_light"], beyond["light_id"]) == (0, 0)


def test_who_can_stop_at_a_light_that_was_green_leaves_it_for_one_tick(minitown: Town) -> None:
    signal = lights_of(minitown)[0]
    pose = present(minitown.carla_map.get_waypoint_xodr(*signal.stop_lanes[0])).transform
    vehicles, status = np.zeros(4, VEHICLE), np.zeros(4, VEHICLE_STATUS)
    vehicles["x"], vehicles["y"], vehicles["z"] = pose.location.x, pose.location.y, pose.location.z
    vehicles["yaw"] = math.radians(pose.rotation.yaw)
    lights = TrafficLights(minitown.signals)
    ids = np.arange(1000, 1000 + len(lights.rows), dtype=np.uint32)
    zones = index_zones(minitown.signal_zones, minitown.signals)
    states, seen = [], []
    for _ in range(round(80.0 / _STEP)):
        lights.tick(_STEP)
        states.append(int(lights.rows["state"][0]))
        # The last one is held up when its light is red already.
        vehicles["vx"] = 0.0, 5.0, 1.5, 0.0 if states[-1] == RED else 5.0
        look_at_signals(zones, vehicles, lights.rows, ids, status, _STEP)
        seen.append(status["has_light"] != 0)
    waiting, passing, slow, held_up = (
        [tick for tick, at in enumerate(column) if not at] for column in np.array(seen).T
    )
    turned = {state: _turns_from(states, state) for state in (GREEN, YELLOW)}
    assert len(turned[GREEN]) == len(turned[YELLOW]) > 1
    assert waiting == slow == turned[GREEN]
    assert passing == []
    assert held_up == turned[YELLOW]


def _turns_from(states: list[int], state: int) -> list[int]:
    """Ticks in which a light changes from a state to another one."""
    return [tick for tick in range(1, len(states)) if states[tick - 1] == state != states[tick]]


def light_seen(town: Town, zone: np.void, seconds: float, crossing: np.ndarray | None = None) -> list[tuple[int, int]]:
    """State and has-light that a vehicle at a zone sees in every tick, with another one at `crossing` if given."""
    vehicles, status = np.zeros(2, VEHICLE), np.zeros(2, VEHICLE_STATUS)
    for name in ("x", "y", "z", "yaw"):
        vehicles[name][0] = zone[name]
    vehicles["extent_x"], vehicles["extent_y"] = 0.1, 0.1
    vehicles["x"][1], vehicles["y"][1], vehicles["z"][1] = (1e3, 1e3, 0.0) if crossing is None else crossing
    lights, ids = np.zeros(0, LIGHT), np.zeros(0, np.uint32)
    signs = index_zones(town.signal_zones[town.signal_zones["signal"] == zone["signal"]], town.signals)
    seen = []
    for _ in range(round(seconds / _STEP)):
        look_at_signals(signs, vehicles, lights, ids, status, _STEP)
        seen.append((int(status["light_state"][0]), int(status["has_light"][0])))
    return seen


@pytest.mark.parametrize("name", ["Minitown", "Town05", "Town07"])
def test_stop_and_yield_signs_are_red_lights_as_long_as_carlas_are(
    name: str, town_named: Callable[[str], Town]
) -> None:
    town = town_named(name)
    zones = [
        zone for zone in town.signal_zones if town.signals[zone["signal"]].type_id in ("traffic.stop", "traffic.yield")
    ]
    assert zones
    for zone in zones:
        sign = town.signals[zone["signal"]]
        red_at_first = round(STOP_TIME / _STEP) if sign.type_id == "traffic.stop" else 0
        alone = light_seen(town, zone, STOP_TIME + 1.0)
        assert {has_light for _, has_light in alone} == {0}
        assert [state for state, _ in alone].count(RED) == pytest.approx(red_at_first, abs=1)
        assert alone[-1] == (GREEN, 0)
        for place in sign.crossing[:: max(len(sign.crossing) // 5, 1)]:
            assert set(light_seen(town, zone, STOP_TIME + 1.0, place)) == {(RED, 0)}
    assert any(len(town.signals[zone["signal"]].crossing) for zone in zones)


@pytest.mark.parametrize("name", TOWNS)
def test_posts_stand_clear_of_all_lanes(name: str, town_named: Callable[[str], Town]) -> None:
    town = town_named(name)
    middle = np.array(
        [
            (point.transform.location.x, point.transform.location.y, point.transform.location.z, point.lane_width)
            for point in town.carla_map.generate_waypoints(0.5)
        ]
    )
    for post in town.obstacles[town.obstacles["label"] == POLES]:
        apart = np.hypot(middle[:, 0] - post["x"], middle[:, 1] - post["y"]) - 0.5 * middle[:, 3]
        on_its_level = np.abs(middle[:, 2] - (post["z"] - post["extent_z"])) < 2.0
        assert apart[on_its_level].min() > 0.9, (post["x"], post["y"])


def test_a_vehicle_takes_the_speed_limit_of_the_sign_that_it_passes(minitown: Town) -> None:
    signs = [signal for signal in minitown.signals if signal.type_id == "traffic.speed_limit.90"]
    assert signs
    for sign in signs:
        road, lane, s = sign.affected_lanes[0]
        pose = present(minitown.carla_map.get_waypoint_xodr(road, lane, s)).transform
        yaw = math.radians(pose.rotation.yaw)
        noted = look(minitown, pose.location.x, pose.location.y, pose.location.z, yaw)
        assert noted["speed_limit"] == 90.0
        assert look(minitown, pose.location.x, pose.location.y, 60.0, yaw)["speed_limit"] == 0.0


@pytest.mark.parametrize(("kind", "off"), [("traffic_light", 0.27), ("speed_limit.30", 0.01), ("speed_limit.90", 0.16)])
def test_town01_s_lights_and_signs_stand_where_carla_s_do(
    kind: str, off: float, town_named: Callable[[str], Town]
) -> None:
    theirs = json.loads(recorded("town01_actors.json").read_text())[f"traffic.{kind}"]
    ours = [signal for signal in town_named("Town01").signals if signal.type_id == f"traffic.{kind}"]
    assert len(ours) == len(theirs)
    away = [min(math.dist((one.x, one.y), place[:2]) for one in ours) for place in theirs]
    assert np.median(away) < 0.01
    assert max(away) < off
