"""Engine, clutch and gearbox: from the throttle to the torque at the wheels.

The engine's curve and drags are those of carla.VehiclePhysicsControl. A slipping clutch starts the car: below the
speed at which engine and wheels agree, the engine keeps turning and its torque is passed on.
"""

from __future__ import annotations

import math

from rllib_integration.embedded.physics.kernels import inlined, kernel
from rllib_integration.embedded.physics.state import Floats, Vehicle

RPM = math.pi / 30.0
"""rad/s in one turn a minute."""
_INVERSE_RPM = 30.0 / math.pi
EFFICIENCY = 0.92
"""Share of the engine's torque that arrives at the wheels."""
SHIFT_PAUSE = 0.4
"""Shortest time between two changes up, seconds."""
KICK_DOWN_THROTTLE = 0.8
LAZY_SHIFT = 0.6
"""Share of the speed for changing up that counts without throttle."""
ENGINE_BRAKE = 0.3
"""Most that an engine brakes with, as a share of its highest torque ..."""
COASTING = 0.65
"""... and as the deceleration of the vehicle, m/s^2: automatic boxes let a car roll, whatever the gear."""
REVERSE_SPEED = 13.9
"""Fastest that a vehicle goes backwards, m/s: those with a single gear could go as fast as ahead."""


@kernel
def interpolate(xs: Floats, ys: Floats, count: int, x: float) -> float:
    """Value at `x` of the curve through the first `count` points; level beyond its ends."""
    if x <= xs[0] or count < 2:
        return ys[0]
    for i in range(1, count):
        if x < xs[i]:
            return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])
    return ys[count - 1]


@inlined
def overall_ratio(v: Vehicle) -> float:
    """Turns of the engine per turn of the wheels in the gear that is in; negative in reverse, 0 in neutral."""
    if v.gear == 0:
        return 0.0
    if v.gear < 0:
        return -v.reverse_ratio * v.final_ratio
    return v.gear_ratio[v.gear - 1] * v.final_ratio


@inlined
def driving_wheel(v: Vehicle) -> int:
    """A wheel of the axle that gets most of the engine's torque."""
    return 0 if v.wheel_drive[0] > v.wheel_drive[2] else 2


@kernel
def driven_radius(v: Vehicle) -> float:
    """Radius of the driven wheels, metres."""
    return v.wheel_radius[driving_wheel(v)]


@kernel
def choose_gear(v: Vehicle, speed: float, dt: float) -> None:
    """Puts in the gear that the controls or the automatic box ask for; once a tick.

    Args:
        v: Record of `state.VEHICLE`.
        speed: Forward, m/s.
        dt: Length of the tick, seconds.
    """
    v.shift_delay = max(0.0, v.shift_delay - dt)
    if v.clutch_time > 0.0:
        v.clutch_time -= dt
        if v.clutch_time <= 1e-9:
            v.clutch_time = 0.0
            v.gear = v.target_gear
    if v.reverse:
        wanted = -1
    elif v.manual:
        wanted = min(max(v.gear_request, -1), v.gear_count)
    elif v.autobox:
        wanted = _automatic_gear(v, speed)
    else:
        wanted = min(max(v.gear, 1), v.gear_count)
    if wanted == v.target_gear and (v.gear == wanted or v.clutch_time > 0.0):
        return
    # Only the automatic box takes its time; gears that a driver asks for are in at once, as in CARLA.
    if v.reverse or v.manual or v.gear <= 0 or v.gear_switch_time <= 0.0:
        v.gear = wanted
        v.clutch_time = 0.0
    elif wanted != v.target_gear:
        v.clutch_time = v.gear_switch_time
        v.shift_delay = v.gear_switch_time + SHIFT_PAUSE
    v.target_gear = wanted


@kernel
def _automatic_gear(v: Vehicle, speed: float) -> int:
    gear = min(max(v.target_gear, 1), v.gear_count)
    if v.clutch_time > 0.0:
        return gear
    turns = max(speed, 0.0) / driven_radius(v) * v.final_ratio * _INVERSE_RPM / v.max_rpm
    share = turns * v.gear_ratio[gear - 1]
    while gear > 1 and share < v.gear_down[gear - 1]:
        gear -= 1
        share = turns * v.gear_ratio[gear - 1]
    if v.shift_delay > 0.0 or gear != v.target_gear:
        return gear
    # With little throttle it changes up sooner, unless it would have to change down again; a launch from outside may
    # ask for several gears at once.
    eager = LAZY_SHIFT + (1.0 - LAZY_SHIFT) * v.throttle
    while gear < v.gear_count and turns * v.gear_ratio[gear - 1] > eager * v.gear_up[gear - 1]:
        if turns * v.gear_ratio[gear] < 1.15 * v.gear_down[gear]:
            break
        gear += 1
    if gear != v.target_gear:
        return gear
    if v.throttle > KICK_DOWN_THROTTLE:
        while gear > 1 and turns * v.gear_ratio[gear - 2] < 0.8 * v.gear_up[gear - 2]:
            gear -= 1
    return gear


@inlined
def wheel_torque(v: Vehicle, speed: float, h: float) -> float:
    """Torque that all driven wheels share, N m; turns the engine on by `h` seconds.

    Args:
        v: Record of `state.VEHICLE`.
        speed: Forward, m/s.
        h: Length of the substep, seconds.
    """
    highest = v.max_rpm * RPM
    idle = v.idle_rpm * RPM
    ratio = overall_ratio(v)
    engine = v.rpm * RPM
    if ratio == 0.0 or v.clutch_time > 0.0 or v.clutch_strength <= 0.0:
        drag = v.damping_full_throttle + (1.0 - v.throttle) * (v.damping_clutch_disengaged - v.damping_full_throttle)
        push = v.throttle * interpolate(v.torque_rpm, v.torque_value, v.torque_count, v.rpm)
        # implicit in the drag: stable however light the engine is
        engine = (engine + h * push / v.engine_inertia) / (1.0 + h * drag / v.engine_inertia)
        v.rpm = min(max(engine, idle), highest) * _INVERSE_RPM
        return 0.0
    coupled = speed * v.wheel_inverse_radius[driving_wheel(v)] * ratio
    running = abs(coupled)
    if idle > 0.0:
        running = max(running, idle + v.throttle * (0.3 * highest - idle))
    v.rpm += (min(running, highest) * _INVERSE_RPM - v.rpm) * min(1.0, 3.0 * v.clutch_strength * h)
    push = 0.0
    if coupled < highest:
        push = (
            v.throttle * interpolate(v.torque_rpm, v.torque_value, v.torque_count, running * _INVERSE_RPM) * EFFICIENCY
        )
        fastest = v.speed_limiter if ratio > 0.0 else min(v.speed_limiter, REVERSE_SPEED)
        push *= min(max((fastest - abs(speed)) * 2.0, 0.0), 1.0)
    drag = v.damping_full_throttle + (1.0 - v.throttle) * (v.damping_clutch_engaged - v.damping_full_throttle)
    most = min(ENGINE_BRAKE * v.peak_torque * abs(ratio), COASTING * v.mass * driven_radius(v))
    return push * ratio - min(max(drag * coupled * ratio, -most), most)
