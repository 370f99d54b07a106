"""The hero after a step, as the rewards of the DQN example see it."""

from __future__ import annotations

from dataclasses import dataclass

import carla

from rllib_integration.road_ahead import NOTHING, Ahead
from rllib_integration.roads.lanes import LanePosition
from rllib_integration.roads.routes import Route

BEND_AHEAD = 12.0  # [m] of the route ahead whose bends limit the rewarded speed
EDGE_TOLERANCE = 0.3  # [m] that the vehicle's middle may be beyond the lane's edge


@dataclass
class RoutePose:
    """The hero's pose relative to its route.

    Attributes:
        lateral: To the right of the route [m].
        heading_error: Its direction less the route's [degrees].
        deviation: Distance from the route [m].
        bend: Sharpest curvature of the next 12 m [1/m].
        led_aside: How far the route leads beside its lane here, around an obstacle [m].
    """

    lateral: float
    heading_error: float
    deviation: float
    bend: float
    led_aside: float = 0.0


@dataclass
class HeroState:
    """The hero after a step, as the rewards see it.

    Attributes:
        x, y, z: Position in the world [m].
        speed: [km/h].
        forward_speed: Along the vehicle's own axis, negative in reverse [m/s].
        lane: The lane it is on, chosen by direction where lanes overlap; None off the driving lanes.
        on_road: On a driving or parking lane.
        steer: Of the last control, -1..1, to the right positive.
        route: Its pose relative to the route, if it has one.
        ahead: The traffic, lights and signs ahead.
    """

    x: float
    y: float
    z: float
    speed: float
    forward_speed: float
    lane: LanePosition | None
    on_road: bool
    steer: float
    route: RoutePose | None = None
    ahead: Ahead = NOTHING


def forward_speed(hero: carla.Vehicle) -> float:
    """Speed along the vehicle's own axis [m/s]."""
    return hero.get_velocity().dot(hero.get_transform().get_forward_vector())


def is_in_lane(lane: LanePosition | None) -> bool:
    """Whether the vehicle's middle is within a driving lane of its direction."""
    if lane is None or not lane.is_driving:
        return False
    return abs(lane.heading_error) < 90.0 and abs(lane.lateral) <= lane.width / 2 + EDGE_TOLERANCE


def route_pose(route: Route | None, transform: carla.Transform) -> RoutePose | None:
    """Update the route's progress; return a pose relative to it, or None without a route."""
    if route is None:
        return None
    place = transform.location
    route.update(place.x, place.y)
    lateral, error = route.locate(place.x, place.y, transform.rotation.yaw)
    return RoutePose(lateral, error, route.deviation, route.bend(BEND_AHEAD), route.led_aside)
