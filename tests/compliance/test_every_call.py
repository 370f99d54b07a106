"""Every public call of the client, once: what it returns is plausible, or it is refused with a sentence.

The tables name the methods of each class; a method that the client has and its table lacks fails the test. What other
files here test in depth is called, too, except for what changes the world (`_ELSEWHERE`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import carla
import pytest

from tests.compliance.conftest import run
from tests.known import weather_named
from tests.ports import free_port


@dataclass
class Stage:
    """What the calls are made on; CARLA's types lack many of the calls, and have others of them wrong."""

    client: Any
    world: Any
    map: Any
    car: Any
    walker: Any
    controller: Any
    camera: Any
    light: Any
    waypoint: Any
    manager: Any
    folder: str

    @property
    def lamps(self) -> list[carla.Light]:
        """Street lights."""
        return list(self.world.get_lightmanager().get_all_lights())

    @property
    def light_mark(self) -> carla.Landmark:
        """The landmark of a traffic light."""
        return self.map.get_all_landmarks_of_type("1000001")[0]

    @property
    def junction(self) -> carla.Junction:
        """A junction that has traffic lights."""
        junctions = {w.junction_id: w for w in self.map.generate_waypoints(4.0) if w.is_junction}
        return next(
            w.get_junction() for w in junctions.values() if self.world.get_traffic_lights_in_junction(w.junction_id)
        )


@pytest.fixture(scope="module")
def stage(client, fresh_world, spawn_points, tmp_path_factory) -> Iterator[Stage]:
    library = fresh_world.get_blueprint_library()
    car = fresh_world.spawn_actor(library.find("vehicle.tesla.model3"), spawn_points[0])
    place = fresh_world.get_random_location_from_navigation() or spawn_points[1].location
    walker = fresh_world.spawn_actor(library.find("walker.pedestrian.0001"), carla.Transform(place))
    controller = fresh_world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), walker)
    camera = fresh_world.spawn_actor(library.find("sensor.camera.rgb"), carla.Transform(carla.Location(z=3.0)), car)
    manager = client.get_trafficmanager(free_port())
    manager.set_synchronous_mode(True)
    car.set_autopilot(True, manager.get_port())
    run(fresh_world, 0.5)
    town = fresh_world.get_map()
    light = fresh_world.get_actors().filter("traffic.traffic_light")[0]
    waypoint = next(w for w in town.generate_waypoints(8.0) if not w.is_junction and w.get_landmarks(60.0))
    folder = str(tmp_path_factory.mktemp("files"))
    yield Stage(client, fresh_world, town, car, walker, controller, camera, light, waypoint, manager, folder)
    car.set_autopilot(False, manager.get_port())
    fresh_world.tick()
    manager.shut_down()
    client.apply_batch_sync([carla.command.DestroyActor(a) for a in (camera, controller, walker, car)], True)


Call = Callable[[Stage], Any]
Calls = dict[str, Call]
"""A call of each method: False or an exception is a failure."""

_ELSEWHERE = {"load_world", "reload_world", "generate_opendrive_world", "destroy", "shut_down", "spawn_actor"}
"""Other files call these, and fixtures do."""
_NOT_CALLABLE = {"get_ignored_vehicles", "ShowDebugTelemetry"}
"""The client cannot turn what it gets, or this command, into what Python and it need."""
_NOT_IN_ALL_VERSIONS = {
    "get_imui_sensor_gravity", "set_imui_sensor_gravity", "set_annotations_traverse_translucency",
    "geolocation_to_transform", "get_all_road_marks", "get_road_marks_from_id", "get_all_road_marks_of_type",
    "get_component_names", "get_component_world_transform", "get_component_relative_transform", "get_bone_names",
    "get_bone_world_transforms", "get_bone_relative_transforms", "get_socket_names", "get_socket_world_transforms",
    "get_socket_relative_transforms", "get_vehicle_bone_world_transforms", "set_wheel_pitch_angle",
    "get_wheel_pitch_angle", "get_telemetry_data", "restore_physx_physics", "set_ignored_vehicles", "enable_gbuffers",
    "send", "draw_hud_point", "draw_hud_line", "draw_hud_arrow", "draw_hud_box", "clear_debug_shape",
    "clear_debug_string", "keep_slow_lane_rule_percentage", "keep_right_rule_percentage",
}  # fmt: skip
"""The last one was renamed with 0.9.16, which brought all others."""

_TextureFloatColor: Any = carla.TextureFloatColor  # its type knows no size
_UP = carla.Vector3D(0.0, 0.0, 1.0)
_LABEL = carla.CityObjectLabel
_FRONT_LEFT = carla.VehicleWheelLocation.FL_Wheel


def _done_or_refused(call: Callable[[], Any]) -> bool:
    """Not every server simulates everything; one that does not says so."""
    try:
        call()
    except RuntimeError as error:
        return len(str(error)) > 20
    return True


