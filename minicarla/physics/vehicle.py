"""Vehicle dynamics: a rigid body on four sprung wheels.

The body moves freely in space; each wheel that touches the ground adds a spring and damper along the ground's
normal and a tyre force in its plane. Pitch and roll, load transfer, slopes, falling, landing and rolling over follow
from that. The springs carry their rest load at zero deflection, so that a vehicle that has settled stands with its
origin on the ground.

Tyre forces act at a roll centre between ground and centre of mass, as suspensions' linkages make them do; two-wheelers
have it in the centre of mass and stay upright, as CARLA's do: leaning into turns makes them weave under the Traffic
Manager's steering, and fall.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from minicarla.physics.ackermann import follow_ackermann
from minicarla.physics.drivetrain import drive_force, interpolate, press_pedals
from minicarla.physics.ground import Surface, ground_at
from minicarla.physics.kernels import inlined, kernel
from minicarla.physics.rigid_body import angles_from_rotation, rotation_from_angles, turn
from minicarla.physics.state import GRAVITY, WHEELS, Floats, Vehicle
from minicarla.physics.tyres import INVERSE_RELAXATION, tyre_force

CALM_TURN_RATE = 0.5
"""Fastest pitching and rolling of a vehicle that needs no short substeps, rad/s."""
GRIP = 0.77
"""Friction coefficient over CARLA's `tire_friction`: with 3.5, dry asphalt, a car whose wheels are locked decelerates
by 26.4 m/s^2, as the logged MKZ. Unreal's tyres hold more than rubber does, and the Traffic Manager relies on it."""
REAR_GRIP = 1.15
"""Rear tyres grip better than the front ones, so that a car at its limit pushes outwards instead of spinning."""
STEERING_RATE = 5.0
"""Fastest turn of the front wheels, rad/s."""
MOST_SLIP = 0.4
"""Front wheels turn no further than this away from where the front axle goes, rad: beyond it a tyre only scrubs, and
a car whose wheels are turned too far for its speed would turn less."""
SLIP_FREE_SPEED = 2.0
"""Below this speed (m/s) they turn as far as they can."""
GROUND_MEMORY = 0.25
"""A wheel asks for the ground again when it has moved further than this, metres."""
BUMP_TRAVEL = 0.08
"""Compression at which the bump stops touch, metres."""
BUMP_STIFFNESS = 8.0
"""Stiffness of the bump stops over that of the springs ..."""
BUMP_DAMPING = 1.5
"""... and their damping ratio: rubber does not throw the car up again."""
BODY_RATE = 30.0
"""Natural frequency of the body lying on the ground, rad/s."""
BODY_FRICTION = 0.5
REST_SPEED = 0.03
"""Below this speed (m/s, rad/s) ..."""
REST_TIME = 0.4
"""... for this long (s), a vehicle that nothing pushes falls asleep."""
LARGEST_LOCK = 1.48
"""Steering angles end a little before 90 degrees, where the geometry does."""
HOLDING_SPEED = 0.1
"""A vehicle slower than this to which nobody gives any control stays where it is, on slopes too, as Unreal's do: it is
not rolled by gravity, only by a push; m/s."""
PARKED_SPEED = 1.0
"""One that nobody has touched since it was spawned is held up to this speed, m/s: it stays where it was dropped, but
rolls when it is hit."""
LARGEST_DERIVED_SPEED = 150.0
"""A pose that moved faster was teleported, not driven; m/s."""


class Plane(NamedTuple):
    """The plane that the wheels stand on, in the vehicle's own frame: unit vectors ahead, right, and its normal."""

    ahead_x: float
    ahead_y: float
    ahead_z: float
    right_x: float
    right_y: float
    right_z: float
    nx: float
    ny: float
    nz: float


class Support(NamedTuple):
    """Sums over the wheels that stand on the ground.

    Attributes:
        load, ahead, right: Loads and tyre forces ahead and to the right, N.
        load_x, load_y, ...: The same times the wheels' places, N m.
        grounded: Number of these wheels.
        deepest: How far the spring is pushed in that is so most, metres.
    """

    load: float
    load_x: float
    load_y: float
    ahead: float
    ahead_at_x: float
    ahead_at_y: float
    right: float
    right_at_x: float
    right_at_y: float
    grounded: int
    deepest: float


