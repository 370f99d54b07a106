"""The world message: all actors of a tick, packed into one buffer that is reused every tick."""

from __future__ import annotations

import math
import struct
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicarla.kernels.calls import DirectCall
from minicarla.physics.kernels import bare_entry, kernel
from minicarla.physics.state import Rows
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
from minicarla.world.actors import Actor
from minicarla.world.episode import Episode
from minicarla.world.simulation import LIGHTS_CHANGED, MAP_CHANGED, Simulation

_DEGREES = 180.0 / math.pi
_LARGEST_FLOAT = 1e36
_ROLLOVER = 1
"""carla.VehicleFailureState.Rollover"""
_ON_ITS_ROOF, _ON_ITS_WHEELS = math.radians(130.0), math.radians(30.0)
# length, type, frame, time | (sensor pose stays zero) | episode, platform time, delta | (origin) | flags
_HEAD = struct.Struct("<IQQd")
_EPISODE_OFFSET = 52
_EPISODE = struct.Struct("<Qdf")
_FLAGS_OFFSET = 84
_FLAGS = struct.Struct("<I")
assert _HEAD.size == 28
assert MESSAGE_HEADER.itemsize == 88


@kernel
def _pack_motion(row: Any, record: Any) -> None:
    """Writes pose and motion; what is not finite is not shown to clients, who keep what they saw last."""
    total = row.x + row.y + row.z + row.pitch + row.yaw + row.roll + row.vx + row.vy + row.vz
    if not abs(total + row.wx + row.wy + row.wz + row.ax + row.ay + row.az) < _LARGEST_FLOAT:
        return
    record.x, record.y, record.z = row.x, row.y, row.z
    record.pitch = row.pitch * _DEGREES
    record.yaw = row.yaw * _DEGREES
    record.roll = row.roll * _DEGREES
    record.vx, record.vy, record.vz = row.vx, row.vy, row.vz
    record.wx, record.wy, record.wz = row.wx * _DEGREES, row.wy * _DEGREES, row.wz * _DEGREES
    record.ax, record.ay, record.az = row.ax, row.ay, row.az


@bare_entry
def _pack(
    vehicles: Rows, status: Rows, walkers: Rows, props: Rows, fixtures: Rows, lights: Rows,
    vehicle_out: Rows, walker_out: Rows, prop_out: Rows, fixture_out: Rows, light_out: Rows,
) -> None:  # fmt: skip
    for i in range(len(vehicles)):
        row, record = vehicles[i], vehicle_out[i]
        _pack_motion(row, record)
        record.throttle, record.steer, record.brake = row.throttle, row.steer, row.brake
        record.hand_brake, record.reverse, record.manual_gear_shift = row.hand_brake, row.reverse, row.manual
        record.gear = row.gear
        record.speed_limit = status[i].speed_limit
        record.traffic_light_state = status[i].light_state
        record.has_traffic_light = status[i].has_light
        record.traffic_light_id = status[i].light_id
        # As in CARLA: rolled over while it lies on its roof, and until it stands on its wheels again.
        if abs(row.roll) > _ON_ITS_ROOF:
            status[i].failure = _ROLLOVER
        elif abs(row.roll) < _ON_ITS_WHEELS:
            status[i].failure = 0
        record.failure_state = status[i].failure
    for i in range(len(walkers)):
        row, record = walkers[i], walker_out[i]
        _pack_motion(row, record)
        record.direction_x, record.direction_y, record.direction_z = row.direction_x, row.direction_y, row.direction_z
        record.speed = row.speed
        record.jump = row.jump
    for i in range(len(props)):
        _pack_motion(props[i], prop_out[i])
    for i in range(len(fixtures)):
        row, record = fixtures[i], fixture_out[i]
        record.x, record.y, record.z = row.x, row.y, row.z
        record.pitch = row.pitch * _DEGREES
        record.yaw = row.yaw * _DEGREES
        record.roll = row.roll * _DEGREES
        record.vx, record.vy, record.vz = row.vx, row.vy, row.vz
    for i in range(len(lights)):
        row, record = lights[i], light_out[i]
        record.green_time, record.yellow_time, record.red_time = row.green, row.yellow, row.red
        record.elapsed_time = row.elapsed
        record.frozen = row.frozen
        record.light_state = row.state


class Snapshot:
    """Packs the world messages of one episode.

    Call `lay_out` whenever actors appeared or vanished, then `pack` every tick.
    """

    def __init__(self, version: ProtocolVersion = V0_9_16) -> None:
        self._type = version.world_stream_type
        self._buffer: NDArray[np.uint8] = np.zeros(MESSAGE_HEADER.itemsize, np.uint8)
        self._outputs: tuple[NDArray[np.void], ...] = ()
        self._pack = DirectCall(_pack)
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
            record["pole_index"] = actor.payload.pole_index

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