def _of(part: Call, name: str, *values: Any, **named: Any) -> Call:
    """Call a method of a part of the stage."""
    return lambda s: getattr(part(s), name)(*values, **named)


def _near(one: carla.Location, other: carla.Location, metres: float) -> bool:
    return one.distance(other) < metres


_CLIENT: Calls = {
    "set_timeout": lambda s: s.client.set_timeout(60.0),
    "get_client_version": lambda s: s.client.get_client_version().startswith("0."),
    "get_server_version": lambda s: s.client.get_server_version() == s.client.get_client_version(),
    "get_world": lambda s: s.client.get_world().id == s.world.id,
    "get_available_maps": lambda s: s.map.name.split("/")[-1] in {m.split("/")[-1] for m in _maps(s)},
    "set_files_base_folder": lambda s: s.client.set_files_base_folder(s.folder),
    "get_required_files": lambda s: isinstance(list(s.client.get_required_files("", False)), list),
    "request_file": lambda s: [s.client.request_file(name) for name in s.client.get_required_files("", False)[:1]],
    "load_world_if_different": lambda s: s.client.load_world_if_different(s.map.name),
    "start_recorder": lambda s: bool(s.client.start_recorder("compliance.log", True)),
    "stop_recorder": lambda s: s.client.stop_recorder(),
    "show_recorder_file_info": lambda s: "Frames" in s.client.show_recorder_file_info("compliance.log", False),
    "show_recorder_collisions": lambda s: bool(s.client.show_recorder_collisions("compliance.log", "a", "a")),
    "show_recorder_actors_blocked": lambda s: bool(s.client.show_recorder_actors_blocked("compliance.log", 1.0, 1.0)),
    "replay_file": lambda s: bool(s.client.replay_file("compliance.log", 0.0, 0.1, 0)),
    "stop_replayer": lambda s: s.client.stop_replayer(True),
    "set_replayer_time_factor": lambda s: s.client.set_replayer_time_factor(1.0),
    "set_replayer_ignore_hero": lambda s: s.client.set_replayer_ignore_hero(False),
    "set_replayer_ignore_spectator": lambda s: s.client.set_replayer_ignore_spectator(True),
    "apply_batch": lambda s: s.client.apply_batch([]),
    "apply_batch_sync": lambda s: s.client.apply_batch_sync([], False) == [],
    "get_trafficmanager": lambda s: s.client.get_trafficmanager(s.manager.get_port()).get_port() > 0,
}


def _painting(call: str) -> Call:
    """Paint an object that the level names, or one that it may lack."""

    def paint(s: Stage) -> None:
        name = [*s.world.get_names_of_all_objects(), "BP_Apartment04_v05_Opt_2"][0]
        names = [name] if call.endswith("s") else name
        plain, bright = carla.TextureColor(2, 2), _TextureFloatColor(2, 2)
        if call.startswith("apply_textures"):
            getattr(s.world, call)(names, plain, bright, bright, bright)
        else:
            texture = bright if "float" in call else plain
            getattr(s.world, call)(names, carla.MaterialParameter.Diffuse, texture)

    return paint


