"""What props and walkers have in common: pushes that were asked for, and what follows from a tick's motion."""

from __future__ import annotations

from typing import TypeAlias

from minicarla.physics.kernels import Record, kernel

Pushable: TypeAlias = Record
"""A record of `state.PROP` or `state.WALKER`."""


@kernel
def take_push(b: Pushable, dt: float) -> bool:
    """Gives a body the target velocity, impulse and force that were asked for; returns whether it was pushed.

    Args:
        b: Record of `state.PROP` or `state.WALKER`.
        dt: Length of the tick, for which the force acts, seconds.
    """
    if b.target_velocity:
        b.vx, b.vy, b.vz = b.target_vx, b.target_vy, b.target_vz
    kick_x, kick_y = b.impulse_x + b.force_x * dt, b.impulse_y + b.force_y * dt
    kick_z = b.impulse_z + b.force_z * dt
    if kick_x == 0.0 and kick_y == 0.0 and kick_z == 0.0:
        return False
    b.vx += kick_x / b.mass
    b.vy += kick_y / b.mass
    b.vz += kick_z / b.mass
    return True


@kernel
def note_motion(b: Pushable, dt: float) -> None:
    """Derives the acceleration, remembers pose and velocity, and forgets what was asked for."""
    b.ax = (b.vx - b.last_vx) / dt
    b.ay = (b.vy - b.last_vy) / dt
    b.az = (b.vz - b.last_vz) / dt
    b.last_vx, b.last_vy, b.last_vz = b.vx, b.vy, b.vz
    b.last_x, b.last_y, b.last_z, b.last_yaw = b.x, b.y, b.z, b.yaw
    b.force_x = b.force_y = b.force_z = b.torque_z = 0.0
    b.impulse_x = b.impulse_y = b.impulse_z = b.angular_impulse_z = 0.0
    b.target_velocity = b.target_angular_velocity = 0
