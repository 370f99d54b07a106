"""The embedded server's own promises about worlds: exact repetition, refusals by name, no leaks."""

from __future__ import annotations

import dataclasses
import hashlib
import queue
import threading
from types import SimpleNamespace
from typing import Any

import carla
import numpy as np
import psutil
import pytest

from minicarla import labels
from minicarla.rpc.calls import scenery
from minicarla.rpc.rate_limited_log import Complaints
from minicarla.town import load_town
from minicarla.world.settings import Weather
from minicarla.world.simulation import Simulation
from tests.known import of_kind
from tests.patience import PATIENCE

_STEP = 0.05


def _drive(client: carla.Client, ticks: int = 120) -> str:
    """A digest of everything that happens to six vehicles that drive about and into each other."""
    world = client.reload_world(False)
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    commands: Any = carla.command
    responses = client.apply_batch_sync(
        [
            commands.SpawnActor(library.find(name), point).then(
                commands.ApplyVehicleControl(commands.FutureActor, carla.VehicleControl(throttle=0.9, steer=steer))
            )
            for name, point, steer in zip(
                ["vehicle.tesla.model3", "vehicle.carlamotors.firetruck", "vehicle.yamaha.yzf"] * 2,
                points,
                [0.0, 0.5, -0.5, 1.0, -1.0, 0.2],
            )
        ],
        True,
    )
    ids = [response.actor_id for response in responses]
    digest = hashlib.sha256()
    for _ in range(ticks):
        world.tick()
        snapshot = world.get_snapshot()
        for number in ids:
            state = snapshot.find(number)
            transform, velocity = state.get_transform(), state.get_velocity()
            digest.update(
                repr(
                    (
                        transform.location.x, transform.location.y, transform.location.z,
                        transform.rotation.pitch, transform.rotation.yaw, transform.rotation.roll,
                        velocity.x, velocity.y, velocity.z,
                    )
                ).encode()
            )  # fmt: skip
    return digest.hexdigest()


def test_the_same_inputs_give_the_same_world_bit_for_bit(carla_client):
    assert len({_drive(carla_client) for _ in range(3)}) == 1


def test_two_servers_give_the_same_world_bit_for_bit(carla_client, start_server):
    server = start_server()
    other = carla.Client(*server.address)
    other.set_timeout(PATIENCE)
    world = other.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, _STEP
    world.apply_settings(settings)
    digest = _drive(other, 40)
    server.stop()
    assert digest == _drive(carla_client, 40)


def test_every_vehicle_stands_on_every_spawn_point_at_once(carla_client):
    world = carla_client.get_world()
    points = world.get_map().get_spawn_points()
    blueprints = world.get_blueprint_library().filter("vehicle.*")
    spawn = carla.command.SpawnActor
    batch = [spawn(blueprints[i % len(blueprints)], point) for i, point in enumerate(points)]
    responses = carla_client.apply_batch_sync(batch, True)
    assert [response.error for response in responses if response.has_error()] == []
    for _ in range(60):
        world.tick()
    snapshot = world.get_snapshot()
    for response, point in zip(responses, points):
        place = snapshot.find(response.actor_id).get_transform()
        assert abs(place.location.x - point.location.x) < 0.6
        assert abs(place.location.y - point.location.y) < 0.6
        assert -1.5 < place.location.z - point.location.z < 0.3


def test_the_sensor_that_does_not_exist_here_is_refused_by_name(carla_client):
    world = carla_client.get_world()
    with pytest.raises(RuntimeError, match="RSS"):
        world.spawn_actor(world.get_blueprint_library().find("sensor.other.rss"), carla.Transform())


def test_a_texture_that_is_not_drawn_is_named_in_the_log(caplog):
    texture = 1, 1, [[0, 0, 0, 255]]
    server: Any = SimpleNamespace(complaints=Complaints())
    scenery.apply_color_texture_to_objects(server, ["Building_1"], 0, texture)
    assert "the texture is not drawn" in caplog.text


