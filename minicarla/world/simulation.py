"""The simulation: the current episode and everything that outlives it."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from minicarla import labels
from minicarla.physics.state import GRAVITY
from minicarla.protocol.version import V0_9_16, ProtocolVersion
from minicarla.sensing.view import ActorLookup
from minicarla.town import Signal, Town, load_town
from minicarla.world.actors import FIXTURE_KIND, LIGHT_KIND, Actor, Box
from minicarla.world.blueprints import load_library
from minicarla.world.dormancy import LARGE_MAPS, Dormancy
from minicarla.world.episode import Episode
from minicarla.world.sensor_board import Publisher, SensorBoard
from minicarla.world.settings import EpisodeSettings, Weather
from minicarla.world.spawning import is_free
from minicarla.world.town_view import ALL_LAYERS, Colour, hidden_by_layers, missing_lamps, painted, without

if TYPE_CHECKING:
    pass

FIRST_STREAM_ID = 2
MAP_CHANGED, LIGHTS_CHANGED = "map changed", "lights changed"
"""What clients are told with a frame beside its actors."""
_MAX_TOMBSTONES = 4096
_MAX_ID_LEAP = 100_000
"""A recording of another server may take ids this far beyond those given so far."""


class Observer(Protocol):
    """What follows a simulation tick by tick, or moves its actors."""

    def before_tick(self, dt: float) -> None:
        """The frame was counted, and physics is about to advance by `dt` seconds."""

    def after_tick(self) -> None:
        """Physics has advanced; sensors have not perceived it yet."""

    def episode_ends(self) -> None:
        """Another episode is about to begin."""


class Tombstone(NamedTuple):
    """What is remembered of an actor that ended."""

    type_id: str
    box: Box


class Simulation:
    """One server's world.

    Args:
        town_folder: With OpenDRIVE files of further towns.
        recordings_folder: Where recordings are written and read; None: in the user's data folder.
        version: Of the clients.

    Attributes:
        version: See above.
        library: The blueprints.
        settings: Clock and physics settings.
        weather: Weather parameters.
        episode: The current episode.
        spectator: Its spectator.
        sensors: Its sensors.
        publisher: Where sensor messages go.
        lookup: Facts about actors for the sensors.
        ended_with_parent: Ids of actors that ended because what they hung on did; the client may still end them.
        gravity: Acceleration of free fall.
        news: What happened since clients were last told: `MAP_CHANGED`, `LIGHTS_CHANGED`.
        news_count: How often anything was added to `news`.
        counts_events: Whether clients are told how many messages each sensor of events has sent, by its angular
            velocity: they can then wait for those that are on their way.
        sensors_of_new_events: Those that have sent messages since clients were last told how many.
        last_delta: [s] of the last tick.
        observers: Told of every tick.
        told_episode_id: Id of the episode that the newest published frame was of.
    """

    def __init__(
        self,
        town_folder: str | None = None,
        version: ProtocolVersion = V0_9_16,
    ) -> None:
        self.version = version
        self.library = load_library(version)
        self.settings = EpisodeSettings()
        self.weather = Weather()
        self.weather_by_name = self.weather.as_dict()
        self.publisher: Publisher
        self.lookup: ActorLookup
        self.gravity = GRAVITY
        self.news: frozenset[str] = frozenset()
        self.news_count = 0
        self.counts_events = False
        self.sensors = SensorBoard(self)
        self.graves: dict[int, Tombstone] = {}
        self.ended_with_parent: set[int] = set()
        self.town_folder = town_folder
        self.observers: list[Observer] = []
        self._dormancy: Dormancy | None = None
        self.opendrive_world: Town | None = None
        self.full_town: Town
        self._map_layers = ALL_LAYERS
        self._hidden_objects: set[int] = set()
        self._paint: dict[int, Colour] = {}
        self.imu_gravity = GRAVITY
        self.sensors_of_new_events: list[Actor] = []
        self._last_actor_id = self._last_id_of_earlier_episodes = 0
        self._last_stream_id = FIRST_STREAM_ID - 1
        # Different for every server, so that a client never takes a restarted one for the one it knew.
        self._last_episode_id = time.time_ns() // 1_000_000
        self.last_delta = 0.0
        self.episode: Episode
        self.spectator: Actor

    def new_actor_id(self, wanted: int = 0, type_id: str = "") -> int:
        """A number no actor of this episode ever had.

        Args:
            wanted: This one, if no other sort of actor had it.
            type_id: The sort of actor.
        """
        if self._may_have(wanted, type_id):
            self._last_actor_id = max(self._last_actor_id, wanted)
            self.ended_with_parent.discard(wanted)
            return wanted
        self._last_actor_id += 1
        return self._last_actor_id

    def _may_have(self, wanted: int, type_id: str) -> bool:
        if not 0 < wanted <= self._last_actor_id + _MAX_ID_LEAP or wanted in self.episode.actors:
            return False
        if self._last_id_of_earlier_episodes < wanted <= self._last_actor_id:
            # Clients remember the actors of an episode by their ids, sensors with streams that have ended.
            grave = self.graves.get(wanted)
            return grave is not None and grave.type_id == type_id and not type_id.startswith("sensor.")
        return True

    def new_stream_id(self) -> int:
        """A number no stream of this server ever had."""
        self._last_stream_id += 1
        return self._last_stream_id

    def load(self, town_name: str, layers: int = ALL_LAYERS) -> None:
        """Begin an episode in a town.

        Raises:
            TownError: There is no such town.
        """
        self.begin(load_town(town_name, self.town_folder), layers)

    def show_layers(self, layers: int, shown: bool) -> None:
        """Show or hide map layers (carla.MapLayer bits)."""
        self._map_layers = self._map_layers | layers if shown else self._map_layers & ~layers
        self._show_town()

    def show_objects(self, numbers: set[int], shown: bool) -> None:
        """Show or hide environment objects by their ids; unknown ones change nothing."""
        numbers = numbers.intersection(self.full_town.environment_objects["object_id"].tolist())
        self._hidden_objects = self._hidden_objects - numbers if shown else self._hidden_objects | numbers
        self._show_town()

    def paint(self, names: set[str], colour: Colour) -> int:
        """Give objects of the town, vehicles and props one colour each, by their names; returns how many there were."""
        objects = self.level_objects
        found = objects["object_id"][np.isin(objects["name"], np.array([name.encode() for name in sorted(names)]))]
        if len(found):
            self._paint |= dict.fromkeys(found.tolist(), colour)
            self._show_town()
        actors = [actor for actor in self.episode.actors.values() if actor.object_name and actor.object_name in names]
        for actor in actors:
            actor.paint = colour
        return len(found) + len(actors)

    def _show_town(self) -> None:
        town = self.full_town
        hidden = hidden_by_layers(town, self._map_layers) | self._hidden_objects
        self.episode.town = painted(without(town, hidden), self._paint)
        self.episode.street_lights.take_down(missing_lamps(town, hidden))

    @property
    def level_objects(self) -> NDArray[np.void]:
        """The town's environment objects without those of unloaded map layers; disabled ones stay in the list."""
        objects = self.full_town.environment_objects
        unloaded = hidden_by_layers(self.full_town, self._map_layers)
        return objects[~np.isin(objects["object_id"], np.array(sorted(unloaded), np.uint64))] if unloaded else objects

    def follow_sun(self) -> None:
        """Switch the street lights by the sun."""
        if self.episode.street_lights.follow_sun(self.weather.sun_altitude_angle):
            self.add_news(LIGHTS_CHANGED)

    def add_news(self, one: str) -> None:
        """Let clients be told with the next frame that the map or the lights have changed."""
        self.news |= {one}
        self.news_count += 1

    def begin(self, town: Town, layers: int = ALL_LAYERS) -> None:
        """Begin an episode in a loaded town; all actors of the old one end, and so does its weather.

        Args:
            town: Where.
            layers: carla.MapLayer bits to show.
        """
        self.full_town = town
        self._map_layers = layers
        self._hidden_objects, self._paint = set(), {}
        previous = getattr(self, "episode", None)
        self._last_episode_id += 1
        self.sensors.clear()
        for observer in self.observers:
            observer.episode_ends()
        self.episode = Episode(self._last_episode_id, town, previous.frame if previous else 0)
        self._last_id_of_earlier_episodes = self._last_actor_id
        self._show_town()
        if previous is None:
            self.told_episode_id = self.episode.id
        del previous
        # Episodes hold themselves in cycles, and too few objects for the collector to come for their large arrays.
        gc.collect()
        self.add_news(MAP_CHANGED)
        self._add_fixed_actors()
        self._dormancy = Dormancy(self.episode, self.spectator) if town.name in LARGE_MAPS else None
        self.set_weather(Weather())  # CARLA's weather belongs to the level that was closed

    def _add_fixed_actors(self) -> None:
        self.spectator = Actor(self.new_actor_id(), "spectator", FIXTURE_KIND)
        row = self.episode.add(self.spectator)
        assert row is not None
        row["z"] = 50.0
        row["pitch"] = -np.pi / 2
        for signal in self.episode.town.signals:
            self._add_signal(signal)

    def _add_signal(self, signal: Signal) -> None:
        centre = (signal.trigger_x, signal.trigger_y, signal.trigger_z)
        extent = (signal.trigger_extent_x, signal.trigger_extent_y, signal.trigger_extent_z)
        actor = Actor(
            id=self.new_actor_id(),
            type_id=signal.type_id,
            kind=LIGHT_KIND if signal.is_traffic_light else FIXTURE_KIND,
            box=(centre, extent, (0.0, 0.0, 0.0)),
            signal=signal,
            sign_id=signal.sign_id,
            tags=bytes([labels.POLES, labels.TRAFFIC_LIGHT if signal.is_traffic_light else labels.TRAFFIC_SIGNS]),
        )
        location = (signal.x, signal.y, signal.z)
        rotation = (signal.pitch, signal.yaw, signal.roll)
        self.episode.fixed_poses[actor.id] = (location, rotation)
        if self.episode.add(actor) is not None:
            self.episode.place(actor, location, rotation)

    def destroy(self, *actors: Actor) -> None:
        """End actors and what hangs on them."""
        named = set(actors)
        for ended in self.episode.destroy(actors):
            if ended not in named:
                self.ended_with_parent.add(ended.id)
            self.sensors.remove(ended)
            if len(self.graves) >= _MAX_TOMBSTONES:
                del self.graves[next(iter(self.graves))]
            self.graves[ended.id] = Tombstone(ended.type_id, ended.box)

    def warm_up(self) -> None:
        """Compile, or read from their cache, the kernels of spawning and of a tick, so that no client waits for it."""
        episode = self.episode
        origin = (0.0, 0.0, 0.0)
        is_free(episode, box=(origin, (1.0, 1.0, 1.0), origin), pose=(origin, origin))
        episode.warm_up()
        episode.step(0.0, 0.01, 1, self.gravity)

    def set_weather(self, weather: Weather) -> None:
        """Change the weather at once."""
        self.weather = weather
        self.weather_by_name = weather.as_dict()
        self.follow_sun()

    def apply_settings(self, settings: EpisodeSettings) -> None:
        """Change the settings from the next tick on."""
        self.settings = settings

    def reset_settings(self) -> None:
        """Back to an asynchronous world with a variable step, as after starting."""
        self.settings = EpisodeSettings()

    def tick(self, dt: float) -> None:
        """Advance the world by `dt` seconds and let the sensors perceive it."""
        self.advance(dt)
        self.sensors.capture(dt)

    def advance(self, dt: float) -> None:
        """Advance the world by `dt` seconds."""
        episode, settings = self.episode, self.settings
        episode.frame += 1
        episode.elapsed += dt
        self.last_delta = dt
        if dead := episode.dead_walkers():
            self.destroy(*dead)
        for observer in self.observers:
            observer.before_tick(dt)
        if self._dormancy is not None:
            self._dormancy.update(settings)
        self.sensors.transmit(dt)
        if settings.substepping:
            episode.step(dt, settings.max_substep_delta_time, settings.max_substeps, self.gravity)
        else:
            episode.step(dt, dt, 1, self.gravity)
        for observer in self.observers:
            observer.after_tick()

    def note_event(self, sensor: Actor) -> None:
        """Count a message that a sensor of events has sent in the tick under way."""
        if self.counts_events:
            sensor.events_sent += 1
            self.sensors_of_new_events.append(sensor)

    def take_news(self) -> frozenset[str]:
        """What clients are to be told with this frame; the next frame does not tell it again."""
        news, self.news = self.news, frozenset()
        self.told_episode_id = self.episode.id
        return news
