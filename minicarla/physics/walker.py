"""Walkers: upright capsules that walk where they are told, climb kerbs, jump, and fall over when hit.

One that a client's navigation leads has no physics: it is where it was put, until something knocks it over. Then it
gets up and walks back to where the navigation wants it.
"""

from __future__ import annotations

import math

from minicarla.physics.ground import Surface, ground_at
from minicarla.physics.kernels import kernel
from minicarla.physics.pushes import note_motion, take_push
from minicarla.physics.state import GRAVITY, Walker

ACCELERATION = 20.0
"""Of a walker towards its commanded velocity, m/s^2; Unreal's characters have 20.48."""
TURN_RATE = 11.0
"""Fastest turn towards the direction of walking, rad/s."""
JUMP_SPEED = 4.2
"""Upwards speed of a jump, m/s; Unreal's default."""
STEP_DOWN = 0.45
"""Drops up to this height are walked down, deeper ones are fallen, metres."""
SLIDING_FRICTION = 0.6
"""Of a walker that was knocked over."""
FALL_RATE = 3.0
"""Falls, and risings, a second."""
RETURN_HASTE = 1.3
"""Speed of one that walks back to where it is led, over its ordinary one ..."""
RETURN_SPEED = 1.8
"""... and at least this, m/s."""
RETURNED = 0.3
"""It is back there when it is no further away, metres."""
LYING_HEIGHT = 0.2
"""Of the middle of a walker that lies, metres."""
LIFE_SPAN_AFTER_DEATH = 10.0
"""Of a dead walker's actor, seconds, as in CARLA."""


@kernel
def _is_placed(w: Walker) -> bool:
    """Whether it is only moved from outside."""
    return w.physics == 0 and w.stagger == 0.0 and w.astray == 0.0


@kernel
def begin_tick(w: Walker, dt: float) -> None:
    """Takes over poses, velocities and pushes that were set since the last tick.

    Args:
        w: Record of `state.WALKER`.
        dt: Length of the tick, seconds.
    """
    if w.ticked == 0:
        w.last_x, w.last_y, w.last_z = w.x, w.y, w.z
        w.ticked = 1
    if _is_placed(w):
        return
    if take_push(w, dt):
        w.stagger = max(w.stagger, 0.5)
    if w.jump and w.standing:
        w.vz = JUMP_SPEED
        w.standing = 0


@kernel
def advance(w: Walker, surface: Surface, h: float, gravity: float) -> None:
    """Moves a walker on by one substep of `h` seconds."""
    if _is_placed(w):
        return
    _fall_or_rise(w, h)
    foot = (w.extent_z - w.box_z) * (1.0 - w.fallen) + LYING_HEIGHT * w.fallen
    height = ground_at(surface, w.x, w.y, w.z - foot + max(0.0, -w.vz * h))[0]
    if w.standing or w.z - foot <= height:
        if w.stagger > 0.0 or (w.astray > 0.0 and w.fallen > 0.0):
            _slide(w, h)
        elif w.astray > 0.0:
            _walk_back(w, h)
        else:
            _walk(w, h, w.direction_x, w.direction_y, w.speed)
    w.x += w.vx * h
    w.y += w.vy * h
    height = ground_at(surface, w.x, w.y, w.z - foot + max(0.0, -w.vz * h))[0]
    gap = w.z - foot - height
    if w.vz <= 0.0 and gap <= (STEP_DOWN if w.standing else 0.0):
        w.z = height + foot
        w.vz = 0.0
        w.standing = 1
    else:
        w.standing = 0
        if w.gravity:
            w.vz -= gravity * h
        w.z += w.vz * h
    w.stagger = max(0.0, w.stagger - h)


@kernel
def _fall_or_rise(w: Walker, h: float) -> None:
    """Turns the axis of a walker that was knocked over, or gets up again; at once if it is led on."""
    if w.fall == 0.0:
        return
    if w.stagger > 0.0:
        w.fallen = min(w.fallen + FALL_RATE * h, 1.0)
    else:
        w.fallen = max(w.fallen - FALL_RATE * h, 0.0)
    w.pitch = -0.5 * math.pi * w.fall * w.fallen
    if w.fallen == 0.0:
        w.fall = 0.0


@kernel
def _walk_back(w: Walker, h: float) -> None:
    """Walks to where a navigation wants it; if something is in the way for long, that places it there again."""
    way_x, way_y = w.guide_x - w.x, w.guide_y - w.y
    if way_x * way_x + way_y * way_y < RETURNED * RETURNED:
        w.astray = 0.0
        return
    w.astray = max(0.0, w.astray - h)
    _walk(w, h, way_x, way_y, max(RETURN_HASTE * w.speed, RETURN_SPEED))


@kernel
def _walk(w: Walker, h: float, direction_x: float, direction_y: float, speed: float) -> None:
    length = math.sqrt(direction_x * direction_x + direction_y * direction_y)
    wanted_x = wanted_y = 0.0
    if length > 1e-6 and speed > 0.0:
        # A direction longer than one is no faster walker, a shorter one is a slower one, as Unreal's input is.
        pace = speed * min(length, 1.0) / length
        wanted_x, wanted_y = direction_x * pace, direction_y * pace
        heading = math.atan2(direction_y, direction_x)
        turn = (heading - w.yaw + math.pi) % (2.0 * math.pi) - math.pi
        w.yaw += min(max(turn, -TURN_RATE * h), TURN_RATE * h)
        w.yaw = (w.yaw + math.pi) % (2.0 * math.pi) - math.pi
    change_x, change_y = wanted_x - w.vx, wanted_y - w.vy
    change = math.sqrt(change_x * change_x + change_y * change_y)
    share = min(1.0, ACCELERATION * h / max(change, 1e-9))
    w.vx += change_x * share
    w.vy += change_y * share


@kernel
def _slide(w: Walker, h: float) -> None:
    speed = math.sqrt(w.vx * w.vx + w.vy * w.vy)
    share = max(0.0, 1.0 - SLIDING_FRICTION * GRAVITY * h / max(speed, 1e-9))
    w.vx *= share
    w.vy *= share


@kernel
def end_tick(w: Walker, dt: float) -> None:
    """Derives what follows from the motion and forgets what was asked for."""
    if _is_placed(w):
        w.vx, w.vy, w.vz = (w.x - w.last_x) / dt, (w.y - w.last_y) / dt, (w.z - w.last_z) / dt
        if w.vx * w.vx + w.vy * w.vy + w.vz * w.vz > 20.0**2:
            w.vx = w.vy = w.vz = 0.0
    if w.stagger == math.inf:
        w.dead += dt
    turned = (w.yaw - w.last_yaw + math.pi) % (2.0 * math.pi) - math.pi
    w.wz = turned / dt
    note_motion(w, dt)