@kernel
def begin_tick(v: Vehicle, dt: float, wheel_step: float) -> None:
    """Takes over what was asked for since the last tick: poses, velocities, impulses, pedals, gears, steering.

    Args:
        v: Record of `state.VEHICLE`.
        dt: Length of the tick, seconds.
        wheel_step: Length of the substep that was asked for, seconds.
    """
    if v.ticked == 0:
        _remember_pose(v)
        v.ticked = 1
    elif v.asleep and v.physics and _sleeps_on(v):
        lock = min(max(v.wheel_max_steer[0], v.wheel_max_steer[1]), LARGEST_LOCK)
        v.steer_target = v.steer * lock * v.steering_factor[0]
        return
    rotation_from_angles(v.roll, v.pitch, v.yaw, v.rotation)
    if v.physics == 0:
        return
    pushed = _is_pushed(v)
    if pushed or _is_moved(v) or _is_driven(v) or v.brake + v.hand_brake < v.held_brake:
        v.asleep = 0
        v.rest_time = 0.0
    idle = not _is_driven(v) and v.brake == 0.0 and v.hand_brake == 0
    if pushed or not idle:
        v.parked = 0
    if v.target_velocity:
        v.vx, v.vy, v.vz = v.target_vx, v.target_vy, v.target_vz
    if v.target_angular_velocity:
        v.wx, v.wy, v.wz = v.target_wx, v.target_wy, v.target_wz
    v.vx += v.impulse_x * v.lightness
    v.vy += v.impulse_y * v.lightness
    v.vz += v.impulse_z * v.lightness
    _add_spin(v, v.angular_impulse_x, v.angular_impulse_y, v.angular_impulse_z)
    v.traction = 0.0
    for wheel in range(WHEELS):
        friction = v.friction_override if v.friction_override >= 0.0 else v.wheel_friction[wheel]
        v.wheel_grip[wheel] = GRIP * friction * (REAR_GRIP if wheel >= 2 else 1.0)
        v.traction += v.wheel_grip[wheel] * v.wheel_rest_load[wheel]
    speed = v.vx * v.rotation[0] + v.vy * v.rotation[3] + v.vz * v.rotation[6]
    square = v.vx * v.vx + v.vy * v.vy
    slow = PARKED_SPEED if v.parked else HOLDING_SPEED
    v.holding = square < slow * slow and (v.parked or (idle and not pushed))
    if v.ackermann:
        follow_ackermann(v, speed, dt)
    v.following = v.ackermann
    press_pedals(v, dt, wheel_step)
    lock = min(max(v.wheel_max_steer[0], v.wheel_max_steer[1]), LARGEST_LOCK)
    lock *= interpolate(v.steering_speed, v.steering_factor, v.steering_count, abs(speed))
    v.steer_target = _within_grip(v, v.steer * lock, speed)


@kernel
def _within_grip(v: Vehicle, angle: float, speed: float) -> float:
    """The part of a steering angle that the tyres can follow at this speed."""
    if abs(speed) < SLIP_FREE_SPEED:
        return angle
    r = v.rotation
    sideways = v.vx * r[1] + v.vy * r[4] + v.vz * r[7]
    turning = v.wx * r[2] + v.wy * r[5] + v.wz * r[8]
    axle = math.atan((sideways + turning * (v.wheel_x[0] - v.com_x)) / speed)
    # The inner wheel, which the angle is for, is ahead of the middle of the axle.
    room = MOST_SLIP + 0.5 * abs(axle) + 0.2 * SLIP_FREE_SPEED / abs(speed)
    return min(max(angle, min(axle, 0.0) - room), max(axle, 0.0) + room)


@kernel
def _sleeps_on(v: Vehicle) -> bool:
    return not (
        _is_moved(v) or _is_driven(v) or _is_pushed(v) or v.brake + v.hand_brake < v.held_brake or v.reverse or v.manual
    )


