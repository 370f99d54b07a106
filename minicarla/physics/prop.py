"""Props: boxes that stand where they were put, or slide, spin and fall once physics is switched on for them."""

from __future__ import annotations

import math

from minicarla.physics.ground import Surface, ground_at
from minicarla.physics.kernels import kernel
from minicarla.physics.pushes import note_motion, take_push
from minicarla.physics.state import GRAVITY, Prop

GROUND_FRICTION = 0.6
BOUNCE = 0.2
"""Share of the falling speed that is left after a landing."""
RESTING_GAP = 0.005
"""A prop that is no higher above the ground stands on it, metres."""
SLOW = 0.3
"""A prop that slides no faster is as good as standing for who pushes it, m/s."""
REST_SPEED = 0.02
"""A prop on the ground that is slower than this stops, m/s and rad/s."""


@kernel
def begin_tick(p: Prop, dt: float) -> None:
    """Takes over poses, velocities and pushes that were set since the last tick.

    Args:
        p: Record of `state.PROP`.
        dt: Length of the tick, seconds.
    """
    if p.ticked == 0:
        p.last_x, p.last_y, p.last_z, p.last_yaw = p.x, p.y, p.z, p.yaw
        p.ticked = 1
    if p.physics == 0:
        return
    if p.x != p.last_x or p.y != p.last_y or p.z != p.last_z:
        p.asleep = 0
    if take_push(p, dt) or p.target_velocity:
        p.asleep = 0
    if p.target_angular_velocity:
        p.wz = p.target_wz
        p.asleep = 0
    spin = p.angular_impulse_z + p.torque_z * dt
    if spin != 0.0:
        p.wz += spin / yaw_inertia(p)
        p.asleep = 0


@kernel
def yaw_inertia(p: Prop) -> float:
    """Moment of inertia of a solid box about its upright axis, kg m^2."""
    return p.mass / 3.0 * (p.extent_x * p.extent_x + p.extent_y * p.extent_y)


@kernel
def standing_friction(p: Prop) -> float:
    """Force that friction holds a standing prop with, N; 0 if it slides or hangs in the air."""
    if p.physics == 0 or p.gravity == 0 or p.vz != 0.0 or p.vx * p.vx + p.vy * p.vy > SLOW * SLOW:
        return 0.0
    return GROUND_FRICTION * p.mass * GRAVITY


@kernel
def advance(p: Prop, surface: Surface, h: float, gravity: float) -> None:
    """Moves a prop on by one substep of `h` seconds."""
    if p.physics == 0 or p.asleep:
        return
    if p.gravity:
        p.vz -= gravity * h
    bottom = p.box_z - p.extent_z
    if p.vz <= 0.0 and p.z + bottom <= ground_at(surface, p.x, p.y, p.z + bottom)[0] + RESTING_GAP:
        # Before it moves: what friction stops does not creep.
        _rub(p, gravity * h)
    p.x += p.vx * h
    p.y += p.vy * h
    p.z += p.vz * h
    p.yaw += p.wz * h
    height = ground_at(surface, p.x, p.y, p.z + bottom + max(0.0, -p.vz * h))[0]
    if p.z + bottom > height:
        return
    p.z = height - bottom
    p.vz = -BOUNCE * p.vz if p.vz < -1.0 else max(p.vz, 0.0)
    if abs(p.vx) + abs(p.vy) + abs(p.vz) + abs(p.wz) < REST_SPEED:
        p.vx = p.vy = p.vz = p.wz = 0.0
        p.asleep = 1


@kernel
def _rub(p: Prop, fall: float) -> None:
    """Friction of a prop that slides and spins on the ground, during which gravity would change its speed by `fall`."""
    loss = GROUND_FRICTION * fall
    share = max(0.0, 1.0 - loss / max(math.sqrt(p.vx * p.vx + p.vy * p.vy), 1e-9))
    p.vx *= share
    p.vy *= share
    # Friction under a spinning box acts at about a third of its diagonal.
    arm = 0.4 * math.sqrt(p.extent_x * p.extent_x + p.extent_y * p.extent_y) + 1e-6
    p.wz *= max(0.0, 1.0 - loss * arm * p.mass / yaw_inertia(p) / max(abs(p.wz), 1e-9))


@kernel
def end_tick(p: Prop, dt: float) -> None:
    """Derives what follows from the motion and forgets what was asked for."""
    if p.physics == 0:
        p.vx = p.vy = p.vz = 0.0
        p.wz = 0.0
    p.yaw = (p.yaw + math.pi) % (2.0 * math.pi) - math.pi
    note_motion(p, dt)
