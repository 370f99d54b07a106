"""The hero's state after a step, for observations and rewards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import carla
import numpy as np

from rllib_integration.annotations import Settings
from rllib_integration.roads.lanes import LaneIndex
from rllib_integration.roads.routes import RoadOption, Route

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

KINDS = ("vehicle", "walker", "other")
DIRECTION_AHEAD = 15.0  # [m] within which a turn of the route is announced


@dataclass
class DrivingState:
    """The hero's motion, and its progress to the goal.

    Attributes:
        transform: Pose in the world.
        speed: [km/h].
        forward_speed: Along the vehicle's own axis [m/s].
        acceleration: Forward and to the right [m/s^2].
        steer: Of the last control, -1..1.
        goal: The route's end; the hero's place without a route.
        remaining: Distance to the goal along the route [m].
        lateral: Distance to the right of the route, or of the lane without a route [m].
        heading_error: Direction less the route's or the lane's [degrees].
        direction: The route's next turn.
        impulses: Strongest impulse of the step's collisions by kind of the other actor [N s].
        off_road: Share of the vehicle's box off every lane, 0..1.
        opposite: Share of the box on lanes of the other direction, 0..1.
        reached: Whether the goal is reached.
    """

    transform: carla.Transform
    speed: float
    forward_speed: float
    acceleration: tuple[float, float]
    steer: float
    goal: carla.Location
    remaining: float
    lateral: float
    heading_error: float
    direction: RoadOption
    impulses: dict[str, float] = field(default_factory=dict)
    off_road: float = 0.0
    opposite: float = 0.0
    reached: bool = False

    @property
    def goal_ahead(self) -> tuple[float, float]:
        """The goal as seen from the hero: metres forward and to the right."""
        place = self.transform.location
        return in_frame(self.transform.rotation.yaw, self.goal.x - place.x, self.goal.y - place.y)


def in_frame(yaw: float, x: float, y: float) -> tuple[float, float]:
    """A world vector [m] in a frame turned by `yaw` [degrees]: forward and to the right."""
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    return x * c + y * s, y * c - x * s


def read_state(core: CarlaCore, impulses: Mapping[str, float], steer: float, goal_distance: float) -> DrivingState:
    """Read the hero's state from the data that the client already holds.

    Args:
        core: The world.
        impulses: As `DrivingState.impulses`.
        steer: Steering of the last control, -1..1.
        goal_distance: Distance within which the goal counts as reached [m].
    """
    hero, route = core.hero, core.sensor_interface.route
    transform, velocity, acceleration = hero.get_transform(), hero.get_velocity(), hero.get_acceleration()
    place, yaw = transform.location, transform.rotation.yaw
    lanes = LaneIndex.for_map(core.map)
    off_road, opposite = shares_off_lane(lanes, transform, hero.bounding_box.extent)
    if route is not None:
        route.update(place.x, place.y)
        lateral, error = route.locate(place.x, place.y, yaw)
    else:
        lane = lanes.locate(place.x, place.y, place.z, yaw)
        lateral, error = (lane.lateral, lane.heading_error) if lane is not None else (0.0, 0.0)
    remaining = route.length - route.travelled if route is not None else 0.0
    goal = route.goal if route is not None else place
    is_near = math.hypot(goal.x - place.x, goal.y - place.y) < goal_distance and remaining < 2.0 * goal_distance
    return DrivingState(
        transform=transform,
        speed=3.6 * velocity.length(),
        forward_speed=velocity.dot(transform.get_forward_vector()),
        acceleration=in_frame(yaw, acceleration.x, acceleration.y),
        steer=steer,
        goal=goal,
        remaining=remaining,
        lateral=lateral,
        heading_error=error,
        direction=direction_of(route),
        impulses=dict(impulses),
        off_road=off_road,
        opposite=opposite,
        reached=route is not None and is_near,
    )


def direction_of(route: Route | None) -> RoadOption:
    """The route's next turn; `LANE_FOLLOW` where there is none, `VOID` near the route's end."""
    if route is None:
        return RoadOption.LANE_FOLLOW
    if route.length - route.travelled < DIRECTION_AHEAD:
        return RoadOption.VOID
    return route.next_option(DIRECTION_AHEAD)


def shares_off_lane(lanes: LaneIndex, transform: carla.Transform, extent: carla.Vector3D) -> tuple[float, float]:
    """Shares of a box off every lane, and on lanes of the other direction, from nine of its points."""
    place, yaw = transform.location, transform.rotation.yaw
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    off_road = opposite = 0
    for forward in (-extent.x, 0.0, extent.x):
        for right in (-extent.y, 0.0, extent.y):
            x, y = place.x + forward * c - right * s, place.y + forward * s + right * c
            if not lanes.on_road(x, y, place.z):
                off_road += 1
                continue
            lane = lanes.locate(x, y, place.z, yaw)
            opposite += lane is not None and lane.on_lane and not lane.is_junction and abs(lane.heading_error) > 90.0
    return off_road / 9.0, opposite / 9.0


def impulses_of(sensor_data: Settings, collision_sensors: list[str]) -> dict[str, float]:
    """The strongest impulse [N s] by kind of the other actor, from the collision sensors that have fired."""
    found: dict[str, float] = {}
    for name in collision_sensors:
        if name in sensor_data:
            other, impulse = sensor_data[name][1]
            kind = "other" if other is None else other.type_id.partition(".")[0]
            kind = kind if kind in KINDS else "other"
            found[kind] = max(found.get(kind, 0.0), float(impulse))
    return found


def one_hot(number: int, size: int) -> np.ndarray:
    """float32 `(size,)` with a single 1."""
    found = np.zeros(size, np.float32)
    found[number] = 1.0
    return found
