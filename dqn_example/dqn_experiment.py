"""The task of the original integration, `dqn_config.yaml`: drive far, seen by four pictures in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dqn_example.dqn_rewards import original_reward
from dqn_example.dqn_state import HeroState
from dqn_example.follow_road import FollowRoad
from rllib_integration.annotations import Record
from rllib_integration.config.merging import Rule, positive
from rllib_integration.planes import Picture

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

_TASKS = "the tasks FollowRoad (dqn_example.follow_road) and DriveRoute (dqn_example.drive_route)"


class DQNExperiment(FollowRoad):
    """Drives from the configuration's spawn points, on and off the road, as far as possible.

    The observation is the last `framestack` bird views, oldest first: uint8 (size, size, 3 * framestack).
    """

    OTHERS: ClassVar[Record] = {
        "framestack": 4,  # pictures in an observation; the first of an episode fills the stack
        "max_time_idle": 600,  # steps at 1 km/h or less before the episode ends
        "max_time_episode": 6400,  # steps before it is cut off
    }
    RULES: ClassVar[dict[str, Rule]] = {
        **FollowRoad.RULES,
        "framestack": positive("a whole number, 1 or more", int),
    }
    ELSEWHERE: ClassVar[dict[str, str]] = dict.fromkeys(
        ("actions", "reward", "target_speed", "speed_plane", "start", "start_speed", "end_off_lane", "end_off_route"),
        _TASKS,
    )

    def place_hero(self, core: CarlaCore) -> None:
        """Leave the hero at its spawn point."""
        self._core = core

    def reset(self) -> None:
        """Forget the last episode."""
        super().reset()
        self._pictures: list[Picture] = []

    def planes(self, picture: Picture) -> list[Picture]:
        """The last pictures, the newest one at the end."""
        count = self.others["framestack"]
        self._pictures = [*self._pictures, picture][-count:] if self._pictures else [picture] * count
        return self._pictures

    def bad_ends(self, state: HeroState, core: CarlaCore) -> dict[str, bool]:
        """Whether each of `ENDS` holds for the hero's state; leaving the lane does not end an episode."""
        return {**super().bad_ends(state, core), "left_lane": False}

    def compute_reward(self, observation: Picture, core: CarlaCore) -> dict[str, float]:
        """The original's reward in named parts, and a penalty for collisions, which the original ignored."""
        assert self.state is not None
        return original_reward(self.state, self.last_state, self.end_reason, self.collided)
