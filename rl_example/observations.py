"""Observation converters: parts of a dictionary observation, each scaled to about -1..1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from rl_example.state import DrivingState, one_hot
from rllib_integration.annotations import Settings
from rllib_integration.roads.routes import RoadOption, Route

ROUTE_POINTS = 8
ROUTE_SPACING = 3.0  # [m] between two observed points of the route
FAST = 10.0  # [m/s] observed as 1
STRONG = 10.0  # [m/s^2] observed as 1
NEAR = 30.0  # [m] of the route ahead, observed as 1
FAR = 100.0  # [m] to the goal, observed as 1; so are greater distances
DIRECTIONS = (RoadOption.VOID, RoadOption.STRAIGHT, RoadOption.RIGHT, RoadOption.LEFT, RoadOption.LANE_FOLLOW)
"""Goal near, straight on, right, left, follow the lane: the order of the `direction` part."""


class Part(NamedTuple):
    """One part of an observation.

    Attributes:
        space: The part's space.
        read: Computes the part from the hero's state, its route and the sensors' data.
    """

    space: gymnasium.Space
    read: Callable[[DrivingState, Route | None, Settings], np.ndarray]


def _vector(size: int) -> spaces.Box:
    return spaces.Box(-1.0, 1.0, (size,), np.float32)


def _clipped(*numbers: float) -> np.ndarray:
    return np.clip(np.array(numbers, np.float32), -1.0, 1.0)


def read_ego(state: DrivingState, route: Route | None, sensors: Settings) -> np.ndarray:
    """Speed, acceleration forward and to the right, steering, lateral offset and heading error; float32 (7,)."""
    error = math.radians(state.heading_error)
    forward, right = state.acceleration
    return _clipped(
        *(state.forward_speed / FAST, forward / STRONG, right / STRONG, state.steer),
        *(state.lateral / 4.0, math.sin(error), math.cos(error)),
    )


def read_direction(state: DrivingState, route: Route | None, sensors: Settings) -> np.ndarray:
    """One-hot over `DIRECTIONS`, float32 (5,); a change of lanes counts as following the lane."""
    known = state.direction if state.direction in DIRECTIONS else RoadOption.LANE_FOLLOW
    return one_hot(DIRECTIONS.index(known), len(DIRECTIONS))


def read_target(state: DrivingState, route: Route | None, sensors: Settings) -> np.ndarray:
    """The goal's offset forward and to the right, its distance and direction (0 at the goal); float32 (5,)."""
    ahead, right = state.goal_ahead
    distance = math.hypot(ahead, right)
    unit = (ahead / distance, right / distance) if distance > 1e-6 else (0.0, 0.0)
    return _clipped(ahead / FAR, right / FAR, distance / FAR, *unit)


def read_route(state: DrivingState, route: Route | None, sensors: Settings) -> np.ndarray:
    """The next points of the route, forward and to the right; float32 (2 * ROUTE_POINTS,), zeros without a route."""
    if route is None:
        return np.zeros(2 * ROUTE_POINTS, np.float32)
    points = route.next_points(state.transform, ROUTE_POINTS, ROUTE_SPACING)
    return np.clip(points.ravel() / NEAR, -1.0, 1.0).astype(np.float32)


PARTS: dict[str, Part] = {
    "ego": Part(_vector(7), read_ego),
    "direction": Part(_vector(len(DIRECTIONS)), read_direction),
    "target": Part(_vector(5), read_target),
    "route": Part(_vector(2 * ROUTE_POINTS), read_route),
}
"""By the names that `others.observations` accepts; the part `image` is the camera's picture."""

IMAGE = {
    "type": "sensor.camera.rgb",
    "transform": "2.0,0,1.4,0,0,0",
    "image_size_x": 336,
    "image_size_y": 336,
    "fov": 100,
    "resize_x": 84,
    "resize_y": 84,
}
"""The camera of the `image` part: uint8 (84, 84, 3), RGB, of the ticked frame."""
