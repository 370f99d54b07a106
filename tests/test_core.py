"""The world of an environment: names, spawn points, episodes, ticks."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import socket
import subprocess
import sys
from typing import Any

import carla
import numpy as np
import pytest

from rllib_integration.base_experiment import resolve_experiment_config
from rllib_integration.carla_core import CarlaCore, is_used
from rllib_integration.config.merging import ConfigError
from rllib_integration.scenario import (
    SpawnError,
    choose_blueprint,
    choose_town,
    choose_weather,
    hero_transforms,
    weather_presets,
)
from rllib_integration.ticking.frame_watch import FrameWatch
from rllib_integration.ticking.tickers import BundledTicker, TickedWorld
from tests.known import weather_named
from tests.patience import PATIENCE

TOWN = "Minitown"


def experiment(**settings):
    return resolve_experiment_config({"town": TOWN, **settings})


@pytest.fixture(scope="module")
def core(start_server):
    host, port = start_server().address
    core = CarlaCore({"server": {"kind": "external", "host": host, "port": port}})
    yield core
    core.close()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def episode(core, seed=0, **settings):
    """Set an episode up as the environment does; return the hero's first pose."""
    config = experiment(**settings)
    core.setup_experiment(config, seed)
    core.reset_hero(config["hero"])
    core.tick(None)
    return core.hero.get_transform()


# The world


def test_the_contracts_attributes_are_there(core):
    episode(core)
    assert isinstance(core.client, carla.Client)
    assert isinstance(core.world, carla.World)
    assert isinstance(core.map, carla.Map)
    assert core.hero.attributes["role_name"] == "hero"
    assert core.spectator.type_id == "spectator"
    assert core.server_port > 0
    assert core.actors == []
    assert core.config["timestep"] == 0.05


def test_time_advances_by_the_time_step_and_only_by_ticks(core):
    episode(core)
    before = core.world.get_snapshot()
    core.tick(None)
    after = core.world.get_snapshot()
    assert after.frame == before.frame + 1 == core.frame
    assert after.timestamp.elapsed_seconds - before.timestamp.elapsed_seconds == pytest.approx(0.05)
    assert core.world.get_settings().synchronous_mode


def test_a_long_time_step_gets_the_substeps_it_needs(start_server):
    host, port = start_server().address
    core = CarlaCore({"timestep": 0.2, "server": {"kind": "external", "host": host, "port": port}})
    settings = core.world.get_settings()
    core.close()
    assert settings.fixed_delta_seconds == pytest.approx(0.2)
    assert settings.max_substeps * settings.max_substep_delta_time >= 0.2 - 1e-9


def test_the_hero_obeys_its_control(core):
    start = episode(core).location
    for _ in range(60):
        core.tick(carla.VehicleControl(throttle=0.7))
    assert core.hero.get_velocity().length() > 2.0
    assert core.hero.get_transform().location.distance(start) > 2.0


def test_repeated_ticks_are_one_call(core):
    episode(core)
    frame = core.frame
    core.tick(carla.VehicleControl(throttle=0.5), repeat=5)
    assert core.frame == frame + 5


def test_sensor_data_is_of_the_frame_just_ticked(core):
    episode(core, hero={"sensors": {"imu": {"type": "sensor.other.imu"}, "gnss": {"type": "sensor.other.gnss"}}})
    for _ in range(20):
        data = core.tick(None)
        assert {name: reading[0] for name, reading in data.items()} == {"imu": core.frame, "gnss": core.frame}


def test_the_next_episode_leaves_nothing_of_the_last(core):
    sensors = {"imu": {"type": "sensor.other.imu"}}
    episode(core, hero={"sensors": sensors})
    first = core.hero.id
    episode(core, hero={"sensors": {"renamed": sensors["imu"]}})
    actors = [actor for actor in core.world.get_actors() if actor.type_id.startswith(("vehicle", "sensor"))]
    assert len(actors) == 3  # with the collision sensor of the metrics
    assert first not in {actor.id for actor in actors}
    assert list(core.tick(None)) == ["renamed"]


