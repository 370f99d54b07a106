"""Safe speed, steering and pedals of a driver."""

from __future__ import annotations

import math

from minicarla.physics.kernels import Record, kernel
from minicarla.physics.state import Floats
from minicarla.town.lane_graph import LaneGraph
from minicarla.world.autopilot.driver import BRAKING, place_ahead

_REACTION = 0.4  # [s]
_LONG_BASE, _SWING = 4.0, 0.8  # [m] between the axles of vehicles that swing out


@kernel
def safe_speed(gap: float, speed_there: float) -> float:
    """The speed from which a vehicle stops behind another that brakes as hard (Gipps 1981, equation 2)."""
    brake = BRAKING * _REACTION
    square = brake * brake + speed_there * speed_there + 2.0 * BRAKING * gap
    return math.sqrt(square) - brake if square > brake * brake else 0.0


@kernel
def steer(graph: LaneGraph, driver: Record, vehicle: Record, place: Floats) -> None:
    """Steer towards a place of the way ahead of the rear axle (pure pursuit, Coulter 1992)."""
    rear, front = vehicle.wheel_x[2], vehicle.wheel_x[0]
    view = min(max(2.0 + 0.45 * driver.speed, front - rear + 1.2), 20.0)
    place_ahead(graph, driver, view + rear, place)
    cosine, sine = math.cos(vehicle.yaw), math.sin(vehicle.yaw)
    dx = place[0] - (vehicle.x + rear * cosine)
    dy = place[1] - (vehicle.y + rear * sine)
    across = dy * cosine - dx * sine
    if front - rear > _LONG_BASE:
        across -= _SWING * driver.offset  # its middle would cut the bend
    square = max(dx * dx + dy * dy, 1.0)
    angle = math.atan(2.0 * (front - rear) * across / square)
    lock = max(vehicle.wheel_max_steer[0], vehicle.wheel_max_steer[1])
    factor = vehicle.steering_factor[0]
    for k in range(1, vehicle.steering_count):
        low, high = vehicle.steering_speed[k - 1], vehicle.steering_speed[k]
        if driver.speed >= low:
            share = min((driver.speed - low) / max(high - low, 1e-6), 1.0)
            factor = vehicle.steering_factor[k - 1]
            factor += share * (vehicle.steering_factor[k] - vehicle.steering_factor[k - 1])
    vehicle.steer = min(max(angle / max(lock * factor, 1e-3), -1.0), 1.0)


@kernel
def set_pedals(vehicle: Record, speed: float, wanted: float) -> None:
    """Set throttle and brake so that the speed becomes the wanted one [m/s]."""
    vehicle.hand_brake, vehicle.reverse, vehicle.manual, vehicle.ackermann = 0, 0, 0, 0
    vehicle.throttle, vehicle.brake = 0.0, 0.0
    if wanted < 0.2 and speed < 1.0:
        vehicle.brake = 0.6
    elif wanted >= speed - 0.3:
        vehicle.throttle = min(max(0.12 + 0.008 * speed + 0.45 * (wanted - speed), 0.0), 0.85)
    else:
        vehicle.brake = min(0.7 * (speed - wanted - 0.1), 1.0)
