"""Starts of the DQN example's episodes: anywhere on a lane, or shortly before an earlier bad end."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, cast

import carla
import numpy as np

from rllib_integration.roads.lane_places import draw_free_place, is_free

if TYPE_CHECKING:
    from dqn_example.dqn_state import HeroState
    from rllib_integration.carla_core import CarlaCore

START_OFFSET = 0.5  # [m] sideways, at most
START_ANGLE = math.degrees(0.15)  # [degrees] off the lane's direction, at most
BAD_ENDS = ("left_lane", "left_route", "collision", "red_light", "fell")
RETRIES_KEPT = 40  # poses before bad ends that an environment keeps for each town
RETRY_STEPS = (6, 22)  # decisions before a bad end that a retry starts at


class LaneStarts:
    """Draws starts, and keeps poses from before bad ends.

    Args:
        start_speed: Greatest speed at the start [m/s]; three starts in ten are at rest.
        retry_share: Share of the starts that repeat a pose from before an earlier bad end in the town.
    """

    def __init__(self, start_speed: float, retry_share: float) -> None:
        self._start_speed = start_speed
        self._retry_share = retry_share
        self._trail: deque[tuple[carla.Transform, float]] = deque(maxlen=RETRY_STEPS[1])
        self._retries: dict[str, deque[tuple[carla.Transform, float]]] = {}

    def begin_episode(self) -> None:
        """Forget the last episode's poses."""
        self._trail.clear()

    def place(self, core: CarlaCore) -> None:
        """Move the hero to a start, roughly along its lane, with a speed."""
        rng = core.rng
        transform, speed = self._draw(core, rng)
        right, yaw = transform.get_right_vector(), transform.rotation.yaw
        offset = float(rng.uniform(-START_OFFSET, START_OFFSET))
        shift = carla.Location(right.x * offset, right.y * offset, 0.05)
        location = cast(carla.Location, transform.location + shift)
        heading = yaw + float(rng.uniform(-START_ANGLE, START_ANGLE))
        pitch = transform.rotation.pitch
        core.start_hero(carla.Transform(location, carla.Rotation(pitch=pitch, yaw=heading)), speed)

    def note(self, core: CarlaCore, state: HeroState, end_reason: str | None) -> None:
        """Record the hero's pose; after a bad end, keep a pose from some seconds before it."""
        if self._retry_share == 0.0:
            return
        if end_reason in BAD_ENDS and len(self._trail) > RETRY_STEPS[0]:
            kept = self._retries.setdefault(core.map.name, deque(maxlen=RETRIES_KEPT))
            kept.append(self._trail[int(core.rng.integers(len(self._trail) - RETRY_STEPS[0]))])
        elif state.on_road:
            self._trail.append((core.hero.get_transform(), max(state.forward_speed, 0.0)))

    def _draw(self, core: CarlaCore, rng: np.random.Generator) -> tuple[carla.Transform, float]:
        """A pose on a lane and a speed [m/s]."""
        retries = self._retries.get(core.map.name)
        if retries and rng.random() < self._retry_share:
            pose, speed = retries[int(rng.integers(len(retries)))]
            if is_free(pose.location, others_of(core)):
                return pose, speed
        speed = float(rng.uniform(0.0, self._start_speed)) * float(rng.random() < 0.7)
        return draw_free_place(core.map, others_of(core), rng).transform, speed


def others_of(core: CarlaCore) -> list[carla.Actor]:
    """All vehicles but the hero."""
    return [vehicle for vehicle in core.find_actors("vehicle.*") if vehicle.id != core.hero.id]
