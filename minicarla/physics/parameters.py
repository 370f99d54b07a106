"""The parameters of a vehicle: built from its specification, read and changed as carla.VehiclePhysicsControl.

`PhysicsControl` and `WheelControl` have CARLA's fields, order and units (degrees, centimetres, km/h); rows of
`state.VEHICLE` hold the same in SI.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from minicarla.physics import control_values as carla_values
from minicarla.physics.control_values import ControlValues, control_values
from minicarla.physics.state import GRAVITY, MAX_GEARS, MAX_STEERING_POINTS, MAX_TORQUE_POINTS, VEHICLE, WHEELS
from minicarla.physics.tyres import HOLD_RATE
from minicarla.physics.vehicle_specs import VehicleSpec, vehicle_spec

AIR_DENSITY = 1.25
"""Unreal's, kg/m^3."""
FRONT_SHARE = 0.72
"""Front area over that of the bounding box, which holds the mirrors too."""
STEERING_CURVE = ((0.0, 1.0), (20.0, 0.9), (60.0, 0.8), (120.0, 0.7))
"""CARLA's default: km/h, share of the steering lock."""

_DEFAULT_SIZE = {
    "car": (4.6, 1.9, 1.5),
    "van": (5.5, 2.0, 2.3),
    "truck": (7.5, 2.6, 3.2),
    "bus": (10.0, 2.8, 3.2),
    "motorcycle": (2.1, 0.8, 1.5),
    "bicycle": (1.7, 0.6, 1.6),
}
_FRONT_LOAD = {"front": 0.60, "all": 0.54, "rear": 0.51}
# Height of the centre of mass as a share of the vehicle's; cars carry it 0.3 m below the middle of their box.
_MASS_HEIGHT = {"van": 0.33, "truck": 0.33, "bus": 0.30, "motorcycle": 0.38, "bicycle": 0.55}
_CAR_MASS_BELOW_MIDDLE = 0.3
# Half width of the body without mirrors: as a share of the bounding box, and at most [m].
_BODY_SHARE, _WIDEST_BODY = 0.94, 1.27
_SUSPENSION_HERTZ = {"car": 1.5, "van": 1.6, "truck": 1.8, "bus": 1.6, "motorcycle": 2.2, "bicycle": 3.0}
# Of critical damping. The logged MKZ rises after its drop at the spawn point as it does with this.
_SUSPENSION_DAMPING = 1.1


class WheelControl(NamedTuple):
    """One wheel of a `PhysicsControl`, as carla.WheelPhysicsControl.

    Attributes:
        tire_friction: 3.5 is dry asphalt.
        damping_rate: Drag of the turning wheel [kg m^2/s].
        max_steer_angle: [degrees].
        radius: [cm].
        max_brake_torque: [N m].
        max_handbrake_torque: [N m].
        lat_stiff_max_load: Load, in rest loads, above which the tyre gets no stiffer.
        lat_stiff_value: Lateral stiffness in rest loads per radian of slip.
        long_stiff_value: Longitudinal stiffness in rest loads per unit of slip, times gravity [N].
        position: x, y, z of the wheel in the world [cm]; ignored when applied.
    """

    tire_friction: float
    damping_rate: float
    max_steer_angle: float
    radius: float
    max_brake_torque: float
    max_handbrake_torque: float
    lat_stiff_max_load: float
    lat_stiff_value: float
    long_stiff_value: float
    position: Sequence[float] = (0.0, 0.0, 0.0)


