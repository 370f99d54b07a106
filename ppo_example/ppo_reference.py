"""A rule-based driver as a reference for learned policies: pure pursuit of the track's middle.

Steering: R. C. Coulter, Implementation of the Pure Pursuit Path Tracking Algorithm, CMU-RI-TR-92-01, 1992.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import carla
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ppo_example.ppo_experiment import PPOExperiment
    from rllib_integration.carla_core import CarlaCore

LATERAL_ACCELERATION = 6.0  # [m/s^2] in bends
BRAKING = 3.0  # [m/s^2] assumed before a bend
_SIGHT = 30.0  # [m] of the track that the speed is chosen for
_SPACING = 1.0  # [m] between the places considered
_LEAST_AHEAD, _SECONDS_AHEAD = 2.5, 0.35  # [m], [s] distance of the pursued point
_WHEELBASE = 1.57  # [m] of vehicle.micro.microlino
_GAIN = 1.5  # acceleration (3 = full throttle) for each m/s below the target speed


class PurePursuit:
    """Drives along the middle of the track, as fast as its bends allow.

    Args:
        fastest: Greatest speed [m/s].
        lateral: Lateral acceleration in bends [m/s^2].
    """

    def __init__(self, fastest: float = 20.0, lateral: float = LATERAL_ACCELERATION) -> None:
        self._fastest = fastest
        self._lateral = lateral

    def act(self, experiment: PPOExperiment, core: CarlaCore) -> NDArray[np.float32]:
        """The action for the newest frame, of the continuous action space."""
        assert core.metrics is not None
        assert core.metrics.track is not None
        track, pose = core.metrics.track.track, core.metrics.track.pose
        assert pose is not None
        hero = cast(carla.Vehicle, core.hero)
        transform, speed = hero.get_transform(), hero.get_velocity().length()
        ahead = _LEAST_AHEAD + _SECONDS_AHEAD * speed
        goal = track.transform_at(pose.distance + ahead).location - transform.location
        right = goal.dot(transform.get_right_vector())
        wheel = math.degrees(math.atan(2.0 * _WHEELBASE * right / max(goal.length(), 0.1) ** 2))
        target = self._fastest
        for distance in np.arange(0.0, _SIGHT, _SPACING):
            bend = abs(track.curvature(pose.distance + distance))
            allowed = math.sqrt(self._lateral / max(bend, 1e-3))
            target = min(target, math.sqrt(allowed**2 + 2.0 * BRAKING * distance))
        action = (_GAIN * (target - speed), -wheel / experiment.max_steer)
        space = experiment.get_action_space()
        return np.clip(np.array(action, np.float32), space.low, space.high)  # type: ignore[attr-defined]
