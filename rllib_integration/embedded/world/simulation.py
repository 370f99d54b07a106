"""The simulation: the current episode and everything that outlives it."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rllib_integration.embedded.town import Signal, Town, load_town
from rllib_integration.embedded.world.actors import FIXTURE_KIND, LIGHT_KIND, Actor
from rllib_integration.embedded.world.blueprints import load_library
from rllib_integration.embedded.world.episode import Episode
from rllib_integration.embedded.world.sensors import Publisher, SensorBoard
from rllib_integration.embedded.world.settings import EpisodeSettings, Weather
from rllib_integration.embedded.world.snapshot import Snapshot

logger = logging.getLogger(__name__)

GRAVITY = 9.81
"""[m/s^2]"""

FIRST_STREAM_ID = 2
_MAX_TOMBSTONES = 4096


class Simulation:
    """One server's world.

    Attributes:
        library: The blueprints.
        settings: Clock and physics settings.
        weather: Weather parameters.
        episode: The current episode.
        spectator: Its spectator.
        sensors: Its sensors.
        publisher: Where sensor messages go.
        lookup: Facts about actors for the sensors.
        gravity: Acceleration of free fall.
        map_changed: Whether the next snapshot is the first one of an episode.
    """

    def __init__(self, town_folder: str | None = None) -> None:
        self.library = load_library()
        self.settings = EpisodeSettings()
        self.weather = Weather()
        self.weather_by_name = self.weather.as_dict()
        self.publisher: Publisher
        self.lookup: Any = None
        self.gravity = GRAVITY
        self.map_changed = False
        self.sensors = SensorBoard(self)
        self.graves: dict[int, Any] = {}
        self.on_destroyed: Callable[[Actor], None] = lambda actor: None
        self.town_folder = town_folder
        self.opendrive_world: Town | None = None
        self.map_layers = 0xFFFF
        self.imu_gravity = GRAVITY
        self._snapshot = Snapshot()
        self._started = time.monotonic()
        self._last_actor_id = 0
        self._last_stream_id = FIRST_STREAM_ID - 1
        # Different for every server, so that a client never takes a restarted one for the one it knew.
        self._last_episode_id = time.time_ns() // 1_000_000
        self._last_delta = 0.0
        self.episode: Episode
        self.spectator: Actor

    def new_actor_id(self) -> int:
        """A number no actor of this server ever had."""
        self._last_actor_id += 1
        return self._last_actor_id

    def new_stream_id(self) -> int:
        """A number no stream of this server ever had."""
        self._last_stream_id += 1
        return self._last_stream_id

    def load(self, town_name: str) -> None:
        """Begin an episode in a town.

        Raises:
            TownError: There is no such town.
        """
        self.begin(load_town(town_name, self.town_folder))

    def begin(self, town: Town) -> None:
        """Begin an episode in a loaded town; all actors of the old one end."""
        previous = getattr(self, "episode", None)
        self._last_episode_id += 1
        self.sensors.clear()
        self.episode = Episode(self._last_episode_id, town, previous.frame if previous else 0)
        self.map_changed = True
        self._add_fixed_actors()

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
            payload=signal,
            sign_id=signal.sign_id,
        )
        location = (signal.x, signal.y, signal.z)
        rotation = (signal.pitch, signal.yaw, signal.roll)
        self.episode.fixed_poses[actor.id] = (location, rotation)
        if self.episode.add(actor) is not None:
            self.episode.place(actor, location, rotation)

    def destroy(self, actor: Actor) -> None:
        """End an actor and what hangs on it."""
        for ended in self.episode.destroy(actor):
            self.sensors.remove(ended)
            if len(self.graves) >= _MAX_TOMBSTONES:
                del self.graves[next(iter(self.graves))]
            self.graves[ended.id] = ended.box
            self.on_destroyed(ended)

    def set_weather(self, weather: Weather) -> None:
        """Change the weather at once."""
        self.weather = weather
        self.weather_by_name = weather.as_dict()

    def apply_settings(self, settings: EpisodeSettings) -> None:
        """Change the settings from the next tick on."""
        self.settings = settings

    def reset_settings(self) -> None:
        """Back to an asynchronous world with a variable step, as after starting; rendering stays as it is."""
        self.settings = dataclasses.replace(EpisodeSettings(), no_rendering_mode=self.settings.no_rendering_mode)

    def tick(self, dt: float) -> None:
        """Advance the world by `dt` seconds and let the sensors perceive it."""
        episode, settings = self.episode, self.settings
        episode.frame += 1
        episode.elapsed += dt
        self._last_delta = dt
        if settings.substepping:
            episode.step(dt, settings.max_substep_delta_time, settings.max_substeps, self.gravity)
        else:
            episode.step(dt, dt, 1, self.gravity)
        self.sensors.capture(dt)

    def snapshot(self, announce_map: bool = True) -> memoryview:
        """The world message of the last tick; valid until the next call.

        Args:
            announce_map: Whether this message may be the one that tells all clients of a new map.
        """
        episode = self.episode
        if episode.changed:
            self._snapshot.lay_out(episode)
            episode.changed = False
        flags = 0
        if self.map_changed and announce_map:
            flags, self.map_changed = 3, False
        return self._snapshot.pack(episode, time.monotonic() - self._started, self._last_delta, flags)
