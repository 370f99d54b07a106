"""VehicleTurningRoute, VehicleTurningRoutePedestrian: a cyclist or walker crosses the road that the hero turns into."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rllib_integration.scenarios.motion import Car, meeting_speed, walk
from rllib_integration.scenarios.road import Path
from rllib_integration.scenarios.scenario import Scenario, Site
from rllib_integration.scenarios.stage import ANY, BICYCLES

_AFTER = 11.0  # [m] behind the junction, where the cyclist crosses
_CYCLIST_TIME = 1.8  # [s] before the hero is there, at which it starts
_WALKER_TIME = 2.2  # [s]
_NEAREST = 6.0  # [m] or where the hero is as near as this
_END = 15.0  # [m] that the hero drives beyond them


class VehicleTurningRoute(Scenario):
    """A cyclist crosses the road behind the junction at which the hero turns."""

    site = Site(clear=15.0, junction="any", turns=("left", "right"))
    timeout = 120.0
    reach = 80.0

    def set_up(self) -> None:
        """Put the cyclist at the edge of the road."""
        road = self.stage.road
        self._crossing = road.junction(self.at).end + _AFTER
        lateral = road.pavement(self._crossing, "right")
        across = [road.path.place(self._crossing, lateral + offset) for offset in (0.0, -2.0 * lateral)]
        self._path = Path(np.array(across))
        self._cyclist = Car(self.stage.vehicle(self._path.pose(0.0), BICYCLES, ANY), self._path)

    def play(self) -> Iterator[None]:
        """Wait for the hero, ride across, leave."""
        yield from self.until(lambda: self.stage.is_near(self._crossing, _CYCLIST_TIME, _NEAREST))
        speed = meeting_speed(self._path.length / 2.0, _CYCLIST_TIME)
        self._cyclist.launch(speed)
        for _ in self.wait(self._path.length / speed):
            self._cyclist.drive(speed)
            yield
        self.stage.clear()
        yield from self.until_passed(min(self._crossing + _END, self.stage.road.length - 3.0))


class VehicleTurningRoutePedestrian(Scenario):
    """A walker crosses the road directly behind the junction at which the hero turns."""

    site = Site(clear=15.0, junction="any", turns=("left", "right"))
    timeout = 120.0
    reach = 70.0

    def set_up(self) -> None:
        """Put the walker where the hero sees it late: at the outer side of the turn."""
        road = self.stage.road
        junction = road.junction(self.at)
        self._crossing = junction.end + 1.5
        lateral = road.pavement(self._crossing, "left" if junction.turn > 0.0 else "right")
        pose = road.path.pose(self._crossing, lateral, turned=-90.0 if lateral > 0.0 else 90.0)
        self._yaw, self._way = pose.rotation.yaw, abs(lateral)
        self._walker = self.stage.walker(pose)

    def play(self) -> Iterator[None]:
        """Wait for the hero, walk across, leave."""
        yield from self.until(lambda: self.stage.is_near(self._crossing, _WALKER_TIME, _NEAREST))
        speed = meeting_speed(self._way, _WALKER_TIME)
        walk(self._walker, self._yaw, speed)
        yield from self.wait((self._way + 4.0) / speed)
        self.stage.clear()
        yield from self.until_passed(min(self._crossing + _END, self.stage.road.length - 3.0))
