"""CARLA's control values: read off a real server for a few vehicles, made from the data sheet for all others.

Known ones are those that recorder logs of CARLA 0.9.13 hold (carla-simulator/scenario_runner, MIT), and what a public
dump of the Tesla Model 3 and measurements of it with CARLA 0.9.16 give together. For the others the engine is made so
that it suits the constants that all three share: with these, an engine of torque T and highest speed w behaves as its
ratio T / w says, whatever its power. Torque times speed is 1.8 times that of the data sheet, as it is for all three:
CARLA's engines have to overcome a strong drag of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from minicarla.physics.state import GRAVITY
from minicarla.physics.vehicle_specs import VehicleSpec, vehicle_spec

Points = tuple[tuple[float, ...], ...]

RPM = math.pi / 30.0
"""rad/s in one turn a minute."""
ENGINE_INERTIA, CLUTCH_STRENGTH = 1.0, 10.0
DAMPING_FULL_THROTTLE, DAMPING_ENGAGED, DAMPING_DISENGAGED = 0.15, 2.0, 0.35
TIRE_FRICTION, WHEEL_DAMPING, LAT_STIFF_VALUE = 3.5, 0.25, 20.0
"""The same in the values of all three known vehicles (0.05 in place of 0.15 in those of the MKZ), in CARLA's units."""
REVERSE_RATIO = 4.0
"""Ratio of the reverse gear, which no control value tells: the default of PhysX, with which Unreal drives vehicles."""
FRONT_SHARE_OF_TORQUE = 0.45
"""Of the engine, at the front axle: PhysX's default, and the logged MKZ drives with four wheels and this share."""
CHASSIS_AREA = 2.52
"""[m^2] That Unreal's drag counts for: 1.8 m by 1.4 m, whatever the vehicle."""

_GEAR_SWITCH_TIME = 0.1
_ENGINE_GAIN = 1.8
# Torque over highest speed [N m s/rad]: MKZ 1.02, Patrol 1.55, Model 3 0.47.
_TORQUE_PER_SPEED = {"car": 1.0, "van": 1.5, "truck": 1.5, "bus": 1.5, "motorcycle": 1.0, "bicycle": 1.0}
_ELECTRIC_TORQUE_PER_SPEED = 0.5
# Speed at the highest engine speed in the top gear, over the top speed: MKZ 1.7, Patrol 1.2; Model 3 1.03.
_OVERDRIVE = {"car": 1.4, "van": 1.05, "truck": 1.05, "bus": 1.05, "motorcycle": 1.4, "bicycle": 1.05}
_ELECTRIC_OVERDRIVE = 1.03
# Of the weight: the force at full throttle from standstill, so that all set off on the steepest streets of the towns,
# which rise by 42 in 100: MKZ 0.86, Patrol 0.71.
_STARTING_FORCE = 0.8
# Deceleration of a full brake without the engine's drag [m/s^2]: MKZ 5.3, Patrol 5.7.
_BRAKING = 5.5
# Of the MKZ, per kilogram of the vehicle.
_LONG_STIFFNESS, _WHEEL_MASS = 3000.0 / 1696.0, 20.0 / 1696.0
# Full-throttle torque and engine speed as shares of the highest: MKZ and Model 3.
_COMBUSTION: Points = (
    (0.154, 0.50), (0.231, 0.753), (0.308, 0.872), (0.4615, 1.0), (0.615, 0.974), (0.815, 0.873), (1.0, 0.67),
)  # fmt: skip
_ELECTRIC: Points = ((0.0, 1.0), (0.6, 1.0), (0.633, 0.888), (0.693, 0.814), (0.833, 0.711), (1.0, 0.676))


@dataclass(frozen=True)
class ControlValues:
    """What distinguishes a vehicle's carla.VehiclePhysicsControl from others', and what CARLA tells elsewhere.

    Attributes:
        mass: [kg].
        torque_curve: Pairs of engine speed [1/min] and torque at full throttle [N m], ascending.
        max_rpm: Highest engine speed [1/min].
        final_ratio: Of the axle.
        gears: Triples of ratio and of the shares of `max_rpm` at which to change down and up.
        wheel_radius: [m].
        brake_torque: Of each wheel at full brake [N m]; the hand brake has twice as much at each rear wheel.
        long_stiff_value: Longitudinal stiffness of a tyre, in CARLA's unit [kg].
        wheelbase: Distance of the axles [m].
        wheel_mass: Of a wheel as it turns [kg]; Unreal's default is 20.
        damping_full_throttle: Drag of the engine [kg m^2/s].
        gear_switch_time: [s].
        lat_stiff_max_load: Load, in rest loads, above which the tyre gets no stiffer.
        drag_coefficient: For `CHASSIS_AREA`; None where it follows from the data sheet.
        centre_of_mass: From the middle of the bounding box [m]; None where it follows from the data sheet.
        track: Distance of the wheels of an axle [m]; None where it follows from the width.
        front_axle: Place along the vehicle, from the actor's origin [m]; None where it follows from the length.
        ride_height: Of the actor's origin over the ground at rest [m].
    """

    mass: float
    torque_curve: Points
    max_rpm: float
    final_ratio: float
    gears: Points
    wheel_radius: float
    brake_torque: float
    long_stiff_value: float
    wheelbase: float
    wheel_mass: float = 20.0
    damping_full_throttle: float = DAMPING_FULL_THROTTLE
    gear_switch_time: float = _GEAR_SWITCH_TIME
    lat_stiff_max_load: float = 3.0
    drag_coefficient: float | None = None
    centre_of_mass: tuple[float, float, float] | None = None
    track: float | None = None
    front_axle: float | None = None
    ride_height: float = 0.0


