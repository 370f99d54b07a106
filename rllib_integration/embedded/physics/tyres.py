"""Tyres: the force that a wheel finds on the ground.

Sideways, the tread is an elastic brush: its deflection follows the transient slip model of Pacejka, "Tyre and
Vehicle Dynamics", 3rd ed., ch. 7 (single contact point with a relaxation length), its force the parabolic brush of
ch. 3 (also known as Fiala's tyre). At speed this is the usual slip angle; at rest the deflection holds the wheel in
place like a spring, so that a parked car neither creeps nor trembles and no special case for standing is needed.

Lengthwise the wheel has no spin of its own: drive torque acts as a force, brakes and rolling resistance as dry
friction with an elastic foot (Dahl's model). Both are limited by what friction leaves, as anti-lock brakes and
traction control do.
"""

from __future__ import annotations

import math

from numba import njit

RELAXATION_LENGTH = 0.35
"""Way that a tyre rolls until its sideways force has built up, metres."""
BRAKE_SHARE = 0.97
"""Share of the friction that anti-lock brakes use."""
GRIP_LEFT = 0.1
"""Square of the share of the friction that remains across a wheel that brakes or spins with all it has."""
HOLD_RATE = 25.0
"""Natural frequency at which a held wheel swings on its tread, rad/s."""
STANDARD_GRAVITY = 9.81
STANDARD_STIFFNESS = 1000.0
"""CARLA's default `long_stiff_value`."""


@njit(cache=True)
def cornering_stiffness(load, rest_load, max_load, value):  # type: ignore[no-untyped-def]
    """Sideways force per radian of slip, N: PhysX's `PxVehicleTireData`, degressive in the load."""
    if max_load <= 0.0:
        return value * rest_load
    k = min(3.0 * load / (rest_load * max_load), 3.0)
    return value * rest_load * k * (1.0 - k / 3.0 + k * k / 27.0)


@njit(cache=True)
def tyre_force(v, wheel, load, grip, along, across, drive, hold, locked, h):  # type: ignore[no-untyped-def]
    """Force of the ground on one wheel, and the new deflection of its tread.

    Args:
        v: Record of `state.VEHICLE`.
        wheel: Its number.
        load: Force that presses it on the ground, N.
        grip: Friction coefficient.
        along: Velocity of the contact point in the wheel's direction, m/s.
        across: The same, to the wheel's right.
        drive: Force of the drive train, N.
        hold: Largest force of brakes and rolling resistance, N.
        locked: Whether the hand brake, which has no anti-lock, does the braking.
        h: Length of the substep, seconds.

    Returns:
        Force along and across the wheel, N.
    """
    limit = grip * load
    rest_load = v.wheel_rest_load[wheel]
    mass = rest_load / STANDARD_GRAVITY
    speed = abs(along)

    hold = min(hold, limit if locked else BRAKE_SHARE * limit)
    stiffness = mass * HOLD_RATE * HOLD_RATE * (0.1 + 0.9 * v.wheel_long_stiff_value[wheel] / STANDARD_STIFFNESS)
    reach = hold / stiffness
    stretch = min(max(v.wheel_stretch_x[wheel] + along * h, -reach), reach)
    v.wheel_stretch_x[wheel] = stretch
    damping = mass * HOLD_RATE / (1.0 + speed)
    held = min(max(-stiffness * stretch - damping * along, -hold), hold)

    stiffness = cornering_stiffness(load, rest_load, v.wheel_lat_stiff_max_load[wheel], v.wheel_lat_stiff_value[wheel])
    if wheel >= 2:
        # The rear axle has to be stiffer than the front one, or the car would not run straight.
        stiffness *= 1.25
    stretch = (v.wheel_stretch_y[wheel] + across * h) / (1.0 + speed * h / RELAXATION_LENGTH)
    side_limit = math.sqrt(max(limit * limit - held * held, GRIP_LEFT * limit * limit))
    side = 0.0
    if stiffness > 0.0 and side_limit > 0.0:
        sliding = 3.0 * side_limit * RELAXATION_LENGTH / stiffness
        stretch = min(max(stretch, -sliding), sliding)
        q = 3.0 * abs(stretch) / sliding
        side = -math.copysign(side_limit * q * (1.0 - q / 3.0 + q * q / 27.0), stretch)
        side -= mass * HOLD_RATE * across / (1.0 + speed * speed)
        side = min(max(side, -side_limit), side_limit)
    v.wheel_stretch_y[wheel] = stretch

    room = math.sqrt(max(limit * limit - side * side, GRIP_LEFT * limit * limit))
    return min(max(drive + held, -room), room), side
