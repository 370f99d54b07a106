"""One CARLA world as an environment needs it: a connection to a server, the hero with its sensors, the traffic.

After a `ServerError` call `server_failed`: `connect`, or the next `setup_experiment`, brings another server up.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import carla
import numpy as np

from rllib_integration.annotations import Record, Settings
from rllib_integration.config.core import BASE_CORE_CONFIG, resolve_core_config
from rllib_integration.connection import Connection
from rllib_integration.dynamics import Dynamics, gear_at_speed
from rllib_integration.metrics import COLLISION_SENSOR, EpisodeMetrics
from rllib_integration.own_actors import OwnActors
from rllib_integration.roads.routes import Route, plan_route
from rllib_integration.scenario import (
    SpawnError,
    choose_blueprint,
    choose_town,
    choose_weather,
    hero_transforms,
    read_location,
    town_name,
)
from rllib_integration.sensors import SensorFactory, SensorInterface
from rllib_integration.servers import (
    CarlaServer,
    ServerDiedError,
    ServerError,
    ServerGaveUpError,
    ServerHangError,
    ServerSettingsError,
    ServerVersionError,
    is_port_free,
    kill_all_servers,
)
from rllib_integration.servers.pool import ServerPool
from rllib_integration.setup_check import check_rendering
from rllib_integration.telemetry.painter import Painter
from rllib_integration.ticking.clock import WorldClock
from rllib_integration.tracks.racetracks import RACETRACKS
from rllib_integration.traffic.manners import TRAFFIC_MANNERS
from rllib_integration.traffic.plan import TrafficPlan
from rllib_integration.traffic.town_traffic import TownTraffic
from rllib_integration.world_views import WorldViews

__all__ = ["BASE_CORE_CONFIG", "CarlaCore", "is_used", "kill_all_servers", "resolve_core_config"]

logger = logging.getLogger(__name__)

# A new server would answer these in the same way.
_NOT_MENDED_BY_A_RESTART = (ServerGaveUpError, ServerSettingsError, ServerVersionError)

_SPIN_UP = 0.5  # [s] in which the clutch brings the engine to the wheels' speed
_STANDING = 0.5  # [m/s] below which it may be at rest
_EPISODES_OF_A_CLIENT = 2000
_POINTS_KEPT_CLEAR = 20  # of a route with scenarios, which traffic keeps away from as it is spawned


def is_used(port: int) -> bool:
    """Whether a port of this machine is taken, so that no server could listen on it."""
    return not is_port_free(port)


class CarlaCore:
    """Owns everything that an environment has in a simulator.

    Creating it starts and connects a server.

    Args:
        config: The `carla` section of the environment's configuration, any part of it.

    Attributes:
        config: That section over `BASE_CORE_CONFIG`, complete.
        connection: The server, its client and the settings of its world.
        hero: The vehicle that the experiment drives; None while there is none, typed as it is in an episode.
        sensor_interface: The hero's sensors and their data.
        traffic: The vehicles and walkers around the hero.
        own_actors: All that the environment has spawned.
        views: What people see of the world.
        clock: Ticks the world.
        frame: The frame of the last tick.
        metrics: What has happened in the episode: distance, collisions, lights run, and so on.
        rng: Draws what the episode leaves open; seeded with the episode.
        server_port: The server's RPC port.

    Raises:
        ConfigError, ServerSettingsError: The configuration can't be used.
        ServerError: No server could be had.
    """

    def __init__(self, config: Settings | None = None) -> None:
        self.config = resolve_core_config(config)
        self.connection = Connection(self.config)
        self.hero = cast(carla.Vehicle, None)
        self.sensor_interface = SensorInterface(self.connection.ask)
        self.metrics: EpisodeMetrics | None = None
        self.frame = 0
        self.server_port = 0
        self.traffic = TownTraffic(self.connection)
        self.own_actors = OwnActors(self.connection, self.traffic)
        self.views = WorldViews(self.connection)
        self.clock = WorldClock(self.connection, self.traffic, self.sensor_interface)
        self._engine_turns = False
        self._weather: carla.WeatherParameters | None = None
        self.rng = np.random.default_rng()
        self._start_poses: list[carla.Transform] = []
        self._has_sensed = False
        self._episodes_of_client = 0
        self._forgotten: list[object] = []
        self._lost_at: float | None = None
        try:
            self.connect()
        except BaseException:
            self.close()
            raise

    # The server and its client

    @property
    def pool(self) -> ServerPool:
        """The environment's servers."""
        return self.connection.pool

    @property
    def client(self) -> carla.Client | None:
        """Connection to the server; None while there is none."""
        return self.connection.client

    # The next three are typed as they are in an episode, so that experiments need no assertion.

    @property
    def world(self) -> carla.World:
        """The simulated world; None while there is no client."""
        return cast(carla.World, self.connection.world)

    @property
    def map(self) -> carla.Map:
        """The town's roads; None while there is no client."""
        return cast(carla.Map, self.connection.map)

    @property
    def spectator(self) -> carla.Actor:
        """The free camera of the server's window; None while there is no client."""
        return cast(carla.Actor, self.connection.spectator)

    def connect(self) -> None:
        """Have a server and a client of it; does nothing while both are there.

        Raises:
            ServerGaveUpError: Too many servers in a row failed.
            ServerSettingsError, ServerVersionError: No other server would do better.
        """
        while not self.connection.is_open:
            self.init_server()
            try:
                self.connect_client()
            except (ServerDiedError, ServerHangError) as error:
                self.server_failed(error)

    def init_server(self) -> None:
        """Have a running server: the present one, or a new one of the configured kind."""
        self.server_port = self.connection.acquire_server().port

    def connect_client(self) -> None:
        """Connect to the server and take over its clock: synchronous, in steps of `timestep`."""
        self._has_sensed = False
        self.connection.connect_client()
        self._share_world()
        self.own_actors.remove_orphans()
        self._episodes_of_client = 0
        self._forgotten = []

    def _share_world(self) -> None:
        """Hand the sensors what is known of the world."""
        self.sensor_interface.map = self.connection.map
        self.sensor_interface.blueprints = self.connection.blueprints
        self.sensor_interface.counts_events = self.connection.server.queues_ticks

    def set_timestep(self, seconds: float) -> None:
        """Change the time that a tick simulates until the next episode; it costs some ticks.

        Call it before the hero's sensors are spawned, which count in ticks.
        """
        self.connection.set_timestep(seconds)

    @property
    def server(self) -> CarlaServer | None:
        """The present server; None while there is none."""
        return self.pool.server

    def as_server_error(self, error: RuntimeError) -> ServerError | None:
        """The loss of the server that an error of the client means; None if it means something else."""
        return self.connection.as_server_error(error)

    def server_failed(self, error: ServerError) -> None:
        """Give the present server up: end it, forget all that hung on it, prepare the next one."""
        self._forget_world()
        self.pool.failed(error)

    def give_up_server(self, error: RuntimeError) -> Record:
        """Give the present server up if an error means that it is lost; raise the error again if not.

        Returns:
            What the `info` of the step says in which the server was lost.
        """
        noticed = time.monotonic()
        loss = self.as_server_error(error)
        if loss is None or isinstance(loss, _NOT_MENDED_BY_A_RESTART):
            raise error
        self.server_failed(loss)
        if self._lost_at is None:
            self._lost_at = noticed
        return {"server_restarted": True, "server_failure": str(error), "end": "server_lost"}

    def episode_began(self) -> Record:
        """Note that an episode has begun; return what the `info` of its first observation says of the servers."""
        self.pool.episode_began()
        info: Record = {"servers": self.pool.metrics()}
        if self._lost_at is not None:
            info["server_recovery_seconds"] = time.monotonic() - self._lost_at
            self._lost_at = None
        return info

    def end_episode(self) -> None:
        """Note an episode's end; a server that is due for replacement is replaced now."""
        if self.pool.server is not None and self.pool.episode_ended():
            self._forget_world()

    def _forget_world(self) -> None:
        """Let go of a client that never recovers, without asking its server for anything."""
        if self.client is not None:
            extras = self.own_actors.lose(self.hero, self.sensor_interface)
            # The client aborts the process if one of its own threads drops the last reference to it, as one that
            # still ends a sensor does. So all of it is kept until the next client is there.
            sensors = self.sensor_interface.abandon()
            self.sensor_interface = self.clock.sensors = SensorInterface(self.connection.ask)
            self._forgotten = [*self.connection.forget(), self.hero, sensors, extras]
        self.traffic.forget()
        self.clock.forget()
        self.connection.forget()
        self._lose_hero()
        self._weather = None

    def _note_actors(self) -> None:
        self.own_actors.note(self.hero, self.sensor_interface)

    def close(self) -> None:
        """Destroy what is ours, end the server if it was started here. Twice is fine."""
        server = self.pool.server
        if self.client is not None and server is not None and server.exit_status() is None:
            try:
                self._end_tick()
                self._clear_world()
                self.traffic.shut_down_manager()
            except RuntimeError as error:
                logger.info("The world could not be left tidy: %s", error)
        self._forget_world()
        self.views.close()
        self.pool.close()
        self.traffic.close()

    # The episode's world

    def setup_experiment(
        self,
        experiment_config: Settings,
        seed: int | None = None,
        situate: Callable[[carla.Map], Settings] | None = None,
    ) -> Settings:
        """Prepare an episode: town, weather, lights and traffic, drawn from a seed. The last hero is removed.

        Args:
            experiment_config: A complete `experiment` section.
            seed: Decides all that is left open; None draws one.
            situate: Gives, once the town is there, the section with the hero's start and route in it.

        Returns:
            The section that holds for the episode.

        Raises:
            ConfigError: A town, weather, blueprint or spawn point does not exist.
            ServerError: The server failed.
        """
        self.connect()
        self._end_tick()
        for_town, for_weather, hero_rng, for_traffic = (
            np.random.default_rng(sequence) for sequence in np.random.SeedSequence(seed).spawn(4)
        )
        self.rng = hero_rng
        self._clear_world()
        self._renew_client()
        available = [*self.connection.available_towns, *RACETRACKS]
        self._load_town(choose_town(experiment_config["town"], available, for_town))
        self.set_timestep(self.config["timestep"])
        self.set_weather(choose_weather(experiment_config["weather"], for_weather))
        assert self.map is not None
        if situate is not None:
            experiment_config = situate(self.map)
        hero = experiment_config["hero"]
        self._start_poses = hero_transforms(hero["spawn_points"], self.map, hero_rng)
        self.connection.call(self.world.reset_all_traffic_lights)
        activity = experiment_config["background_activity"]
        own_seed = activity["seed"]
        traffic_seed = int(for_traffic.integers(2**31)) if own_seed is None else own_seed
        self.spawn_background_activity(activity, traffic_seed, _places_of_scenarios(experiment_config))
        return experiment_config

    def _renew_client(self) -> None:
        """Now and then begin with a new client of the same server.

        A client remembers each actor that it has ever seen, some 7 kB an episode. One with a Traffic Manager of its own
        has to stay.
        """
        self._episodes_of_client += 1
        if self._episodes_of_client > _EPISODES_OF_A_CLIENT and not self.traffic.has_manager:
            self._forget_world()
            self.connect()
            self._episodes_of_client = 1  # the one that begins

    @property
    def town(self) -> str:
        """Plain name of the town that was asked for, or else of the one that the server has."""
        return town_name(self.connection.town or self.map.name)

    def _load_town(self, town: str) -> None:
        if town == self.connection.town:
            return
        self.traffic.stop()
        self.clock.forget_frames()
        if self.connection.needs_loading(town):
            self.connection.load_town(town)
            self._weather = None
            self.sensor_interface.memory = {}
            self._share_world()

    def set_weather(self, weather: carla.WeatherParameters) -> None:
        """Change the weather until the next episode. Does not wait for the server."""
        if weather != self._weather:
            self.world.set_weather(weather)
            self._weather = weather

    def _clear_world(self) -> None:
        """Remove the hero, its sensors and the traffic."""
        assert self.client is not None
        # The client hides a time-out while it destroys an actor, and there are many: this call raises it.
        self.connection.call(self.client.get_server_version)
        removed = self._remove_hero()
        removed = self.traffic.clear() or removed
        removed = self.own_actors.clear() or removed
        if removed:
            self.tick_world()

    def spawn(self, type_id: str, pose: carla.Transform, **attributes: float | str) -> carla.Actor:
        """Spawn something that is destroyed with the episode, such as an obstacle or a patch of slippery road.

        Args:
            type_id: Id of its blueprint.
            pose: Where.
            attributes: Of the blueprint.

        Raises:
            ConfigError: The server has no such blueprint, or the blueprint no such attribute.
            RuntimeError: There is no room.
            ServerError: The server failed.
        """
        actor = self.own_actors.spawn(type_id, pose, **attributes)
        self._note_actors()
        return actor

    def find_actors(self, pattern: str) -> list[carla.Actor]:
        """The world's actors whose type matches a pattern such as `vehicle.*`, as the client knows them."""
        return list(cast("Iterable[carla.Actor]", self.world.get_actors().filter(pattern)))

    def remove(self, actor: carla.Actor) -> None:
        """Destroy what `spawn` has spawned, before its episode ends.

        Raises:
            ServerError: The server failed.
        """
        self.own_actors.remove(actor)

    def _lose_hero(self) -> None:
        """Have no hero, and nothing that was about it."""
        self.hero = cast(carla.Vehicle, None)
        self.metrics = None
        self.views.forget_hero()

    def _remove_hero(self) -> bool:
        if self.sensor_interface.sensors:
            self.connection.call(self.sensor_interface.destroy)
        hero = self.hero
        self._lose_hero()
        if hero is None or not hero.is_alive:
            return False
        self.connection.call(hero.destroy)
        return True

    def reset_hero(self, hero_config: Settings, ticks_per_step: int = 1) -> None:
        """Put a new hero with its sensors on the first free one of the shuffled spawn points.

        Args:
            hero_config: The `hero` section of an experiment.
            ticks_per_step: After how many ticks the sensors are read each time. Cameras draw no more often, unless
                their configuration has a `sensor_tick`.

        Raises:
            ConfigError: Its blueprint, a spawn point or a sensor's attribute does not exist.
            SpawnError: Every spawn point is taken, or the server refuses the blueprint.
            ServerError: The server failed.
        """
        self.connect()
        if self._remove_hero():
            self.tick_world()
        sensors = hero_config["sensors"]
        self.choose_rendering([sensors])
        poses = self._start_poses or hero_transforms(hero_config["spawn_points"], self.map, self.rng)
        self._start_poses = []
        self.hero = cast(carla.Vehicle, self._spawn_hero(hero_config["blueprint"], poses, self.rng))
        self._engine_turns = False
        self._note_actors()
        self.tick_world()
        self.prepare_sensors([sensors])
        self.sensor_interface.ticks_per_step = ticks_per_step
        self.spawn_sensors(sensors, self.sensor_interface, self.hero)
        self.metrics = self.connection.call(EpisodeMetrics, self.hero, self.map, self.sensor_interface)
        self._note_actors()

    def spawn_further_hero(
        self, blueprint: str | Sequence[str], poses: list[carla.Transform], rng: np.random.Generator
    ) -> carla.Actor:
        """Spawn one of several heroes, without sensors; it is destroyed with the episode.

        Args:
            blueprint: An id, a pattern, or a list of these, as in `hero.blueprint`.
            poses: Where it may start, in the order in which to try.
            rng: Draws the blueprint, where there is a choice.

        Raises:
            ConfigError: There is no such blueprint.
            SpawnError: Every pose is taken.
            ServerError: The server failed.
        """
        hero = self._spawn_hero(blueprint, poses, rng)
        self.own_actors.extras.append(hero)
        self._note_actors()
        return hero

    def _spawn_hero(
        self, setting: str | Sequence[str], poses: list[carla.Transform], rng: np.random.Generator
    ) -> carla.Actor:
        assert self.sensor_interface.blueprints is not None
        blueprint = choose_blueprint(self.sensor_interface.blueprints, setting, rng)
        if blueprint.has_attribute("role_name"):
            blueprint.set_attribute("role_name", "hero")
        return self._spawn_on_first_free(blueprint, poses)

    def change_dynamics(self, dynamics: Dynamics) -> None:
        """Make the hero the car of an episode; before it is put where it starts."""
        if dynamics.changes_car:
            physics = self.connection.ask(self.hero.get_physics_control)
            self.connection.call(self.hero.apply_physics_control, dynamics.change(physics))

    def start_hero(self, pose: carla.Transform, speed: float) -> None:
        """Put the hero somewhere, at a speed [m/s] along its heading, in gear and with its engine turning.

        CARLA spawns cars in neutral, their engines at rest. One that is only given a velocity rolls freely until it is
        given throttle, and loses up to half of its speed to the engine then. So the wheels turn the engine first.
        """
        if speed < _STANDING and not self._engine_turns:
            push_hero(self.hero, pose, speed)
            return
        self._engine_turns = speed >= _STANDING
        self.start_heroes([(self.hero, pose, speed)])

    def start_heroes(self, starts: Sequence[tuple[carla.Vehicle, carla.Transform, float]]) -> None:
        """Do what `start_hero` does for several at once: heroes, poses, speeds [m/s]."""
        moving = [start for start in starts if isinstance(start[0], carla.Vehicle)]
        for hero, _, speed in moving:
            gear = gear_at_speed(self.connection.ask(hero.get_physics_control), speed)
            hero.apply_control(carla.VehicleControl(manual_gear_shift=True, gear=gear))
        for start in starts:
            push_hero(*start)
        for _ in range(math.ceil(_SPIN_UP / self.connection.timestep) if moving else 0):
            self.tick_world()
            for start in starts:
                push_hero(*start)
        for hero, _, _ in moving:
            hero.apply_control(carla.VehicleControl())

    def choose_rendering(self, heroes: Sequence[Mapping[str, Settings]]) -> None:
        """Have the world draw pictures if a sensor of a hero is a camera, or the configuration asks for it."""
        for sensors in heroes:
            check_rendering(self.config, sensors)
        if self.config["enable_rendering"] == "auto" and not self.connection.settings.show_display:
            cameras = (SensorFactory.needs_rendering(sensor) for sensors in heroes for sensor in sensors.values())
            self.connection.set_rendering(any(cameras))

    def prepare_sensors(self, heroes: Sequence[Mapping[str, Settings]]) -> None:
        """Draw the town and compile, before anything of that could be taken for a server that hangs."""
        for sensors in heroes:
            for attributes in sensors.values():
                SensorFactory.prepare(attributes, self.map)
        EpisodeMetrics.prepare(self.map)

    def spawn_sensors(self, sensors: Mapping[str, Settings], interface: SensorInterface, hero: carla.Actor) -> None:
        """Give a hero its sensors.

        Args:
            sensors: Name -> type and attributes.
            interface: Gathers their data.
            hero: Carries them; the client has to know where it is.
        """
        self.clock.sensors_are_new = True
        # A server that has just come may still compile what its sensors need.
        with (
            contextlib.nullcontext(self.connection.settings.timeout)
            if self._has_sensed
            else self.connection.patience() as seconds
        ):
            for name, attributes in sensors.items():
                self.connection.call(SensorFactory.spawn, name, attributes, interface, hero, timeout=seconds)
        self._has_sensed = True

    def _spawn_on_first_free(self, blueprint: carla.ActorBlueprint, poses: list[carla.Transform]) -> carla.Actor:
        refusal = ""
        for pose in poses:
            try:
                return self.connection.call(self.world.spawn_actor, blueprint, pose)
            except ServerError:
                raise
            except RuntimeError as error:
                refusal = str(error)
        raise SpawnError(
            f"The hero ({blueprint.id}) could not be spawned on any of {len(poses)} spawn points of "
            f"{town_name(self.map.name)}; the server's last answer: {refusal}. Give more hero.spawn_points, or "
            "fewer background_activity.n_vehicles."
        )

    def set_route(self, route_config: Settings | None) -> None:
        """Give the hero a route from where it stands; it costs a tick.

        Args:
            route_config: `{"length": m}` for a random route, or `{"length": [least, most]}` for one of a random length,
                `{"goal": "x,y,z"}`, `{"via": ["x,y,z", ...]}`, which may have a goal, too, or None for no route.

        Raises:
            ConfigError: The goal or a point can't be read.
            RouteError: The hero, a point or the goal is away from every lane, or there is no way.
        """
        self.sensor_interface.route = None
        if route_config:
            self.tick_world()  # until then the client does not know where the hero is
            self.sensor_interface.route = self.route_from(self.hero, route_config, self.rng)

    def route_from(self, hero: carla.Actor, route_config: Settings, rng: np.random.Generator) -> Route:
        """A route from where a hero stands, as `set_route` gives the hero one.

        Args:
            hero: Where it is, the client knows.
            route_config: As for `set_route`.
            rng: Draws random routes.
        """
        goal = None
        where = "env_config.experiment.route"
        if "goal" in route_config:
            goal = read_location(route_config["goal"], f"{where}.goal")
        via = [read_location(point, f"{where}.via") for point in route_config.get("via", ())]
        length = route_config.get("length", 0.0)
        if isinstance(length, (list, tuple)):
            length = rng.uniform(*length)
        return plan_route(self.map, hero.get_transform(), goal, length=length, rng=rng, via=via)

    # Traffic

    @property
    def actors(self) -> list[int]:
        """Ids of the traffic's vehicles and walkers."""
        return self.traffic.actors

    @property
    def tm_port(self) -> int:
        """Port of the Traffic Manager; 0 before the first."""
        return self.traffic.port

    def spawn_background_activity(
        self, activity: Settings, seed: int, keep_clear: Sequence[tuple[float, float]] = ()
    ) -> None:
        """Replace the traffic by that of `background_activity`.

        Args:
            activity: The section of the experiment's configuration, complete.
            seed: Decides all about the traffic.
            keep_clear: Places, x and y in m, away from which vehicles begin.
        """
        self.spawn_npcs(
            activity["n_vehicles"],
            activity["n_walkers"],
            activity["tm_hybrid_mode"],
            seed,
            keep_clear,
            in_server=activity["traffic"] == "server",
            manners=activity,
            pedestrians_cross_factor=activity["pedestrians_cross_factor"],
        )

    def spawn_npcs(
        self,
        n_vehicles: int,
        n_walkers: int,
        hybrid: bool = True,
        seed: int | None = None,
        keep_clear: Sequence[tuple[float, float]] = (),
        in_server: bool = False,
        manners: Settings | None = None,
        pedestrians_cross_factor: float = 0.1,
    ) -> None:
        """Replace the traffic.

        Args:
            n_vehicles: Vehicles on autopilot, away from where the hero starts.
            n_walkers: Walkers on the sidewalks, each on its way to a random place.
            hybrid: Move vehicles far from the hero without physics.
            seed: Decides all about them; None draws one.
            keep_clear: Further places, x and y in m, away from which vehicles begin.
            in_server: Let the server move them, if it is one that can; else the Traffic Manager and the client do.
            manners: How the vehicles drive: some of the settings of `background_activity` that are named as methods of
                the Traffic Manager.
            pedestrians_cross_factor: Share of the walkers that may cross roads anywhere, from 0 to 1.
        """
        if in_server and not self.connection.server.queues_ticks:
            in_server = False
            logger.warning(
                "background_activity.traffic is 'server', but the %s moves no traffic: the Traffic Manager does.",
                self.connection.server.describe(),
            )
        drawn = seed
        if drawn is None:
            drawn = int(self.rng.integers(2**31)) if n_vehicles or n_walkers else 0
        places = [*((pose.location.x, pose.location.y) for pose in self._start_poses[:1]), *keep_clear]
        own = {name: value for name, value in (manners or {}).items() if name in TRAFFIC_MANNERS}
        plan = TrafficPlan(n_vehicles, n_walkers, hybrid, drawn, places, own, pedestrians_cross_factor)
        self.traffic.spawn(plan, in_server)
        self._note_actors()

    @property
    def traffic_manager(self) -> carla.TrafficManager:
        """CARLA's Traffic Manager of this world.

        With traffic it lives in the traffic's process, and this is a handle on it. Without, asking for it makes
        one in this process, synchronous with the world; should the server die, it takes the process with it.
        """
        if not self.traffic.has_manager:
            self.connect()
        return self.traffic.manager(self.rng)

    # A tick

    def tick(self, control: carla.VehicleControl | None, repeat: int = 1) -> dict[str, tuple[int, Any]]:
        """Advance the world and return what the sensors saw of exactly the frame reached.

        Args:
            control: What the hero does; None leaves its last control.
            repeat: Ticks to advance; the data is of the last, the events of all.

        Returns:
            Sensor name -> (frame, parsed data).

        Raises:
            ServerError: The server died or hung, or a sensor fell silent.
        """
        self.begin_tick(control, repeat)
        return self.finish_tick()

    def begin_tick(self, control: carla.VehicleControl | None, repeat: int = 1) -> None:
        """Begin what `tick` does, and return while the server works; `finish_tick` has to follow.

        Raises:
            ServerError: The server is lost.
        """
        if control is not None:
            self.apply_hero_control(control)
        self.clock.begin(repeat)

    def finish_tick(self) -> dict[str, tuple[int, Any]]:
        """Wait for the tick that has begun; return the sensors' data of its frame as `tick` does.

        Raises:
            ServerError: The server died or hung, or a sensor fell silent.
        """
        self.frame, data = self.clock.finish()
        data.pop(COLLISION_SENSOR, None)  # it is there for the metrics alone
        if self.metrics is not None:
            self.metrics.update()
        if self.connection.settings.show_display:
            self.set_spectator_camera_view()
        return data

    def _end_tick(self) -> None:
        """Wait for a tick that is not finished, and for what the traffic makes of it."""
        if self.clock.is_under_way:
            self.finish_tick()
        self.traffic.settle()

    def tick_world(self) -> None:
        """Tick without looking at the sensors."""
        self.frame = self.clock.tick()

    @property
    def painter(self) -> Painter:
        """Draws points, lines and texts into the viewer's picture of this world."""
        return self.views.painter

    def apply_hero_control(self, control: carla.VehicleControl) -> None:
        """Set the hero's control for the ticks to come. Does not wait for the server."""
        self.hero.apply_control(control)

    def get_sensor_data(self) -> dict[str, tuple[int, Any]]:
        """What the sensors saw of the last tick's frame: sensor name -> (frame, parsed data)."""
        return self.connection.call(
            self.sensor_interface.get_data, self.frame or None, self.connection.settings.timeout
        )

    def bird_view(self, size: int) -> np.ndarray:
        """The hero's surroundings from above, also where it has no such sensor: uint8 (size, size, 3), RGB."""
        return self.views.bird_view(self.hero, self.sensor_interface.route, size)

    def set_spectator_camera_view(self) -> None:
        """Move the spectator behind and above the hero. Does not wait for the server."""
        self.views.follow(self.hero)


def push_hero(hero: carla.Actor, pose: carla.Transform, speed: float) -> None:
    """Put a hero somewhere, at a speed [m/s] along its heading. Does not wait for the server."""
    forward = pose.get_forward_vector()
    hero.set_transform(pose)
    hero.set_target_velocity(carla.Vector3D(speed * forward.x, speed * forward.y, speed * forward.z))


def _places_of_scenarios(experiment_config: Settings) -> list[tuple[float, float]]:
    """Where traffic would be in the way of an episode's scenarios as it begins, x and y (m)."""
    if not experiment_config["scenarios"]["pinned"]:
        return []
    points = (experiment_config["route"] or {}).get("via", [])[:_POINTS_KEPT_CLEAR]
    places = [read_location(point, "env_config.experiment.route.via") for point in points]
    return [(place.x, place.y) for place in places]
