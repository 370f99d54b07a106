"""Ackermann control: speed, acceleration and steering angle instead of pedals.

Two controllers in a row, as in CARLA: the first turns the error of speed into a wished acceleration, the second the
error of acceleration into a pedal position. Both *change* their output by what their gains say, so that the pedals
find the level that a hill or the wind needs without an integral part. The gains count per `PERIOD`, so that the same
gains drive alike at any length of tick.
"""

from __future__ import annotations

from minicarla.physics.kernels import kernel
from minicarla.physics.state import Vehicle

PERIOD = 0.05
"""Length of the tick for which CARLA's default gains are made, seconds."""
STANDSTILL = 0.1
"""Below this speed the direction may change, and a target below it means a full stop, m/s."""
MOST_ACCELERATION = 3.0
"""Without a limit in the command, m/s^2 ..."""
MOST_DECELERATION = 8.0
FEELING = 0.15
"""Time over which the measured acceleration is smoothed, seconds."""


@kernel
def follow_ackermann(v: Vehicle, speed: float, dt: float) -> None:
    """Writes throttle, brake, steer and direction for the commanded angle, speed and acceleration.

    Args:
        v: Record of `state.VEHICLE`.
        speed: Forward, m/s.
        dt: Length of the tick, seconds.
    """
    v.manual = v.hand_brake = 0
    lock = max(v.wheel_max_steer[0], v.wheel_max_steer[1], 1e-6)
    wish = min(max(v.ackermann_steer / lock, -1.0), 1.0)
    if v.ackermann_steer_speed > 1e-3:
        most = v.ackermann_steer_speed * dt / lock
        wish = min(max(wish, v.steer - most), v.steer + most)
    v.steer = wish
    if not v.following:
        _start(v, speed)
    if abs(speed) < STANDSTILL:
        if abs(v.ackermann_speed) < STANDSTILL:
            v.throttle, v.brake = 0.0, 1.0
            _start(v, speed)
            return
        backwards = v.ackermann_speed < 0.0
        if backwards != (v.reverse != 0):
            v.reverse = backwards
            _start(v, speed)
    # From here on the way ahead is the one of the gear; the other way needs a stop first.
    direction = -1.0 if v.reverse else 1.0
    target = max(v.ackermann_speed * direction, 0.0)
    acceleration = (speed * direction - v.ackermann_last_speed) / dt
    v.ackermann_last_speed = speed * direction
    error = v.ackermann_wish - v.ackermann_felt
    v.ackermann_felt += min(1.0, dt / FEELING) * (acceleration - v.ackermann_felt)
    _wish_acceleration(v, target - speed * direction, dt)
    _press_pedals(v, error, dt)


@kernel
def _start(v: Vehicle, speed: float) -> None:
    v.ackermann_wish = v.ackermann_pedal = v.ackermann_felt = 0.0
    v.ackermann_speed_sum = v.ackermann_acceleration_sum = 0.0
    v.ackermann_last_speed = abs(speed)


@kernel
def _wish_acceleration(v: Vehicle, error: float, dt: float) -> None:
    gains = v.ackermann_speed_gains
    v.ackermann_speed_sum = min(max(v.ackermann_speed_sum + error * dt, -10.0), 10.0)
    # The derivative of the measured speed, not of the error: a new target gives no kick.
    change = gains[0] * error + gains[1] * v.ackermann_speed_sum - gains[2] * v.ackermann_felt
    change = min(max(change, -1.0), 1.0) * dt / PERIOD
    if v.ackermann_jerk > 0.0:
        change = min(max(change, -v.ackermann_jerk * dt), v.ackermann_jerk * dt)
    most, least = MOST_ACCELERATION, -MOST_DECELERATION
    if v.ackermann_acceleration != 0.0:
        most = abs(v.ackermann_acceleration)
        least = -most
    v.ackermann_wish = min(max(v.ackermann_wish + change, least), most)


@kernel
def _press_pedals(v: Vehicle, last_error: float, dt: float) -> None:
    gains = v.ackermann_acceleration_gains
    error = v.ackermann_wish - v.ackermann_felt
    v.ackermann_acceleration_sum = min(max(v.ackermann_acceleration_sum + error * dt, -10.0), 10.0)
    change = gains[0] * error + gains[1] * v.ackermann_acceleration_sum
    change = change * dt / PERIOD + gains[2] * (error - last_error) / max(dt, PERIOD)
    v.ackermann_pedal = min(max(v.ackermann_pedal + change, -1.0), 1.0)
    v.throttle, v.brake = max(v.ackermann_pedal, 0.0), max(-v.ackermann_pedal, 0.0)
