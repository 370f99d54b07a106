"""Recordings: what is in them, what is asked of them, how they are played."""

from __future__ import annotations

import os
import re
import resource

import carla
import numpy as np
import pytest

from minicarla.world.recording.file_format import (
    BODY_FRAME,
    LIGHT_FRAME,
    VEHICLE_FRAME,
    Frame,
    RecordingError,
    RecordingWriter,
    path_of,
    read_recording,
)
from tests.known import present, weather_named

_STEP = 0.05


def _ahead(point: carla.Transform, metres: float) -> carla.Transform:
    forward = point.get_forward_vector()
    ahead = carla.Location(x=metres * forward.x, y=metres * forward.y)
    return carla.Transform(carla.Location(point.location + ahead), point.rotation)


@pytest.fixture
def crash(carla_client):
    """A recording of a hero that drives into a parked car; returns the client, both ids and the hero's track."""
    world = carla_client.get_world()
    library, point = world.get_blueprint_library(), world.get_map().get_spawn_points()[0]
    parked = world.spawn_actor(library.find("vehicle.lincoln.mkz_2020"), _ahead(point, 14.0))
    blueprint = library.find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    hero = world.spawn_actor(blueprint, point)
    world.spawn_actor(library.find("sensor.other.collision"), carla.Transform(), attach_to=parked)
    world.tick()
    answer = carla_client.start_recorder("crash.log", True)
    hero.apply_control(carla.VehicleControl(throttle=0.8))
    track = []
    for _ in range(100):
        world.tick()
        track.append(hero.get_location())
    carla_client.stop_recorder()
    return carla_client, hero.id, parked.id, track, answer


def test_the_list_tells_who_came_and_what_collided(crash):
    client, hero, parked, _, _ = crash
    text = client.show_recorder_file_info("crash.log", False)
    assert text.startswith("Version: 1\nMap: Minitown\n")
    assert re.search(rf"\n Create {hero}: vehicle.tesla.model3 \(1\) at \(.*\n(  .* = .*\n)*  role_name = hero\n", text)
    # Whoever has the sensor is named first, as scenario_runner reads the other's id from the end of the line.
    assert re.search(rf"\n Collision id 0 between {parked} with {hero} \(hero\) \n", text)
    assert "Frames: 101" in text
    assert "Duration: 5 seconds" in text


def test_everything_is_told_frame_by_frame_in_carla_s_form(crash):
    client, hero, parked, track, _ = crash
    frames = re.split(r"\nFrame ", client.show_recorder_file_info("crash.log", True))[1:]
    assert [int(frame.split()[0]) for frame in frames] == list(range(1, 102))
    for index in (1, 50, 100):
        lines = frames[index].split("\n")
        place = next(line for line in lines if line.startswith(f"  Id: {hero} Location: ("))
        x, y, _ = re.findall(r"-?[\d.e+-]+", place.split("Location:")[1].split(")")[0])
        assert float(x) / 100.0 == pytest.approx(track[index - 1].x, abs=0.02)
        assert float(y) / 100.0 == pytest.approx(track[index - 1].y, abs=0.02)
        pedals = next(line for line in lines if line.startswith(f"  Id: {hero} Steering: "))
        assert float(pedals.split()[5]) == pytest.approx(0.8)
        titles = [line.split(":")[0] for line in lines if re.match(r" [A-Z]", line) and not line.startswith(" Coll")]
        assert titles == [
            " Positions", " State traffic lights", " Vehicle animations", " Walker animations",
            " Vehicle light animations", " Dynamic actors", " Current platform time",
        ]  # fmt: skip
    lights = {light.id for light in client.get_world().get_actors().filter("traffic.traffic_light")}
    told = {int(number) for number in re.findall(r"Id: (\d+) state: [0-4] frozen: [01] elapsedTime: ", frames[5])}
    assert told == lights
    assert re.search(rf"  Id: {parked} origin: \(.*\) extension: \(", frames[0])


def test_additional_data_tells_speeds_physics_and_light_times(crash):
    client, hero, _, track, _ = crash
    frames = re.split(r"\nFrame ", client.show_recorder_file_info("crash.log", True))[1:]
    told = re.search(rf"  Id: {hero} linear_velocity: \((\S+), (\S+), ", frames[30])
    speed = (track[29] - track[28]) / _STEP
    assert [float(part) for part in present(told).groups()] == pytest.approx([speed.x, speed.y], abs=0.3)  # [m/s]
    physics = frames[0].split(f"  Id: {hero}\n   max_rpm = ")[1].split("\n  Id:")[0]
    control = carla.VehiclePhysicsControl()
    for line in physics.split("\n")[1:6]:
        name, value = line.strip().split(" = ")
        assert hasattr(control, {"use_gear_auto_box": "use_gear_autobox"}.get(name, name.lower()))
        assert value in ("true", "false") or float(value) >= 0.0
    assert len(re.findall(r"\n    gear \d: ratio \S+ down_ratio \S+ up_ratio \S+", physics)) >= 1
    assert re.search(r"\n    wheel 3: tire_friction 3.5 damping_rate .* max_handbrake_torque \S+ position \(", physics)
    lights = client.get_world().get_actors().filter("traffic.traffic_light")
    times = re.findall(r"  Id: (\d+) green_time: (\S+) yellow_time: (\S+) red_time: (\S+)", frames[0])
    assert {int(number): float(green) for number, green, *_ in times} == {
        light.id: pytest.approx(light.get_green_time()) for light in lights
    }
    stands = frames[0].split(" Actor trigger volumes: ")[1]
    assert all(f"  Id: {light.id} origin: (" in stands for light in lights)


