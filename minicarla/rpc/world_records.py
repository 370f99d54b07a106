"""The records of the world message, written by compiled code; apart, so that few edits make it stale."""

from __future__ import annotations

import math

from minicarla.physics.kernels import Record, bare_entry, kernel
from minicarla.physics.state import Rows

_DEGREES = 180.0 / math.pi
_LARGEST_FLOAT = 1e36
_ROLLOVER = 1
"""carla.VehicleFailureState.Rollover"""
_ON_ITS_ROOF, _ON_ITS_WHEELS = math.radians(130.0), math.radians(30.0)


@kernel
def _pack_motion(row: Record, record: Record) -> None:
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
def write_records(
    vehicles: Rows, status: Rows, walkers: Rows, props: Rows, fixtures: Rows, lights: Rows,
    vehicle_out: Rows, walker_out: Rows, prop_out: Rows, fixture_out: Rows, light_out: Rows,
) -> None:  # fmt: skip
    """Write what changes from tick to tick, from rows of the state arrays into the records of the message."""
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
