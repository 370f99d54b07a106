"""How the hero's car answers its controls: the gear that belongs to a speed, and cars that differ between episodes.

Properties of a car that are not known exactly are drawn anew for each episode, so that a policy learns to drive all of
them. Mass, drag, engine, brakes and tyres are changed with `apply_physics_control`; a late and noisy driver is put
between policy and car. Both work on every CARLA.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import carla
import numpy as np

from rllib_integration.annotations import Settings
from rllib_integration.config.merging import Rule

DYNAMICS_RANDOMISATION: dict[str, list[float]] = {
    "mass": [1.0, 1.0],  # share of the blueprint's, from .. to; so are the next four
    "drag": [1.0, 1.0],  # of the air, and of the engine with the throttle up
    "engine": [1.0, 1.0],  # torque
    "brake": [1.0, 1.0],  # torque
    "tyre_friction": [1.0, 1.0],
    "steering_lag": [0.0, 0.0],  # s, time constant with which the steering follows
    "control_delay": [0, 0],  # whole decisions
    "control_noise": [0.0, 0.0],  # standard deviation, share of the steering's and of pressed pedals' travel
}
"""Ranges that an episode's values are drawn from, off by default."""
_LEAST_SHARE, _MOST_SHARE = 0.1, 10.0
_LONGEST_LAG, _LONGEST_DELAY, _MOST_NOISE = 2.0, 20, 1.0
_SHARES = ("mass", "drag", "engine", "brake", "tyre_friction")
_SHIFT_MARGIN = 1.3  # engine speed over that at which an automatic box changes down


def _range_rule(low: float, high: float, expected: str, whole: bool = False) -> Rule:
    def accepts(span: Sequence[float]) -> bool:
        kinds = (int,) if whole else (int, float)
        if len(span) != 2 or not all(isinstance(end, kinds) and not isinstance(end, bool) for end in span):
            return False
        return bool(low <= span[0] <= span[1] <= high)

    return Rule(list, accepts=accepts, expected=f"[least, most], {expected}")


RULES = {
    **{
        name: _range_rule(_LEAST_SHARE, _MOST_SHARE, f"shares from {_LEAST_SHARE:g} to {_MOST_SHARE:g}")
        for name in _SHARES
    },
    "steering_lag": _range_rule(0.0, _LONGEST_LAG, f"seconds from 0 to {_LONGEST_LAG:g}"),
    "control_delay": _range_rule(0, _LONGEST_DELAY, f"whole numbers of decisions from 0 to {_LONGEST_DELAY}", True),
    "control_noise": _range_rule(0.0, _MOST_NOISE, "shares from 0 to 1"),
}


class Dynamics:
    """One episode's car and driver.

    Args:
        ranges: `DYNAMICS_RANDOMISATION`, complete.
        seed: Of what is drawn, and of the noise.
        seconds: Between two decisions.

    Attributes:
        told: What was drawn, by name; empty if nothing differs.
    """

    def __init__(self, ranges: Settings, seed: int | Sequence[int] | None, seconds: float) -> None:
        self._rng = np.random.default_rng(seed)
        self.told: dict[str, float] = {}
        for name, (low, high) in ranges.items():
            share = float(self._rng.random())  # drawn always, so that a range changes no other's values
            value = (
                low + math.floor(share * (high - low + 1)) if name == "control_delay" else low + share * (high - low)
            )
            if value != DYNAMICS_RANDOMISATION[name][0]:
                self.told[name] = value
        self._delayed: deque[carla.VehicleControl] = deque()
        lag = self.told.get("steering_lag", 0.0)
        self._following = 1.0 - math.exp(-seconds / lag) if lag > 0.0 else 1.0
        self._steer = 0.0

    @property
    def changes_car(self) -> bool:
        """Whether the car is another one than its blueprint's."""
        return any(name in self.told for name in _SHARES)

    def change(self, control: carla.VehiclePhysicsControl) -> carla.VehiclePhysicsControl:
        """The physics of this episode's car, from its blueprint's."""
        share = {name: self.told.get(name, 1.0) for name in _SHARES}
        changed: Any = control  # the client's stubs take its attributes for read-only
        changed.mass *= share["mass"]
        changed.drag_coefficient *= share["drag"]
        changed.damping_rate_zero_throttle_clutch_engaged *= share["drag"]
        changed.torque_curve = [carla.Vector2D(point.x, point.y * share["engine"]) for point in control.torque_curve]
        wheels: list[Any] = list(control.wheels)
        for wheel in wheels:
            wheel.max_brake_torque *= share["brake"]
            wheel.max_handbrake_torque *= share["brake"]
            wheel.tire_friction *= share["tyre_friction"]
        changed.wheels = wheels
        return control

    def act(self, control: carla.VehicleControl) -> carla.VehicleControl:
        """What the car is told in a decision, from what the policy decides."""
        if not self.told:
            return control
        self._delayed.append(control)
        # Until the first decision arrives, the pedals and the wheel are left alone.
        late = len(self._delayed) > self.told.get("control_delay", 0)
        asked = self._delayed.popleft() if late else carla.VehicleControl()
        self._steer += self._following * (asked.steer - self._steer)
        told = carla.VehicleControl(
            *(asked.throttle, self._steer, asked.brake, asked.hand_brake, asked.reverse, asked.manual_gear_shift),
            asked.gear,
        )
        noise = self.told.get("control_noise", 0.0)
        return with_noise(told, self._rng, noise, noise, noise)


def with_noise(
    control: carla.VehicleControl, rng: np.random.Generator, throttle: float, brake: float, steering: float
) -> carla.VehicleControl:
    """A control with normal noise, changed in place.

    Args:
        control: The control.
        rng: Draws.
        throttle, brake: Standard deviations, shares of the pedals' travel; only while they are pressed.
        steering: The same, share of the full lock.
    """
    for name, std in (("throttle", throttle), ("brake", brake)):
        pressed = getattr(control, name)
        if std and pressed > 0.0:  # pedals do not press themselves
            setattr(control, name, min(1.0, max(0.0, pressed + float(rng.normal(0.0, std)))))
    if steering:
        control.steer = min(1.0, max(-1.0, control.steer + float(rng.normal(0.0, steering))))
    return control


def gear_at_speed(control: carla.VehiclePhysicsControl, speed: float) -> int:
    """The highest forward gear, 1 or more, that an automatic box stays in at a speed [m/s] without throttle."""
    wheel_turns = speed / (2.0 * math.pi * 0.01 * control.wheels[0].radius) * 60.0  # 1/min; the radius is in cm
    for number in range(len(control.forward_gears), 1, -1):
        gear = control.forward_gears[number - 1]
        rpm = wheel_turns * gear.ratio * control.final_ratio
        if rpm >= _SHIFT_MARGIN * gear.down_ratio * control.max_rpm:
            return number
    return 1