_WORLD: Calls = {
    "get_map": lambda s: s.world.get_map().name == s.map.name,
    "get_blueprint_library": lambda s: len(s.world.get_blueprint_library()) > 100,
    "load_map_layer": lambda s: s.world.load_map_layer(carla.MapLayer.Buildings),
    "unload_map_layer": lambda s: s.world.unload_map_layer(carla.MapLayer.NONE),
    "get_vehicles_light_states": lambda s: s.car.id in s.world.get_vehicles_light_states(),
    "get_random_location_from_navigation": lambda s: s.world.get_random_location_from_navigation() is not False,
    "set_pedestrians_cross_factor": lambda s: s.world.set_pedestrians_cross_factor(0.1),
    "set_pedestrians_seed": lambda s: s.world.set_pedestrians_seed(3),
    "get_spectator": lambda s: s.world.get_spectator().type_id == "spectator",
    "get_settings": lambda s: s.world.get_settings().synchronous_mode,
    "apply_settings": lambda s: s.world.apply_settings(s.world.get_settings()) > 0,
    "get_weather": lambda s: s.world.get_weather().sun_altitude_angle >= -90.0,
    "set_weather": lambda s: s.world.set_weather(weather_named("ClearNoon")),
    "get_imui_sensor_gravity": lambda s: math.isclose(s.world.get_imui_sensor_gravity(), 9.81, abs_tol=0.02),
    "set_imui_sensor_gravity": lambda s: s.world.set_imui_sensor_gravity(9.81),
    "get_snapshot": lambda s: s.world.get_snapshot().frame > 0,
    "get_actor": lambda s: s.world.get_actor(s.car.id).type_id == s.car.type_id,
    "get_actors": lambda s: len(s.world.get_actors([s.car.id, s.walker.id])) == 2,
    "try_spawn_actor": lambda s: s.world.try_spawn_actor(_blueprint(s), s.car.get_transform()) is None,
    "tick": lambda s: s.world.tick() > 0,
    "wait_for_tick": lambda s: _done_or_refused(lambda: s.world.wait_for_tick(0.2)),
    "on_tick": lambda s: s.world.remove_on_tick(s.world.on_tick(lambda _: None)),
    "remove_on_tick": lambda s: s.world.remove_on_tick(123456),
    "get_traffic_sign": lambda s: _done_or_refused(lambda: s.world.get_traffic_sign(s.light_mark)),
    "get_traffic_light": lambda s: s.world.get_traffic_light(s.light_mark).type_id == "traffic.traffic_light",
    "get_traffic_light_from_opendrive_id": lambda s: (
        s.world.get_traffic_light_from_opendrive_id(s.light.get_opendrive_id()).id == s.light.id
    ),
    "get_traffic_lights_from_waypoint": lambda s: isinstance(
        s.world.get_traffic_lights_from_waypoint(s.waypoint, 80.0), list
    ),
    "get_traffic_lights_in_junction": lambda s: len(s.world.get_traffic_lights_in_junction(s.junction.id)) > 1,
    "reset_all_traffic_lights": lambda s: s.world.reset_all_traffic_lights(),
    "freeze_all_traffic_lights": lambda s: s.world.freeze_all_traffic_lights(False),
    "get_lightmanager": lambda s: s.world.get_lightmanager() is not None,
    "get_level_bbs": lambda s: len(s.world.get_level_bbs(_LABEL.Any)) > 0,
    "get_environment_objects": lambda s: isinstance(s.world.get_environment_objects(_LABEL.Buildings), list),
    "enable_environment_objects": lambda s: s.world.enable_environment_objects(
        {thing.id for thing in s.world.get_environment_objects(_LABEL.Buildings)[:1]}, True
    ),
    "cast_ray": lambda s: len(s.world.cast_ray(_above(s, 50.0), _above(s, -5.0))) > 0,
    "project_point": lambda s: s.world.project_point(_above(s, 50.0), carla.Vector3D(z=-1.0), 80.0) is not None,
    "ground_projection": lambda s: abs(s.world.ground_projection(_above(s, 3.0), 20.0).location.z - _z(s)) < 2.5,
    "get_names_of_all_objects": lambda s: isinstance(s.world.get_names_of_all_objects(), list),
    "set_annotations_traverse_translucency": lambda s: s.world.set_annotations_traverse_translucency(False),
    **{
        f"apply_{kind}_to_object{plural}": _painting(f"apply_{kind}_to_object{plural}")
        for kind in ("color_texture", "float_color_texture", "textures")
        for plural in ("", "s")
    },
}


def _maps(s: Stage) -> list[str]:
    return [*s.client.get_available_maps(), "OpenDriveMap"]


def _blueprint(s: Stage) -> carla.ActorBlueprint:
    return s.world.get_blueprint_library().find("vehicle.tesla.model3")


def _above(s: Stage, height: float) -> carla.Location:
    return s.waypoint.transform.location + carla.Location(z=height)


def _z(s: Stage) -> float:
    return s.waypoint.transform.location.z


_MAP: Calls = {
    "get_spawn_points": lambda s: len(s.map.get_spawn_points()) > 1,
    "get_waypoint": lambda s: _near(s.map.get_waypoint(_above(s, 0.0)).transform.location, _above(s, 0.0), 0.5),
    "get_waypoint_xodr": lambda s: (
        s.map.get_waypoint_xodr(s.waypoint.road_id, s.waypoint.lane_id, s.waypoint.s).road_id == s.waypoint.road_id
    ),
    "get_topology": lambda s: len(s.map.get_topology()) > 4,
    "generate_waypoints": lambda s: len(s.map.generate_waypoints(10.0)) > 10,
    "transform_to_geolocation": lambda s: abs(s.map.transform_to_geolocation(_above(s, 0.0)).latitude) <= 90.0,
    "geolocation_to_transform": lambda s: _near(
        s.map.geolocation_to_transform(s.map.transform_to_geolocation(_above(s, 0.0))), _above(s, 0.0), 1.0
    ),
    "to_opendrive": lambda s: "<OpenDRIVE" in s.map.to_opendrive(),
    "save_to_disk": lambda s: s.map.save_to_disk(f"{s.folder}/town.xodr"),
    "get_crosswalks": lambda s: isinstance(s.map.get_crosswalks(), list),
    "get_all_landmarks": lambda s: len(s.map.get_all_landmarks()) > 0,
    "get_all_landmarks_from_id": lambda s: len(s.map.get_all_landmarks_from_id(s.light_mark.id)) > 0,
    "get_all_landmarks_of_type": lambda s: len(s.map.get_all_landmarks_of_type("1000001")) > 1,
    "get_landmark_group": lambda s: len(s.map.get_landmark_group(s.light_mark)) > 0,
    "get_all_road_marks": lambda s: isinstance(s.map.get_all_road_marks(), list),
    "get_road_marks_from_id": lambda s: isinstance(s.map.get_road_marks_from_id("0"), list),
    "get_all_road_marks_of_type": lambda s: isinstance(s.map.get_all_road_marks_of_type("-1"), list),
    "cook_in_memory_map": lambda s: s.map.cook_in_memory_map(f"{s.folder}/town.bin"),
}