@kernel
def _is_moved(v: Vehicle) -> bool:
    """Whether its pose was set from outside since the last tick."""
    moved = v.x != v.last_x or v.y != v.last_y or v.z != v.last_z
    return moved or v.roll != v.last_roll or v.pitch != v.last_pitch or v.yaw != v.last_yaw


@kernel
def _is_pushed(v: Vehicle) -> bool:
    """Whether a velocity, an impulse or a force was given to it."""
    return (
        v.target_velocity != 0
        or v.target_angular_velocity != 0
        or v.impulse_x != 0.0 or v.impulse_y != 0.0 or v.impulse_z != 0.0
        or v.angular_impulse_x != 0.0 or v.angular_impulse_y != 0.0 or v.angular_impulse_z != 0.0
        or v.force_x != 0.0 or v.force_y != 0.0 or v.force_z != 0.0
        or v.torque_x != 0.0 or v.torque_y != 0.0 or v.torque_z != 0.0
    )  # fmt: skip


@kernel
def is_calm(v: Vehicle) -> bool:
    """Whether nothing about its motion is quick: asleep, or rolling on four wheels over even ground."""
    if v.asleep or v.physics == 0:
        return True
    quick = v.wx * v.wx + v.wy * v.wy > CALM_TURN_RATE * CALM_TURN_RATE or v.rotation[8] < 0.9
    for wheel in range(WHEELS):
        quick = quick or v.wheel_load[wheel] <= 0.0 or v.wheel_compression[wheel] > 0.5 * BUMP_TRAVEL
    return not quick


@kernel
def _remember_pose(v: Vehicle) -> None:
    v.last_x, v.last_y, v.last_z = v.x, v.y, v.z
    v.last_roll, v.last_pitch, v.last_yaw = v.roll, v.pitch, v.yaw


@kernel
def _add_spin(v: Vehicle, x: float, y: float, z: float) -> None:
    """Adds an angular momentum (world, N m s) to the angular velocity."""
    r = v.rotation
    spin_x = (r[0] * x + r[3] * y + r[6] * z) * v.spinness_x
    spin_y = (r[1] * x + r[4] * y + r[7] * z) * v.spinness_y
    spin_z = (r[2] * x + r[5] * y + r[8] * z) * v.spinness_z
    v.wx += r[0] * spin_x + r[1] * spin_y + r[2] * spin_z
    v.wy += r[3] * spin_x + r[4] * spin_y + r[5] * spin_z
    v.wz += r[6] * spin_x + r[7] * spin_y + r[8] * spin_z


@kernel
def advance(v: Vehicle, surface: Surface, h: float, gravity: float) -> None:
    """Moves a vehicle on by one substep.

    Forces are summed in the vehicle's own frame (x forward, y right, z up from the centre of mass), where the wheels
    have constant places. All wheels share one plane of the ground, with the mean of the normals under them.

    Args:
        v: Record of `state.VEHICLE`, after `begin_tick`.
        surface: `ground.Surface`.
        h: Length of the substep, seconds.
        gravity: m/s^2.
    """
    if v.physics == 0:
        return
    _steer(v, h)
    if v.asleep:
        return
    _look_down(v, surface, h)
    spin = _to_body(v.rotation, v.wx, v.wy, v.wz)
    plane = _plane(v)
    support = _stand(v, spin, plane, h)
    _accelerate(v, spin, plane, support, h, gravity)
    if support.grounded < WHEELS or support.deepest > BUMP_TRAVEL or v.rotation[8] < 0.8:
        _lie_on_ground(v, surface, h)
    if v.constant_velocity:
        _keep_velocity(v, support.grounded)
    _move(v, h)


