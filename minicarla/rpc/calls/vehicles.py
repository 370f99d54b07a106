"""Calls about vehicles: controls, physics, lamps, doors, wheels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from minicarla.physics import parameters
from minicarla.physics.state import WHEELS
from minicarla.physics.telemetry import Telemetry, telemetry, wheel_pitch_angle, wheel_steer_angle
from minicarla.protocol import values
from minicarla.protocol.values import PackValue, clamp, number
from minicarla.rpc.registry import RemoteError, value, void
from minicarla.world.actors import Actor

if TYPE_CHECKING:
    from minicarla.rpc.server import Server

VehicleControl: TypeAlias = tuple[float, float, float, bool, bool, bool, int]
"""CARLA's: throttle, steer, brake, hand brake, reverse, manual gear shift, gear."""

_ALL_LAMPS = 0xFFFFFFFF
_ALL_DOORS = 6
_REAR_PAIR = 2


def find_vehicle(server: Server, actor_id: int) -> Actor:
    """The vehicle of an id."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if not actor.is_vehicle:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, not a vehicle")
    return actor


def vehicle_row(server: Server, actor_id: int) -> np.void:
    """The state of the vehicle of an id, writable."""
    return server.simulation.episode.vehicles.rows[find_vehicle(server, actor_id).row]


def set_control(server: Server, actor_id: int, control: VehicleControl) -> None:
    """Take over throttle, steering, brakes and gears."""
    actor = find_vehicle(server, actor_id)
    try:
        throttle, steer, brake, hand_brake, reverse, manual, gear = control
        throttle, steer, brake = float(throttle), float(steer), float(brake)
        gear = int(gear)
    except (TypeError, ValueError, OverflowError):
        raise values.MalformedValueError(f"a vehicle control must be seven values, not {control!r:.100}") from None
    # NaN fails these comparisons, so that min and max below only see numbers.
    if not (0.0 <= throttle <= 1.0 and -1.0 <= steer <= 1.0 and 0.0 <= brake <= 1.0):
        throttle, steer, brake = clamp(throttle, 0.0, 1.0), clamp(steer, -1.0, 1.0), clamp(brake, 0.0, 1.0)
    gear = -1 if gear < -1 else min(gear, parameters.MAX_GEARS)
    vehicles = server.simulation.episode.vehicles
    if not actor.sticky:
        vehicles.companion["fresh_control"][actor.row] = 1
    vehicles.controls[actor.row] = (
        throttle, steer, brake, hand_brake is True, reverse is True, manual is True, gear, 0,
    )  # fmt: skip


@void
def apply_control_to_vehicle(server: Server, actor_id: int, control: VehicleControl) -> None:
    """Take over throttle, steering, brakes and gears."""
    set_control(server, actor_id, control)


@value
def get_physics_control(server: Server, actor_id: int) -> parameters.PhysicsControl:
    """Engine, gears, wheels and body."""
    return parameters.physics_control(vehicle_row(server, actor_id))


@void
def apply_physics_control(server: Server, actor_id: int, control: Sequence[PackValue]) -> None:
    """Change engine, gears, wheels and body."""
    parameters.apply_physics_control(vehicle_row(server, actor_id), control)


@value
def get_vehicle_light_state(server: Server, actor_id: int) -> list[int]:
    """VehicleLightState bits."""
    actor = find_vehicle(server, actor_id)
    return [int(server.simulation.episode.vehicles.companion["lamps"][actor.row])]


def set_lamps(server: Server, actor_id: int, lamps: PackValue) -> None:
    """Switch a vehicle's lamps."""
    actor = find_vehicle(server, actor_id)
    bits = values.integer(lamps, "vehicle lights") & _ALL_LAMPS
    server.simulation.episode.vehicles.companion["lamps"][actor.row] = bits


@void
def set_vehicle_light_state(server: Server, actor_id: int, lamps: PackValue) -> None:
    """Switch a vehicle's lamps."""
    if not isinstance(lamps, list) or len(lamps) != 1:
        raise values.MalformedValueError("vehicle lights must be a list of one integer")
    set_lamps(server, actor_id, lamps[0])


@value
def get_vehicle_light_states(server: Server) -> list[list[int]]:
    """Id and VehicleLightState bits of every vehicle."""
    vehicles = server.simulation.episode.vehicles
    return np.stack((vehicles.rows["id"], vehicles.companion["lamps"]), axis=1).tolist() if len(vehicles) else []


@void
def open_vehicle_door(server: Server, actor_id: int, door: int) -> None:
    """Open a door (carla.VehicleDoor)."""
    _move_doors(server, actor_id, door, True)