_WAYPOINT: Calls = {
    "next": lambda s: len(s.waypoint.next(2.0)) > 0,
    "previous": lambda s: isinstance(s.waypoint.previous(2.0), list),
    "next_until_lane_end": lambda s: len(s.waypoint.next_until_lane_end(2.0)) > 0,
    "previous_until_lane_start": lambda s: isinstance(s.waypoint.previous_until_lane_start(2.0), list),
    "get_right_lane": lambda s: s.waypoint.get_right_lane() is not False,
    "get_left_lane": lambda s: s.waypoint.get_left_lane() is not False,
    "get_junction": lambda s: s.waypoint.get_junction() is None,
    "get_landmarks": lambda s: len(s.waypoint.get_landmarks(60.0)) > 0,
    "get_landmarks_of_type": lambda s: isinstance(s.waypoint.get_landmarks_of_type(60.0, "1000001"), list),
}

_JUNCTION: Calls = {"get_waypoints": lambda s: len(s.junction.get_waypoints(carla.LaneType.Driving)) > 1}

_LANDMARK: Calls = {"get_lane_validities": lambda s: isinstance(s.light_mark.get_lane_validities(), list)}

_ACTOR: Calls = {
    "get_world": lambda s: s.car.get_world().id == s.world.id,
    "get_location": lambda s: _near(s.car.get_location(), s.car.get_transform().location, 0.01),
    "get_transform": lambda s: abs(s.car.get_transform().rotation.pitch) < 20.0,
    "get_velocity": lambda s: s.car.get_velocity().length() < 60.0,
    "get_angular_velocity": lambda s: s.car.get_angular_velocity().length() < 720.0,
    "get_acceleration": lambda s: s.car.get_acceleration().length() < 200.0,
    "get_component_names": lambda s: len(s.car.get_component_names()) > 0,
    "get_component_world_transform": lambda s: _near(
        s.car.get_component_world_transform(s.car.get_component_names()[0]).location, s.car.get_location(), 10.0
    ),
    "get_component_relative_transform": lambda s: (
        s.car.get_component_relative_transform(s.car.get_component_names()[0]).location.length() < 10.0
    ),
    "get_bone_names": lambda s: len(s.car.get_bone_names()) > 0,
    "get_bone_world_transforms": lambda s: len(s.car.get_bone_world_transforms()) == len(s.car.get_bone_names()),
    "get_bone_relative_transforms": lambda s: len(s.car.get_bone_relative_transforms()) == len(s.car.get_bone_names()),
    "get_socket_names": lambda s: isinstance(list(s.car.get_socket_names()), list),
    "get_socket_world_transforms": lambda s: (
        len(s.car.get_socket_world_transforms()) == len(list(s.car.get_socket_names()))
    ),
    "get_socket_relative_transforms": lambda s: (
        len(s.car.get_socket_relative_transforms()) == len(list(s.car.get_socket_names()))
    ),
    "set_location": lambda s: s.car.set_location(s.car.get_location()),
    "set_transform": lambda s: s.car.set_transform(s.car.get_transform()),
    "set_target_velocity": lambda s: s.car.set_target_velocity(carla.Vector3D()),
    "set_target_angular_velocity": lambda s: s.car.set_target_angular_velocity(carla.Vector3D()),
    "enable_constant_velocity": lambda s: s.car.enable_constant_velocity(carla.Vector3D(1.0, 0.0, 0.0)),
    "disable_constant_velocity": lambda s: s.car.disable_constant_velocity(),
    "add_impulse": lambda s: s.car.add_impulse(_UP),
    "add_force": lambda s: s.car.add_force(_UP),
    "add_angular_impulse": lambda s: s.car.add_angular_impulse(_UP),
    "add_torque": lambda s: s.car.add_torque(_UP),
    "set_simulate_physics": lambda s: s.car.set_simulate_physics(True),
    "set_collisions": lambda s: s.car.set_collisions(True),
    "set_enable_gravity": lambda s: s.car.set_enable_gravity(True),
}