def test_without_rendering_pictures_are_empty(carla_client):
    world = carla_client.get_world()
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    for name in ("image_size_x", "image_size_y"):
        blueprint.set_attribute(name, "32")
    camera = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    pictures: queue.Queue[Any] = queue.Queue()
    camera.listen(pictures.put)
    settings, brightest = world.get_settings(), []
    for without in (False, True, False):
        settings.no_rendering_mode = without
        world.apply_settings(settings)
        frame = world.tick()
        picture = next(one for one in iter(lambda: pictures.get(timeout=PATIENCE), None) if one.frame == frame)
        brightest.append(np.frombuffer(picture.raw_data, np.uint8).reshape(-1, 4)[:, :3].max())
    camera.stop()
    assert brightest[1] == 0
    assert min(brightest[0], brightest[2]) > 0


def test_an_object_takes_the_mean_colour_of_its_texture():
    simulation = Simulation()
    simulation.begin(load_town("Minitown"))
    plain = simulation.episode.town.scenery
    building = next(thing for thing in simulation.level_objects if thing["label"] == labels.BUILDINGS)
    server: Any = SimpleNamespace(complaints=Complaints(), simulation=simulation)
    texture = 2, 1, [[255, 0, 0, 255], [55, 0, 100, 255]]
    scenery.apply_color_texture_to_objects(server, [building["name"].decode()], 2, texture)
    colours = simulation.episode.town.scenery.colour
    changed = (colours != plain.colour).any(axis=1)
    assert set(plain.object_id[changed].tolist()) == {int(building["object_id"])}
    assert np.unique(colours[changed], axis=0).tolist() == [[155, 0, 50]]


def test_vehicles_and_props_take_textures_by_names_that_hold_their_ids(carla_client):
    world = carla_client.get_world()
    library, ahead = world.get_blueprint_library(), carla.Transform(carla.Location(0.0, 0.0, 300.0))
    camera = library.find("sensor.camera.rgb")
    for name in ("image_size_x", "image_size_y"):
        camera.set_attribute(name, "64")
    camera = world.spawn_actor(camera, ahead)
    pictures: queue.Queue[Any] = queue.Queue()
    camera.listen(pictures.put)
    texture = carla.TextureColor(2, 1)
    texture.set(0, 0, carla.Color(255, 0, 255, 255))
    texture.set(1, 0, carla.Color(255, 0, 255, 255))
    for kind, prefix in (("vehicle.tesla.model3", "BP_TeslaM3_C_"), ("static.prop.box01", "StaticMeshActor_")):
        actor = world.spawn_actor(library.find(kind), carla.Transform(carla.Location(4.0, 0.0, 299.0)))
        actor.set_simulate_physics(False)
        (name,) = (name for name in world.get_names_of_all_objects() if name == f"{prefix}{actor.id}")
        magenta = []
        for _ in range(2):
            frame = world.tick()
            picture = next(one for one in iter(lambda: pictures.get(timeout=PATIENCE), None) if one.frame == frame)
            blue, green, red = np.frombuffer(picture.raw_data, np.uint8).reshape(-1, 4)[:, :3].astype(int).T
            magenta.append(int(((np.minimum(blue, red) > 60) & (np.minimum(blue, red) > 2 * green)).sum()))
            world.apply_color_texture_to_object(name, carla.MaterialParameter.Diffuse, texture)
        actor.destroy()
        assert magenta[0] == 0
        assert magenta[1] > 10
    camera.stop()


def test_unloaded_layers_take_their_objects_along_and_leave_the_signals():
    simulation = Simulation()
    simulation.begin(dataclasses.replace(load_town("Minitown"), name="Minitown_Opt"))
    everything = {bytes(name) for name in simulation.level_objects["name"]}
    assert simulation.episode.street_lights.glow.shape == (len(simulation.episode.town.street_lights), 3)
    simulation.set_weather(Weather(sun_altitude_angle=-30.0))
    assert simulation.episode.street_lights.glow.all()
    simulation.show_layers(0x80, False)
    gone = everything - {bytes(name) for name in simulation.level_objects["name"]}
    assert gone
    assert all(name.startswith(b"StreetLight_") for name in gone)
    assert not simulation.episode.street_lights.glow.any()
    simulation.show_layers(0x80, True)
    assert {bytes(name) for name in simulation.level_objects["name"]} == everything


def test_an_unknown_town_is_refused_with_the_known_ones(carla_client):
    with pytest.raises(RuntimeError, match="Minitown"):
        carla_client.load_world("Minitwon")


