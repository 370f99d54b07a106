"""The sensors of an episode: made with their actors, asked when due, sent to whoever listens."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np

from minicarla.protocol.version import ProtocolVersion
from minicarla.sensing import SENSORS, Mount, Sensor, SensorError, Transmission, View
from minicarla.sensing.geodesy import mercator, transverse_mercator
from minicarla.sensing.view import ActorLookup
from minicarla.world.actors import Actor
from minicarla.world.episode import Episode
from minicarla.world.poses import write_rotation
from minicarla.world.settings import EpisodeSettings

logger = logging.getLogger(__name__)

COMPUTED_BY_CLIENT = frozenset({"sensor.other.lane_invasion"})
_REFUSED = {"sensor.other.rss": "the client library of CARLA has no RSS"}
_SLACK = 1e-6


class Publisher(Protocol):
    """Where sensor messages go."""

    def has_subscribers(self, stream_id: int) -> bool:
        """Whether anybody listens to a stream."""

    def prepares_cameras(self) -> bool:
        """Whether what cameras need is being made ready between the calls of clients."""

    def send(
        self,
        stream_id: int,
        stream_type: int,
        frame: int,
        time: float,
        pose: tuple[tuple[float, float, float], tuple[float, float, float]],
        body: bytes,
    ) -> bool:
        """Send one sensor message; False if it is none that a client could read."""


class World(Protocol):
    """What sensors look at; the simulation is one."""

    publisher: Publisher
    episode: Episode
    settings: EpisodeSettings
    version: ProtocolVersion
    weather_by_name: dict[str, float]
    lookup: ActorLookup
    imu_gravity: float

    def new_stream_id(self) -> int:
        """A number no stream of this server ever had."""

    def note_event(self, sensor: Actor) -> None:
        """Count a message that a sensor of events has sent in the tick under way."""


class _Mounted:
    """A living sensor and its clock."""

    def __init__(self, actor: Actor, sensor: Sensor) -> None:
        self.actor = actor
        self.sensor = sensor
        self.is_camera = actor.type_id.startswith("sensor.camera.")
        self.wait = 0.0
        self.failed = False
        self.missed_frame = -1
        self.has_turn = False
        self.messages: tuple[bytes, ...] = ()


class SensorBoard:
    """Asks the sensors that are due after every tick."""

    def __init__(self, simulation: World) -> None:
        self._simulation = simulation
        self._mounted: dict[int, _Mounted] = {}
        self._last_dt = 0.0

    def clear(self) -> None:
        """Forget all sensors: a new episode begins."""
        self._mounted.clear()

    def prepare(self, actor: Actor) -> None:
        """Make the sensor of an actor that is about to be spawned.

        Raises:
            SensorError: It cannot be had, or not with these attributes.
        """
        refusal = _REFUSED.get(actor.type_id)
        if refusal is not None:
            raise SensorError(f"{actor.type_id} is not available: {refusal}")
        if actor.type_id in COMPUTED_BY_CLIENT:
            return
        if actor.type_id not in SENSORS:
            raise SensorError(f"{actor.type_id} is not available on this server")
        # Seeded by its place among the living, so that sensors destroyed and spawned anew give the same noise again.
        actor.sensor = SENSORS[actor.type_id](actor.attributes, len(self._mounted))
        actor.stream_id = self._simulation.new_stream_id()

    def add(self, actor: Actor) -> None:
        """Start asking a spawned sensor."""
        assert actor.sensor is not None
        self._mounted[actor.id] = _Mounted(actor, actor.sensor)

    def remove(self, actor: Actor) -> None:
        """Stop asking a destroyed sensor."""
        self._mounted.pop(actor.id, None)

    @property
    def has_cameras(self) -> bool:
        """Whether any camera is mounted."""
        return any(mounted.is_camera for mounted in self._mounted.values())

    @property
    def stream_ids(self) -> set[int]:
        """The streams of all sensors."""
        return {mounted.actor.stream_id for mounted in self._mounted.values()}

    def transmit(self, dt: float) -> None:
        """Let radios send what they have to say, before the physics of a tick.

        They send whether or not somebody listens to them. What one has sent is on the air until its next turn.
        """
        view: View | None = None
        for mounted in tuple(self._mounted.values()):
            if not mounted.sensor.transmits:
                continue
            mounted.has_turn = self._is_due(mounted, dt)
            if mounted.has_turn:
                view = view or self.view(dt)
                try:
                    mounted.messages = mounted.sensor.transmit(view, self._mount(mounted.actor))
                except Exception:
                    mounted.messages = ()
                    self._complain(mounted)

    def _complain(self, mounted: _Mounted) -> None:
        """Log, once, that a sensor failed: one that is broken must not cost everybody their tick."""
        if not mounted.failed:
            actor = mounted.actor
            logger.exception("%s (actor %d) failed; it stays silent", actor.type_id, actor.id)
        mounted.failed = True

    def capture(self, dt: float) -> None:
        """Ask all sensors that are due and that somebody listens to."""
        publisher = self._simulation.publisher
        has_contacts = len(self._simulation.episode.contacts) > 0
        view: View | None = None
        self._last_dt = dt
        for mounted in tuple(self._mounted.values()):
            if not (mounted.has_turn if mounted.sensor.transmits else self._is_due(mounted, dt)):
                continue
            if not publisher.has_subscribers(mounted.actor.stream_id):
                mounted.missed_frame = self._simulation.episode.frame
                continue
            if not self._is_ready(mounted) or (mounted.sensor.needs_contact and not has_contacts):
                continue
            if view is None:
                view = self.view(dt)
            self._ask(mounted, view)

    def catch_up(self, stream_id: int) -> None:
        """Send the current frame on a stream whose first subscriber came after its tick.

        Clients subscribe in the background: without this, whether the first frame is seen would be chance.
        """
        for mounted in self._mounted.values():
            if mounted.actor.stream_id == stream_id and mounted.missed_frame == self._simulation.episode.frame:
                mounted.missed_frame = -1
                if self._is_ready(mounted):
                    self._ask(mounted, self.view(self._last_dt))

    def _is_ready(self, mounted: _Mounted) -> bool:
        """Whether what a sensor needs is there: the first camera in a process needs much.

        In a synchronous world, every tick has its message. In an asynchronous one a camera is silent for as long as it
        takes, so that clients are answered meanwhile.
        """
        if self._simulation.settings.synchronous_mode:
            return True
        return not (mounted.is_camera and self._simulation.publisher.prepares_cameras())

    @staticmethod
    def _is_due(mounted: _Mounted, dt: float) -> bool:
        interval = mounted.sensor.interval
        if interval <= 0.0:
            return True
        if mounted.wait > _SLACK:
            mounted.wait -= dt
            if mounted.wait > _SLACK:
                return False
        # The remainder carries over, so that the mean rate is the one asked for.
        mounted.wait += interval
        if mounted.wait < 0.0:
            mounted.wait = 0.0
        return True

    def _ask(self, mounted: _Mounted, view: View) -> None:
        actor = mounted.actor
        episode = self._simulation.episode
        try:
            if mounted.is_camera and self._simulation.settings.no_rendering_mode:
                bodies = mounted.sensor.blank()
            else:
                bodies = mounted.sensor.capture(view, self._mount(actor))
        except Exception:
            self._complain(mounted)
            return
        if bodies:
            pose = episode.pose(actor)
            for body in bodies:
                was_sent = self._simulation.publisher.send(
                    actor.stream_id, mounted.sensor.stream_type, episode.frame, episode.elapsed, pose, body
                )
                if was_sent and mounted.sensor.tells_events:
                    self._simulation.note_event(actor)

    def view(self, dt: float) -> View:
        """The world after the last tick, which advanced it by `dt` seconds."""
        simulation = self._simulation
        episode = simulation.episode
        return View(
            frame=episode.frame,
            time=episode.elapsed,
            dt=dt,
            town=episode.town,
            vehicles=episode.vehicles.rows,
            walkers=episode.walkers.rows,
            props=episode.props.rows,
            weather=simulation.weather_by_name,
            light_states=episode.signal_states(),
            contacts=episode.contacts,
            gravity=simulation.imu_gravity,
            actors=simulation.lookup,
            lamps=episode.street_lights.glow,
            culling_distance=simulation.settings.max_culling_distance,
            projection=mercator if simulation.version.latitude_falls_along_y else transverse_mercator,
            air=self._air(),
        )

    def _air(self) -> tuple[Transmission, ...]:
        """What radios send, in the order of their ids."""
        return tuple(
            Transmission(mounted.actor.type_id, self._mount(mounted.actor), mounted.sensor.power, mounted.messages)
            for _, mounted in sorted(self._mounted.items())
            if mounted.messages
        )

    def _mount(self, actor: Actor) -> Mount:
        row = self._simulation.episode.row(actor)
        rotation = np.empty(9)
        write_rotation(row["roll"], row["pitch"], row["yaw"], rotation)
        parent = actor.attachment.parent if actor.attachment else None
        has_body = parent is not None and parent.has_body
        return Mount(
            position=np.array((row["x"], row["y"], row["z"])),
            rotation=rotation.reshape(3, 3),
            velocity=np.array((row["vx"], row["vy"], row["vz"])),
            kind=parent.kind if parent is not None and has_body else -1,
            row=parent.row if parent is not None and has_body else -1,
            actor_id=actor.id,
            parent_id=parent.id if parent is not None else 0,
        )
