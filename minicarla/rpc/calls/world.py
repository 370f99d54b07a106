"""Calls about the world as a whole: version, maps, episodes, settings, weather, files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from minicarla.protocol import values
from minicarla.protocol.stream_framing import WORLD_STREAM_ID
from minicarla.protocol.values import PackValue
from minicarla.rpc.registry import RemoteError, value, void
from minicarla.town import GenerationParameters, available_towns, build_town
from minicarla.world.settings import EpisodeSettings, Weather
from minicarla.world.town_view import ALL_LAYERS

if TYPE_CHECKING:
    from minicarla.rpc.server import Server

OPENDRIVE_WORLD = "OpenDriveMap"
_MAX_OPENDRIVE_CHARACTERS = 48 * 2**20


@value
def version(server: Server) -> str:
    """Version of the server; the client compares it with its own."""
    return server.simulation.version.name


@value
def get_available_maps(server: Server) -> list[str]:
    """Paths of all towns that can be loaded."""
    return available_towns(server.simulation.town_folder)


@void
def load_new_episode(server: Server, town: str, reset_settings: bool = True, layers: int = ALL_LAYERS) -> None:
    """Begin a new episode; an empty name reloads the current town."""
    simulation = server.simulation
    name = values.text(town, "the map's name")
    shown = values.integer(layers, "map layers") & ALL_LAYERS
    if name.split("/")[-1] == OPENDRIVE_WORLD and simulation.opendrive_world is not None:
        simulation.begin(simulation.opendrive_world, shown)
    elif name:
        simulation.load(name, shown)
    else:
        simulation.begin(simulation.full_town, shown)
    if reset_settings:
        simulation.reset_settings()


@void
def copy_opendrive_to_file(server: Server, opendrive: str, parameters: PackValue) -> None:
    """Take an OpenDRIVE text, which the client loads next under the name "OpenDriveMap"."""
    text = values.text(opendrive, "the OpenDRIVE text")
    if len(text) > _MAX_OPENDRIVE_CHARACTERS:
        raise RemoteError(f"the OpenDRIVE text has {len(text)} characters, allowed are {_MAX_OPENDRIVE_CHARACTERS}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RemoteError("the OpenDRIVE text is not UTF-8") from None
    asked = _generation_from_wire(parameters)
    if not asked.smooth_junctions:
        server.complaints.log("generate_opendrive_world", "smooth_junctions=False has no effect: junctions are smooth")
    server.simulation.opendrive_world = build_town(OPENDRIVE_WORLD, text, asked)


def _generation_from_wire(wire: PackValue) -> GenerationParameters:
    fields = dataclasses.fields(GenerationParameters)
    if not isinstance(wire, list) or len(wire) != len(fields):
        raise values.MalformedValueError(f"OpenDRIVE generation parameters must be a list of {len(fields)} values")
    distance, length, height, width = (values.number(item, field.name) for field, item in zip(fields, wire[:4]))
    smooth, visible, walkable = (bool(item) for item in wire[4:])
    return GenerationParameters(distance, length, height, width, smooth, visible, walkable)


@void
def load_map_layer(server: Server, layers: int) -> None:
    """Show map layers."""
    server.simulation.show_layers(values.integer(layers, "map layers") & ALL_LAYERS, True)


@void
def unload_map_layer(server: Server, layers: int) -> None:
    """Hide map layers."""
    server.simulation.show_layers(values.integer(layers, "map layers") & ALL_LAYERS, False)


@value
def get_episode_info(server: Server) -> list[PackValue]:
    """Episode id and the token of the world stream.

    A client that runs a Traffic Manager and has just loaded a world is told of the new episode by its first frame,
    as by CARLA: that is when it sets its Traffic Manager up anew. Others know it at once, lest two clients of one
    process set the same Traffic Manager up at the same time.
    """
    simulation = server.simulation
    number = simulation.told_episode_id if server.client_has_traffic_manager else simulation.episode.id
    return [number, [server.token(WORLD_STREAM_ID)]]


@value
def get_map_info(server: Server) -> list[PackValue]:
    """Name of the map and its recommended spawn points."""
    town = server.simulation.episode.town
    points = [[[x, y, z], [pitch, yaw, roll]] for x, y, z, pitch, yaw, roll in town.spawn_points.tolist()]
    return [town.map_name, points]


@value
def get_map_data(server: Server) -> str:
    """The OpenDRIVE text."""
    return server.simulation.episode.town.opendrive


@value
def get_required_files(server: Server, folder: str = "") -> list[str]:
    """Names of the files that the client should have; only the navigation mesh is one."""
    if folder != "Nav":
        return []
    name, content = server.simulation.episode.town.navigation_mesh()
    return [name] if content else []


@value
def request_file(server: Server, name: str) -> bytes:
    """Content of a required file."""
    mesh_name, content = server.simulation.episode.town.navigation_mesh()
    if values.text(name, "the file's name") != mesh_name:
        raise RemoteError(f"there is no file '{name:.100}'; the required files are '{mesh_name}'")
    return content


@value
def get_navigation_mesh(server: Server) -> bytes:
    """Content of the navigation mesh."""
    return server.simulation.episode.town.navigation_mesh()[1]


@value
def get_actor_definitions(server: Server) -> list[list[PackValue]]:
    """The blueprint library."""
    return server.simulation.library.definitions


@value
def get_spectator(server: Server) -> list[PackValue]:
    """The spectator."""
    return server.describe(server.simulation.spectator)


@value
def get_episode_settings(server: Server) -> list[PackValue]:
    """Settings of clock and physics."""
    return server.settings_on_wire


@value
def set_episode_settings(server: Server, settings: PackValue) -> int:
    """Change the settings; returns a frame for which the client waits before it goes on.

    A client has its Traffic Manager run a cycle after that frame. If that works on a vehicle that the client has ended,
    the client dies. So where the world becomes asynchronous, that frame is a new one, without the vehicle.
    """
    was_synchronous = server.simulation.settings.synchronous_mode
    server.simulation.apply_settings(_settings_from_wire(settings))
    if was_synchronous and not server.simulation.settings.synchronous_mode and server.client_has_traffic_manager:
        server.tick_by_clock_at_once()
    return server.simulation.episode.frame


def _settings_from_wire(wire: PackValue) -> EpisodeSettings:
    if not isinstance(wire, list) or len(wire) != 11:
        raise values.MalformedValueError("world settings must be a list of 11 values")
    step = values.optional(wire[2])
    return EpisodeSettings(
        synchronous_mode=bool(wire[0]),
        no_rendering_mode=bool(wire[1]),
        # CARLA takes a step of 0 for a variable one.
        fixed_delta_seconds=values.number(step, "fixed_delta_seconds") or None if step is not None else None,
        substepping=bool(wire[3]),
        max_substep_delta_time=values.number(wire[4], "max_substep_delta_time"),
        max_substeps=values.integer(wire[5], "max_substeps"),
        max_culling_distance=values.number(wire[6], "max_culling_distance"),
        deterministic_ragdolls=bool(wire[7]),
        tile_stream_distance=values.number(wire[8], "tile_stream_distance"),
        actor_active_distance=values.number(wire[9], "actor_active_distance"),
        spectator_as_ego=bool(wire[10]),
    )


@value
def get_weather_parameters(server: Server) -> list[float]:
    """The weather."""
    return list(dataclasses.astuple(server.simulation.weather))


@void
def set_weather_parameters(server: Server, weather: PackValue) -> None:
    """Change the weather at once."""
    if not isinstance(weather, list) or len(weather) != 14:
        raise values.MalformedValueError("weather parameters must be a list of 14 numbers")
    server.simulation.set_weather(Weather(*(values.number(number, "a weather parameter") for number in weather)))


@value
def get_imui_gravity(server: Server) -> float:
    """The acceleration of free fall that inertial sensors feel, m/s^2."""
    return server.simulation.imu_gravity


@void
def set_imui_gravity(server: Server, gravity: float) -> None:
    """Change the acceleration of free fall that inertial sensors feel, m/s^2."""
    server.simulation.imu_gravity = values.number(gravity, "gravity")