def test_reset_hero_alone_replaces_the_hero(core):
    episode(core)
    first = core.hero.id
    core.reset_hero(experiment()["hero"])
    core.tick(None)
    vehicles = core.world.get_actors().filter("vehicle.*")
    assert [vehicle.id for vehicle in vehicles] == [core.hero.id]
    assert core.hero.id != first


def test_the_spectator_follows_five_metres_behind_and_three_above(core):
    episode(core)
    core.set_spectator_camera_view()
    core.tick(None)
    hero, spectator = core.hero.get_transform(), core.spectator.get_transform()
    forward = hero.get_forward_vector()
    assert spectator.location.z - hero.location.z == pytest.approx(3.0 - 5.0 * forward.z, abs=0.2)
    assert spectator.location.distance_2d(hero.location) == pytest.approx(5.0, abs=0.2)


def test_a_step_is_one_hand_over_and_one_request(core, monkeypatch):
    episode(core, hero={"sensors": {"imu": {"type": "sensor.other.imu"}}})
    handed_over, requests = [], []
    begin = type(core.pool.calls).begin
    world = core.world

    def record(calls, function, *arguments, timeout=None):
        handed_over.append(function)
        return begin(calls, function, *arguments, timeout=timeout)

    class Recorder:
        def __getattr__(self, name):
            requests.append(name)
            return getattr(world, name)

    monkeypatch.setattr(type(core.pool.calls), "begin", record)
    monkeypatch.setattr(core.connection, "world", Recorder())
    data = core.tick(carla.VehicleControl(throttle=0.1))
    assert len(handed_over) == 1
    assert requests == ["tick"]
    assert data["imu"][0] == core.frame


def test_a_forked_process_does_not_end_the_clients_it_inherits(core):
    class Unreachable:
        def __init__(self):
            self.itself, self.client = self, carla.Client("127.0.0.1", core.server_port)

    gc.disable()
    try:
        Unreachable()
        child = multiprocessing.get_context("fork").Process(target=gc.collect)
        child.start()
    finally:
        gc.enable()
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
    assert child.exitcode == 0


def test_a_forked_process_ticks_without_the_traffic_managers_it_inherits():
    core = CarlaCore({"server": {"kind": "embedded"}})
    core.setup_experiment(experiment(), 0)
    assert core.traffic_manager.get_port() == core.tm_port

    def tick():
        client = carla.Client("127.0.0.1", core.server_port)
        client.set_timeout(PATIENCE)
        client.get_world().tick()

    child = multiprocessing.get_context("fork").Process(target=tick)
    child.start()
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
    core.close()
    assert child.exitcode == 0


def test_a_queued_tick_that_fails_is_made_up_for(core):
    asked = []

    def lose_the_second(commands, do_tick):
        asked.append(commands)
        if len(asked) != 2:
            core.client.apply_batch(commands, do_tick)

    episode(core)
    before = core.world.get_snapshot().frame
    place = TickedWorld(core.world, core.pool.calls, PATIENCE, core.sensor_interface)
    frames = FrameWatch(core.world)
    ticker = BundledTicker(place, frames, lose_the_second)
    assert ticker.finish_ticks(4, ticker.ask_ahead(4)) == before + 4
    frames.stop()
    assert core.world.get_snapshot().frame == before + 4


# Towns and layers


def test_fault_7_town_weather_and_traffic_are_drawn_for_each_episode(core):
    towns = [TOWN, "Town01"]
    available = core.client.get_available_maps()
    if "Town01" not in {path.rsplit("/", 1)[-1] for path in available}:
        towns = [TOWN]
    seen = {choose_town(towns, available, np.random.default_rng(seed)) for seed in range(20)}
    assert seen == set(towns)
    weathers = set()
    for seed in range(8):
        episode(core, seed, weather=["ClearNoon", "HardRainNoon"])
        weathers.add(core.world.get_weather().precipitation)
    assert len(weathers) == 2


