"""What a pedestrian looks at: the crossing before it, vehicles in its way, other walkers."""

from __future__ import annotations

import math

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Floats, Rows
from minicarla.world.traffic_lights import GREEN, YELLOW

_GAP = 3.0  # [s] that a vehicle has to be away from the way over a road
_ROLLING = 0.3  # [m/s]
_SIDE, _BODY = 1.0, 0.35  # [m] beside a vehicle that comes, and beside one that is passed
_FORESIGHT = 0.8  # [s]
_ARM = 0.9  # [m] ahead that is looked at for vehicles
_LEVEL = 3.0  # [m] of height within which two things are on the same ground
_REACH = 2.5  # [m] within which other walkers are passed
_WIDTH, _NARROW = 0.7, 0.8  # [m] between the middles of two that pass, and below which one walks slowly
_SLOWLY = 0.4


@kernel
def _comes(vehicle: Record, x: float, y: float, end_x: float, end_y: float) -> bool:
    """Whether a vehicle stands on the line between two places, or is about to pass it."""
    cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    along = (x - vehicle.x) * cosine + (y - vehicle.y) * sine
    across = (y - vehicle.y) * cosine - (x - vehicle.x) * sine
    way_along = (end_x - x) * cosine + (end_y - y) * sine
    way_across = (end_y - y) * cosine - (end_x - x) * sine
    # The part of the line that lies in the vehicle's track.
    width = vehicle.extent_y + _SIDE
    low, high = 0.0, 1.0
    if abs(way_across) > 1e-6:
        first, last = (-width - across) / way_across, (width - across) / way_across
        low, high = max(low, min(first, last)), min(high, max(first, last))
    elif abs(across) > width:
        return False
    if low > high:
        return False
    nearest = min(along + low * way_along, along + high * way_along)
    farthest = max(along + low * way_along, along + high * way_along)
    room = nearest - vehicle.extent_x - _BODY
    if farthest < -vehicle.extent_x - _BODY:
        return False
    speed = vehicle.vx * cosine + vehicle.vy * sine
    return room < 0.0 or (speed > _ROLLING and room < _GAP * speed)


@kernel
def is_free(walker: Record, vehicles: Rows, lights: Rows, light: int, end_x: float, end_y: float) -> bool:
    """Whether one may step on the road: the light holds the cars, if there is one, and none is about to pass.

    Args:
        walker: Who stands before the road.
        vehicles: Rows of `physics.state.VEHICLE`.
        lights: Rows of `traffic_lights.LIGHT`.
        light: Row of the light that holds the cars, or -1.
        end_x, end_y: The other side [m].
    """
    if light >= 0 and (lights[light].state == GREEN or lights[light].state == YELLOW):
        return False
    for j in range(vehicles.shape[0]):
        near = abs(vehicles[j].z - walker.z) < _LEVEL + 1.0
        if near and _comes(vehicles[j], walker.x, walker.y, end_x, end_y):
            return False
    return True


@kernel
def _covers(vehicle: Record, x: float, y: float) -> bool:
    """Whether a place lies on a vehicle, or where it will be in a moment."""
    cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    along = (x - vehicle.x) * cosine + (y - vehicle.y) * sine
    across = (y - vehicle.y) * cosine - (x - vehicle.x) * sine
    speed = vehicle.vx * cosine + vehicle.vy * sine
    front = vehicle.extent_x + _BODY + max(speed, 0.0) * _FORESIGHT
    rear = vehicle.extent_x + _BODY + max(-speed, 0.0) * _FORESIGHT
    return -rear < along < front and abs(across) < vehicle.extent_y + _BODY


@kernel
def is_held_up(walker: Record, vehicles: Rows, way: Floats) -> bool:
    """Whether the next step in the direction `way` would be into a vehicle; who is in its way walks on."""
    for j in range(vehicles.shape[0]):
        vehicle = vehicles[j]
        if abs(vehicle.x - walker.x) > 25.0 or abs(vehicle.y - walker.y) > 25.0:
            continue
        if abs(vehicle.z - walker.z) > _LEVEL or _covers(vehicle, walker.x, walker.y):
            continue
        for part in range(1, 3):
            reach = 0.5 * part * _ARM
            if _covers(vehicle, walker.x + reach * way[0], walker.y + reach * way[1]):
                return True
    return False


@kernel
def avoid(walkers: Rows, own: int, way: Floats, speed: float) -> float:
    """Turn the direction `way` to pass other walkers.

    Args:
        walkers: Rows of `physics.state.WALKER`.
        own: The row of who walks.
        way: Unit vector; changed.
        speed: What it would walk with [m/s].

    Returns:
        What it can walk with [m/s].
    """
    walker = walkers[own]
    ahead_x, ahead_y, aside, share = way[0], way[1], 0.0, 1.0
    for j in range(walkers.shape[0]):
        other = walkers[j]
        dx, dy = other.x - walker.x, other.y - walker.y
        if j == own or abs(dx) > _REACH or abs(dy) > _REACH or abs(other.z - walker.z) > _LEVEL:
            continue
        along, across = dx * ahead_x + dy * ahead_y, dy * ahead_x - dx * ahead_y
        closing = speed - (other.vx * ahead_x + other.vy * ahead_y)
        if not 0.0 < along < _REACH or abs(across) > _WIDTH or closing < 0.05:
            continue
        aside += (-1.0 if across >= 0.0 else 1.0) * (1.0 - along / _REACH)
        if along < _NARROW:
            share = _SLOWLY
    way[0], way[1] = ahead_x - aside * ahead_y, ahead_y + aside * ahead_x
    size = math.sqrt(way[0] * way[0] + way[1] * way[1])
    way[0], way[1] = way[0] / size, way[1] / size
    return speed * share
