"""Following a route by bird view: through empty streets (`dqn_drive.yaml`), or in traffic (`dqn_traffic.yaml`)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from dqn_example.dqn_rewards import BRAKING, HEADWAY, NEAR_STANDSTILL, route_reward, traffic_reward
from dqn_example.dqn_state import HeroState, route_pose
from dqn_example.follow_road import FASTEST_SHOWN, WHERE, FollowRoad
from rllib_integration.annotations import Record, Settings
from rllib_integration.config.merging import ConfigError, Rule
from rllib_integration.detours import Detours
from rllib_integration.metrics import COLLISIONS
from rllib_integration.planes import Picture, plane_of
from rllib_integration.road_ahead import NOTHING, SIGHT, Ahead, RoadAhead
from rllib_integration.sensors.bird_view_manager import read_planes

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

LED_ASIDE = 1.0  # [m] from which on a route that leads beside its lane leads over the next one


class DriveRoute(FollowRoad):
    """Drives along its route at the target speed, slower where the route bends.

    The episode ends where the hero leaves its lane or its route. It needs `env_config.experiment.route`; a bird view
    with the plane `route` shows which way to go at junctions.
    """

    OTHERS: ClassVar[Record] = {
        **FollowRoad.OTHERS,
        "actions": "fine",
        "max_time_off_lane": 0,  # steps in a row outside the lanes of its direction before the episode ends
        "end_off_route": 4.0,  # [m] distance from the route at which the episode ends
        "retry_share": 0.3,  # share of episodes that start some seconds before an earlier bad end
        "distance_limit": 0.0,  # [m] distance after which the episode is cut off; 0 = no limit
    }
    RULES: ClassVar[dict[str, Rule]] = {
        **FollowRoad.RULES,
        "retry_share": Rule(float, accepts=lambda share: 0 <= share <= 1, expected="a share from 0 to 1"),
        "max_time_off_lane": Rule(int, accepts=lambda count: count >= 0, expected="a whole number of steps, 0 or more"),
    }

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        if not self.config["route"]:
            raise ConfigError(
                f"{type(self).__name__} follows a route: env_config.experiment.route has to be set, as {{length: 500}}."
            )

    def read_state(self, core: CarlaCore) -> HeroState:
        """The hero after the tick, and its pose relative to the route."""
        state = super().read_state(core)
        state.route = route_pose(core.sensor_interface.route, core.hero.get_transform())
        return state

    def bad_ends(self, state: HeroState, core: CarlaCore) -> dict[str, bool]:
        """Whether each of `ENDS` holds for the hero's state."""
        return {
            **super().bad_ends(state, core),
            "left_lane": self.off_lane_steps > self.others["max_time_off_lane"],
            "left_route": state.route is not None and state.route.deviation > self.others["end_off_route"],
        }

    def limits(self, core: CarlaCore) -> dict[str, bool]:
        """Whether the episode has reached each of `LIMITS`."""
        return {**super().limits(core), "distance_limit": 0 < self.others["distance_limit"] <= self.distance}

    def compute_reward(self, observation: Picture, core: CarlaCore) -> dict[str, float]:
        """The step's reward in named parts."""
        assert self.state is not None
        return route_reward(self.state, self.end_reason, self.others["target_speed"])


class DriveInTraffic(DriveRoute):
    """Drives along its route in traffic, no faster than the road ahead allows.

    Five further planes show distances and speeds of the road ahead, see `shown_ahead`. The planes that
    `previous_planes` names are added once more as they were one decision ago, so that motion is visible.
    """

    OTHERS: ClassVar[Record] = {
        **DriveRoute.OTHERS,
        "actions": "braking",
        "target_speed": 7.0,
        "previous_planes": ["vehicles", "two_wheelers", "walkers"],
        "detours": False,  # lead the route around what stands at the edge of the lane, once the way past is free
    }

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        self._previous_channels = self._find_planes(self.others["previous_planes"])

    def _find_planes(self, names: list[str]) -> list[int]:
        """Channels of the bird view's planes with these names."""
        planes = read_planes(self.config["hero"]["sensors"][self.birdview].get("planes", ())) if names else ()
        for name in names:
            if name not in planes:
                raise ConfigError(
                    f"{WHERE}.previous_planes names {name!r}, but the bird view's planes are {', '.join(planes)}."
                )
        return [planes.index(name) for name in names]

    def reset(self) -> None:
        """Forget the last episode."""
        super().reset()
        self._last_picture: Picture | None = None
        self._road_ahead: RoadAhead | None = None
        self.ahead = NOTHING

    def planes(self, picture: Picture) -> list[Picture]:
        """The bird view, planes of the previous one, the speed, and the road ahead."""
        self._look_ahead()
        before = picture if self._last_picture is None else self._last_picture
        self._last_picture = picture
        shown, speed = super().planes(picture)
        previous = [before[..., self._previous_channels]] if self._previous_channels else []
        return [shown, *previous, speed, *(plane_of(picture, share) for share in shown_ahead(self.ahead))]

    def _look_ahead(self) -> None:
        core = self._core
        if core is None:
            return  # only the observation space is asked for
        if self._road_ahead is None:
            assert core.metrics is not None
            find_detour = Detours(core.hero, core.sensor_interface, core.map).look if self.others["detours"] else None
            self._road_ahead = RoadAhead(core.hero, core.sensor_interface, core.metrics, find_detour)
        self.ahead = self._road_ahead.look()

    def read_state(self, core: CarlaCore) -> HeroState:
        """The hero after the tick, its pose relative to the route, and the road ahead."""
        state = super().read_state(core)
        state.ahead = self.ahead
        return state

    def _count(self, state: HeroState) -> None:
        super()._count(state)
        if state.ahead.safe_speed(BRAKING, HEADWAY) < NEAR_STANDSTILL:
            self.idle_steps = 0  # waiting for a light or for traffic is not idling
        if state.route is not None and state.route.led_aside > LED_ASIDE:
            self.off_lane_steps = 0  # it is beside its lane because its route is

    def bad_ends(self, state: HeroState, core: CarlaCore) -> dict[str, bool]:
        """Whether each of `ENDS` holds for the hero's state.

        As in the Leaderboard, a hero that stands is not at fault when others drive into it: the episode goes on.
        """
        assert core.metrics is not None
        counts = core.metrics.counts
        collided = any(counts[kind] > 0 for kind in COLLISIONS)
        return {**super().bad_ends(state, core), "collision": collided, "red_light": counts["red_lights_run"] > 0}

    def compute_reward(self, observation: Picture, core: CarlaCore) -> dict[str, float]:
        """The step's reward in named parts."""
        assert self.state is not None
        return traffic_reward(self.state, self.end_reason, self.others["target_speed"])


def shown_ahead(ahead: Ahead) -> list[float]:
    """Distances, speeds and the safe speed of the road ahead, each as a share: 1 = out of sight, or the fastest shown.

    Distances are shown by their square roots, which are proportional to the speed from which the hero can stop within
    them. This resolves the last metres more finely.
    """
    gap, crossing, line = (math.sqrt(distance / SIGHT) for distance in (ahead.gap, ahead.crossing, ahead.line))
    return [gap, ahead.gap_speed / FASTEST_SHOWN, crossing, line, ahead.safe_speed(BRAKING, HEADWAY) / FASTEST_SHOWN]