class PhysicsControl(NamedTuple):
    """Parameters of a vehicle in the fields, order and units of carla.VehiclePhysicsControl.

    Attributes:
        torque_curve: Pairs of engine speed [1/min] and torque [N m], ascending.
        max_rpm: [1/min].
        moi: Moment of inertia of the engine [kg m^2].
        damping_rate_full_throttle: Drag of the engine [kg m^2/s].
        damping_rate_zero_throttle_clutch_engaged: The same, coasting in gear.
        damping_rate_zero_throttle_clutch_disengaged: The same, out of gear.
        use_gear_autobox: Whether gears change by themselves.
        gear_switch_time: [s].
        clutch_strength: How fast engine and gearbox agree on a speed; 0 never couples.
        final_ratio: Of the axle.
        forward_gears: Triples of ratio and of the shares of `max_rpm` at which to change down and up.
        mass: [kg].
        drag_coefficient: Of the air.
        center_of_mass: From the middle of the bounding box [m].
        steering_curve: Pairs of speed [km/h] and share of the steering lock, ascending.
        wheels: Four wheels: front left, front right, rear left, rear right.
        use_sweep_wheel_collision: Stored only.
    """

    torque_curve: Sequence[Sequence[float]]
    max_rpm: float
    moi: float
    damping_rate_full_throttle: float
    damping_rate_zero_throttle_clutch_engaged: float
    damping_rate_zero_throttle_clutch_disengaged: float
    use_gear_autobox: bool
    gear_switch_time: float
    clutch_strength: float
    final_ratio: float
    forward_gears: Sequence[Sequence[float]]
    mass: float
    drag_coefficient: float
    center_of_mass: Sequence[float]
    steering_curve: Sequence[Sequence[float]]
    wheels: Sequence[Sequence]
    use_sweep_wheel_collision: bool


class PhysicsControlError(ValueError):
    """A physics control with which no vehicle can move."""


def init_vehicle(row: np.void, blueprint_id: str, base_type: str = "car") -> None:
    """Fills a vehicle's row: parameters of its blueprint, everything at rest, all switches on.

    Pose, id, `extent_*` and `box_*` stay as they are; where `extent_x` is zero, the size of a middling vehicle of
    that sort is filled in.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
        blueprint_id: For instance ``vehicle.tesla.model3``.
        base_type: The blueprint's attribute: car, van, truck, bus, motorcycle or bicycle; decides for vehicles that
            `vehicle_specs` does not know.
    """
    place = [row[name] for name in _PLACE]
    row.setfield(_new_row(blueprint_id, base_type, tuple(float(row[name]) for name in _SIZE)), row.dtype)
    for name, value in zip(_PLACE, place):
        row[name] = value


@functools.lru_cache(maxsize=256)
def _new_row(blueprint_id: str, base_type: str, size: tuple[float, ...]) -> np.void:
    """A new vehicle's row, with what `size` says of `_SIZE`; episodes spawn the same vehicles again and again."""
    row: np.void = np.zeros(1, VEHICLE)[0]
    for name, value in zip(_SIZE, size):
        row[name] = value
    spec = vehicle_spec(blueprint_id, base_type)
    if row["extent_x"] <= 0.0:
        length, width, height = _DEFAULT_SIZE[spec.sort]
        row["extent_x"], row["extent_y"], row["extent_z"] = length / 2.0, width / 2.0, height / 2.0
        row["box_x"], row["box_y"], row["box_z"] = 0.0, 0.0, height / 2.0
    row["physics"] = row["gravity"] = row["collisions"] = row["parked"] = 1
    row["friction_override"] = -1.0
    row["gear_request"] = 1
    row["ackermann_speed_gains"] = (0.15, 0.0, 0.25)
    row["ackermann_acceleration_gains"] = (0.01, 0.0, 0.01)
    values = control_values(blueprint_id, base_type)
    _fill_body(row, spec, values)
    _fill_wheels(row, spec, values)
    _fill_engine(row, values)
    _fill_steering_curve(row, STEERING_CURVE)
    set_mass(row, values.mass)
    return row


def rest_drivetrain(row: np.void) -> None:
    """Puts pedals, engine and gearbox at rest, in neutral: as CARLA makes them new where physics takes a vehicle over.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
    """
    for name in ("throttle_pedal", "brake_pedal", "gear", "target_gear", "rpm", "clutch_time", "shift_delay", "locked"):
        row[name] = 0


_PLACE = ("id", "x", "y", "z", "roll", "pitch", "yaw")
_SIZE = ("extent_x", "extent_y", "extent_z", "box_x", "box_y", "box_z")


