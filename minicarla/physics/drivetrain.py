"""Pedals, engine, clutch and gearbox: from the controls to the force that drives the vehicle.

The equations are those of PhysX's vehicles, with which CARLA drives. The engine turns by its torque against a drag that
is strong with the throttle up, and against the clutch, which passes on what is proportional to the difference of the
speeds on both sides. The tyres slip in proportion to their force. Clutch and slip in a row are one softer clutch, and
with the mass of the vehicle behind it two linear equations are left, for the speeds of the engine and of the vehicle.
They are solved implicitly, so that the length of the step hardly matters.

PhysX lets each wheel turn by itself and steps it explicitly. At low speed tyres are too stiff for its step, and the
wheels flutter about rolling. Measured with a model of such wheels (`FLUTTER_BEGINS`, `FLUTTER_LEAD`, `FLUTTER_LOCK`),
driven wheels then turn faster than they would, which is why first gears of real CARLA end early, and braked ones come
to a standstill and stay locked: the hard stop below some 5 m/s that real CARLA shows unless its steps are short.
"""

from __future__ import annotations

import math

from minicarla.physics.control_values import RPM
from minicarla.physics.kernels import inlined, kernel
from minicarla.physics.state import Floats, Vehicle

_INVERSE_RPM = 1.0 / RPM
PEDAL_PRESSED, PEDAL_RELEASED = 6.0, 10.0
"""How fast pedals follow the controls, 1/s: Unreal's defaults. The logged MKZ's throttle falls by 10 /s."""
FIRST_GEAR_SHARE = 0.15
"""Share of the highest engine speed at which the automatic box leaves neutral."""
SHIFT_SPACING = 0.5
"""Least time between the beginnings of two automatic changes, s: 0.51 to 0.53 in the recorder log."""
SLIP_OFFSET = 0.1
"""Added to the speed that the slip of driven and braked wheels refers to, m/s ..."""
SLIP_SPEED = 4.0
"""... which for wheels that only roll is at least this, m/s. Both are PhysX's."""
FINE_SPEED, FINE_STEPS = 5.0, 1.0 / 3.0
"""Below this speed (m/s) PhysX makes three steps of one."""
FLUTTER_BEGINS = 2.4
"""Wheels flutter below the share 1 / FLUTTER_BEGINS of the speed `flutter` ..."""
FLUTTER_LEAD = 0.11
"""... and driven ones turn faster by this for each m/s that is missing to it; with less force than that takes, they do
not drive at all ..."""
FLUTTER_LOCK = 0.45
"""... and braked ones lock where this for each m/s is more than the speed."""


@kernel
def interpolate(xs: Floats, ys: Floats, count: int, x: float) -> float:
    """Value at `x` of the curve through the first `count` points; level beyond its ends."""
    if x <= xs[0] or count < 2:
        return ys[0]
    for i in range(1, count):
        if x < xs[i]:
            return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])
    return ys[count - 1]


@kernel
def press_pedals(v: Vehicle, dt: float, wheel_step: float) -> None:
    """Lets the pedals follow the controls, and takes over the gears that these ask for; once a tick.

    Args:
        v: Record of `state.VEHICLE`.
        dt: Length of the tick, seconds.
        wheel_step: Length of the step that PhysX would make, seconds.
    """
    change = v.throttle - v.throttle_pedal
    v.throttle_pedal += min(max(change, -PEDAL_RELEASED * dt), PEDAL_PRESSED * dt)
    change = v.brake - v.brake_pedal
    v.brake_pedal += min(max(change, -PEDAL_RELEASED * dt), PEDAL_PRESSED * dt)
    v.wheel_step = wheel_step
    v.flutter = v.flutter_rate * wheel_step
    if v.brake_pedal == 0.0:
        v.locked = 0
    if v.reverse:
        _put_in(v, -1)
    elif v.manual:
        _put_in(v, min(max(v.gear_request, -1), v.gear_count))
    elif v.gear < 0 or (v.gear == 0 and v.target_gear == 0 and not v.autobox):
        _put_in(v, 1)
    else:
        _put_in_ratio(v)


@kernel
def _put_in(v: Vehicle, gear: int) -> None:
    """Puts a gear in at once, as CARLA does with those that a driver asks for."""
    v.gear = v.target_gear = gear
    v.clutch_time = 0.0
    _put_in_ratio(v)


@kernel
def _put_in_ratio(v: Vehicle) -> None:
    ratio = 0.0
    if v.gear > 0:
        ratio = v.gear_ratio[v.gear - 1]
    elif v.gear < 0:
        ratio = -v.reverse_ratio
    v.drive_ratio = ratio * v.final_ratio * v.wheel_inverse_radius[0]


@kernel
def _change_gear(v: Vehicle, engine: float) -> None:
    """Begins an automatic change where the engine's speed (rad/s) asks for one: it goes through neutral."""
    share = engine * _INVERSE_RPM / v.max_rpm
    gear = v.gear
    if gear == 0:
        if share <= FIRST_GEAR_SHARE:
            return
        gear = 1
    elif share > v.gear_up[gear - 1] and gear < v.gear_count:
        gear += 1
    elif share < v.gear_down[gear - 1] and gear > 1:
        gear -= 1
    else:
        return
    v.gear, v.target_gear = 0, gear
    v.drive_ratio = 0.0
    # PhysX counts whole steps of its own and stops after the first one that is later.
    v.clutch_time = v.gear_switch_time + 0.5 * v.wheel_step
    v.shift_delay = SHIFT_SPACING