_VEHICLE: Calls = {
    "apply_control": lambda s: s.car.apply_control(carla.VehicleControl(throttle=0.1)),
    "get_control": lambda s: 0.0 <= s.car.get_control().throttle <= 1.0,
    "apply_ackermann_control": lambda s: s.car.apply_ackermann_control(carla.VehicleAckermannControl(speed=1.0)),
    "get_ackermann_controller_settings": lambda s: s.car.get_ackermann_controller_settings().speed_kp >= 0.0,
    "apply_ackermann_controller_settings": lambda s: s.car.apply_ackermann_controller_settings(
        s.car.get_ackermann_controller_settings()
    ),
    "set_light_state": lambda s: s.car.set_light_state(carla.VehicleLightState.NONE),
    "get_light_state": lambda s: s.car.get_light_state() is not None,
    "open_door": lambda s: s.car.open_door(carla.VehicleDoor.All),
    "close_door": lambda s: s.car.close_door(carla.VehicleDoor.All),
    "set_wheel_steer_direction": lambda s: s.car.set_wheel_steer_direction(_FRONT_LEFT, 10.0),
    "get_wheel_steer_angle": lambda s: abs(s.car.get_wheel_steer_angle(_FRONT_LEFT)) <= 90.0,
    "set_wheel_pitch_angle": lambda s: s.car.set_wheel_pitch_angle(_FRONT_LEFT, 10.0),
    "get_wheel_pitch_angle": lambda s: math.isfinite(s.car.get_wheel_pitch_angle(_FRONT_LEFT)),
    "apply_physics_control": lambda s: s.car.apply_physics_control(s.car.get_physics_control()),
    "get_physics_control": lambda s: len(s.car.get_physics_control().wheels) == 4,
    "set_autopilot": lambda s: s.car.set_autopilot(True, s.manager.get_port()),
    "get_telemetry_data": lambda s: len(s.car.get_telemetry_data().wheels) == 4,
    "show_debug_telemetry": lambda s: s.car.show_debug_telemetry(False),
    "get_speed_limit": lambda s: 5.0 <= s.car.get_speed_limit() <= 150.0,
    "get_traffic_light_state": lambda s: s.car.get_traffic_light_state() is not None,
    "is_at_traffic_light": lambda s: isinstance(s.car.is_at_traffic_light(), bool),
    "get_traffic_light": lambda s: s.car.get_traffic_light() is not False,
    "enable_carsim": lambda s: _done_or_refused(lambda: s.car.enable_carsim("")),
    "use_carsim_road": lambda s: _done_or_refused(lambda: s.car.use_carsim_road(False)),
    "enable_chrono_physics": lambda s: _done_or_refused(lambda: s.car.enable_chrono_physics(1, 0.01, "", "", "", "")),
    "restore_physx_physics": lambda s: _done_or_refused(s.car.restore_physx_physics),
    "get_failure_state": lambda s: s.car.get_failure_state() == carla.VehicleFailureState.NONE,
    "get_vehicle_bone_world_transforms": lambda s: len(s.car.get_vehicle_bone_world_transforms()) > 0,
}

_WALKER: Calls = {
    "apply_control": lambda s: s.walker.apply_control(carla.WalkerControl()),
    "get_control": lambda s: s.walker.get_control().speed >= 0.0,
    "get_bones": lambda s: len(s.walker.get_bones().bone_transforms) > 10,
    "set_bones": lambda s: s.walker.set_bones(carla.WalkerBoneControlIn([("crl_hand__R", carla.Transform())])),
    "blend_pose": lambda s: s.walker.blend_pose(0.5),
    "show_pose": lambda s: s.walker.show_pose(),
    "hide_pose": lambda s: s.walker.hide_pose(),
    "get_pose_from_animation": lambda s: s.walker.get_pose_from_animation(),
}

_CONTROLLER: Calls = {
    "start": lambda s: s.controller.start(),
    "go_to_location": lambda s: s.controller.go_to_location(s.walker.get_location()),
    "set_max_speed": lambda s: s.controller.set_max_speed(1.0),
    "stop": lambda s: s.controller.stop(),
}


def _time_of(colour: str) -> Call:
    return lambda s: getattr(s.light, f"get_{colour}_time")() > 0.0


_LIGHT: Calls = {
    "set_state": lambda s: s.light.set_state(carla.TrafficLightState.Red),
    "get_state": lambda s: s.light.get_state() in vars(carla.TrafficLightState)["values"].values(),
    "freeze": lambda s: s.light.freeze(False),
    "is_frozen": lambda s: isinstance(s.light.is_frozen(), bool),
    "get_elapsed_time": lambda s: s.light.get_elapsed_time() >= 0.0,
    "get_pole_index": lambda s: s.light.get_pole_index() >= 0,
    "get_group_traffic_lights": lambda s: s.light.id in [one.id for one in s.light.get_group_traffic_lights()],
    "reset_group": lambda s: s.light.reset_group(),
    "get_affected_lane_waypoints": lambda s: len(s.light.get_affected_lane_waypoints()) > 0,
    "get_stop_waypoints": lambda s: len(s.light.get_stop_waypoints()) > 0,
    "get_light_boxes": lambda s: all(box.extent.length() < 5.0 for box in s.light.get_light_boxes()),
    "get_opendrive_id": lambda s: bool(s.light.get_opendrive_id()),
    **{f"get_{colour}_time": _time_of(colour) for colour in ("green", "yellow", "red")},
    **{
        f"set_{colour}_time": _of(lambda s: s.light, f"set_{colour}_time", 4.0) for colour in ("green", "yellow", "red")
    },
}

