"""Calls about vehicles: controls, physics, lamps, doors, wheels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rllib_integration.embedded.physics import parameters
from rllib_integration.embedded.protocol import values
from rllib_integration.embedded.protocol.values import clamp, number
from rllib_integration.embedded.rpc.registry import RemoteError, value, void
from rllib_integration.embedded.world.actors import Actor

if TYPE_CHECKING:
    from rllib_integration.embedded.rpc.server import Server

_ALL_LAMPS = 0xFFFFFFFF


def find_vehicle(server: Server, actor_id: Any) -> Actor:
    """The vehicle of an id."""
    actor = server.simulation.episode.get(values.actor_id(actor_id))
    if not actor.is_vehicle:
        raise RemoteError(f"actor {actor_id} is a {actor.type_id}, not a vehicle")
    return actor


def vehicle_row(server: Server, actor_id: Any) -> np.void:
    """The state of the vehicle of an id, writable."""
    return server.simulation.episode.vehicles.rows[find_vehicle(server, actor_id).row]


def set_control(server: Server, actor_id: Any, control: Any) -> None:
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
    server.simulation.episode.vehicles.controls[actor.row] = (
        throttle, steer, brake, hand_brake is True, reverse is True, manual is True, gear, 0,
    )  # fmt: skip


@void
def apply_control_to_vehicle(server: Server, actor_id: int, control: Any) -> None:
    """Take over throttle, steering, brakes and gears."""
    set_control(server, actor_id, control)


@value
def get_physics_control(server: Server, actor_id: int) -> Any:
    """Engine, gears, wheels and body."""
    return parameters.physics_control(vehicle_row(server, actor_id))


@void
def apply_physics_control(server: Server, actor_id: int, control: Any) -> None:
    """Change engine, gears, wheels and body."""
    parameters.apply_physics_control(vehicle_row(server, actor_id), control)


@value
def get_vehicle_light_state(server: Server, actor_id: int) -> list[int]:
    """VehicleLightState bits."""
    actor = find_vehicle(server, actor_id)
    return [int(server.simulation.episode.vehicles.companion["lamps"][actor.row])]


def set_lamps(server: Server, actor_id: Any, lamps: Any) -> None:
    """Switch a vehicle's lamps."""
    actor = find_vehicle(server, actor_id)
    bits = values.integer(lamps, "vehicle lights") & _ALL_LAMPS
    server.simulation.episode.vehicles.companion["lamps"][actor.row] = bits


@void
def set_vehicle_light_state(server: Server, actor_id: int, lamps: Any) -> None:
    """Switch a vehicle's lamps."""
    if not isinstance(lamps, list) or len(lamps) != 1:
        raise values.MalformedValueError("vehicle lights must be a list of one integer")
    set_lamps(server, actor_id, lamps[0])


@value
def get_vehicle_light_states(server: Server) -> list[list[int]]:
    """Id and VehicleLightState bits of every vehicle."""
    vehicles = server.simulation.episode.vehicles
    return np.stack((vehicles.rows["id"], vehicles.companion["lamps"]), axis=1).tolist() if len(vehicles) else []
