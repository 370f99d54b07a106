"""The rewards of the DQN example, as named parts whose sum is the reward of a step."""

from __future__ import annotations

import math

from dqn_example.dqn_state import EDGE_TOLERANCE, HeroState

SLOW_SPEED = 20.0  # [km/h] below which gaining speed is rewarded
STEERING_ERROR = 0.4  # sine of the heading error above which the steering has to correct it
HEADING_TOLERANCE = 0.8  # [rad] heading error at which the reward for it reaches zero
OVERSPEED_SLOPE = 2.5  # the reward reaches zero at 1.4 times the target speed
LANE_WIDTH = 3.5  # [m] assumed off every lane
LATERAL_ACCELERATION = 3.5  # [m/s^2] limit in the route's bends
COLLISION_PENALTY = 40.0  # in the original's task, which ignored collisions; equal to its penalty for falling
BRAKING = 2.0  # [m/s^2] with which the traffic reward's speed still stops in time
HEADWAY = 1.0  # [s] that the traffic reward's speed keeps to the vehicle ahead
NEAR_STANDSTILL = 1.0  # [m/s] added to both speeds of a ratio, so that it is defined when the hero should stop


def original_reward(
    state: HeroState, last: HeroState | None, end_reason: str | None, collided: bool
) -> dict[str, float]:
    """The original integration's reward, without its bonus for reaching the time limit.

    Per step: the metres moved, 0.05 for each km/h gained while slow, and penalties for being off the road
    (0.5), heading against the lane (0.5), and steering away from it (0.05).
    """
    parts = {"distance": 0.0, "acceleration": 0.0, "off_road": 0.0, "wrong_way": 0.0, "steering": 0.0}
    if last is not None:
        parts["distance"] = math.hypot(state.x - last.x, state.y - last.y)
        if state.speed < SLOW_SPEED:
            parts["acceleration"] = 0.05 * (state.speed - last.speed)
    if not state.on_road:
        parts["off_road"] = -0.5
    if state.lane is not None and not state.lane.is_junction:
        error = math.radians(state.lane.heading_error)
        if math.cos(error) < 0:
            parts["wrong_way"] = -0.5
        elif abs(math.sin(error)) > STEERING_ERROR and math.sin(error) * state.steer >= 0:
            parts["steering"] = -0.05
    parts["end"] = {"fell": -40.0, "idle": -100.0}.get(end_reason or "", 0.0)
    parts["collision"] = -COLLISION_PENALTY if collided else 0.0
    return parts


def lane_reward(state: HeroState, end_reason: str | None, target_speed: float) -> dict[str, float]:
    """At most 1 a step, for driving along the lane's middle at the target speed; -1 for a bad end.

    The speed along the lane, relative to the target, pays a quarter for moving, half for being centred and a
    quarter for heading along the lane. Above the target speed it falls, and reaches zero at 1.4 times the target.
    """
    if end_reason is not None:
        return _parts(end=-1.0)
    lane = state.lane
    if lane is None:
        return _parts()
    return _along(state.forward_speed / target_speed, lane.lateral, lane.heading_error, lane.width)


def route_reward(state: HeroState, end_reason: str | None, target_speed: float) -> dict[str, float]:
    """As `lane_reward`, along the route instead of the nearest lane, and slower where the route bends."""
    if end_reason is not None:
        return _parts(end=-1.0)
    assert state.route is not None
    relative = state.forward_speed / _route_speed(state, target_speed)
    return _along(relative, state.route.lateral, state.route.heading_error, _lane_width(state))


def traffic_reward(state: HeroState, end_reason: str | None, target_speed: float) -> dict[str, float]:
    """As `route_reward`, at the speed that the road ahead allows; a justified stop pays as much as driving.

    Otherwise running a red light would pay: a minute of waiting would be worth less than the metres gained by running
    it. Overspeeding costs as much as the right speed pays, long before it causes a collision.
    """
    if end_reason is not None:
        return _parts(end=-5.0)
    assert state.route is not None
    wanted = min(_route_speed(state, target_speed), state.ahead.safe_speed(BRAKING, HEADWAY))
    relative = (max(state.forward_speed, -NEAR_STANDSTILL) + NEAR_STANDSTILL) / (wanted + NEAR_STANDSTILL)
    if relative > 1.0:
        relative = 1.0 - OVERSPEED_SLOPE * (relative - 1.0)
    if relative < 0.0:
        return _parts(progress=max(relative, -1.0))
    return _share(relative, state.route.lateral, math.radians(state.route.heading_error), _lane_width(state))


def _parts(progress: float = 0.0, centre: float = 0.0, heading: float = 0.0, end: float = 0.0) -> dict[str, float]:
    return {"progress": progress, "centre": centre, "heading": heading, "end": end}


def _lane_width(state: HeroState) -> float:
    return state.lane.width if state.lane is not None else LANE_WIDTH


def _route_speed(state: HeroState, target_speed: float) -> float:
    """Speed [m/s] that the route's bends allow."""
    assert state.route is not None
    return min(target_speed, math.sqrt(LATERAL_ACCELERATION / max(state.route.bend, 1e-6)))


def _along(relative_speed: float, lateral: float, heading_error: float, width: float) -> dict[str, float]:
    """Parts of the reward for moving along a line: offsets in m and degrees, speed relative to the target."""
    error = math.radians(heading_error)
    relative = relative_speed * math.cos(error)
    if relative <= 0.0:
        return _parts(progress=0.5 * max(relative, -1.0))
    if relative > 1.0:
        relative = max(0.0, 1.0 - OVERSPEED_SLOPE * (relative - 1.0))
    return _share(relative, lateral, error, width)


def _share(relative: float, lateral: float, error: float, width: float) -> dict[str, float]:
    """Parts of the reward for a share of the wanted speed, an offset from the line [m] and a heading error [rad]."""
    centred = max(0.0, 1.0 - abs(lateral) / (width / 2 + EDGE_TOLERANCE))
    aligned = max(0.0, 1.0 - abs(error) / HEADING_TOLERANCE)
    return _parts(0.25 * relative, 0.5 * relative * centred, 0.25 * relative * aligned)