def test_every_episode_begins_with_the_same_lights(core):
    def lights():
        found = core.world.get_actors().filter("traffic.traffic_light")
        return {light.id: light.state for light in found}

    episode(core)
    first = lights()
    for light in core.world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Yellow)
    core.tick(None)
    assert lights() != first
    episode(core)
    assert lights() == first


def test_the_weather_asked_for_also_holds_in_the_next_town(core):
    for town in ("Town02", TOWN):
        episode(core, town=town, weather="HardRainNoon")
        assert core.world.get_weather() == weather_named("HardRainNoon")


def test_any_available_town_may_be_drawn(rng):
    available = ["/Game/Carla/Maps/Town01", "/Game/Carla/Maps/Town02", "/Game/Carla/Maps/Town02_Opt"]
    drawn = {choose_town("random", available, rng) for _ in range(60)}
    assert drawn == {"Town01", "Town02", "Town02_Opt"}


def test_a_town_and_its_layered_twin_stand_for_each_other(rng):
    assert choose_town("Town05_Opt", ["/Game/Carla/Maps/Town05"], rng) == "Town05_Opt"
    assert choose_town("/Game/Carla/Maps/Town05", ["Town05_Opt"], rng) == "/Game/Carla/Maps/Town05"


def test_fault_11_layers_are_left_out_of_layered_towns_only(core, monkeypatch):
    asked = []

    class Client:
        def set_timeout(self, seconds):
            pass

        def load_world(self, town, reset_settings, layers):
            asked.append((town, reset_settings, layers))
            return core.world

    monkeypatch.setattr(core.connection, "client", Client())
    monkeypatch.setattr(core.connection, "town", None)
    monkeypatch.setattr(core, "_weather", None)
    core._load_town("Town05_Opt")
    core._load_town("Town05")
    monkeypatch.setitem(core.config, "enable_map_assets", True)
    core._load_town("Town05_Opt")
    assert asked == [
        ("Town05_Opt", False, carla.MapLayer.NONE),
        ("Town05", False, carla.MapLayer.All),
        ("Town05_Opt", False, carla.MapLayer.All),
    ]


def test_the_same_town_is_not_loaded_again(core):
    episode(core)
    world = core.world.id
    episode(core, 1)
    assert core.world.id == world


# Names that don't exist


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"town": "Minitwon"}, "no town 'Minitwon'.*Minitown"),
        ({"weather": "ClearNon"}, "'ClearNon' is no preset.*ClearNoon"),
        ({"weather": {"cloudyness": 3}}, "'cloudyness' is no parameter.*cloudiness"),
        ({"weather": {"cloudiness": "thick"}}, "cloudiness is 'thick'.*number"),
        ({"hero": {"blueprint": "vehicle.lincoln.mkz2017"}}, "no blueprint 'vehicle.lincoln.mkz2017'.*mkz_2017"),
        ({"hero": {"spawn_points": ["1,2"]}}, "'1,2' can't be read"),
        ({"hero": {"spawn_points": ["1,2,z"]}}, "'1,2,z' can't be read"),
        ({"hero": {"spawn_points": ["1,2,3,4,5,nan"]}}, "can't be read"),
        ({"hero": {"spawn_points": ["9000,9000,0"]}}, "m from the nearest lane"),
    ],
)
def test_a_name_that_does_not_exist_is_a_sentence_with_the_nearest_right_ones(core, settings, expected):
    with pytest.raises(ConfigError, match=expected):
        episode(core, **settings)


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        ({"type": "sensor.camera.rbg"}, "sensor.camera.rgb"),
        ({"type": "sensor.other.imu", "noise_sed": 3}, "noise_seed"),
        ({"type": "sensor.other.imu", "transform": "1,2,3"}, "six numbers"),
    ],
)
def test_a_sensor_that_can_not_be_is_a_sentence(core, sensor, expected):
    with pytest.raises((RuntimeError, ValueError), match=expected):
        episode(core, hero={"sensors": {"bad": sensor}})
    episode(core)


