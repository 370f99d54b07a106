"""What a vehicle's instruments show."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.parameters import tire_friction
from minicarla.physics.state import WHEELS


class WheelTelemetry(NamedTuple):
    """One wheel, in the fields and order of carla.WheelTelemetryData.

    Attributes:
        tire_friction: 3.5 is dry asphalt.
        lat_slip: Slip angle [rad].
        long_slip: Slip ratio.
        omega: Speed of turning [rad/s].
        tire_load: [N].
        normalized_tire_load: Over the load at rest.
        torque: Of the engine [N m].
        long_force: [N].
        lat_force: [N].
        normalized_long_force: Over the load.
        normalized_lat_force: Over the load.
    """

    tire_friction: float
    lat_slip: float
    long_slip: float
    omega: float
    tire_load: float
    normalized_tire_load: float
    torque: float
    long_force: float
    lat_force: float
    normalized_long_force: float
    normalized_lat_force: float


class Telemetry(NamedTuple):
    """A vehicle, in the fields and order of carla.VehicleTelemetryData.

    Attributes:
        speed: Forward [m/s].
        steer, throttle, brake: Controls.
        engine_rpm: [1/min].
        gear: -1 reverse, 0 neutral.
        drag: Of the air [N].
        wheels: Front left, front right, rear left, rear right.
    """

    speed: float
    steer: float
    throttle: float
    brake: float
    engine_rpm: float
    gear: int
    drag: float
    wheels: list[WheelTelemetry]


def telemetry(row: np.void) -> Telemetry:
    """Reads a vehicle's instruments.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
    """
    ahead = math.cos(row["yaw"]) * row["vx"] + math.sin(row["yaw"]) * row["vy"]
    square = row["vx"] ** 2 + row["vy"] ** 2 + row["vz"] ** 2
    return Telemetry(
        speed=float(ahead),
        steer=float(row["steer"]),
        throttle=float(row["throttle"]),
        brake=float(row["brake"]),
        engine_rpm=float(row["rpm"]),
        gear=int(row["gear"]),
        drag=float(row["drag_area"] * square),
        wheels=[_wheel(row, wheel) for wheel in range(WHEELS)],
    )


def _wheel(row: np.void, wheel: int) -> WheelTelemetry:
    along, across = float(row["wheel_along"][wheel]), float(row["wheel_across"][wheel])
    load = float(row["wheel_load"][wheel])
    push, side = float(row["wheel_force_x"][wheel]), float(row["wheel_force_y"][wheel])
    # Wheels do not turn by themselves here. The slip is what the tyre needs for this force.
    slip = push * WHEELS * float(row["slip_per_newton"])
    return WheelTelemetry(
        tire_friction=tire_friction(row, wheel),
        lat_slip=math.atan2(across, max(abs(along), 0.5)),
        long_slip=slip,
        omega=along * (1.0 + slip) / float(row["wheel_radius"][wheel]),
        tire_load=load,
        normalized_tire_load=load / float(row["wheel_rest_load"][wheel]),
        torque=float(row["drive_force"] * row["wheel_drive"][wheel] * row["wheel_radius"][wheel]),
        long_force=push,
        lat_force=side,
        normalized_long_force=push / load if load > 0.0 else 0.0,
        normalized_lat_force=side / load if load > 0.0 else 0.0,
    )


def wheel_steer_angles(rows: np.void | NDArray[np.void]) -> NDArray[np.float64]:
    """Radians by which wheels are turned to the right; of vehicles whose physics is off, what was set from outside.

    Args:
        rows: Array of dtype `state.VEHICLE` and any shape, or one row of it.

    Returns:
        That shape and (4,): front left, front right, rear left, rear right.
    """
    driven = np.asarray(rows["physics"], bool)[..., None]
    return np.where(driven, np.arctan2(rows["wheel_sine"], rows["wheel_cosine"]), rows["wheel_steer_offset"])


def wheel_steer_angle(row: np.void, wheel: int) -> float:
    """Degrees by which a wheel is turned to the right, as in `wheel_steer_angles`.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
        wheel: 0 front left, 1 front right, 2 rear left, 3 rear right.
    """
    return math.degrees(wheel_steer_angles(row)[wheel])


def wheel_pitch_angle(row: np.void, wheel: int) -> float:
    """Degrees, -180 to 180, by which a wheel has turned about its axle, backwards positive as Unreal counts; while
    physics is off, what was set from outside is added.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
        wheel: As in `wheel_steer_angle`.
    """
    angle = -float(row["rolled"]) / float(row["wheel_radius"][wheel])
    if not row["physics"]:
        angle += float(row["wheel_pitch_offset"][wheel])
    return math.degrees(math.remainder(angle, 2.0 * math.pi))
