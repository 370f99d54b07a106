"""The world message: all actors of a tick, packed into one buffer that is reused every tick."""

from __future__ import annotations

import struct
import time

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.calls import DirectCall
from minicarla.protocol.layouts import (
    ACTOR_ACTIVE,
    ACTOR_DORMANT,
    FLAG_LIGHT_UPDATE_PENDING,
    FLAG_MAP_CHANGED,
    MESSAGE_HEADER,
    PLAIN_RECORD,
    RECORD_SIZE,
    TRAFFIC_LIGHT_RECORD,
    VEHICLE_RECORD,
    WALKER_RECORD,
)
from minicarla.protocol.version import V0_9_16, ProtocolVersion
from minicarla.rpc.world_records import write_records
from minicarla.world.actors import Actor
from minicarla.world.episode import Episode
from minicarla.world.simulation import LIGHTS_CHANGED, MAP_CHANGED, Simulation

# length, type, frame, time | (sensor pose stays zero) | episode, platform time, delta | (origin) | flags
_HEAD = struct.Struct("<IQQd")
_EPISODE_OFFSET = 52
_EPISODE = struct.Struct("<Qdf")
_FLAGS_OFFSET = 84
_FLAGS = struct.Struct("<I")
assert _HEAD.size == 28
assert MESSAGE_HEADER.itemsize == 88


class Snapshot:
    """Packs the world messages of one episode.

    Call `lay_out` whenever actors appeared or vanished, then `pack` every tick.
    """

    def __init__(self, version: ProtocolVersion = V0_9_16) -> None:
        self._type = version.world_stream_type
        self._buffer: NDArray[np.uint8] = np.zeros(MESSAGE_HEADER.itemsize, np.uint8)
        self._outputs: tuple[NDArray[np.void], ...] = ()
        self._pack = DirectCall(write_records)
        self._message = memoryview(self._buffer.data)

    def lay_out(self, episode: Episode) -> None:
        """Reserve a record for every actor and write what never changes."""
        tables = (episode.vehicles, episode.walkers, episode.props, episode.fixtures)
        actors = [actor for table in tables for actor in table.actors] + episode.light_actors
        self._buffer = np.zeros(MESSAGE_HEADER.itemsize + RECORD_SIZE * len(actors), np.uint8)
        self._message = memoryview(self._buffer.data)
        outputs = []
        start = MESSAGE_HEADER.itemsize
        for count, dtype in (
            (len(episode.vehicles), VEHICLE_RECORD),
            (len(episode.walkers), WALKER_RECORD),
            (len(episode.props), PLAIN_RECORD),
            (len(episode.fixtures), PLAIN_RECORD),
            (len(episode.light_actors), TRAFFIC_LIGHT_RECORD),
        ):
            end = start + count * RECORD_SIZE
            outputs.append(self._buffer[start:end].view(dtype))
            start = end
        self._outputs = tuple(outputs)
        records = self._buffer[MESSAGE_HEADER.itemsize :].view(PLAIN_RECORD)
        records["id"] = [actor.id for actor in actors]
        records["state"] = [ACTOR_DORMANT if actor.dormant else ACTOR_ACTIVE for actor in actors]
        for actor, record in zip(episode.fixtures.actors, outputs[3], strict=True):
            if actor.sign_id:
                record["sign_id"] = actor.sign_id.encode()[:31]
            record["wx"] = actor.events_sent
        self._write_light_constants(episode, outputs[4])

    def note_events(self, sensor: Actor) -> None:
        """Tell how many events a sensor has sent, in place of the angular velocity that it never has."""
        self._outputs[3]["wx"][sensor.row] = sensor.events_sent

    @staticmethod
    def _write_light_constants(episode: Episode, records: NDArray[np.void]) -> None:
        for actor, record in zip(episode.light_actors, records, strict=True):
            pose = episode.fixed_poses[actor.id]
            record["sign_id"] = actor.sign_id.encode()[:31]
            record["x"], record["y"], record["z"] = pose[0]
            record["pitch"], record["yaw"], record["roll"] = pose[1]
            assert actor.signal is not None
            record["pole_index"] = actor.signal.pole_index

    def pack(self, episode: Episode, platform_time: float, delta_seconds: float, flags: int) -> memoryview:
        """The message of the tick that just ended; valid until the next call."""
        message = self._message
        _HEAD.pack_into(message, 0, len(message) - 4, self._type, episode.frame, episode.elapsed)
        _EPISODE.pack_into(message, _EPISODE_OFFSET, episode.id, platform_time, delta_seconds)
        _FLAGS.pack_into(message, _FLAGS_OFFSET, flags)
        vehicles = episode.vehicles
        others = (episode.walkers.rows, episode.props.rows, episode.fixtures.rows, episode.lights.rows)
        self._pack((vehicles.rows, vehicles.companion, *others, *self._outputs))
        return message


class WorldStream:
    """The newest world message of a simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._snapshot = Snapshot(simulation.version)
        self._started = time.monotonic()
        self._episode_id = 0

    def message(self, news: frozenset[str] = frozenset()) -> memoryview:
        """The world message of the last tick; valid until the next call.

        Args:
            news: What this message tells of, as of `Simulation.take_news`.
        """
        simulation, episode = self._simulation, self._simulation.episode
        if episode.changed or self._episode_id != episode.id:
            self._snapshot.lay_out(episode)
            episode.changed, self._episode_id = False, episode.id
        else:
            for sensor in simulation.sensors_of_new_events:
                self._snapshot.note_events(sensor)
        simulation.sensors_of_new_events.clear()
        flags = FLAG_MAP_CHANGED if MAP_CHANGED in news else 0
        if LIGHTS_CHANGED in news:
            flags |= FLAG_LIGHT_UPDATE_PENDING
        return self._snapshot.pack(episode, time.monotonic() - self._started, simulation.last_delta, flags)
