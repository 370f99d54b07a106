"""PedestrianCrossing: a group of walkers crosses the road before a junction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import carla
import numpy as np

from rllib_integration.scenarios.motion import meeting_speed, walk
from rllib_integration.scenarios.scenario import Scenario, Site

_REACTION_TIME = 3.5  # [s] before the hero is there, at which they start
_NEAREST = 12.0  # [m] or where the hero is as near as this
_PLACES = ((0.4, 1.5), (1.0, 2.5), (1.6, 0.5))  # [m] ahead of each other and back from the kerb
_IDLE = (0.0, 1.5)  # [s] that one waits longer than another
_SPEEDS = (1.3, 2.0)  # [m/s]
_BEFORE_JUNCTION = 3.0  # [m]
_END = 15.0  # [m] that the hero drives beyond them


class _Walker(NamedTuple):
    actor: carla.Walker
    yaw: float
    idle: float
    speed: float
    seconds: float


class PedestrianCrossing(Scenario):
    """Three walkers cross, one after another, directly before the junction that comes next."""

    site = Site(clear=25.0, junction="any")
    timeout = 120.0
    reach = 60.0

    def set_up(self) -> None:
        """Put the walkers on the pavement to the right."""
        stage, road = self.stage, self.stage.road
        self._crossing = road.junction(self.at).begin - _BEFORE_JUNCTION
        self._walkers = []
        for ahead, back in _PLACES:
            lateral = road.pavement(self._crossing, "right") + back - _PLACES[-1][1]
            pose = road.path.pose(self._crossing + ahead - 1.0, lateral, turned=-90.0)
            # The foremost goes at once, so that a walker is on the road when the hero comes.
            first = back == min(back for _, back in _PLACES)
            meeting = float(np.clip(meeting_speed(lateral, _REACTION_TIME), *_SPEEDS))
            speed = meeting if first else float(stage.rng.uniform(*_SPEEDS))
            idle = 0.0 if first else float(stage.rng.uniform(*_IDLE))
            seconds = 2.3 * lateral / speed
            self._walkers.append(_Walker(stage.walker(pose), pose.rotation.yaw, idle, speed, seconds))

    def play(self) -> Iterator[None]:
        """Wait for the hero, walk across, leave."""
        stage = self.stage
        yield from self.until(lambda: stage.is_near(self._crossing, _REACTION_TIME, _NEAREST))
        began = stage.time
        while stage.actors or stage.at < self._crossing + _END:
            for walker in self._walkers:
                since = stage.time - began - walker.idle
                if since > walker.seconds:
                    stage.remove(walker.actor)
                elif since >= 0.0:
                    walk(walker.actor, walker.yaw, walker.speed)
            yield
