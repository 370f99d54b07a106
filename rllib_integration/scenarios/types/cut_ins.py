"""ParkingCutIn, StaticCutIn, HighwayCutIn: a car comes into the hero's lane from beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import carla
import numpy as np

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.motion import Car
from rllib_integration.scenarios.parameters import SIDE, Number, Parameter, Place
from rllib_integration.scenarios.road import Path, Side
from rllib_integration.scenarios.scenario import Scenario, Site

_CHANGE = 12.0  # [m] over which a car comes into the lane
_AFTERWARDS = 150.0  # [m] that it drives on at most
_PULLING_OUT = 0.6  # of the hero's speed, while it comes in
_COMING_IN = 8.0  # [s]
_SLOWEST = 3.0  # [m/s]


class _CutIn(Scenario):
    """A car waits beside the lane and comes in when the hero is near."""

    timeout = 60.0
    REACTION_TIME: ClassVar[float]  # [s] before the hero is there, at which it starts
    NEAREST: ClassVar[float]  # [m] or where the hero is as near as this
    SPEED: ClassVar[float]  # [m/s] of the car afterwards
    END: ClassVar[float] = 30.0  # [m] that it drives before the scenario ends

    def _wait_beside(self, at: float, lateral: float) -> None:
        """Put the car beside a place of the route."""
        road = self.stage.road
        way = np.array([road.path.place(at, lateral), road.path.place(at + 2.0, 0.9 * lateral)])
        self._path = Path(np.concatenate([way, road.ahead(at + _CHANGE, _AFTERWARDS).points]))
        self._cutting = at
        self._vehicle = self.stage.vehicle(road.path.pose(at, lateral))

    def play(self) -> Iterator[None]:
        """Wait for the hero, come in slowly, drive on."""
        stage = self.stage
        yield from self.until(lambda: stage.is_near(self._cutting, self.REACTION_TIME, self.NEAREST))
        car = Car(self._vehicle, self._path)
        slow = max(_SLOWEST, _PULLING_OUT * stage.speed)
        for _ in self.wait(_COMING_IN):
            car.drive(min(slow, self.SPEED))
            yield
        gone = car.at + self.END
        while car.at < gone and not car.has_arrived:
            car.drive(self.SPEED)
            yield


class ParkingCutIn(_CutIn):
    """A parked car pulls out from behind another one."""

    parameters: ClassVar[Mapping[str, Parameter]] = {"direction": SIDE}
    site = Site(clear=100.0)
    reach = 120.0
    REACTION_TIME = 2.35
    NEAREST = 10.0
    SPEED = 6.0

    def set_up(self) -> None:
        """Park both cars."""
        road, side = self.stage.road, self.values["direction"]
        blocker, cutting = self.at + 27.0, self.at + 35.0
        self.stage.vehicle(road.path.pose(blocker, road.parking_place(blocker, side)))
        self._wait_beside(cutting, road.parking_place(cutting, side))


class StaticCutIn(_CutIn):
    """A car comes out of a queue on the lane beside."""

    parameters: ClassVar[Mapping[str, Parameter]] = {"distance": Number(100.0, 20.0, 200.0), "direction": SIDE}
    site = Site(clear=100.0, lane="named side")
    reach = 130.0
    REACTION_TIME = 2.7
    NEAREST = 15.0
    SPEED = 60.0 / 3.6
    END = 50.0
    GAP = 11.0  # [m] from one car of the queue to the next
    BEHIND, BEFORE = 2, 3  # cars of the queue

    def set_up(self) -> None:
        """Put the queue on the lane beside."""
        begin = self.at + self.values["distance"]
        for number in range(self.BEHIND + 1 + self.BEFORE):
            at = begin + number * self.GAP
            lateral = self._lateral(at)
            if number == self.BEHIND:
                self._wait_beside(at, lateral)
            else:
                self.stage.vehicle(self.stage.road.path.pose(at, lateral))

    def _lateral(self, at: float) -> float:
        side: Side = self.values["direction"]
        lane = self.stage.road.lane_of_same_direction(at, side)
        if lane is None:
            raise ScenarioError(f"There is no lane of the same direction to the {side} of the route there.")
        return self.stage.road.lateral(at, lane.transform.location)


class HighwayCutIn(Scenario):
    """A car comes up on the lane beside, goes ahead of the hero and comes in, slower than it."""

    parameters: ClassVar[Mapping[str, Parameter]] = {"other_actor_location": Place()}
    site = Site(clear=150.0, lane="named side", before=30.0)
    timeout = 60.0
    reach = 200.0
    AHEAD = 8.0  # [m] of the hero's front, where it comes in
    BESIDE_TIME = 3.0  # [s] that it drives beside the hero's lane
    SPEED = 0.8  # of the hero's, once it is in
    SLOW_TIME = 14.0  # [s] that it stays as slow

    def set_up(self) -> None:
        """Put the car on the lane beside, ahead of the hero."""
        stage, road = self.stage, self.stage.road
        at = self.at + 10.0
        place = self.values["other_actor_location"]
        if place is not None:
            location = road.map.get_waypoint(carla.Location(*place)).transform.location
            at = max(road.path.nearest(location.x, location.y)[1], self.at)
            lateral = road.lateral(at, location)
        else:
            lane = road.lane_of_same_direction(at, "right") or road.lane_of_same_direction(at, "left")
            if lane is None:
                raise ScenarioError("There is no lane of the same direction beside the route there.")
            lateral = road.lateral(at, lane.transform.location)
        self._along = road.ahead(at, 300.0)
        self._begin = at
        self._lateral = lateral
        self._car = Car(stage.vehicle(road.path.pose(at, lateral)), self._along.shifted(lateral))

    def approach(self) -> None:
        """Keep ahead of the hero, once it comes near."""
        if self._gap() < 3.0 * self.AHEAD:
            self._keep_ahead()

    def _gap(self) -> float:
        return self._begin + self._car.at - self._car.vehicle.bounding_box.extent.x - self.stage.front

    def _keep_ahead(self) -> None:
        hero = self.stage.speed
        self._car.drive(max(_SLOWEST, hero + 0.5 * (self.AHEAD - self._gap())))

    def play(self) -> Iterator[None]:
        """Drive ahead on the lane beside, change lanes, drive slowly, then leave."""
        for _ in self.wait(self.BESIDE_TIME):
            self._keep_ahead()
            yield
        speed = max(_SLOWEST, self.SPEED * self.stage.speed)
        change = self._car.at
        begin, length = self._begin + change, 300.0
        way = np.array([self.stage.road.path.place(begin, self._lateral)])
        self._car.path = Path(np.concatenate([way, self.stage.road.ahead(begin + _CHANGE, length).points]))
        for _ in self.wait(self.SLOW_TIME):
            self._car.drive(speed)
            yield
        for _ in self.wait(4.0):
            self._car.drive(2.0 * speed + 5.0)
            yield