@void
def close_vehicle_door(server: Server, actor_id: int, door: int) -> None:
    """Close a door (carla.VehicleDoor)."""
    _move_doors(server, actor_id, door, False)


def _move_doors(server: Server, actor_id: int, door: int, opened: bool) -> None:
    actor = find_vehicle(server, actor_id)
    if door not in range(_ALL_DOORS + 1):
        raise values.MalformedValueError(f"a door must be 0 to {_ALL_DOORS}, not {door!r:.60}")
    doors = 0b111111 if door == _ALL_DOORS else 1 << door
    status = server.simulation.episode.vehicles.companion[actor.row]
    status["open_doors"] = status["open_doors"] | doors if opened else status["open_doors"] & ~np.uint32(doors)


def _wheel(row: np.void, wheel: int) -> int:
    """A wheel by its carla.VehicleWheelLocation; 1 is the rear one of a two-wheeler, which has two close pairs."""
    if wheel not in range(WHEELS):
        raise values.MalformedValueError(f"a wheel must be 0 to {WHEELS - 1}, not {wheel!r:.60}")
    return _REAR_PAIR if wheel == 1 and row["balance"] > 0.0 else int(wheel)


@void
def set_wheel_steer_direction(server: Server, actor_id: int, wheel: int, degrees: float) -> None:
    """Turn a wheel by some degrees besides what steering does."""
    row = vehicle_row(server, actor_id)
    row["wheel_steer_offset"][_wheel(row, wheel)] = math.radians(number(degrees, "wheel angle"))


@void
def set_wheel_pitch_angle(server: Server, actor_id: int, wheel: int, degrees: float) -> None:
    """Turn a wheel about its axle by some degrees besides what rolling does."""
    row = vehicle_row(server, actor_id)
    row["wheel_pitch_offset"][_wheel(row, wheel)] = math.radians(number(degrees, "wheel angle"))


@value
def get_wheel_steer_angle(server: Server, actor_id: int, wheel: int) -> float:
    """Degrees by which a wheel is turned."""
    row = vehicle_row(server, actor_id)
    return float(wheel_steer_angle(row, _wheel(row, wheel)))


@value
def get_wheel_pitch_angle(server: Server, actor_id: int, wheel: int) -> float:
    """Degrees by which a wheel has turned about its axle."""
    row = vehicle_row(server, actor_id)
    return float(wheel_pitch_angle(row, _wheel(row, wheel)))


@void
def set_actor_autopilot(server: Server, actor_id: int, enabled: bool) -> None:
    """Note that a Traffic Manager drives a vehicle; it runs in a client and sends controls as anybody does."""
    actor = find_vehicle(server, actor_id)
    server.simulation.episode.vehicles.companion["autopilot"][actor.row] = bool(enabled)


@void
def apply_ackermann_control_to_vehicle(server: Server, actor_id: int, control: PackValue) -> None:
    """Let the server steer and accelerate towards an angle, a speed and an acceleration."""
    row = vehicle_row(server, actor_id)
    if not isinstance(control, list) or len(control) != 5:
        raise values.MalformedValueError("an Ackermann control must be five numbers")
    steer, steer_speed, speed, acceleration, jerk = (number(part, "an Ackermann control") for part in control)
    row["ackermann"], row["asleep"] = 1, 0
    row["ackermann_steer"], row["ackermann_steer_speed"], row["ackermann_speed"] = steer, steer_speed, speed
    row["ackermann_acceleration"], row["ackermann_jerk"] = acceleration, jerk


@value
def get_ackermann_controller_settings(server: Server, actor_id: int) -> list[float]:
    """Gains of the speed and of the acceleration controller: proportional, integral, derivative."""
    row = vehicle_row(server, actor_id)
    return [*row["ackermann_speed_gains"].tolist(), *row["ackermann_acceleration_gains"].tolist()]


@void
def apply_ackermann_controller_settings(server: Server, actor_id: int, settings: PackValue) -> None:
    """Change the gains of the Ackermann controllers."""
    row = vehicle_row(server, actor_id)
    if not isinstance(settings, list) or len(settings) != 6:
        raise values.MalformedValueError("Ackermann controller settings must be six numbers")
    gains = [number(part, "a gain") for part in settings]
    row["ackermann_speed_gains"], row["ackermann_acceleration_gains"] = gains[:3], gains[3:]


@value
def get_telemetry_data(server: Server, actor_id: int) -> Telemetry:
    """Speed, controls, engine and wheels."""
    return telemetry(vehicle_row(server, actor_id))