def _fill_body(row: np.void, spec: VehicleSpec, values: ControlValues) -> None:
    width, height = 2.0 * row["extent_y"], 2.0 * row["extent_z"]
    middle, wheelbase = _axles(row, spec, values)
    if values.centre_of_mass is not None:
        row["com_x"], row["com_y"], row["com_z"] = (
            row[f"box_{axis}"] + place for axis, place in zip("xyz", values.centre_of_mass)
        )
    else:
        row["com_x"] = middle + wheelbase * (_FRONT_LOAD[spec.drive] - 0.5)
        row["com_y"] = row["box_y"]
        below = _CAR_MASS_BELOW_MIDDLE if spec.sort == "car" else height * (0.5 - _MASS_HEIGHT[spec.sort])
        row["com_z"] = row["box_z"] - below
    row["ride_height"] = values.ride_height
    row["clearance"] = min(0.35, 0.12 * height)
    row["body_extent_y"] = min(_BODY_SHARE * row["extent_y"], _WIDEST_BODY)
    if values.drag_coefficient is not None:
        row["drag_area"] = drag_area(values.drag_coefficient)
    else:
        row["drag_area"] = 0.5 * AIR_DENSITY * spec.drag * FRONT_SHARE * width * height
    row["roll_centre"] = 1.0 if spec.two_wheeler else 0.84
    row["balance"] = 9.0 if spec.two_wheeler else 0.0
    row["suspension_frequency"] = 2.0 * math.pi * _SUSPENSION_HERTZ[spec.sort]
    row["suspension_damping"] = _SUSPENSION_DAMPING


def _axles(row: np.void, spec: VehicleSpec, values: ControlValues) -> tuple[float, float]:
    """Place of the middle between the axles along the vehicle, and their distance [m]."""
    if values.front_axle is not None:
        return values.front_axle - 0.5 * values.wheelbase, values.wheelbase
    length = 2.0 * float(row["extent_x"])
    wheelbase = min(values.wheelbase, 0.9 * length)
    middle = float(row["box_x"])
    if spec.front_overhang is not None:
        middle += 0.5 * (length - wheelbase) - min(spec.front_overhang, length - wheelbase)
    return middle, wheelbase


def _fill_wheels(row: np.void, spec: VehicleSpec, values: ControlValues) -> None:
    middle, wheelbase = _axles(row, spec, values)
    half_base = 0.5 * wheelbase
    half_track = 0.15 if spec.two_wheeler else 0.8 * row["body_extent_y"]
    if values.track is not None:
        half_track = 0.5 * values.track
    row["wheel_x"] = middle + np.array((half_base, half_base, -half_base, -half_base))
    row["wheel_y"] = row["box_y"] + np.array((-half_track, half_track, -half_track, half_track))
    row["wheel_radius"] = values.wheel_radius
    row["wheel_friction"] = carla_values.TIRE_FRICTION
    row["wheel_damping"] = carla_values.WHEEL_DAMPING if spec.mass > 400.0 else 0.02
    lock = math.radians(spec.max_steer)
    row["wheel_max_steer"] = (lock, lock, 0.0, 0.0)
    row["wheel_brake_torque"] = values.brake_torque
    row["wheel_hand_brake_torque"] = np.array((0.0, 0.0, 2.0, 2.0)) * values.brake_torque
    row["wheel_lat_stiff_max_load"] = values.lat_stiff_max_load
    row["wheel_lat_stiff_value"] = carla_values.LAT_STIFF_VALUE
    row["wheel_long_stiff_value"] = values.long_stiff_value
    row["wheel_spin_mass"] = values.wheel_mass
    front = 0.5 * carla_values.FRONT_SHARE_OF_TORQUE
    row["wheel_drive"] = (front, front, 0.5 - front, 0.5 - front)
    row["wheel_cosine"] = 1.0


def _fill_engine(row: np.void, values: ControlValues) -> None:
    row["max_rpm"] = values.max_rpm
    row["engine_inertia"] = carla_values.ENGINE_INERTIA
    row["damping_full_throttle"] = values.damping_full_throttle
    row["damping_clutch_engaged"] = carla_values.DAMPING_ENGAGED
    row["damping_clutch_disengaged"] = carla_values.DAMPING_DISENGAGED
    row["autobox"] = 1
    row["gear_switch_time"] = values.gear_switch_time
    row["clutch_strength"] = carla_values.CLUTCH_STRENGTH
    row["final_ratio"] = values.final_ratio
    row["reverse_ratio"] = carla_values.REVERSE_RATIO
    _fill_torque_curve(row, values.torque_curve)
    _fill_gears(row, values.gears)


def set_mass(row: np.void, mass: float) -> None:
    """Sets a vehicle's mass [kg] and what follows from it: inertia and the loads of the wheels at rest."""
    length, width, height = (2.0 * row[name] for name in ("extent_x", "extent_y", "extent_z"))
    row["mass"] = mass
    # A solid box of 80 % of the bounding box's squared sizes comes close to measured cars.
    share = 0.8 * mass / 12.0
    row["inertia_x"] = share * (width**2 + height**2)
    row["inertia_y"] = share * (length**2 + height**2)
    row["inertia_z"] = share * (length**2 + width**2)
    _share_load(row)
    derive(row)


