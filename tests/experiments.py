"""Experiments that the tests drive: small observations, no network, no pictures unless asked for."""

from __future__ import annotations

import carla
import numpy as np
from gymnasium import spaces

from dqn_example.follow_road import FollowRoad
from rllib_integration.base_experiment import BaseExperiment

_ACTIONS = [(0.0, 0.0, 1.0), (0.6, 0.0, 0.0), (0.6, 0.3, 0.0), (0.6, -0.3, 0.0)]  # throttle, steer, brake


class PoseExperiment(BaseExperiment):
    """Drives by four actions and observes where the hero is: x, y, z, yaw, speed."""

    def reset(self):
        self.core = None
        self.steps = 0

    def place_hero(self, core):
        self.core_at_start = core

    def get_action_space(self):
        return spaces.Discrete(len(_ACTIONS))

    def get_observation_space(self):
        return spaces.Box(-1e5, 1e5, (5,), np.float32)

    def get_actions(self):
        return _ACTIONS

    def compute_action(self, action):
        throttle, steer, brake = _ACTIONS[int(action)]
        return carla.VehicleControl(throttle=throttle, steer=steer, brake=brake)

    def get_observation(self, sensor_data):
        hero = self.core_at_start.hero
        pose, speed = hero.get_transform(), hero.get_velocity().length()
        place = pose.location
        observation = np.array([place.x, place.y, place.z, pose.rotation.yaw, speed], np.float32)
        lags = {name: reading[0] - self.core_at_start.frame for name, reading in sensor_data.items()}
        return observation, {"frames_behind": lags}

    def get_done_status(self, observation, core):
        self.steps += 1
        return self.steps >= self.config["others"].get("last_step", 10**9)

    def get_truncated_status(self, observation, core):
        return self.steps >= self.config["others"].get("step_limit", 10**9)

    def compute_reward(self, observation, core):
        return {"speed": float(observation[4]), "time": -0.1}


class FailingExperiment(PoseExperiment):
    """Fails in its sixth step."""

    def compute_reward(self, observation, core):
        return 1.0 / (6 - self.steps)


class PedalAndWheelExperiment(FollowRoad):
    """The quickstart's task with two continuous actions: throttle or brake, and steering, each -1..1."""

    def get_action_space(self):
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    def compute_action(self, action):
        pedal, steer = (float(number) for number in action)
        return carla.VehicleControl(throttle=max(pedal, 0.0), brake=max(-pedal, 0.0), steer=steer)