@inlined
def _plane(v: Vehicle) -> Plane:
    """The plane that the wheels stand on."""
    nx, ny, nz = _to_body(v.rotation, v.normal_x, v.normal_y, v.normal_z)
    scale = 1.0 / math.sqrt(max(1.0 - nx * nx, 1e-6))
    ahead_x, ahead_y, ahead_z = (1.0 - nx * nx) * scale, -nx * ny * scale, -nx * nz * scale
    right_x, right_y, right_z = ny * ahead_z - nz * ahead_y, nz * ahead_x - nx * ahead_z, nx * ahead_y - ny * ahead_x
    return Plane(ahead_x, ahead_y, ahead_z, right_x, right_y, right_z, nx, ny, nz)


@inlined
def _stand(v: Vehicle, spin: tuple[float, float, float], plane: Plane, h: float) -> Support:
    """Sums up what springs and tyres do to the body, and notes for each wheel what it does."""
    vx, vy, vz = _to_body(v.rotation, v.vx, v.vy, v.vz)
    wx, wy, wz = spin
    p = plane
    v.drive_force = drive_force(v, vx, h)
    # At all wheels alike, as the tread's reactions hardly depend on their small differences of speed.
    fading, rolling, stopping = 1.0 / (1.0 + abs(vx)), 1.0 / (1.0 + abs(vx) * h * INVERSE_RELAXATION), 0.5 / h
    low = -v.com_height
    load_sum = load_x = load_y = ahead_sum = ahead_at_x = ahead_at_y = right_sum = right_at_x = right_at_y = 0.0
    grounded = 0
    deepest = 0.0
    for wheel in range(WHEELS):
        compression = _compression(v, wheel)
        x, y = v.wheel_x[wheel] - v.com_x, v.wheel_y[wheel] - v.com_y
        speed_x, speed_y, speed_z = vx + wy * low - wz * y, vy + wz * x - wx * low, vz + wx * y - wy * x
        load = _spring_load(v, wheel, compression, speed_x * p.nx + speed_y * p.ny + speed_z * p.nz)
        v.wheel_load[wheel] = load
        if load <= 0.0:
            _lift_wheel(v, wheel)
            continue
        grounded += 1
        deepest = max(deepest, compression)
        v.wheel_compression[wheel] = compression
        forward = speed_x * p.ahead_x + speed_y * p.ahead_y + speed_z * p.ahead_z
        sideways = speed_x * p.right_x + speed_y * p.right_y + speed_z * p.right_z
        push, side = _roll(v, wheel, load, forward, sideways, fading, rolling, stopping, h)
        load_sum, load_x, load_y = load_sum + load, load_x + x * load, load_y + y * load
        ahead_sum, ahead_at_x, ahead_at_y = ahead_sum + push, ahead_at_x + x * push, ahead_at_y + y * push
        right_sum, right_at_x, right_at_y = right_sum + side, right_at_x + x * side, right_at_y + y * side
    return Support(
        load_sum, load_x, load_y,
        ahead_sum, ahead_at_x, ahead_at_y,
        right_sum, right_at_x, right_at_y,
        grounded, deepest,
    )  # fmt: skip


@inlined
def _compression(v: Vehicle, wheel: int) -> float:
    """How far the ground pushes a wheel's spring in, metres."""
    r = v.rotation
    wheel_x, wheel_y = v.wheel_x[wheel], v.wheel_y[wheel]
    x, y = v.x + r[0] * wheel_x + r[1] * wheel_y, v.y + r[3] * wheel_x + r[4] * wheel_y
    height = v.ground_z[wheel]
    height += (x - v.ground_x[wheel]) * v.slope_x[wheel] + (y - v.ground_y[wheel]) * v.slope_y[wheel]
    return (height - v.z - r[6] * wheel_x - r[7] * wheel_y) * v.normal_z