def derive(row: np.void) -> None:
    """Brings the fields up to date that the kernels use instead of dividing by parameters."""
    row["lightness"] = 1.0 / row["mass"]
    for axis in "xyz":
        row[f"spinness_{axis}"] = 1.0 / row[f"inertia_{axis}"]
    row["com_height"] = row["com_z"] + row["ride_height"]
    row["wheel_mass"] = row["wheel_rest_load"] / GRAVITY
    row["wheel_inverse_radius"] = inverse_radius = 1.0 / row["wheel_radius"]
    row["wheel_foot"] = row["wheel_mass"] * HOLD_RATE**2
    # Wheels are solid discs. What they need of a force to turn faster or slower does not reach the road.
    row["rolling_share"] = rolling_share = row["mass"] / (row["mass"] + 0.5 * WHEELS * row["wheel_spin_mass"])
    row["wheel_brake_force"] = rolling_share * row["wheel_brake_torque"] * inverse_radius
    row["wheel_hand_brake_force"] = rolling_share * row["wheel_hand_brake_torque"] * inverse_radius
    row["wheel_drag"] = rolling_share * row["wheel_damping"] * inverse_radius**2
    stiffness = GRAVITY * np.maximum(row["wheel_long_stiff_value"], 1e-3)
    row["slip_per_newton"] = 1.0 / stiffness.sum()
    row["flutter_rate"] = 2.0 * stiffness.mean() / row["wheel_spin_mass"]
    # Argument of the tyre's degressive stiffness: 3 from the highest load on, where it stays level.
    highest = row["wheel_lat_stiff_max_load"] * row["wheel_rest_load"]
    row["wheel_load_scale"] = 3.0 / np.maximum(highest, 1e-9)


def _share_load(row: np.void) -> None:
    wheel_x, wheel_y = row["wheel_x"], row["wheel_y"]
    base = wheel_x[:2].mean() - wheel_x[2:].mean()
    front = float(np.clip((row["com_x"] - wheel_x[2:].mean()) / base, 0.05, 0.95))
    for left, share in ((0, front), (2, 1.0 - front)):
        right = left + 1
        leaning = float(np.clip((row["com_y"] - wheel_y[left]) / (wheel_y[right] - wheel_y[left]), 0.05, 0.95))
        load = row["mass"] * GRAVITY * share
        row["wheel_rest_load"][left] = load * (1.0 - leaning)
        row["wheel_rest_load"][right] = load * leaning


def _fill_torque_curve(row: np.void, points: Sequence[Sequence[float]]) -> None:
    row["torque_count"] = len(points)
    speed, torque = _columns(points, 2, MAX_TORQUE_POINTS)
    row["torque_rpm"], row["torque_value"] = speed, torque
    step = np.diff(speed[: len(points)])
    row["torque_slope"] = 0.0
    row["torque_slope"][: len(step)] = np.diff(torque[: len(points)]) / np.where(step > 0.0, step, np.inf)


def _fill_steering_curve(row: np.void, points: Sequence[Sequence[float]]) -> None:
    row["steering_count"] = len(points)
    speed, factor = _columns(points, 2, MAX_STEERING_POINTS)
    row["steering_speed"], row["steering_factor"] = speed / 3.6, factor


def _fill_gears(row: np.void, gears: Sequence[Sequence[float]]) -> None:
    row["gear_count"] = len(gears)
    row["gear_ratio"], row["gear_down"], row["gear_up"] = _columns(gears, 3, MAX_GEARS)


def _columns(points: Sequence[Sequence[float]], width: int, room: int) -> np.ndarray:
    columns = np.zeros((width, room))
    columns[:, : len(points)] = np.asarray(points, float).T
    return columns


