"""The rewards: named parts, whose sum is the reward of a step."""

from __future__ import annotations

import math
from collections.abc import Callable

from rl_example.state import DrivingState
from rllib_integration.roads.routes import RoadOption

Reward = Callable[[DrivingState, DrivingState, bool], dict[str, float]]
"""Takes the states before and after a step, and whether the episode has a bad end; returns the reward's parts."""

TARGET_SPEED = 25.0  # [km/h] of the `progress` reward
STRAIGHT_SPEED, LANE_SPEED, TURN_SPEED = 35.0, 25.0, 20.0  # [km/h] of the `cirl` reward
STEERING_STRAIGHT = 0.2  # steering above which the command straight on is violated


def carla_reward(last: DrivingState, state: DrivingState, failed: bool) -> dict[str, float]:
    """The reward of CARLA's paper (Dosovitskiy et al. 2017, section 5.3 of the supplement).

    1000 for each km nearer to the goal, 0.05 for each km/h gained, -0.00002 for each N s of collisions. -2 times the
    growth of the car's share on the sidewalk, and the same on the opposite lane. Impulses replace CARLA 0.8's damage.
    """
    return {
        "distance": last.remaining - state.remaining,  # 1000 for each km is 1 for each m
        "speed": 0.05 * (state.speed - last.speed),
        "collision": -0.00002 * sum(state.impulses.values()),
        "off_road": -2.0 * (state.off_road - last.off_road),
        "opposite": -2.0 * (state.opposite - last.opposite),
    }


def cirl_reward(last: DrivingState, state: DrivingState, failed: bool) -> dict[str, float]:
    """The reward of CIRL (Liang et al. 2018, section 3.3): the speed that the command allows [km/h], less penalties.

    In turns, each km/h above 20 costs 1. Steering against the command costs 15, steering while the command is straight
    on 20. A collision with a car or walker costs 100, with anything else 50. The sidewalk and the opposite lane cost
    100 times the share of the car on them.
    """
    turning = {RoadOption.LEFT: -1.0, RoadOption.RIGHT: 1.0}.get(state.direction)
    speed = max(state.forward_speed, 0.0) * 3.6
    if turning is not None:
        paid = speed if speed <= TURN_SPEED else 2.0 * TURN_SPEED - speed
        steering = -15.0 if state.steer * turning < 0.0 else 0.0
    else:
        straight = state.direction is RoadOption.STRAIGHT
        paid = min(speed, STRAIGHT_SPEED if straight else LANE_SPEED)
        steering = -20.0 if straight and abs(state.steer) > STEERING_STRAIGHT else 0.0
    costs = {"vehicle": 100.0, "walker": 100.0, "other": 50.0}
    return {
        "speed": paid,
        "steering": steering,
        "collision": -sum(costs[kind] for kind in state.impulses),
        "off_road": -100.0 * state.off_road,
        "opposite": -100.0 * state.opposite,
    }


def her_reward(last: DrivingState, state: DrivingState, failed: bool) -> dict[str, float]:
    """500 at the goal, else up to 1 for driving 25 km/h: the Carla RL Project's reward for hindsight replay."""
    if state.reached:
        return {"goal": 500.0, "speed": 0.0}
    return {"goal": 0.0, "speed": min(LANE_SPEED, state.speed) / LANE_SPEED}


def sparse_reward(last: DrivingState, state: DrivingState, failed: bool) -> dict[str, float]:
    """1 at the goal, else 0."""
    return {"goal": float(state.reached)}


def progress_reward(last: DrivingState, state: DrivingState, failed: bool) -> dict[str, float]:
    """At most 1 a step, for driving along the middle of the route at 25 km/h; -1 for a bad end. Learnt the fastest."""
    if failed:
        return {"progress": 0.0, "end": -1.0}
    error = math.radians(state.heading_error)
    along = 3.6 * state.forward_speed * math.cos(error) / TARGET_SPEED
    relative = along if along <= 1.0 else max(0.0, 1.0 - 2.5 * (along - 1.0))
    centred = max(0.0, 1.0 - abs(state.lateral) / 2.0)
    return {"progress": max(relative, -1.0) * (0.5 + 0.5 * centred) if relative > 0.0 else 0.5 * relative, "end": 0.0}


REWARDS: dict[str, Reward] = {
    "carla": carla_reward,
    "cirl": cirl_reward,
    "her": her_reward,
    "sparse": sparse_reward,
    "progress": progress_reward,
}
"""By the names that `others.reward` accepts."""