@inlined
def _roll(
    v: Vehicle,
    wheel: int,
    load: float,
    forward: float,
    sideways: float,
    fading: float,
    rolling: float,
    stopping: float,
    h: float,
) -> tuple[float, float]:
    """Force of the ground on a wheel, ahead and to the right of the vehicle, N, from the velocities in these."""
    cosine, sine = v.wheel_cosine[wheel], v.wheel_sine[wheel]
    along, across = forward * cosine + sideways * sine, sideways * cosine - forward * sine
    hold = v.brake_pedal * v.wheel_brake_force[wheel] + v.wheel_drag[wheel] * abs(along)
    skids = v.locked != 0
    if v.hand_brake and v.wheel_hand_brake_force[wheel] > 0.0:
        hold += v.wheel_hand_brake_force[wheel]
        skids = True
    if v.holding or v.locked:
        hold, skids = math.inf, True
    push = v.drive_force * v.wheel_drive[wheel]
    push, side = tyre_force(v, wheel, load, along, across, push, hold, skids, fading, rolling, stopping, h)
    v.wheel_along[wheel], v.wheel_across[wheel] = along, across
    v.wheel_force_x[wheel], v.wheel_force_y[wheel] = push, side
    return push * cosine - side * sine, push * sine + side * cosine


@inlined
def _accelerate(
    v: Vehicle, spin: tuple[float, float, float], plane: Plane, support: Support, h: float, gravity: float
) -> None:
    """Changes velocity and turn rate of the body; tyres pull at the roll centre, springs push at the ground."""
    r, p, s = v.rotation, plane, support
    low = -v.com_height
    tyre_x = p.ahead_x * s.ahead + p.right_x * s.right
    tyre_y = p.ahead_y * s.ahead + p.right_y * s.right
    tyre_z = p.ahead_z * s.ahead + p.right_z * s.right
    centre = low * (1.0 - v.roll_centre)
    torque_x = p.ahead_z * s.ahead_at_y + p.right_z * s.right_at_y - centre * tyre_y + p.nz * s.load_y
    torque_x -= low * p.ny * s.load
    torque_y = centre * tyre_x - p.ahead_z * s.ahead_at_x - p.right_z * s.right_at_x + low * p.nx * s.load
    torque_y -= p.nz * s.load_x
    torque_z = p.ahead_y * s.ahead_at_x + p.right_y * s.right_at_x - p.ahead_x * s.ahead_at_y - p.right_x * s.right_at_y
    torque_z += p.ny * s.load_x - p.nx * s.load_y
    if v.balance > 0.0 and s.grounded > 0 and r[8] > 0.4:
        # A rider turns the axis of the vehicle towards the normal of the ground, with critical damping.
        torque_x -= v.inertia_x * v.balance * (v.balance * p.ny + 2.0 * spin[0])
    spin_x, spin_y, spin_z = torque_x * v.spinness_x * h, torque_y * v.spinness_y * h, torque_z * v.spinness_z * h
    _push(v, tyre_x + p.nx * s.load, tyre_y + p.ny * s.load, tyre_z + p.nz * s.load, h, gravity)
    v.wx += r[0] * spin_x + r[1] * spin_y + r[2] * spin_z
    v.wy += r[3] * spin_x + r[4] * spin_y + r[5] * spin_z
    v.wz += r[6] * spin_x + r[7] * spin_y + r[8] * spin_z