def physics_control(row: np.void) -> PhysicsControl:
    """The parameters of a vehicle in CARLA's form.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
    """
    return PhysicsControl(
        torque_curve=_points(row, "torque_rpm", "torque_value", count=row["torque_count"]),
        max_rpm=float(row["max_rpm"]),
        moi=float(row["engine_inertia"]),
        damping_rate_full_throttle=float(row["damping_full_throttle"]),
        damping_rate_zero_throttle_clutch_engaged=float(row["damping_clutch_engaged"]),
        damping_rate_zero_throttle_clutch_disengaged=float(row["damping_clutch_disengaged"]),
        use_gear_autobox=bool(row["autobox"]),
        gear_switch_time=float(row["gear_switch_time"]),
        clutch_strength=float(row["clutch_strength"]),
        final_ratio=float(row["final_ratio"]),
        forward_gears=_points(row, "gear_ratio", "gear_down", "gear_up", count=row["gear_count"]),
        mass=float(row["mass"]),
        drag_coefficient=float(row["drag_area"] / drag_area(1.0)),
        center_of_mass=[float(row[f"com_{axis}"] - row[f"box_{axis}"]) for axis in "xyz"],
        steering_curve=[
            [3.6 * speed, factor]
            for speed, factor in _points(row, "steering_speed", "steering_factor", count=row["steering_count"])
        ],
        wheels=[_wheel_control(row, wheel) for wheel in range(WHEELS)],
        use_sweep_wheel_collision=bool(row["sweep_wheel_collision"]),
    )


def _points(row: np.void, *names: str, count: int) -> list[list[float]]:
    return [list(point) for point in zip(*(row[name][:count].tolist() for name in names))]


def drag_area(coefficient: float) -> float:
    """Drag of the air over the square of the speed [kg/m], for CARLA's drag coefficient."""
    return 0.5 * AIR_DENSITY * coefficient * carla_values.CHASSIS_AREA


def tire_friction(row: np.void, wheel: int) -> float:
    """CARLA's `tire_friction` of a wheel now: that of the friction trigger it is in, else its own.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
        wheel: Its number.
    """
    override = float(row["friction_override"])
    return override if override >= 0.0 else float(row["wheel_friction"][wheel])


def _wheel_control(row: np.void, wheel: int) -> WheelControl:
    cosine, sine = math.cos(row["yaw"]), math.sin(row["yaw"])
    x, y = float(row["wheel_x"][wheel]), float(row["wheel_y"][wheel])
    position = [
        100.0 * (float(row["x"]) + cosine * x - sine * y),
        100.0 * (float(row["y"]) + sine * x + cosine * y),
        100.0 * float(row["z"] + row["wheel_radius"][wheel]),
    ]
    return WheelControl(
        tire_friction=tire_friction(row, wheel),
        damping_rate=float(row["wheel_damping"][wheel]),
        max_steer_angle=math.degrees(row["wheel_max_steer"][wheel]),
        radius=100.0 * float(row["wheel_radius"][wheel]),
        max_brake_torque=float(row["wheel_brake_torque"][wheel]),
        max_handbrake_torque=float(row["wheel_hand_brake_torque"][wheel]),
        lat_stiff_max_load=float(row["wheel_lat_stiff_max_load"][wheel]),
        lat_stiff_value=float(row["wheel_lat_stiff_value"][wheel]),
        long_stiff_value=float(row["wheel_long_stiff_value"][wheel]),
        position=position,
    )


def apply_physics_control(row: np.void, control: Sequence) -> None:
    """Gives a vehicle new parameters; they act from the next tick on.

    Args:
        row: One row of an array of dtype `state.VEHICLE`.
        control: A `PhysicsControl`, or a sequence in its order, as it comes from the wire.

    Raises:
        PhysicsControlError: A value is missing, not finite or out of its range. The row is then unchanged.
    """
    if len(control) != len(PhysicsControl._fields):
        raise PhysicsControlError(
            f"A physics control has {len(PhysicsControl._fields)} fields, this one has {len(control)}."
        )
    given = PhysicsControl(*control)
    wheels = _checked_wheels(given.wheels)
    _check_scalars(given)
    torque = _checked_points("torque_curve", given.torque_curve, 2, MAX_TORQUE_POINTS)
    if any(after[0] <= before[0] for before, after in pairwise(torque)):
        raise PhysicsControlError(f"torque_curve names an engine speed twice: {[point[0] for point in torque]}.")
    gears = _checked_points("forward_gears", given.forward_gears, 3, MAX_GEARS, ascending=False)
    steering = _checked_points("steering_curve", given.steering_curve, 2, MAX_STEERING_POINTS)
    centre = _finite("center_of_mass", given.center_of_mass, 3)

    row["max_rpm"] = given.max_rpm
    row["engine_inertia"] = given.moi
    row["damping_full_throttle"] = given.damping_rate_full_throttle
    row["damping_clutch_engaged"] = given.damping_rate_zero_throttle_clutch_engaged
    row["damping_clutch_disengaged"] = given.damping_rate_zero_throttle_clutch_disengaged
    row["autobox"] = bool(given.use_gear_autobox)
    row["gear_switch_time"] = given.gear_switch_time
    row["clutch_strength"] = given.clutch_strength
    row["final_ratio"] = given.final_ratio
    row["drag_area"] = drag_area(given.drag_coefficient)
    row["sweep_wheel_collision"] = bool(given.use_sweep_wheel_collision)
    _fill_torque_curve(row, torque)
    _fill_gears(row, gears)
    _fill_steering_curve(row, steering)
    for index, axis in enumerate("xyz"):
        row[f"com_{axis}"] = row[f"box_{axis}"] + centre[index]
    for index, wheel in enumerate(wheels):
        _apply_wheel(row, index, wheel)
    set_mass(row, given.mass)
    row["asleep"] = 0