def test_a_world_of_a_bare_text_is_made_as_its_parameters_ask(carla_client):
    carla_client.set_timeout(PATIENCE)
    text = carla_client.get_world().get_map().to_opendrive()
    asked: Any = carla.OpendriveGenerationParameters(wall_height=2.0, enable_pedestrian_navigation=False)
    world = carla_client.generate_opendrive_world(text, asked)
    assert world.get_random_location_from_navigation() is None
    point = world.get_map().get_spawn_points()[0]
    met = world.project_point(point.location + carla.Location(z=1.0), point.get_right_vector(), 30.0)
    assert met.label == carla.CityObjectLabel.Walls
    asked.wall_height = -2.0
    with pytest.raises(RuntimeError, match="wall_height is -2 m"):
        carla_client.generate_opendrive_world(text, asked)
    carla_client.load_world("Minitown")


def test_no_name_leads_a_recording_out_of_its_folder(carla_client):
    answer = carla_client.start_recorder("../../../../tmp/elsewhere/name.log")
    carla_client.stop_recorder()
    assert answer.endswith("/name.log")
    assert "elsewhere" not in answer
    with pytest.raises(RuntimeError, match="no file name"):
        carla_client.start_recorder("..")


def test_a_friction_trigger_makes_the_road_slippery(carla_client):
    world = carla_client.get_world()
    library, point = world.get_blueprint_library(), world.get_map().get_spawn_points()[0]

    def distance_driven() -> float:
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), point)
        for _ in range(10):
            world.tick()
        start = car.get_location()
        car.apply_control(carla.VehicleControl(throttle=1.0))
        for _ in range(30):
            world.tick()
        distance = start.distance(car.get_location())
        car.destroy()
        return distance

    dry = distance_driven()
    blueprint = library.find("static.trigger.friction")
    blueprint.set_attribute("friction", "0.1")
    for axis in "xyz":
        blueprint.set_attribute(f"extent_{axis}", "50000")
    trigger = world.spawn_actor(blueprint, point)
    assert distance_driven() < 0.5 * dry
    trigger.destroy()
    assert distance_driven() == pytest.approx(dry)


def test_spring_arms_keep_level_and_look_at_their_parent(carla_client):
    world = carla_client.get_world()
    library, point = world.get_blueprint_library(), world.get_map().get_spawn_points()[0]
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), point)

    def on_an_arm(place, kind):
        return world.spawn_actor(library.find("sensor.other.gnss"), place, attach_to=car, attachment_type=kind)

    behind = carla.Transform(carla.Location(x=-6.0, z=3.0), carla.Rotation(pitch=8.0))
    chasing = on_an_arm(behind, carla.AttachmentType.SpringArmGhost)
    higher = on_an_arm(behind, carla.AttachmentType.SpringArm)
    at_the_head = carla.Transform(carla.Location(x=0.1))
    driver = world.spawn_actor(library.find("sensor.other.gnss"), at_the_head, attach_to=car, bone="driver_head")
    beside = on_an_arm(carla.Transform(carla.Location(x=3.0, y=3.0)), carla.AttachmentType.SpringArmGhost)
    world.tick()
    head = car.get_socket_world_transforms()[car.get_socket_names().index("driver_head")]
    assert driver.get_location().distance(head.transform(carla.Location(x=0.1))) < 0.01
    heading = car.get_transform().rotation.yaw
    assert (beside.get_transform().rotation.yaw - heading) % 360.0 == pytest.approx(225.0, abs=0.1)
    assert higher.get_location().z - chasing.get_location().z == pytest.approx(0.3, abs=1e-3)
    car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.4))
    for _ in range(60):
        world.tick()
        rotation = chasing.get_transform().rotation
        # The arm looks down to the car by atan(3 / 6), its camera from there up by 8 degrees.
        assert rotation.pitch == pytest.approx(8.0 - 26.565, abs=0.1)
        assert rotation.roll == pytest.approx(0.0, abs=0.1)
    assert chasing.get_location().distance(car.get_location()) == pytest.approx(6.708, abs=0.01)


