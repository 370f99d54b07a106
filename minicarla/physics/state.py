"""The state of everything that moves, as one structured array a kind of actor.

These arrays are the only truth of the embedded world: controls are written into their fields, `step` advances
them in place, and snapshots and sensors read them. One row is one actor; rows are dense (``0 .. n-1``).

All numbers are float64 in SI units and radians, in CARLA's left-handed world frame: x east, y south, z up; yaw
turns from x towards y (to the right), positive pitch lifts the nose, positive roll lowers the right side.
Angular velocities follow the same axes: ``wz`` is the rate of yaw, ``wy`` the negative rate of pitch, ``wx`` the
negative rate of roll.

Origins are CARLA's: a vehicle's and a prop's lie on the ground under their middle, a walker's in the middle of
its capsule. ``box_x/y/z`` lead from there to the centre of the bounding box, in the actor's own frame.
What never moves is described in `obstacles.py` and `ground.py`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicarla.physics.kernels import Record
from minicarla.physics.obstacles import OBSTACLE as OBSTACLE
from minicarla.physics.obstacles import ObstacleGrid as ObstacleGrid

Vehicle: TypeAlias = Record
Walker: TypeAlias = Record
Prop: TypeAlias = Record
Rows: TypeAlias = NDArray[np.void]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

VEHICLE_KIND = 0
WALKER_KIND = 1
PROP_KIND = 2
OBSTACLE_KIND = 3

GRAVITY = 9.81
"""Acceleration of free fall where a world does not set another one, m/s^2."""
WHEELS = 4
"""Wheels of every vehicle, in the order front left, front right, rear left, rear right. Two-wheelers have two
close pairs, as in CARLA."""
MAX_GEARS = 12
MAX_TORQUE_POINTS = 16
MAX_STEERING_POINTS = 8

_f8 = np.float64
_u1 = np.uint8
_i4 = np.int32

_POSE = [("x", _f8), ("y", _f8), ("z", _f8), ("roll", _f8), ("pitch", _f8), ("yaw", _f8)]
_MOTION = [
    ("vx", _f8), ("vy", _f8), ("vz", _f8),
    ("wx", _f8), ("wy", _f8), ("wz", _f8),
    ("ax", _f8), ("ay", _f8), ("az", _f8),
]  # fmt: skip
_BOX = [
    ("extent_x", _f8), ("extent_y", _f8), ("extent_z", _f8),
    ("box_x", _f8), ("box_y", _f8), ("box_z", _f8),
]  # fmt: skip
# What the last tick left behind, so that a pose set from outside is noticed and turned into a velocity.
_LAST = [
    ("last_x", _f8), ("last_y", _f8), ("last_z", _f8),
    ("last_roll", _f8), ("last_pitch", _f8), ("last_yaw", _f8),
    ("last_vx", _f8), ("last_vy", _f8), ("last_vz", _f8),
    ("ticked", _u1),
]  # fmt: skip
# Forces and torques last for one tick; impulses act at its beginning. All in the world frame, about the centre
# of mass. A pending target replaces the velocity at the beginning of the next tick.
_PUSHES = [
    ("force_x", _f8), ("force_y", _f8), ("force_z", _f8),
    ("torque_x", _f8), ("torque_y", _f8), ("torque_z", _f8),
    ("impulse_x", _f8), ("impulse_y", _f8), ("impulse_z", _f8),
    ("angular_impulse_x", _f8), ("angular_impulse_y", _f8), ("angular_impulse_z", _f8),
    ("target_velocity", _u1), ("target_vx", _f8), ("target_vy", _f8), ("target_vz", _f8),
    ("target_angular_velocity", _u1), ("target_wx", _f8), ("target_wy", _f8), ("target_wz", _f8),
]  # fmt: skip
_FLAGS = [("physics", _u1), ("gravity", _u1), ("collisions", _u1), ("asleep", _u1), ("rest_time", _f8)]

VEHICLE = np.dtype(
    [
        ("id", np.uint32),
        *_POSE,
        *_MOTION,
        # controls, as in carla.VehicleControl; gear_request counts while `manual` is set
        ("throttle", _f8), ("steer", _f8), ("brake", _f8),
        ("hand_brake", _u1), ("reverse", _u1), ("manual", _u1), ("gear_request", _i4),
        # Ackermann control (radians, m/s, m/s^2, m/s^3); while on, it writes the controls above every tick
        ("ackermann", _u1),
        ("ackermann_steer", _f8), ("ackermann_steer_speed", _f8), ("ackermann_speed", _f8),
        ("ackermann_acceleration", _f8), ("ackermann_jerk", _f8),
        ("ackermann_speed_gains", _f8, (3,)), ("ackermann_acceleration_gains", _f8, (3,)),
        # what the controllers remember: see ackermann.py
        ("following", _u1), ("ackermann_wish", _f8), ("ackermann_pedal", _f8), ("ackermann_last_speed", _f8),
        ("ackermann_felt", _f8), ("ackermann_speed_sum", _f8), ("ackermann_acceleration_sum", _f8),
        # constant velocity mode, in the vehicle's own frame
        ("constant_velocity", _u1),
        ("constant_vx", _f8), ("constant_vy", _f8), ("constant_vz", _f8),
        # the pedals' positions, which follow the controls at a limited rate
        ("throttle_pedal", _f8), ("brake_pedal", _f8),
        # drive train: gear is -1, 0 (neutral), 1 ...; clutch_time counts down while a change to target_gear goes on,
        # shift_delay until the next one may begin
        ("gear", _i4), ("target_gear", _i4), ("rpm", _f8), ("clutch_time", _f8), ("shift_delay", _f8),
        ("drive_ratio", _f8),  # turns of the engine for each metre, rad/m; 0 in neutral, negative in reverse
        ("wheel_step", _f8),  # length of PhysX's steps in this tick, s
        ("flutter", _f8),  # speed up to which PhysX's steps are too long for the wheels, m/s
        ("locked", _u1),  # the brakes hold the wheels until they are released
        ("traction", _f8),  # most that all tyres can push with in this tick, N
        # steering angle of the inner front wheel, now and asked for
        ("steer_angle", _f8), ("steer_target", _f8),
        *_FLAGS,
        ("held_brake", _f8),  # brakes applied when it fell asleep
        ("parked", _u1),  # nobody has touched it since it was spawned
        ("holding", _u1),  # wheels are held in this tick
        *_PUSHES,
        *_LAST,
        ("rotation", _f8, (9,)),  # row-major; columns are forward, right, up; valid inside a tick
        *_BOX,
        ("clearance", _f8),  # height of the underside over the ground
        ("body_extent_y", _f8),  # half width of what collides: bounding boxes hold the mirrors too
        # physics control, in SI: see parameters.py for CARLA's own units
        ("mass", _f8), ("inertia_x", _f8), ("inertia_y", _f8), ("inertia_z", _f8),
        ("com_x", _f8), ("com_y", _f8), ("com_z", _f8),  # from the actor's origin
        ("drag_area", _f8),  # half of air density x drag coefficient x front area, kg/m
        ("roll_centre", _f8),  # height at which tyre forces act, as a share of com_z
        ("balance", _f8),  # rate at which a rider keeps a two-wheeler upright, rad/s; 0 for what stands by itself
        ("suspension_frequency", _f8), ("suspension_damping", _f8),  # rad/s, ratio
        ("ride_height", _f8),  # of the origin over the ground at rest, m
        ("engine_inertia", _f8), ("max_rpm", _f8),
        ("damping_full_throttle", _f8), ("damping_clutch_engaged", _f8), ("damping_clutch_disengaged", _f8),
        ("autobox", _u1), ("gear_switch_time", _f8), ("clutch_strength", _f8), ("final_ratio", _f8),
        ("reverse_ratio", _f8), ("gear_count", _i4),
        ("gear_ratio", _f8, (MAX_GEARS,)), ("gear_up", _f8, (MAX_GEARS,)), ("gear_down", _f8, (MAX_GEARS,)),
        ("torque_count", _i4), ("torque_slope", _f8, (MAX_TORQUE_POINTS,)),
        ("torque_rpm", _f8, (MAX_TORQUE_POINTS,)), ("torque_value", _f8, (MAX_TORQUE_POINTS,)),
        ("steering_count", _i4),
        ("steering_speed", _f8, (MAX_STEERING_POINTS,)), ("steering_factor", _f8, (MAX_STEERING_POINTS,)),
        ("sweep_wheel_collision", _u1),
        ("friction_override", _f8),  # tyre friction set by a friction trigger; negative: none
        # wheels: position on the body at the height of the ground, and CARLA's wheel parameters in SI
        ("wheel_x", _f8, (WHEELS,)), ("wheel_y", _f8, (WHEELS,)), ("wheel_radius", _f8, (WHEELS,)),
        ("wheel_friction", _f8, (WHEELS,)), ("wheel_damping", _f8, (WHEELS,)),
        ("wheel_max_steer", _f8, (WHEELS,)),
        ("wheel_brake_torque", _f8, (WHEELS,)), ("wheel_hand_brake_torque", _f8, (WHEELS,)),
        ("wheel_lat_stiff_max_load", _f8, (WHEELS,)), ("wheel_lat_stiff_value", _f8, (WHEELS,)),
        ("wheel_long_stiff_value", _f8, (WHEELS,)),
        ("wheel_drive", _f8, (WHEELS,)),  # share of the engine's torque
        ("wheel_spin_mass", _f8),  # of each wheel, for its moment of inertia, kg
        ("wheel_rest_load", _f8, (WHEELS,)),  # N, standing level
        # what follows from the parameters, so that no substep has to divide; see parameters.derive
        ("com_height", _f8),  # over the ground at rest, m
        ("lightness", _f8), ("spinness_x", _f8), ("spinness_y", _f8), ("spinness_z", _f8),
        ("wheel_mass", _f8, (WHEELS,)),  # resting on it, kg
        ("wheel_inverse_radius", _f8, (WHEELS,)),
        ("wheel_load_scale", _f8, (WHEELS,)), ("wheel_foot", _f8, (WHEELS,)),
        ("wheel_brake_force", _f8, (WHEELS,)), ("wheel_hand_brake_force", _f8, (WHEELS,)),  # of full brakes, N
        ("wheel_drag", _f8, (WHEELS,)),  # of a turning wheel, N s/m
        ("rolling_share", _f8),  # of a force that reaches the road, the rest turns the wheels
        ("slip_per_newton", _f8),  # share of the speed by which the wheels turn faster than they roll
        ("flutter_rate", _f8),  # `flutter` for each second of PhysX's step
        # friction coefficient of this tick
        ("wheel_grip", _f8, (WHEELS,)),
        # the ground as last looked at: from which pose, under each wheel its place, height and slopes, mean normal
        ("ground_known", _u1), ("seen_x", _f8), ("seen_y", _f8), ("seen_z", _f8),
        ("seen_ahead_x", _f8), ("seen_ahead_y", _f8), ("seen_ahead_z", _f8),
        ("normal_x", _f8), ("normal_y", _f8), ("normal_z", _f8),
        ("ground_x", _f8, (WHEELS,)), ("ground_y", _f8, (WHEELS,)), ("ground_z", _f8, (WHEELS,)),
        ("slope_x", _f8, (WHEELS,)), ("slope_y", _f8, (WHEELS,)),
        # wheels, as the last substep left them
        ("wheel_cosine", _f8, (WHEELS,)), ("wheel_sine", _f8, (WHEELS,)),  # of the steering angle
        # angles that were set from outside, shown while physics is off
        ("wheel_steer_offset", _f8, (WHEELS,)), ("wheel_pitch_offset", _f8, (WHEELS,)),
        ("rolled", _f8),  # way along the own axis since it was spawned, forward less backward, m
        ("wheel_load", _f8, (WHEELS,)),
        ("wheel_compression", _f8, (WHEELS,)),
        ("wheel_stretch_x", _f8, (WHEELS,)), ("wheel_stretch_y", _f8, (WHEELS,)),  # tyre deflection
        ("wheel_force_x", _f8, (WHEELS,)), ("wheel_force_y", _f8, (WHEELS,)),
        ("wheel_along", _f8, (WHEELS,)), ("wheel_across", _f8, (WHEELS,)),  # velocity over the ground, m/s
        ("drive_force", _f8),  # of all wheels, N
    ],
    align=True,
)  # fmt: skip

WALKER = np.dtype(
    [
        ("id", np.uint32),
        *_POSE,
        *_MOTION,
        # controls, as in carla.WalkerControl: `direction` in the world frame, speed in m/s
        ("direction_x", _f8), ("direction_y", _f8), ("direction_z", _f8), ("speed", _f8), ("jump", _u1),
        *_FLAGS,
        *_PUSHES,
        *_LAST,
        *_BOX,
        ("mass", _f8),
        ("standing", _u1),  # feet on the ground
        ("stagger", _f8),  # seconds until a walker that was pushed walks on; for ever if it is dead
        ("fall", _f8),  # way that it was knocked over: 1 on its face, -1 on its back, 0 not at all
        ("fallen", _f8),  # share of a fall: 0 standing, 1 lying
        ("mortal", _u1),  # dies when it is knocked over
        ("dead", _f8),  # seconds since it died
        ("led", _u1),  # placed every tick by a client's navigation, until it is knocked over
        # where that wants it, and seconds that are left for walking back there after it was knocked over
        ("guide_x", _f8), ("guide_y", _f8), ("astray", _f8),
    ],
    align=True,
)  # fmt: skip

PROP = np.dtype(
    [
        ("id", np.uint32),
        *_POSE,
        *_MOTION,
        *_FLAGS,  # without `physics` a prop is immovable
        *_PUSHES,
        *_LAST,
        *_BOX,
        ("mass", _f8),
    ],
    align=True,
)

CONTACT = np.dtype(
    [
        ("kind_a", _u1), ("row_a", _i4),
        ("kind_b", _u1), ("row_b", _i4),
        ("nx", _f8), ("ny", _f8), ("nz", _f8),  # unit normal, from b to a
        # impulse that a receives from b, N s, summed over the tick; b receives the opposite
        ("impulse_x", _f8), ("impulse_y", _f8), ("impulse_z", _f8),
        ("x", _f8), ("y", _f8), ("z", _f8),  # contact point
        ("speed", _f8),  # closing speed along the normal at the first touch, m/s
    ],
    align=True,
)  # fmt: skip