_SENSOR: Calls = {
    "listen": lambda s: s.camera.listen(lambda _: None),
    "is_listening": lambda s: s.camera.is_listening(),
    "stop": lambda s: s.camera.stop(),
}

_G_BUFFER = int(carla.GBufferTextureID.SceneColor)
_SERVER_SENSOR: Calls = {
    "set_ignored_vehicles": lambda s: _done_or_refused(lambda: s.camera.set_ignored_vehicles([s.car.id])),
    "enable_gbuffers": lambda s: _done_or_refused(lambda: s.camera.enable_gbuffers(False)),
    "listen_to_gbuffer": lambda s: _done_or_refused(lambda: s.camera.listen_to_gbuffer(_G_BUFFER, lambda _: None)),
    "is_listening_gbuffer": lambda s: isinstance(s.camera.is_listening_gbuffer(_G_BUFFER), bool),
    "stop_gbuffer": lambda s: _done_or_refused(lambda: s.camera.stop_gbuffer(_G_BUFFER)),
    "enable_for_ros": lambda s: _done_or_refused(s.camera.enable_for_ros),
    "disable_for_ros": lambda s: _done_or_refused(s.camera.disable_for_ros),
    "is_enabled_for_ros": lambda s: _done_or_refused(s.camera.is_enabled_for_ros),
    "send": lambda s: _done_or_refused(lambda: s.camera.send("hello")),
}


def _lights(name: str, *values: Any, of_each: bool = False) -> Callable[[Stage], Any]:
    """Call the light manager for two street lights; `of_each`: one value for each of them."""

    def call(s: Stage) -> Any:
        lamps = s.lamps[:2]
        return getattr(s.world.get_lightmanager(), name)(
            lamps, *([value] * len(lamps) if of_each else value for value in values)
        )

    return call


_STREET = carla.LightState(10.0, carla.Color(255, 220, 180), carla.LightGroup.Street, True)
_LIGHT_MANAGER: Calls = {
    "get_all_lights": lambda s: isinstance(s.lamps, list),
    "get_turned_on_lights": lambda s: isinstance(s.world.get_lightmanager().get_turned_on_lights(), list),
    "get_turned_off_lights": lambda s: isinstance(s.world.get_lightmanager().get_turned_off_lights(), list),
    "set_day_night_cycle": lambda s: s.world.get_lightmanager().set_day_night_cycle(True),
    "turn_on": _lights("turn_on"),
    "is_active": lambda s: all(_lights("is_active")(s)),
    "turn_off": _lights("turn_off"),
    "set_active": _lights("set_active", True, of_each=True),
    "set_color": _lights("set_color", carla.Color(1, 2, 3)),
    "set_colors": _lights("set_colors", carla.Color(4, 5, 6), of_each=True),
    "get_color": lambda s: all(colour.r == 4 for colour in _lights("get_color")(s)),
    "set_intensity": _lights("set_intensity", 7.0),
    "set_intensities": _lights("set_intensities", 8.0, of_each=True),
    "get_intensity": lambda s: all(intensity == 8.0 for intensity in _lights("get_intensity")(s)),
    "set_light_group": _lights("set_light_group", carla.LightGroup.Building),
    "set_light_groups": _lights("set_light_groups", carla.LightGroup.Street, of_each=True),
    "get_light_group": lambda s: all(group == carla.LightGroup.Street for group in _lights("get_light_group")(s)),
    "set_light_state": _lights("set_light_state", _STREET),
    "set_light_states": _lights("set_light_states", _STREET, of_each=True),
    "get_light_state": lambda s: all(state.intensity == 10.0 for state in _lights("get_light_state")(s)),
}

_LAMP: Calls = {
    "turn_on": lambda s: [lamp.turn_on() for lamp in s.lamps[:1]],
    "turn_off": lambda s: [lamp.turn_off() for lamp in s.lamps[:1]],
    "set_color": lambda s: [lamp.set_color(carla.Color(9, 9, 9)) for lamp in s.lamps[:1]],
    "set_intensity": lambda s: [lamp.set_intensity(5.0) for lamp in s.lamps[:1]],
    "set_light_group": lambda s: [lamp.set_light_group(carla.LightGroup.Street) for lamp in s.lamps[:1]],
    "set_light_state": lambda s: [lamp.set_light_state(_STREET) for lamp in s.lamps[:1]],
}