def _apply_wheel(row: np.void, index: int, wheel: WheelControl) -> None:
    if wheel.tire_friction != np.float32(tire_friction(row, index)):
        row["wheel_friction"][index] = wheel.tire_friction
    row["wheel_damping"][index] = wheel.damping_rate
    row["wheel_max_steer"][index] = math.radians(wheel.max_steer_angle)
    row["wheel_radius"][index] = wheel.radius / 100.0
    row["wheel_brake_torque"][index] = wheel.max_brake_torque
    row["wheel_hand_brake_torque"][index] = wheel.max_handbrake_torque
    row["wheel_lat_stiff_max_load"][index] = wheel.lat_stiff_max_load
    row["wheel_lat_stiff_value"][index] = wheel.lat_stiff_value
    row["wheel_long_stiff_value"][index] = wheel.long_stiff_value


_POSITIVE = ("max_rpm", "moi", "mass")
_NOT_NEGATIVE = (
    "damping_rate_full_throttle",
    "damping_rate_zero_throttle_clutch_engaged",
    "damping_rate_zero_throttle_clutch_disengaged",
    "gear_switch_time",
    "clutch_strength",
    "drag_coefficient",
    "final_ratio",
)


def _check_scalars(given: PhysicsControl) -> None:
    for name in _POSITIVE + _NOT_NEGATIVE:
        value = getattr(given, name)
        if not math.isfinite(value) or value < 0.0 or (value == 0.0 and name in _POSITIVE):
            allowed = "greater than 0" if name in _POSITIVE else "0 or greater"
            raise PhysicsControlError(f"{name} is {value}; it has to be a finite number, {allowed}.")


def _checked_wheels(wheels: Sequence[Sequence]) -> list[WheelControl]:
    if len(wheels) != WHEELS:
        raise PhysicsControlError(
            f"The physics control has {len(wheels)} wheels; every vehicle here has {WHEELS}: "
            "change the list that get_physics_control() returned."
        )
    checked = []
    for index, values in enumerate(wheels):
        wheel = WheelControl(*values)
        for name in WheelControl._fields[:-1]:
            value: float = getattr(wheel, name)
            if not math.isfinite(value) or value < 0.0:
                raise PhysicsControlError(f"{name} of wheel {index} is {value}; it has to be 0 or greater.")
        if wheel.radius == 0.0:
            raise PhysicsControlError(f"The radius of wheel {index} is 0; it has to be greater.")
        checked.append(wheel)
    return checked


def _checked_points(
    name: str, points: Sequence[Sequence[float]], width: int, room: int, ascending: bool = True
) -> list[Sequence[float]]:
    if not 1 <= len(points) <= room:
        raise PhysicsControlError(f"{name} has {len(points)} entries; allowed are 1 to {room}.")
    checked = [_finite(name, point, width) for point in points]
    if ascending and any(after[0] < before[0] for before, after in pairwise(checked)):
        raise PhysicsControlError(f"{name} has to ascend in x; it is {[point[0] for point in checked]}.")
    return checked


def _finite(name: str, values: Sequence[float], width: int) -> Sequence[float]:
    if len(values) != width or not all(math.isfinite(value) for value in values):
        raise PhysicsControlError(f"{name} has to hold {width} finite numbers each; it holds {list(values)}.")
    return values