@inlined
def _to_body(r: Floats, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A vector of the world in the frame of a body with rotation `r`."""
    return r[0] * x + r[3] * y + r[6] * z, r[1] * x + r[4] * y + r[7] * z, r[2] * x + r[5] * y + r[8] * z


@kernel
def _lift_wheel(v: Vehicle, wheel: int) -> None:
    """A wheel in the air carries and holds nothing."""
    v.wheel_compression[wheel] = 0.0
    v.wheel_force_x[wheel] = v.wheel_force_y[wheel] = 0.0
    v.wheel_stretch_x[wheel] = v.wheel_stretch_y[wheel] = 0.0


@inlined
def _push(v: Vehicle, x: float, y: float, z: float, h: float, gravity: float) -> None:
    """Changes the velocity by the ground's force (own frame, N), and by air, gravity and what was asked for."""
    r = v.rotation
    wind = v.drag_area * math.sqrt(v.vx * v.vx + v.vy * v.vy + v.vz * v.vz)
    force_x = r[0] * x + r[1] * y + r[2] * z + v.force_x - wind * v.vx
    force_y = r[3] * x + r[4] * y + r[5] * z + v.force_y - wind * v.vy
    force_z = r[6] * x + r[7] * y + r[8] * z + v.force_z - wind * v.vz
    v.vx += force_x * v.lightness * h
    v.vy += force_y * v.lightness * h
    v.vz += (force_z * v.lightness - (gravity if v.gravity else 0.0)) * h
    if v.torque_x != 0.0 or v.torque_y != 0.0 or v.torque_z != 0.0:
        _add_spin(v, v.torque_x * h, v.torque_y * h, v.torque_z * h)


@kernel
def _look_down(v: Vehicle, surface: Surface, h: float) -> None:
    """Asks for the ground under the wheels where the last answer is too far away to be extended."""
    r = v.rotation
    dx, dy, dz = v.x - v.seen_x, v.y - v.seen_y, v.z - v.seen_z
    turned = abs(r[0] - v.seen_ahead_x) + abs(r[3] - v.seen_ahead_y) + abs(r[6] - v.seen_ahead_z)
    if v.ground_known and dx * dx + dy * dy + dz * dz < GROUND_MEMORY * GROUND_MEMORY and turned < 0.1:
        return
    nx = ny = nz = 0.0
    known = 0
    # A fast fall may pass the ground within a substep: ask from above.
    fall = max(0.0, -v.vz * h)
    for wheel in range(WHEELS):
        wheel_x, wheel_y = v.wheel_x[wheel], v.wheel_y[wheel]
        x, y = v.x + r[0] * wheel_x + r[1] * wheel_y, v.y + r[3] * wheel_x + r[4] * wheel_y
        z = v.z + r[6] * wheel_x + r[7] * wheel_y
        height, one_x, one_y, one_z, _ = ground_at(surface, x, y, z + fall)
        v.ground_x[wheel], v.ground_y[wheel], v.ground_z[wheel] = x, y, height + v.ride_height
        v.slope_x[wheel], v.slope_y[wheel] = -one_x / one_z, -one_y / one_z
        if height > -math.inf:
            known += 1
            nx, ny, nz = nx + one_x, ny + one_y, nz + one_z
    # Where wheels are over an edge, the next look may find ground that this one did not.
    v.ground_known = known == WHEELS
    if known == 0:
        nz = 1.0
    scale = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
    v.normal_x, v.normal_y, v.normal_z = nx * scale, ny * scale, nz * scale
    v.seen_x, v.seen_y, v.seen_z = v.x, v.y, v.z
    v.seen_ahead_x, v.seen_ahead_y, v.seen_ahead_z = r[0], r[3], r[6]


@inlined
def _move(v: Vehicle, h: float) -> None:
    """Moves the centre of mass, turns the body about it, and puts the origin where it then is."""
    r = v.rotation
    before_x, before_y, before_z = _to_centre_of_mass(v)
    turn(r, v.wx, v.wy, v.wz, h)
    after_x, after_y, after_z = _to_centre_of_mass(v)
    v.x += v.vx * h + before_x - after_x
    v.y += v.vy * h + before_y - after_y
    v.z += v.vz * h + before_z - after_z


@inlined
def _to_centre_of_mass(v: Vehicle) -> tuple[float, float, float]:
    """From the origin to the centre of mass, whose velocity the state holds; in the world frame."""
    r = v.rotation
    return (
        r[0] * v.com_x + r[1] * v.com_y + r[2] * v.com_z,
        r[3] * v.com_x + r[4] * v.com_y + r[5] * v.com_z,
        r[6] * v.com_x + r[7] * v.com_y + r[8] * v.com_z,
    )


@inlined
def _spring_load(v: Vehicle, wheel: int, compression: float, rising: float) -> float:
    """Force of spring, damper and bump stop, N; 0 where the wheel hangs in the air or the vehicle lies on its side."""
    rate = v.suspension_frequency
    if compression * rate * rate <= -GRAVITY or v.rotation[8] < 0.2:
        return 0.0
    spring, damping = compression, v.suspension_damping
    if compression > BUMP_TRAVEL:
        spring += BUMP_STIFFNESS * (compression - BUMP_TRAVEL)
        damping += BUMP_DAMPING
    push = v.wheel_mass[wheel] * rate * (rate * spring - 2.0 * damping * rising)
    return max(0.0, v.wheel_rest_load[wheel] + push)


@kernel
def _steer(v: Vehicle, h: float) -> None:
    """Turns the steered wheels towards their target; the inner one more than the outer (Ackermann)."""
    change = v.steer_target - v.steer_angle
    if change == 0.0:
        return
    v.steer_angle += min(max(change, -STEERING_RATE * h), STEERING_RATE * h)
    slope = math.tan(v.steer_angle)
    base = v.wheel_x[0] - v.wheel_x[2]
    half_track = 0.5 * (v.wheel_y[1] - v.wheel_y[0])
    # tangent for the middle of the axle, of which the inner wheel is half a track away
    slope *= base / (base + half_track * abs(slope))
    for wheel in range(2):
        side = half_track if wheel == 1 else -half_track
        ahead, right = base - side * slope, base * slope
        scale = 1.0 / math.sqrt(ahead * ahead + right * right)
        v.wheel_cosine[wheel], v.wheel_sine[wheel] = ahead * scale, right * scale
    lock = max(v.wheel_max_steer[0], v.wheel_max_steer[1])
    for wheel in range(2, WHEELS):
        angle = v.steer_angle * v.wheel_max_steer[wheel] / max(lock, 1e-6)
        v.wheel_cosine[wheel], v.wheel_sine[wheel] = math.cos(angle), math.sin(angle)


@kernel
def _keep_velocity(v: Vehicle, grounded: int) -> None:
    """Constant velocity mode: the velocity in the vehicle's own frame is what was asked for.

    Upwards only a velocity that was asked for counts, so that the vehicle follows the road and falls off its end.
    """
    r = v.rotation
    up = v.constant_vz
    if up == 0.0:
        up = v.vx * r[2] + v.vy * r[5] + v.vz * r[8]
    fall = v.vz
    v.vx = r[0] * v.constant_vx + r[1] * v.constant_vy + r[2] * up
    v.vy = r[3] * v.constant_vx + r[4] * v.constant_vy + r[5] * up
    v.vz = r[6] * v.constant_vx + r[7] * v.constant_vy + r[8] * up
    if grounded == 0 and v.constant_vz == 0.0 and v.gravity:
        v.vz = fall


@kernel
def _lie_on_ground(v: Vehicle, surface: Surface, h: float) -> None:
    """Pushes the corners of the body out of the ground: after a roll-over, over a kerb, landing hard."""
    r = v.rotation
    arm_x, arm_y, arm_z = _to_centre_of_mass(v)
    mass = v.mass / WHEELS
    for corner in range(8):
        x = v.box_x + (v.extent_x if corner & 1 else -v.extent_x)
        y = v.box_y + (v.extent_y if corner & 2 else -v.extent_y)
        z = v.box_z + v.extent_z if corner & 4 else v.clearance
        to_x = r[0] * x + r[1] * y + r[2] * z - arm_x
        to_y = r[3] * x + r[4] * y + r[5] * z - arm_y
        to_z = r[6] * x + r[7] * y + r[8] * z - arm_z
        at_x, at_y, at_z = v.x + arm_x + to_x, v.y + arm_y + to_y, v.z + arm_z + to_z
        speed_x = v.vx + v.wy * to_z - v.wz * to_y
        speed_y = v.vy + v.wz * to_x - v.wx * to_z
        speed_z = v.vz + v.wx * to_y - v.wy * to_x
        height, nx, ny, nz, _ = ground_at(surface, at_x, at_y, at_z + max(0.0, -speed_z * h))
        depth = (height - at_z) * nz
        if depth <= 0.0:
            continue
        rising = speed_x * nx + speed_y * ny + speed_z * nz
        # a quarter of the mass stands on each corner
        load = max(0.0, mass * BODY_RATE * (BODY_RATE * depth - 1.6 * rising))
        speed_x, speed_y, speed_z = speed_x - rising * nx, speed_y - rising * ny, speed_z - rising * nz
        sliding = math.sqrt(speed_x * speed_x + speed_y * speed_y + speed_z * speed_z)
        drag = min(BODY_FRICTION * load, 0.3 * mass * sliding / h) / max(sliding, 1e-9)
        push_x, push_y, push_z = nx * load - speed_x * drag, ny * load - speed_y * drag, nz * load - speed_z * drag
        v.vx += push_x * v.lightness * h
        v.vy += push_y * v.lightness * h
        v.vz += push_z * v.lightness * h
        _add_spin(
            v,
            (to_y * push_z - to_z * push_y) * h,
            (to_z * push_x - to_x * push_z) * h,
            (to_x * push_y - to_y * push_x) * h,
        )


@kernel
def end_tick(v: Vehicle, dt: float) -> None:
    """Turns the rotation into angles, derives accelerations, forgets what was asked for, lets it fall asleep."""
    if v.physics == 0:
        _follow_pose(v, dt)
    elif not v.asleep:
        v.roll, v.pitch, v.yaw = angles_from_rotation(v.rotation)
        v.rolled += (v.vx * v.rotation[0] + v.vy * v.rotation[3] + v.vz * v.rotation[6]) * dt
        _fall_asleep(v, dt)
    elif v.last_vx == 0.0 and v.last_vy == 0.0 and v.last_vz == 0.0 and v.ax == 0.0 and v.ay == 0.0 and v.az == 0.0:
        return
    v.ax = (v.vx - v.last_vx) / dt
    v.ay = (v.vy - v.last_vy) / dt
    v.az = (v.vz - v.last_vz) / dt
    v.last_vx, v.last_vy, v.last_vz = v.vx, v.vy, v.vz
    _remember_pose(v)
    v.force_x = v.force_y = v.force_z = 0.0
    v.torque_x = v.torque_y = v.torque_z = 0.0
    v.impulse_x = v.impulse_y = v.impulse_z = 0.0
    v.angular_impulse_x = v.angular_impulse_y = v.angular_impulse_z = 0.0
    v.target_velocity = v.target_angular_velocity = 0


@kernel
def _follow_pose(v: Vehicle, dt: float) -> None:
    """Velocity of a vehicle without physics, from the pose that was set."""
    vx, vy, vz = (v.x - v.last_x) / dt, (v.y - v.last_y) / dt, (v.z - v.last_z) / dt
    v.wx = v.wy = v.wz = 0.0
    if vx * vx + vy * vy + vz * vz > LARGEST_DERIVED_SPEED**2:
        v.vx = v.vy = v.vz = 0.0
        return
    v.vx, v.vy, v.vz = vx, vy, vz
    turned = (v.yaw - v.last_yaw + math.pi) % (2.0 * math.pi) - math.pi
    v.wz = turned / dt
    r = v.rotation
    speed = vx * r[0] + vy * r[3] + vz * r[6]
    v.rolled += speed * dt
    v.rpm = abs(speed) * v.wheel_inverse_radius[0] * 30.0 / math.pi


@kernel
def _fall_asleep(v: Vehicle, dt: float) -> None:
    speed = v.vx * v.vx + v.vy * v.vy + v.vz * v.vz
    spin = v.wx * v.wx + v.wy * v.wy + v.wz * v.wz
    standing = 0
    for wheel in range(WHEELS):
        standing += v.wheel_load[wheel] > 0.0
    if speed + spin > REST_SPEED**2 or standing < 3 or _is_driven(v):
        v.rest_time = 0.0
        return
    v.rest_time += dt
    if v.rest_time >= REST_TIME:
        v.asleep = 1
        v.held_brake = v.brake + v.hand_brake
        v.vx = v.vy = v.vz = 0.0
        v.wx = v.wy = v.wz = 0.0


@kernel
def _is_driven(v: Vehicle) -> bool:
    return v.throttle > 0.0 or v.constant_velocity != 0 or v.gravity == 0 or v.ackermann != 0