def _managed(*names: str, value: Any) -> Calls:
    """Settings of one car."""

    def of_car(name: str) -> Call:
        return lambda s: getattr(s.manager, name)(s.car, value)

    return {name: of_car(name) for name in names}


def _global(*names: str, value: Any) -> Calls:
    """Settings of all cars."""
    return {name: _of(lambda s: s.manager, name, value) for name in names}


_MANAGER: Calls = {
    "get_port": lambda s: s.manager.get_port() > 1000,
    **_managed("vehicle_percentage_speed_difference", "ignore_walkers_percentage", "ignore_vehicles_percentage",
               "ignore_lights_percentage", "ignore_signs_percentage", "keep_slow_lane_rule_percentage",
               "keep_right_rule_percentage", "random_left_lanechange_percentage",
               "random_right_lanechange_percentage", value=10.0),
    **_managed("vehicle_lane_offset", "distance_to_leading_vehicle", "set_desired_speed", value=3.0),
    **_managed("update_vehicle_lights", "force_lane_change", "auto_lane_change", value=True),
    **_global("global_percentage_speed_difference", "global_lane_offset", "set_global_distance_to_leading_vehicle",
              "set_hybrid_physics_radius", value=5.0),
    **_global("set_hybrid_physics_mode", "set_osm_mode", "set_respawn_dormant_vehicles", value=False),
    **_global("set_synchronous_mode", value=True),
    **_global("set_random_device_seed", value=4),
    "set_boundaries_respawn_dormant_vehicles": lambda s: s.manager.set_boundaries_respawn_dormant_vehicles(25.0, 700.0),
    "collision_detection": lambda s: s.manager.collision_detection(s.car, s.walker, True),
    "get_next_action": lambda s: len(s.manager.get_next_action(s.car)) == 2,
    "get_all_actions": lambda s: len(s.manager.get_all_actions(s.car)) > 0,
    "set_path": lambda s: s.manager.set_path(s.car, [s.waypoint.transform.location]),
    "set_route": lambda s: s.manager.set_route(s.car, ["Straight", "Left"]),
}  # fmt: skip

_BOX = carla.BoundingBox(carla.Location(), carla.Vector3D(1.0, 1.0, 1.0))
_SHAPES: dict[str, tuple[Any, ...]] = {
    "point": (carla.Location(),),
    "line": (carla.Location(), carla.Location(1.0, 1.0, 1.0)),
    "arrow": (carla.Location(), carla.Location(1.0, 1.0, 1.0)),
    "box": (_BOX, carla.Rotation()),
}
_DEBUG: Calls = {
    **{
        f"draw_{hud}{shape}": _of(lambda s: s.world.debug, f"draw_{hud}{shape}", *points, life_time=0.1)
        for hud in ("", "hud_")
        for shape, points in _SHAPES.items()
    },
    "draw_string": lambda s: s.world.debug.draw_string(carla.Location(), "text", life_time=0.1),
    "clear_debug_shape": lambda s: s.world.debug.clear_debug_shape(),
    "clear_debug_string": lambda s: s.world.debug.clear_debug_string(),
}


def _snapshot(s: Stage) -> carla.ActorSnapshot:
    return s.world.get_snapshot().find(s.car.id)


_SNAPSHOT: Calls = {
    "has_actor": lambda s: s.world.get_snapshot().has_actor(s.car.id),
    "find": lambda s: s.world.get_snapshot().find(s.car.id).id == s.car.id,
}
_ACTOR_SNAPSHOT: Calls = {
    "get_transform": lambda s: _near(_snapshot(s).get_transform().location, s.car.get_location(), 0.01),
    "get_velocity": lambda s: _snapshot(s).get_velocity() == s.car.get_velocity(),
    "get_angular_velocity": lambda s: _snapshot(s).get_angular_velocity() == s.car.get_angular_velocity(),
    "get_acceleration": lambda s: _snapshot(s).get_acceleration() == s.car.get_acceleration(),
}
_ACTOR_LIST: Calls = {
    "find": lambda s: s.world.get_actors().find(s.car.id).id == s.car.id,
    "filter": lambda s: len(s.world.get_actors().filter("vehicle.tesla.*")) == 1,
}
_BLUEPRINT: Calls = {
    "has_tag": lambda s: _blueprint(s).has_tag("tesla"),
    "match_tags": lambda s: _blueprint(s).match_tags("*model3*"),
    "has_attribute": lambda s: _blueprint(s).has_attribute("color"),
    "get_attribute": lambda s: _blueprint(s).get_attribute("number_of_wheels").as_int() == 4,
    "set_attribute": lambda s: _blueprint(s).set_attribute("role_name", "hero"),
}
_ATTRIBUTE: Calls = {
    "as_bool": lambda s: _blueprint(s).get_attribute("sticky_control").as_bool(),
    "as_int": lambda s: _blueprint(s).get_attribute("generation").as_int() >= 0,
    "as_float": lambda s: _camera_blueprint(s).get_attribute("fov").as_float() == 90.0,
    "as_str": lambda s: bool(_blueprint(s).get_attribute("role_name").as_str()),
    "as_color": lambda s: 0 <= _blueprint(s).get_attribute("color").as_color().r <= 255,
}
_LIBRARY: Calls = {
    "find": lambda s: s.world.get_blueprint_library().find("vehicle.tesla.model3").id == "vehicle.tesla.model3",
    "filter": lambda s: len(s.world.get_blueprint_library().filter("walker.*")) > 10,
    "filter_by_attribute": lambda s: (
        len(s.world.get_blueprint_library().filter("vehicle.*").filter_by_attribute("number_of_wheels", "2")) > 2
    ),
}
_BOUNDING_BOX: Calls = {
    "contains": lambda s: s.car.bounding_box.contains(
        s.car.get_location() + carla.Location(z=0.5), s.car.get_transform()
    ),
    "get_local_vertices": lambda s: len(s.car.bounding_box.get_local_vertices()) == 8,
    "get_world_vertices": lambda s: all(
        _near(corner, s.car.get_location(), 5.0)
        for corner in s.car.bounding_box.get_world_vertices(s.car.get_transform())
    ),
}