# Where the hero starts


def test_fault_8_a_short_spawn_point_starts_on_its_lane_or_up_to_five_metres_behind(core):
    own = core.map.get_spawn_points()[0].location
    lane = core.map.get_waypoint(own)
    starts = []
    for seed in range(12):
        points = [f"{own.x},{own.y},{lane.transform.location.z + 0.7}"]
        pose = hero_transforms(points, core.map, np.random.default_rng(seed))[0]
        waypoint = core.map.get_waypoint(pose.location)
        assert pose.location.distance_2d(waypoint.transform.location) < 0.1
        assert pose.location.z == pytest.approx(waypoint.transform.location.z + 0.7, abs=0.01)
        turn = (pose.rotation.yaw - waypoint.transform.rotation.yaw + 180) % 360 - 180
        assert abs(turn) < 1.0
        starts.append(pose.location.distance_2d(lane.transform.location))
    assert max(starts) <= 5.1
    assert max(starts) - min(starts) > 1.0


def test_fault_8_a_lane_that_begins_at_the_point_has_nothing_behind_and_still_starts(core, monkeypatch):
    own = core.map.get_spawn_points()[0].location

    class NothingBehind:
        transform = core.map.get_waypoint(own).transform

        def previous(self, distance):
            return []

    class Map:
        name = core.map.name

        def get_waypoint(self, location):
            return NothingBehind()

    carla_map: Any = Map()
    pose = hero_transforms([f"{own.x},{own.y},{own.z}"], carla_map, np.random.default_rng(1))[0]
    assert pose.location.distance_2d(NothingBehind.transform.location) < 0.01


def test_a_long_spawn_point_is_taken_as_it_is(core, rng):
    pose = hero_transforms(["1,2,3,4,5,6"], core.map, rng)[0]
    assert (pose.location.x, pose.location.y, pose.location.z) == (1.0, 2.0, 3.0)
    assert (pose.rotation.roll, pose.rotation.pitch, pose.rotation.yaw) == (4.0, 5.0, 6.0)
    assert hero_transforms([[1, 2, 3, 4, 5, 6]], core.map, rng)[0] == pose


def test_spawn_points_may_be_given_by_town(core, rng):
    points = {TOWN: ["1,2,3,0,0,0"], "Town05": ["4,5,6,0,0,0"]}
    assert [pose.location.x for pose in hero_transforms(points, core.map, rng)] == [1.0]
    elsewhere = {"Town05": ["4,5,6,0,0,0"]}
    assert len(hero_transforms(elsewhere, core.map, rng)) == len(core.map.get_spawn_points())


def test_fault_9_the_spawn_points_are_shuffled_by_the_seed(core):
    order = [
        [pose.location.x for pose in hero_transforms([], core.map, np.random.default_rng(seed))] for seed in (1, 1, 2)
    ]
    assert order[0] == order[1] != order[2]
    assert sorted(order[0]) == sorted(order[2])


def test_fault_10_no_free_spawn_point_is_a_sentence_and_costs_only_the_episode(core):
    pose = episode(core, hero={"spawn_points": []})
    place = pose.location
    blocker = core.world.get_blueprint_library().find("vehicle.tesla.model3")
    point = f"{place.x},{place.y},{place.z + 0.5},0,0,{pose.rotation.yaw}"
    episode(core, 1)
    core.hero.set_transform(carla.Transform(carla.Location(0, 0, 50)))
    core.tick(None)
    actor = core.world.spawn_actor(blocker, carla.Transform(place + carla.Location(z=0.5), pose.rotation))
    try:
        with pytest.raises(SpawnError, match="could not be spawned on any of 1 spawn points of Minitown"):
            episode(core, hero={"spawn_points": [point]})
    finally:
        actor.destroy()
        core.world.tick()
    assert episode(core, hero={"spawn_points": [point]}).location.distance(place) < 1.0