def test_loading_worlds_again_and_again_keeps_memory_flat(start_server):
    server = start_server()
    client = carla.Client(*server.address)
    client.set_timeout(PATIENCE)
    process = psutil.Process(server.process.pid)

    def load(times: int) -> int:
        for _ in range(times):
            world = client.reload_world()
            blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
            for point in world.get_map().get_spawn_points()[:5]:
                world.spawn_actor(blueprint, point)
        return process.memory_info().rss

    first = load(15)
    assert load(30) - first < 10 * 2**20
    assert len(process.net_connections()) < 30
    server.stop()


def test_without_sticky_control_a_control_lasts_for_one_tick(carla_client):
    world = carla_client.get_world()
    blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
    blueprint.set_attribute("sticky_control", "false")
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    world.tick()
    car.apply_control(carla.VehicleControl(throttle=1.0, steer=0.5))
    world.tick()
    assert car.get_control().throttle == pytest.approx(1.0)
    world.tick()
    assert car.get_control().throttle == 0.0
    assert car.get_control().steer == 0.0


@pytest.mark.parametrize("options", [(), ("--skip-overtaken-frames",)])
def test_ticks_at_once_are_told_one_by_one_or_the_last(start_server, options):
    server = start_server(*options)
    client = carla.Client(server.host, server.port, worker_threads=1)
    client.set_timeout(PATIENCE)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, _STEP
    world.apply_settings(settings)
    told = [_frames_told_of_ticks_at_once(client, world, 20, [[]] * 20) for _ in range(10)]
    twenty = [carla.command.ApplyTargetVelocity(0, carla.Vector3D(x=20.0))]
    of_one_batch = _frames_told_of_ticks_at_once(client, world, 20 if options else 1, [twenty])
    assert of_one_batch == 1
    if options:
        # A busy machine may bring the server each tick by itself: then none is overtaken.
        assert min(told) < 20
    else:
        assert told == [20] * 10
    assert world.get_snapshot().timestamp.elapsed_seconds == pytest.approx(_STEP * (232 if options else 213), abs=1.0)


@pytest.mark.parametrize("options", [(), ("--skip-overtaken-frames",)])
def test_a_frame_tells_how_many_events_have_been_sent(start_server, options):
    server = start_server(*options)
    client = carla.Client(server.host, server.port, worker_threads=1)
    client.set_timeout(PATIENCE)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, _STEP
    world.apply_settings(settings)
    library, ahead = world.get_blueprint_library(), world.get_map().get_spawn_points()[0]
    car = of_kind(carla.Vehicle, world.spawn_actor(library.find("vehicle.lincoln.mkz_2020"), ahead))
    blueprint = library.find("sensor.other.collision")
    sensor = of_kind(carla.Sensor, world.spawn_actor(blueprint, carla.Transform(), attach_to=car))
    heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
    sensor.listen(heard.put)
    world.tick()
    ahead.location += ahead.get_forward_vector() * 8.0
    world.spawn_actor(library.find("vehicle.audi.tt"), ahead)
    car.apply_control(carla.VehicleControl(throttle=1.0))
    for _ in range(40):
        world.tick()
    announced = sensor.get_angular_velocity().x
    world.spawn_actor(library.find("sensor.other.gnss"), carla.Transform(), attach_to=car).destroy()
    world.tick()
    assert sensor.get_angular_velocity().x >= announced
    if options:
        assert announced > 1
        frames = [heard.get(timeout=PATIENCE).frame for _ in range(int(sensor.get_angular_velocity().x))]
        assert frames == sorted(frames)
        assert heard.empty()
    else:
        assert announced == 0.0
        heard.get(timeout=PATIENCE)


def _frames_told_of_ticks_at_once(client, world, ticks, batches):
    """How many frames the client hears of until the last of so many ticks, which these batches ask for."""
    frames, last = [], threading.Event()
    before = world.tick()
    goal = before + ticks

    def note(snapshot):
        if snapshot.frame > before:  # whose callbacks may be called after its tick has returned
            frames.append(snapshot.frame)
        if snapshot.frame == goal:
            last.set()

    listener = world.on_tick(note)
    for commands in batches:
        client.apply_batch(commands, True)
    assert last.wait(PATIENCE), "The last frame never came."
    world.remove_on_tick(listener)
    return len(frames)