def _camera_blueprint(s: Stage) -> carla.ActorBlueprint:
    return s.world.get_blueprint_library().find("sensor.camera.rgb")


TABLES: dict[type, Calls] = {
    carla.Client: _CLIENT, carla.World: _WORLD, carla.Map: _MAP, carla.Waypoint: _WAYPOINT, carla.Junction: _JUNCTION,
    carla.Landmark: _LANDMARK, carla.Actor: _ACTOR, carla.Vehicle: _VEHICLE, carla.Walker: _WALKER,
    carla.WalkerAIController: _CONTROLLER, carla.TrafficLight: _LIGHT, carla.Sensor: _SENSOR,
    vars(carla)["ServerSideSensor"]: _SERVER_SENSOR, carla.LightManager: _LIGHT_MANAGER, carla.Light: _LAMP,
    carla.TrafficManager: _MANAGER, carla.DebugHelper: _DEBUG, carla.WorldSnapshot: _SNAPSHOT,
    carla.ActorSnapshot: _ACTOR_SNAPSHOT, carla.ActorList: _ACTOR_LIST, carla.ActorBlueprint: _BLUEPRINT,
    carla.ActorAttribute: _ATTRIBUTE, carla.BlueprintLibrary: _LIBRARY, carla.BoundingBox: _BOUNDING_BOX,
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_every_method_of(kind, stage):
    failed = {}
    for name, call in TABLES[kind].items():
        if name in _NOT_IN_ALL_VERSIONS and not hasattr(kind, name):
            continue
        try:
            if call(stage) is False:
                failed[name] = "not plausible"
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    assert not failed
    assert stage.world.tick() > 0


def test_no_method_is_left_out():
    for kind, calls in TABLES.items():
        methods = {name for name, what in vars(kind).items() if callable(what) and not name.startswith("_")}
        assert methods - set(calls) <= _ELSEWHERE | _NOT_CALLABLE, kind


def test_every_command_of_a_batch(client, stage):
    car, walker = stage.car, stage.walker
    command: Any = carla.command
    commands = [
        command.ApplyVehicleControl(car, carla.VehicleControl()),
        command.ApplyVehicleAckermannControl(car, carla.VehicleAckermannControl()),
        command.ApplyVehiclePhysicsControl(car, car.get_physics_control()),
        command.ApplyWalkerControl(walker, carla.WalkerControl()),
        command.ApplyWalkerState(walker, walker.get_transform(), 0.0),
        command.ApplyTransform(car, car.get_transform()),
        *(
            kind(car, carla.Vector3D())
            for kind in (
                command.ApplyTargetVelocity, command.ApplyTargetAngularVelocity, command.ApplyImpulse,
                command.ApplyForce, command.ApplyAngularImpulse, command.ApplyTorque,
            )
        ),
        command.SetSimulatePhysics(car, True),
        command.SetEnableGravity(car, True),
        command.SetAutopilot(car, True, stage.manager.get_port()),
        command.SetVehicleLightState(car.id, int(carla.VehicleLightState.Position)),
        command.DestroyActor(stage.camera),
    ]  # fmt: skip
    assert [response.error for response in client.apply_batch_sync(commands, True)] == [""] * len(commands)
    named = {type(one).__name__ for one in commands} | {"FutureActor", "Response", "SpawnActor"} | _NOT_CALLABLE
    assert {name for name in dir(command) if not name.startswith("_")} <= named
