"""Criteria of the CARLA Leaderboard beside infractions: blocked, off the route, too late, or slower than the traffic.

Source: the criteria of scenario_runner (`atomic_criteria.py`) and the Leaderboard's `route_scenario.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import carla

from rllib_integration.metrics import Event

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

STANDING = 0.1
"""Speed below which a vehicle counts as standing (m/s)."""
BLOCKED_SECONDS = 180.0
"""Simulated seconds of standing after which a route ends."""
FARTHEST_OFF = 30.0
"""Distance from the route at which the route ends (m)."""
MOST_OUTSIDE = 0.3
"""Share of a route's length driven off its lanes at which the route ends."""
LEAST_SECONDS = 300.0
"""Time allowed for every route (s); the time to drive it at `SLOWEST_SHARE` of the speed limit is added."""
SLOWEST_SHARE = 0.1
"""Share of the speed limit."""
CHECKPOINTS = 4
"""Parts of a route; at the end of each, the mean speed is compared with that of the traffic."""

_ROSTER_SECONDS = 1.0  # [s] between two updates of the list of vehicles
_DEFAULT_LIMIT = 30.0 / 3.6  # [m/s] where the server gives no speed limit


class LeaderboardCriteria:
    """Judges a route by the Leaderboard's criteria. It needs the hero's route; call `update` after each step.

    Args:
        core: The world with the hero.

    Attributes:
        end: Why the route is over: "vehicle_blocked", "route_dev" or "route_timeout"; None while it is not.
        events: Events of the Leaderboard's results that `EpisodeMetrics` does not record.
    """

    def __init__(self, core: CarlaCore) -> None:
        assert core.metrics is not None
        route = core.sensor_interface.route
        self._core = core
        self._metrics = core.metrics
        self._hero = core.hero
        self._length = route.length if route is not None else math.inf
        self._began = self._stood_since = self._now()
        self._time_allowed = LEAST_SECONDS
        self._reached = 0.0
        self._outside = 0.0
        self._others: list[carla.Actor] = []
        self._roster_time = -math.inf
        self._checkpoint = 1
        self._own_speed = self._their_speed = 0.0
        self.end: str | None = None
        self.events: list[Event] = []

    def _now(self) -> float:
        assert self._core.world is not None
        return self._core.world.get_snapshot().timestamp.elapsed_seconds

    @property
    def seconds(self) -> float:
        """Simulated seconds since the route began."""
        return self._now() - self._began

    def update(self) -> None:
        """Evaluate the newest frame."""
        route = self._core.sensor_interface.route
        if route is None or self.end is not None:
            return
        now = self._now()
        velocity = self._hero.get_velocity()
        speed = math.hypot(velocity.x, velocity.y)
        if speed > STANDING:
            self._stood_since = now
        advance = max(0.0, route.travelled - self._reached)
        self._reached = route.travelled
        self._time_allowed += advance / (SLOWEST_SHARE * self._speed_limit())
        self._compare_speed(speed, now)
        if now - self._stood_since > BLOCKED_SECONDS:
            self._give_up("vehicle_blocked", "Agent got blocked")
        elif route.deviation > FARTHEST_OFF or self._metrics.off_lane_share * self._metrics.distance > (
            MOST_OUTSIDE * self._length
        ):
            self._give_up("route_dev", "Agent deviated from the route")
        elif now - self._began > self._time_allowed:
            self._give_up("route_timeout", "Route timeout.")

    def _give_up(self, name: str, message: str) -> None:
        self.end = name
        place = self._hero.get_location()
        where = "" if name == "route_timeout" else f" at (x={place.x:.3f}, y={place.y:.3f}, z={place.z:.3f})"
        self.events.append(Event(name, self.seconds, f"{message}{where}"))

    def _speed_limit(self) -> float:
        limit = self._hero.get_speed_limit() / 3.6  # type: ignore[attr-defined]
        return limit if limit > 0.0 else _DEFAULT_LIMIT

    def _compare_speed(self, speed: float, now: float) -> None:
        """Compare the hero's mean speed with that of the traffic, at each quarter of the route."""
        if now - self._roster_time > _ROSTER_SECONDS:
            self._roster_time = now
            vehicles = self._core.find_actors("vehicle.*")
            roles = ("autopilot", "background")
            self._others = [vehicle for vehicle in vehicles if vehicle.attributes.get("role_name") in roles]
        if self._others:
            speeds = [vehicle.get_velocity().length() for vehicle in self._others]
            self._own_speed += speed
            self._their_speed += sum(speeds) / len(speeds)
        if self._reached >= self._checkpoint * self._length / CHECKPOINTS - 1.0 and self._checkpoint <= CHECKPOINTS:
            self._checkpoint += 1
            share = self._own_speed / self._their_speed if self._their_speed > 0.0 else 1.0
            if share < 1.0:
                self._metrics.speed_shares.append(share)
                message = f"Average speed is {100.0 * share:.2f}% of the surrounding traffic's one"
                self.events.append(Event("min_speed_infractions", self.seconds, message))
            self._own_speed = self._their_speed = 0.0
