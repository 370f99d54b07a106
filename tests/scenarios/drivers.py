"""Drivers for tests of scenarios: one looks where it goes, one does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import carla
import numpy as np
from gymnasium import spaces

from rllib_integration.base_experiment import BaseExperiment
from rllib_integration.carla_env import CarlaEnv
from rllib_integration.road_ahead import RoadAhead
from tests.known import actors_of, present


class PedalsAndWheel(BaseExperiment):
    """Throttle or brake, and steering, each -1..1; no observation to speak of, ends with its route."""

    def get_action_space(self) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    def get_observation_space(self) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def compute_action(self, action: Any) -> carla.VehicleControl:
        pedal, steer = (float(number) for number in action)
        return carla.VehicleControl(throttle=max(pedal, 0.0), brake=max(-pedal, 0.0), steer=steer)

    def get_observation(self, sensor_data: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        return np.zeros(1, np.float32), {}

    def get_done_status(self, observation: Any, core: Any) -> bool:
        return False

    def get_truncated_status(self, observation: Any, core: Any) -> bool:
        return bool(core.sensor_interface.route.finished)

    def compute_reward(self, observation: Any, core: Any) -> float:
        return 0.0


class Driver:
    """Drives along the hero's route.

    Args:
        speed: Where nothing is ahead [m/s].
        looks: Whether it brakes for what is ahead.
        shift: A stretch of the route (m) that it drives so far to the right of it: (begin, end, metres). If it
            looks, it first waits until nobody comes towards it there.
        steers: Whether it steers at all.
    """

    def __init__(
        self,
        speed: float = 8.0,
        looks: bool = True,
        shift: tuple[float, float, float] | None = None,
        steers: bool = True,
    ) -> None:
        self.speed = speed
        self.looks = looks
        self.shift = shift
        self.steers = steers
        self._passes = not looks
        self._ahead: RoadAhead | None = None

    def act(self, env: CarlaEnv) -> np.ndarray:
        core = env.core
        hero, route = core.hero, core.sensor_interface.route
        assert hero is not None
        assert route is not None
        assert core.metrics is not None
        if self._ahead is None:
            self._ahead = RoadAhead(hero, core.sensor_interface, core.metrics)
        speed = hero.get_velocity().length()
        x, y = self._aim(route, 4.0 + 0.5 * speed)
        pose = hero.get_transform()
        dx, dy = x - pose.location.x, y - pose.location.y
        error = math.atan2(dy, dx) - math.radians(pose.rotation.yaw)
        steer = math.atan2(2.0 * 2.85 * math.sin(error), math.hypot(dx, dy)) / math.radians(70.0) * self.steers
        wanted = min(self.speed, math.sqrt(3.0 / max(route.bend(12.0), 1e-3)))
        if self.looks and self.shift is not None:
            wanted = min(wanted, self._before_passing(env, *self.shift))
        if self.looks and not (self.shift and self.shift[0] < route.travelled < self.shift[1]):
            wanted = min(wanted, self._ahead.look().safe_speed(3.0, 0.8))
        pedal = 0.3 + 0.5 * (wanted - speed) if wanted > 0.1 else -1.0
        return np.clip([min(pedal, 0.8), steer], -1.0, 1.0).astype(np.float32)

    def _aim(self, route: Any, ahead: float) -> tuple[float, float]:
        points, distances = route.piece(0.0, ahead + 2.0)
        at = min(route.travelled + ahead, float(distances[-1]))
        x, y = np.interp(at, distances, points[:, 0]), np.interp(at, distances, points[:, 1])
        yaw = points[min(np.searchsorted(distances, at), len(points) - 1), 3]
        begin, end, metres = self.shift or (0.0, 0.0, 0.0)
        aside = metres if begin < at < end and self._passes else 0.0
        return float(x - aside * math.sin(yaw)), float(y + aside * math.cos(yaw))

    def _before_passing(self, env: CarlaEnv, begin: float, end: float, metres: float) -> float:
        """The speed [m/s] before a stretch on another lane: standing still until that is free."""
        route, hero = present(env.core.sensor_interface.route), env.core.hero
        if self._passes:
            return self.speed
        free = begin - 3.0 - route.travelled
        if free < 1.0:
            points, _ = route.piece(0.0, end - begin + 80.0)
            here = hero.get_location()
            self._passes = not any(
                np.hypot(
                    points[:, 0] - metres * np.sin(points[:, 3]) - other.get_location().x,
                    points[:, 1] + metres * np.cos(points[:, 3]) - other.get_location().y,
                ).min()
                < 1.5
                for other in actors_of(env.core.world, "vehicle.*")
                if other.get_location().distance(here) > 1.0
            )
        return math.sqrt(2.0 * 2.0 * max(free, 0.0))


def drive(
    env: CarlaEnv,
    make: Callable[[CarlaEnv, dict[str, Any]], Driver],
    seconds: float = 150.0,
    seed: int = 3,
    **options: Any,
) -> dict[str, Any]:
    """The last info of an episode, with the `scenarios` so far where it did not end in time."""
    _, info = env.reset(seed=seed, options=options)
    driver = make(env, info["situation"])
    step = env.core.config["timestep"] * env.core.config["ticks_per_step"]
    for _ in range(round(seconds / step)):
        _, _, terminated, truncated, info = env.step(driver.act(env))
        if terminated or truncated:
            return info
    director = env._director
    assert director is not None
    return {**info, "scenarios": [outcome.info() for outcome in director.finish()]}
