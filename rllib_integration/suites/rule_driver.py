"""A rule-based driver as an upper reference: it knows the route, the lights and all other actors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import carla
import numpy as np
from gymnasium import spaces

from rllib_integration.annotations import Action, Record, Settings
from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.detours import Detours
from rllib_integration.road_ahead import RoadAhead

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

TARGET_SPEED = 8.0  # [m/s]
LATERAL_ACCELERATION = 2.5  # [m/s^2] in bends
BRAKING = 2.0  # [m/s^2] planned before obstacles and stop lines
HEADWAY = 1.0  # [s]
BEND_AHEAD = 15.0  # [m]
LOOK_AHEAD = 0.6  # [s] of driving to the pursued point
LEAST_LOOK_AHEAD = 4.0  # [m]
WHEELBASE = 2.9  # [m]
LARGEST_ANGLE = math.radians(70.0)  # of the wheels, at full steering
SPEED_GAIN = 0.4  # pedal for each m/s below the target speed


class RuleDriving(BaseExperiment):
    """Observes the throttle, brake and steering of the rules; the agent `rule` returns the observation as its action.

    Steers to a point of the route ahead (pure pursuit), at the speed that bends, traffic and lights allow.
    """

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        self._core: CarlaCore | None = None
        self._ahead: RoadAhead | None = None

    def reset(self) -> None:
        """Forget the last episode."""
        self._ahead = None

    def place_hero(self, core: CarlaCore) -> None:
        """Keep the world for later."""
        self._core = core

    def get_action_space(self) -> spaces.Box:
        """Throttle and brake 0..1, steering -1..1."""
        return spaces.Box(np.array([0, 0, -1], np.float32), np.ones(3, np.float32))

    def get_observation_space(self) -> spaces.Box:
        """The same as the action space."""
        return self.get_action_space()

    def compute_action(self, action: Action) -> carla.VehicleControl:
        """The control of an action."""
        return carla.VehicleControl(throttle=float(action[0]), brake=float(action[1]), steer=float(action[2]))

    def get_observation(self, sensor_data: Record) -> tuple[np.ndarray, Record]:
        """Throttle, brake and steering of the rules, float32 (3,)."""
        core = self._core
        assert core is not None
        assert core.metrics is not None
        route = core.sensor_interface.route
        if route is None:
            return np.array([0.0, 1.0, 0.0], np.float32), {}
        if self._ahead is None:
            find_detour = Detours(core.hero, core.sensor_interface, core.map).look
            self._ahead = RoadAhead(core.hero, core.sensor_interface, core.metrics, find_detour)
        transform, velocity = core.hero.get_transform(), core.hero.get_velocity()
        route.update(transform.location.x, transform.location.y)
        speed = velocity.dot(transform.get_forward_vector())
        ahead = self._ahead.look()
        distance = max(LEAST_LOOK_AHEAD, LOOK_AHEAD * speed)
        forward, right = (float(number) for number in route.next_points(transform, 1, distance)[0])
        curvature = 2.0 * right / max(forward * forward + right * right, 1.0)
        steer = math.atan(WHEELBASE * curvature) / LARGEST_ANGLE
        in_bend = math.sqrt(LATERAL_ACCELERATION / max(route.bend(BEND_AHEAD), 1e-6))
        wanted = min(TARGET_SPEED, in_bend, ahead.safe_speed(BRAKING, HEADWAY))
        pedal = SPEED_GAIN * (wanted - speed) if wanted > 0.1 else -1.0
        control = [min(max(pedal, 0.0), 0.8), min(max(-pedal, 0.0), 1.0), steer]
        return np.clip(np.array(control, np.float32), [0, 0, -1], 1).astype(np.float32), {}

    def get_done_status(self, observation: object, core: CarlaCore) -> bool:
        """Whether the route is done."""
        return core.sensor_interface.route is not None and core.sensor_interface.route.finished

    def compute_reward(self, observation: object, core: CarlaCore) -> float:
        """Always 0: the suite judges."""
        return 0.0
