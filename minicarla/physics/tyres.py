"""Tyres: the force that a wheel finds on the ground.

Sideways, the tread is an elastic brush: its deflection follows the transient slip model of Pacejka, "Tyre and
Vehicle Dynamics", 3rd ed., ch. 7 (single contact point with a relaxation length), its force the parabolic brush of
ch. 3 (also known as Fiala's tyre). At speed this is the usual slip angle; at rest the deflection holds the wheel in
place like a spring, so that a parked car neither creeps nor trembles and no special case for standing is needed.

Lengthwise the wheel has no spin of its own: drive torque acts as a force, brakes and the wheel's drag as dry friction.
Some of that, enough to hold on a steep street, has an elastic foot (Dahl's model), the rest of it only opposes motion:
a tread that stored a hard stop would throw the car back. Both are limited by what friction leaves.
"""

from __future__ import annotations

import math

from minicarla.physics.kernels import inlined
from minicarla.physics.state import Vehicle

RELAXATION_LENGTH = 0.35
"""Way that a tyre rolls until its sideways force has built up, metres."""
BRAKE_SHARE = 0.97
"""Share of the friction that anti-lock brakes use."""
SIDE_GRIP = 1.1
"""Grip across the wheel over that along it."""
GRIP_LEFT = 0.1
"""Square of the share of the friction that remains across a wheel that brakes or spins with all it has."""
HOLD_RATE = 25.0
"""Natural frequency at which a held wheel swings on its tread, rad/s."""
HELD_BY_TREAD = 6.0
"""Most deceleration that the tread's deflection holds against, m/s^2."""
REAR_STIFFNESS = 1.25
"""The rear axle has to be stiffer than the front one, or the car would not run straight."""
_THIRD = 1.0 / 3.0
_TWENTY_SEVENTH = 1.0 / 27.0
INVERSE_RELAXATION = 1.0 / RELAXATION_LENGTH


@inlined
def degressive(k: float) -> float:
    """Rises from 0 with slope 1 and stays at 1 from 3 on, smoothly: the curve of the brush model and of PhysX's
    `PxVehicleTireData`."""
    return k * (1.0 - k * _THIRD + k * k * _TWENTY_SEVENTH) if k < 3.0 else 1.0


@inlined
def tyre_force(
    v: Vehicle,
    wheel: int,
    load: float,
    along: float,
    across: float,
    drive: float,
    hold: float,
    locked: bool,
    fading: float,
    rolling: float,
    stopping: float,
    h: float,
) -> tuple[float, float]:
    """Force of the ground on one wheel, and the new deflection of its tread.

    Args:
        v: Record of `state.VEHICLE`.
        wheel: Its number.
        load: Force that presses it on the ground, N.
        along: Velocity of the contact point in the wheel's direction, m/s.
        across: The same, to the wheel's right.
        drive: Force of the drive train, N.
        hold: Largest force of brakes and rolling resistance, N.
        locked: Whether the wheel skids, or the hand brake, which has no anti-lock, does the braking.
        fading: Share of the damping at rest that is left at this speed.
        rolling: Share of the deflection that is left after rolling on for a substep.
        stopping: Share of a velocity that what only opposes motion takes in a second, 1/s.
        h: Length of the substep, seconds.

    Returns:
        Force along and across the wheel, N.
    """
    limit = v.wheel_grip[wheel] * load
    mass = v.wheel_mass[wheel]

    hold = min(hold, limit if locked else BRAKE_SHARE * limit)
    foot, elastic = v.wheel_foot[wheel], min(hold, mass * HELD_BY_TREAD)
    stretch = v.wheel_stretch_x[wheel] + along * h
    if foot * abs(stretch) > elastic:
        stretch = math.copysign(elastic / foot, stretch)
    v.wheel_stretch_x[wheel] = stretch
    rest = hold - elastic
    opposed = min(max(mass * stopping * along, -rest), rest) + mass * HOLD_RATE * fading * along
    held = min(max(-foot * stretch - opposed, -hold), hold)

    stiffness = v.wheel_lat_stiff_value[wheel] * v.wheel_rest_load[wheel]
    stiffness *= degressive(load * v.wheel_load_scale[wheel])
    if wheel >= 2:
        stiffness *= REAR_STIFFNESS
    stretch = (v.wheel_stretch_y[wheel] + across * h) * rolling
    square = limit * limit
    side_limit = SIDE_GRIP * math.sqrt(max(square - held * held, GRIP_LEFT * square))
    side = 0.0
    if side_limit > 0.0:
        q = stiffness * abs(stretch) * INVERSE_RELAXATION / side_limit
        if q > 3.0:
            stretch *= 3.0 / q
        side = -math.copysign(side_limit * degressive(q), stretch)
        side -= mass * HOLD_RATE * fading * fading * across
        side = min(max(side, -side_limit), side_limit)
    v.wheel_stretch_y[wheel] = stretch

    push = drive + held
    share = side * (1.0 / SIDE_GRIP)
    if push * push + share * share > square:
        room = math.sqrt(max(square - share * share, GRIP_LEFT * square))
        push = min(max(push, -room), room)
    return push, side