def test_an_occupied_spawn_point_is_passed_over(core):
    points = core.map.get_spawn_points()[:2]
    texts = [f"{p.location.x},{p.location.y},{p.location.z},0,0,{p.rotation.yaw}" for p in points]
    episode(core, hero={"spawn_points": [texts[1]]})
    blueprint = core.world.get_blueprint_library().find("vehicle.tesla.model3")
    blocker = core.world.spawn_actor(blueprint, points[0])
    try:
        for seed in range(4):
            place = episode(core, seed, hero={"spawn_points": texts}).location
            assert place.distance_2d(points[1].location) < 0.5
    finally:
        blocker.destroy()


def test_blueprints_may_be_patterns_and_lists(core):
    library = core.world.get_blueprint_library()
    drawn = {
        choose_blueprint(library, ["vehicle.audi.*", "vehicle.tesla.model3"], np.random.default_rng(seed)).id
        for seed in range(30)
    }
    assert "vehicle.tesla.model3" in drawn
    assert len(drawn) > 2
    assert {name.split(".")[1] for name in drawn} == {"audi", "tesla"}


def test_weather_may_be_parameters(rng):
    weather = choose_weather({"cloudiness": 70, "fog_density": 5.5}, rng)
    assert (weather.cloudiness, weather.fog_density) == (70.0, 5.5)
    assert weather.sun_altitude_angle == weather_named("ClearNoon").sun_altitude_angle


def test_random_weather_is_any_preset(rng):
    presets = list(weather_presets().values())
    drawn = [presets.index(choose_weather("random", rng)) for _ in range(300)]
    assert len(set(drawn)) > len(presets) // 2


# Metrics and routes


def test_the_episodes_metrics_follow_the_hero(core):
    start = episode(core).location
    for _ in range(60):
        core.tick(carla.VehicleControl(throttle=0.7))
    summary = core.metrics.summary()
    moved = core.hero.get_transform().location.distance(start)
    assert summary["distance"] >= moved - 0.5 > 2.0
    assert summary["duration"] == pytest.approx(60 * 0.05, abs=0.06)
    episode(core)
    assert core.metrics.summary()["distance"] < 1.0


def test_a_route_of_a_length_begins_at_the_hero_and_is_drawn_from_the_seed(core):
    goals = []
    for seed in (1, 1, 2):
        episode(core, seed)
        core.set_route({"length": 150})
        core.tick(None)
        route = core.sensor_interface.route
        assert route.length >= 100
        assert core.metrics.summary()["route_completion"] < 20
        goals.append((route.goal.x, route.goal.y))
    assert goals[0] == goals[1] != goals[2]


def test_a_route_may_lead_to_a_goal_and_a_goal_that_is_none_is_a_sentence(core):
    episode(core)
    goal = core.map.get_spawn_points()[5].location
    core.set_route({"goal": f"{goal.x},{goal.y},{goal.z}"})
    assert core.sensor_interface.route.goal.distance_2d(goal) < 5.0
    with pytest.raises(ConfigError, match=r"route\.goal is 'there'"):
        core.set_route({"goal": "there"})
    core.set_route(None)
    assert core.sensor_interface.route is None


# Ports, kinds, messages


def test_is_used_tells_a_busy_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert is_used(port)
    assert not is_used(port)


def test_without_carla_root_the_embedded_server_is_used_and_a_line_says_so():
    code = "\n".join(
        [
            "from rllib_integration import CarlaCore",
            "core = CarlaCore()",
            "print(core.server.kind)",
            "core.close(); core.close()",
        ]
    )
    environment = {name: value for name, value in os.environ.items() if name != "CARLA_ROOT"}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert [line for line in lines if "CARLA_ROOT is not set" in line and "embedded" in line] != []
    assert lines[-1] == "embedded"


def test_more_traffic_than_there_is_room_for_is_a_warning(core, caplog):
    with caplog.at_level(logging.WARNING):
        episode(core, background_activity={"n_vehicles": 100000 // 250})
    messages = [record.message for record in caplog.records if "vehicles found a free" in record.message]
    episode(core)
    assert len(messages) == 1