_MKZ = ControlValues(
    mass=1696.0,
    torque_curve=((1000, 347), (1500, 523), (2000, 606), (3000, 695), (4000, 677), (5300, 607), (6500, 466)),
    max_rpm=6500.0,
    final_ratio=3.21,
    gears=(
        (4.584, 0.23, 0.54),
        (2.964, 0.23, 0.50),
        (1.912, 0.23, 0.46),
        (1.446, 0.23, 0.46),
        (1.0, 0.23, 0.46),
        (0.746, 0.23, 0.46),
    ),
    wheel_radius=0.355,
    brake_torque=800.0,
    long_stiff_value=3000.0,
    wheelbase=2.871,
    damping_full_throttle=0.05,
    drag_coefficient=0.3,
    centre_of_mass=(0.6, 0.0, -0.3),
    track=1.57,
    front_axle=1.478,
    ride_height=0.034,
)
_PATROL = ControlValues(
    mass=2355.0,
    torque_curve=(
        (1000, 262.2),
        (1500, 531.05),
        (2500, 881.6),
        (3100, 974.7),
        (3800, 974.7),
        (4700, 897.75),
        (5500, 784.7),
        (6000, 632.7),
    ),
    max_rpm=6000.0,
    final_ratio=4.814,
    gears=(
        (5.08, 0.25, 0.58),
        (2.804, 0.17, 0.54),
        (1.783, 0.17, 0.50),
        (1.26, 0.25, 0.50),
        (1.0, 0.25, 0.50),
        (0.835, 0.25, 0.50),
    ),
    wheel_radius=0.39,
    brake_torque=1300.0,
    long_stiff_value=4000.0,
    wheelbase=2.839,
    lat_stiff_max_load=5.0,
    drag_coefficient=0.3,
    centre_of_mass=(0.3, 0.0, -0.3),
    track=1.63,
)
# Engine and gear from the dump; mass, radius and brake follow from held speeds, coasting and braking measured with
# CARLA 0.9.16. The stiffness is not known: with it the held speeds are the measured ones at substeps of 0.01 s, too.
_MODEL3 = ControlValues(
    mass=1845.0,
    torque_curve=((0, 743), (9000, 743), (9500, 660), (10400, 605), (12500, 528), (15000, 502)),
    max_rpm=15000.0,
    final_ratio=9.0,
    gears=((1.0, 0.0, 0.0),),
    wheel_radius=0.37,
    brake_torque=700.0,
    long_stiff_value=2000.0,
    wheelbase=2.88,
    gear_switch_time=0.0,
    drag_coefficient=0.23,
)

KNOWN = {
    "vehicle.lincoln.mkz_2017": _MKZ,
    "vehicle.lincoln.mkz_2020": replace(_MKZ, track=None, front_axle=None, ride_height=0.0),
    "vehicle.nissan.patrol": _PATROL,
    "vehicle.tesla.model3": _MODEL3,
}
"""Values read off a real server, by blueprint id. The MKZ of 2020 is taken to drive as that of 2017."""


def control_values(blueprint_id: str, base_type: str = "car") -> ControlValues:
    """The values of a blueprint.

    Args:
        blueprint_id: For instance ``vehicle.tesla.model3``.
        base_type: Its attribute of that name; decides for blueprints of which nothing is known.
    """
    return KNOWN.get(blueprint_id) or _from_data_sheet(vehicle_spec(blueprint_id, base_type))


def _from_data_sheet(spec: VehicleSpec) -> ControlValues:
    ratio = _ELECTRIC_TORQUE_PER_SPEED if spec.electric else _TORQUE_PER_SPEED[spec.sort]
    product = _ENGINE_GAIN * spec.torque * spec.max_rpm * RPM
    torque, fastest = math.sqrt(product * ratio), math.sqrt(product / ratio)
    overdrive = _ELECTRIC_OVERDRIVE if spec.electric else _OVERDRIVE[spec.sort]
    top_ratio = fastest * spec.wheel_radius / (overdrive * spec.top_speed / 3.6)
    curve = _ELECTRIC if spec.electric else _COMBUSTION
    lowest = _STARTING_FORCE * spec.mass * GRAVITY * spec.wheel_radius / (curve[0][1] * torque)
    return ControlValues(
        mass=spec.mass,
        torque_curve=tuple((share * fastest / RPM, part * torque) for share, part in curve),
        max_rpm=fastest / RPM,
        final_ratio=top_ratio,
        gears=_gears(spec.gears, max(spec.spread, lowest / top_ratio)),
        wheel_radius=spec.wheel_radius,
        brake_torque=_BRAKING * spec.mass * spec.wheel_radius / 4.0,
        long_stiff_value=_LONG_STIFFNESS * spec.mass,
        wheelbase=spec.wheelbase,
        wheel_mass=_WHEEL_MASS * spec.mass,
        gear_switch_time=0.0 if spec.gears == 1 else _GEAR_SWITCH_TIME,
    )


def _gears(count: int, spread: float) -> Points:
    """Ratios in equal steps from `spread` down to 1, with the MKZ's shares of engine speed; one alone never changes."""
    if count == 1:
        return ((1.0, 0.0, 0.0),)
    step = spread ** (1.0 / (count - 1))
    ups = (0.54, 0.50, *[0.46] * count)
    return tuple((step ** (count - 1 - gear), 0.23, ups[gear]) for gear in range(count))