def test_collisions_are_found_by_category(crash):
    client, hero, parked, _, _ = crash
    found = client.show_recorder_collisions("crash.log", "h", "v")
    assert f"{hero} vehicle.tesla.model3" in found
    assert f"{parked} vehicle.lincoln.mkz_2020" in found
    assert str(hero) not in client.show_recorder_collisions("crash.log", "w", "a").split("Frames")[0].split("\n", 5)[-1]


def test_actors_that_stood_are_found(crash):
    client, _, parked, _, _ = crash
    assert f"{parked} vehicle.lincoln.mkz_2020" in client.show_recorder_actors_blocked("crash.log", 1.0, 20.0)
    assert "vehicle.tesla" not in client.show_recorder_actors_blocked("crash.log", 4.9, 20.0)


@pytest.mark.parametrize(("start", "factor"), [(0.0, 1.0), (2.0, 1.0), (0.0, 2.0), (-2.0, 0.5)])
def test_a_replay_begins_anywhere_and_runs_at_any_speed(crash, start, factor):
    client, recorded, _, track, _ = crash
    world = client.reload_world(False)
    client.set_replayer_time_factor(factor)
    client.replay_file("crash.log", start, 0.0, 0)
    begun = start if start >= 0.0 else 5.0 + start
    for ticks in range(1, 20):
        world.tick()
        (hero,) = world.get_actors().filter("vehicle.tesla.model3")
        assert hero.id == recorded
        index = (begun + ticks * _STEP * factor) / _STEP - 1.0
        if index == int(index):
            assert hero.get_location().distance(track[int(index)]) < 0.02
    client.set_replayer_time_factor(1.0)
    client.stop_replayer(False)
    world.tick()
    assert not world.get_actors().filter("vehicle.*")


def test_the_spectator_follows_whom_it_is_told_to(crash):
    client, hero, _, track, _ = crash
    world = client.reload_world(False)
    client.replay_file("crash.log", 0.0, 0.0, hero)
    for _ in range(40):
        world.tick()
    spectator = world.get_spectator().get_location()
    assert 3.0 < spectator.distance(track[39]) < 20.0
    client.stop_replayer(False)


def test_at_its_end_vehicles_stand_and_nobody_drives_them(crash):
    client, recorded, _, _, path = crash
    world = client.get_world()
    world.get_actor(recorded).destroy()
    world.tick()
    text = client.replay_file("crash.log", -0.4, 0.0, 0)
    assert text.startswith(
        f"Replaying File: {path}\nTotal time recorded: 5\nReplaying from 4.6 s - 5 s (5 s) at 1.0x\n"
    )
    for _ in range(4):
        world.tick()
    assert world.get_actor(recorded).get_control().throttle == pytest.approx(0.8)
    for _ in range(40):
        world.tick()
    hero = world.get_actor(recorded)
    assert hero.get_control().throttle == 0.0
    assert hero.get_velocity().length() < 0.05
    client.stop_replayer(False)


def test_traffic_lights_and_lamps_show_what_was_recorded(carla_client):
    world = carla_client.get_world()
    light = world.get_actors().filter("traffic.traffic_light")[0]
    world.set_weather(weather_named("ClearNoon"))
    world.freeze_all_traffic_lights(True)
    light.set_state(carla.TrafficLightState.Green)
    world.tick()
    carla_client.start_recorder("lights.log")
    world.tick()
    light.set_state(carla.TrafficLightState.Yellow)
    world.set_weather(weather_named("ClearNight"))
    world.tick()
    carla_client.stop_recorder()
    told = r" Scene light changes: [1-9]\d*\n  Id: \d+ enabled: True intensity: "
    assert re.search(told, carla_client.show_recorder_file_info("lights.log", True))

    light.set_state(carla.TrafficLightState.Green)
    world.freeze_all_traffic_lights(False)
    world.set_weather(weather_named("ClearNoon"))
    world.tick()
    assert (light.state, light.is_frozen()) == (carla.TrafficLightState.Green, False)
    # Clients learn of lamps in a thread of their own; another recording shows what the server has.
    carla_client.start_recorder("again.log")
    carla_client.replay_file("lights.log", 0.0, 0.0, 0)
    world.tick()
    world.tick()
    carla_client.stop_recorder()
    assert (light.state, light.is_frozen()) == (carla.TrafficLightState.Yellow, True)
    assert re.search(told, carla_client.show_recorder_file_info("again.log", True))
    carla_client.stop_replayer(False)


