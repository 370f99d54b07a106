"""DynamicObjectCrossing, ParkingCrossingPedestrian: a walker steps onto the road from behind a blocker."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

from rllib_integration.scenarios.motion import meeting_speed, walk
from rllib_integration.scenarios.parameters import SIDE, Choice, Number, Parameter
from rllib_integration.scenarios.road import Side
from rllib_integration.scenarios.scenario import Scenario, Site

_BESIDE_BLOCKER = 0.6  # [m] from the blocker to the walker behind it
_END = 15.0  # [m] that the hero drives beyond the walker's way
_TIME_PER_ANGLE = 0.1 / 5.0  # [s/degree] earlier start of a walker that crosses at an angle


class DynamicObjectCrossing(Scenario):
    """A walker steps out from behind a vending machine, or another `blocker_model`, when the hero is near."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "distance": Number(12.0, 5.0, 80.0),
        "direction": SIDE,
        "blocker_model": Choice("static.prop.vendingmachine"),
        "crossing_angle": Number(0.0, -60.0, 60.0),
    }
    site = Site(clear=60.0)
    timeout = 60.0
    reach = 40.0

    REACTION_TIME: ClassVar[float] = 2.1  # [s] before the hero is there, at which it starts
    NEAREST: ClassVar[float] = 6.0  # [m] or where the hero is as near as this

    def set_up(self) -> None:
        """Put the blocker at the edge of the road, and the walker behind it."""
        stage, road = self.stage, self.stage.road
        side: Side = self.values["direction"]
        self._crossing = self.at + self.values["distance"]
        length = self._put_blocker(self._crossing, side)
        self._crossing += length / 2.0 + _BESIDE_BLOCKER
        lateral = road.pavement(self._crossing, side)
        # It heads for the road, and with a positive angle towards the hero.
        turned = (-90.0 if side == "right" else 90.0) * (1.0 + self.values["crossing_angle"] / 90.0)
        pose = road.path.pose(self._crossing, lateral, turned=turned)
        self._yaw = pose.rotation.yaw
        self._walker = stage.walker(pose)
        self._way = abs(lateral) / max(math.cos(math.radians(self.values["crossing_angle"])), 0.3)

    def _put_blocker(self, at: float, side: Side) -> float:
        """Put the blocker on the pavement; return its length along the road (m)."""
        road = self.stage.road
        lateral = road.pavement(at, side)
        turned = 0.0 if "vehicle" in self.values["blocker_model"] else 90.0
        blocker = self.stage.prop(road.path.pose(at, lateral, turned=turned), self.values["blocker_model"])
        box = blocker.bounding_box.extent
        return 2.0 * max(box.x if turned == 0.0 else box.y, 0.3)

    def play(self) -> Iterator[None]:
        """Wait for the hero, walk across, leave."""
        reaction = self.REACTION_TIME + _TIME_PER_ANGLE * max(self.values["crossing_angle"], 0.0)
        yield from self.until(lambda: self.stage.is_near(self._crossing, reaction, self.NEAREST))
        speed = meeting_speed(self._way, reaction)
        walk(self._walker, self._yaw, speed)
        yield from self.wait(2.0 * self._way / speed)
        self.stage.clear()
        yield from self.until_passed(self._crossing + _END)


class ParkingCrossingPedestrian(DynamicObjectCrossing):
    """A walker steps onto the road between parked cars."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "distance": Number(12.0, 5.0, 80.0),
        "direction": SIDE,
        "crossing_angle": Number(0.0, -60.0, 60.0),
    }
    REACTION_TIME = 2.15
    NEAREST = 12.0

    def _put_blocker(self, at: float, side: Side) -> float:
        road = self.stage.road
        lateral = road.parking_place(at, side)
        return 2.0 * self.stage.vehicle(road.path.pose(at, lateral)).bounding_box.extent.x