@inlined
def _full_torque(v: Vehicle) -> tuple[float, float]:
    """Torque of the engine at full throttle, N m, and how it changes with the speed, N m s/rad."""
    rpm = v.rpm
    if rpm <= v.torque_rpm[0]:
        return v.torque_value[0], 0.0
    for i in range(1, v.torque_count):
        if rpm < v.torque_rpm[i]:
            slope = v.torque_slope[i - 1]
            return v.torque_value[i - 1] + slope * (rpm - v.torque_rpm[i - 1]), slope * _INVERSE_RPM
    return v.torque_value[v.torque_count - 1], 0.0


@inlined
def _missing(v: Vehicle, speed: float) -> float:
    """Speed that is missing for the wheels not to flutter, m/s; negative where they roll calmly."""
    flutter = v.flutter * FINE_STEPS if speed < FINE_SPEED else v.flutter
    return flutter - FLUTTER_BEGINS * (speed + SLIP_OFFSET)


@inlined
def drive_force(v: Vehicle, speed: float, h: float) -> float:
    """Force that all driven wheels share, N; turns the engine on, and changes gears by itself.

    Args:
        v: Record of `state.VEHICLE`, after `press_pedals`.
        speed: Forward, m/s.
        h: Length of the substep, seconds.
    """
    engaged = 1.0
    if v.clutch_time > 0.0:
        v.clutch_time -= h
        engaged = 0.0
        if v.clutch_time <= 0.0:
            # The change ends within this substep: the new gear acts for the rest of it.
            engaged = min(-v.clutch_time / h, 1.0)
            v.clutch_time = 0.0
            v.gear = v.target_gear
            _put_in_ratio(v)
    pull, ratio = v.throttle_pedal * engaged, v.drive_ratio
    idle_drag = v.damping_clutch_engaged if ratio != 0.0 else v.damping_clutch_disengaged
    drag = idle_drag + (v.damping_full_throttle - idle_drag) * pull
    torque, slope = _full_torque(v)
    torque, slope = torque * pull, slope * pull
    engine, gain, force = v.rpm * RPM, h / v.engine_inertia, 0.0
    if v.brake_pedal > 0.0 and FLUTTER_LOCK * _missing(v, abs(speed)) > abs(speed):
        v.locked = 1
    if ratio == 0.0:
        turned = (engine + gain * torque) / (1.0 + gain * drag)
    elif v.locked:
        turned = (engine + gain * torque) / (1.0 + gain * (drag + v.clutch_strength * engaged))
    else:
        turned, force = _pull(v, speed, h, gain, engine, pull, torque, slope, drag, v.clutch_strength * engaged)
    v.shift_delay -= h
    if v.shift_delay <= 0.0:
        v.shift_delay = 0.0
        if v.autobox and v.clutch_time == 0.0 and not v.manual and v.gear >= 0:
            # The speed in the middle of the next substep: so that long ones change no later than short ones.
            _change_gear(v, 1.5 * turned - 0.5 * engine)
    v.rpm = min(max(turned * _INVERSE_RPM, 0.0), v.max_rpm)
    return force


@inlined
def _pull(
    v: Vehicle,
    speed: float,
    h: float,
    gain: float,
    engine: float,
    pull: float,
    torque: float,
    slope: float,
    drag: float,
    clutch: float,
) -> tuple[float, float]:
    """Speed of the engine after a substep, rad/s, and force of the driven wheels, N, in gear.

    Args:
        v: Record of `state.VEHICLE`.
        speed: Forward, m/s.
        h: Length of the substep, seconds.
        gain: The same over the engine's moment of inertia.
        engine: Its speed, rad/s.
        pull: Position of the throttle.
        torque, slope: Of the engine, N m, and how it changes with the engine's speed.
        drag: Of the engine, N m s.
        clutch: Its strength, N m s.
    """
    ratio, fast = v.drive_ratio, abs(speed)
    braked = v.brake_pedal > 0.0 or v.hand_brake != 0
    driven = pull > 0.0 and not braked
    reference = fast + SLIP_OFFSET if driven or braked else max(fast, SLIP_SPEED)
    clutch /= 1.0 + ratio * ratio * clutch * reference * v.slip_per_newton
    lead = 0.0
    if driven:
        lead = max(FLUTTER_LEAD * _missing(v, fast) * abs(ratio), 0.0)
        lead = min(lead, max(engine - ratio * speed, 0.0))
    # The trapezoidal rule, and nearer to Euler's implicit one the stiffer the engine is.
    stiffness = gain * (drag + clutch - slope)
    part = 0.5 if stiffness < 2.0 else 1.0 - 1.0 / stiffness
    gain *= part
    push = part * h * v.lightness * v.rolling_share * ratio * clutch
    a, b, c = 1.0 + gain * (drag + clutch - slope), 1.0 + push * ratio, gain * clutch * ratio
    r = engine + gain * (torque - slope * engine + clutch * lead)
    s = speed - push * lead
    scale = 1.0 / (a * b - c * push)
    middle, passed = (b * r + c * s) * scale, (a * s + push * r) * scale
    force = ratio * clutch * (middle - ratio * passed - lead)
    if abs(force) > v.traction:
        force = math.copysign(v.traction, force)
        gain = h / v.engine_inertia
        return (engine + gain * (torque - force / ratio)) / (1.0 + gain * drag), force * v.rolling_share
    return engine + (middle - engine) / part, force * v.rolling_share