def test_replays_turn_wheels_open_doors_pose_walkers_and_leave_heroes_out(carla_client):
    world = carla_client.get_world()
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    blueprint = library.find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    hero = world.spawn_actor(blueprint, points[0])
    van = world.spawn_actor(library.find("vehicle.ford.ambulance"), points[1])
    above = points[2].location + carla.Location(z=1.0)
    walker = world.spawn_actor(library.find("walker.pedestrian.0001"), carla.Transform(above))
    for _ in range(5):
        world.tick()
    carla_client.start_recorder("moves.log", True)
    van.apply_control(carla.VehicleControl(throttle=0.5, steer=0.6))
    van.open_door(carla.VehicleDoor.RL)
    raised = carla.Transform(carla.Location(), carla.Rotation(pitch=90.0))
    walker.set_bones(carla.WalkerBoneControlIn([("crl_arm__R", raised)]))
    walker.show_pose()
    for _ in range(10):
        world.tick()
    turned = van.get_wheel_steer_angle(carla.VehicleWheelLocation.FL_Wheel)

    def arm(who):
        return next(bone.relative for bone in who.get_bones().bone_transforms if bone.name == "crl_arm__R").rotation

    assert turned > 10.0
    assert arm(walker).pitch == pytest.approx(90.0, abs=0.1)
    carla_client.stop_recorder()
    told = carla_client.show_recorder_file_info("moves.log", True)
    assert told.count(f" Vehicle door animations: 1\n  Id: {van.id}\n  Doors opened:  Rear Left \n") == 1
    assert told.count(f' Walkers Bones: 1\n  Id: {walker.id}\n     Bone: "crl_arm__R" relative: Loc(0, 0, 0) Rot(') == 1

    world = carla_client.reload_world(False)
    carla_client.set_replayer_ignore_hero(True)
    carla_client.replay_file("moves.log", 0.0, 0.0, 0)
    for _ in range(9):
        world.tick()
    carla_client.set_replayer_ignore_hero(False)
    assert hero.id not in [actor.id for actor in world.get_actors()]
    replayed = world.get_actor(van.id)
    assert replayed.get_wheel_steer_angle(carla.VehicleWheelLocation.FL_Wheel) == pytest.approx(turned, abs=1.0)
    assert arm(world.get_actor(walker.id)).pitch == pytest.approx(90.0, abs=0.1)
    # A client cannot ask for doors: a second recording tells of them.
    carla_client.start_recorder("doors.log")
    world.tick()
    carla_client.stop_recorder()
    assert "  Doors opened:  Rear Left \n" in carla_client.show_recorder_file_info("doors.log", True)
    carla_client.stop_replayer(False)


def test_a_recording_that_a_crash_cut_is_whole_up_to_its_last_frame(crash):
    client, hero, _, _, path = crash
    with open(path, "rb+") as file:
        file.truncate(file.seek(0, 2) * 2 // 3)
    text = client.show_recorder_file_info("crash.log", False)
    frames = int(text.split("Frames: ")[1].split()[0])
    assert 50 < frames < 101
    assert f"Create {hero}" in text


def test_what_is_no_recording_is_refused_by_name(crash):
    client, _, _, _, path = crash
    assert client.replay_file("nothing.log", 0.0, 0.0, 0) == "File nothing.log not found on server\n"
    with open(path, "wb") as file:
        file.write(b"not a recording")
    assert "not a recording" in client.show_recorder_file_info("crash.log", False)


@pytest.mark.parametrize("kind", ["a link out of the folder", "a pipe"])
def test_nothing_but_a_plain_file_of_the_folder_is_written_or_read(tmp_path, kind):
    folder, secret = tmp_path / "recordings", tmp_path / "secret.log"
    folder.mkdir()
    secret.write_bytes(b"nobody's business")
    path = folder / "crash.log"
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(secret)
    with pytest.raises(RecordingError, match="no plain file"):
        path_of(folder, "../crash.log")
    assert path_of(folder, "../secret.log") == folder / "secret.log"


def test_a_full_disk_ends_a_recording_which_keeps_its_whole_frames(tmp_path):
    path, here = tmp_path / "full.log", ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    kinds = (VEHICLE_FRAME, BODY_FRAME, BODY_FRAME, LIGHT_FRAME)
    vehicles, walkers, props, lights = (np.zeros(50, dtype) for dtype in kinds)
    writer = RecordingWriter(path, "Minitown", False)
    writer.append(Frame(1, 0.05, 0.05, [], vehicles, walkers, props, lights, here))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, before[1]))
    try:
        with pytest.raises(RecordingError, match="cannot go on recording"):
            writer.append(Frame(2, 0.1, 0.1, [], vehicles, walkers, props, lights, here))
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _, frames = read_recording(path)
    assert [frame.frame for frame in frames] == [1]
