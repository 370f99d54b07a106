"""Obstacles that the hero has to change lanes for: parked cars, accidents, construction sites, slow cyclists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import carla

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.motion import Car, Flow
from rllib_integration.scenarios.parameters import SIDE, Interval, Number, Parameter
from rllib_integration.scenarios.road import Path, back_along, path_of
from rllib_integration.scenarios.scenario import Scenario, Site
from rllib_integration.scenarios.stage import ANY, BICYCLES, EMERGENCY

_END = 50.0  # [m] behind the obstacle where the scenario ends
_ONCOMING_FROM = 120.0  # [m] beyond the obstacle: the start of oncoming traffic
_ONCOMING_SPEED = 8.0  # [m/s]
_ONCOMING_AT = 60.0  # [m] distance of the hero before the obstacle at which it starts
_LIGHTS = carla.VehicleLightState.Special1 | carla.VehicleLightState.Special2 | carla.VehicleLightState.Position
_BLINKERS = (
    carla.VehicleLightState.RightBlinker | carla.VehicleLightState.LeftBlinker | carla.VehicleLightState.Position
)


class _Obstacle(Scenario):
    """An obstacle in the hero's lane, with another lane of its direction to pass it."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "distance": Number(120.0, 20.0, 300.0),
        "direction": SIDE,
        "speed": Number(60.0, 0.0, 200.0),  # [km/h] of the traffic beside it; unused, as the Traffic Manager drives it
    }
    site = Site(clear=70.0, lane="other side")
    timeout = 240.0
    timeout_is_infraction = True
    reach = _END + 30.0
    set_up_before = 60.0
    OFFSET: ClassVar[float] = 0.6  # of half a lane's width, to the side

    def set_up(self) -> None:
        """Put the obstacle in place."""
        self._begin = self.at + self.values["distance"]
        self._end = self._build(self._begin) + _END

    def _build(self, at: float) -> float:
        """Put the obstacle at a distance along the route; return the distance of its end."""
        raise NotImplementedError

    def _offset(self, at: float) -> float:
        """Lateral offset of the obstacle from the route, positive to the right (m)."""
        sign = 1.0 if self.values["direction"] == "right" else -1.0
        return sign * self.OFFSET * self.stage.road.lane(at).lane_width / 2.0

    def play(self) -> Iterator[None]:
        """Wait until the hero is past it."""
        yield from self.until_passed(min(self._end, self.stage.road.length - 3.0))


class _TwoWays(_Obstacle):
    """An obstacle that the hero can pass only on the lane of oncoming traffic."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        **_Obstacle.parameters,
        "frequency": Interval((20.0, 100.0), 5.0, 400.0),
    }
    site = Site(clear=70.0, lane="opposite")

    def play(self) -> Iterator[None]:
        """Send oncoming cars once the hero is near, until it is past the obstacle."""
        flow: Flow | None = None
        end = min(self._end, self.stage.road.length - 3.0)
        while self.stage.at < end:
            if flow is None and self.stage.at > self._begin - _ONCOMING_AT:
                path = self._oncoming()
                flow = Flow(self.stage, path, self.values["frequency"], _ONCOMING_SPEED)
                flow.fill(path.length * 0.5)
            if flow is not None:
                flow.move()
            yield

    def _oncoming(self) -> Path:
        """The path of oncoming vehicles, up to the next junction."""
        road = self.stage.road
        there = road.opposite_lane(self._begin)
        if there is None:
            raise ScenarioError("There is no lane of the other direction beside the route there.")
        lanes = [*back_along(there, _ONCOMING_FROM, through_junctions=True)]
        following = lanes[-1]
        for _ in range(30):
            ahead = following.next(2.0)
            if not ahead or ahead[0].is_junction:
                break
            following = ahead[0]
            lanes.append(following)
        return path_of(lanes)


class ParkedObstacle(_Obstacle):
    """A car is parked in the hero's lane."""

    OFFSET = 0.7

    def _build(self, at: float) -> float:
        parked = self.stage.vehicle(self.stage.road.path.pose(at, self._offset(at)))
        parked.set_light_state(carla.VehicleLightState(_BLINKERS))
        return at + parked.bounding_box.extent.x


class ParkedObstacleTwoWays(ParkedObstacle, _TwoWays):
    """A car is parked in the hero's lane, with oncoming traffic on the lane beside."""

    parameters = _TwoWays.parameters
    site = _TwoWays.site


class Accident(_Obstacle):
    """An accident of two cars, behind a police car."""

    def _build(self, at: float) -> float:
        stage, path = self.stage, self.stage.road.path
        police = stage.vehicle(path.pose(at, self._offset(at)), EMERGENCY, ANY)
        police.set_light_state(carla.VehicleLightState(_LIGHTS))
        end = at + police.bounding_box.extent.x
        for _ in range(2):
            end += 4.0
            car = stage.vehicle(path.pose(end, self._offset(end)))
            end += car.bounding_box.extent.x
        return end


class AccidentTwoWays(Accident, _TwoWays):
    """An accident, and oncoming traffic on the lane beside."""

    parameters = _TwoWays.parameters
    site = _TwoWays.site


class ConstructionObstacle(_Obstacle):
    """A construction site behind cones takes up the hero's lane."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        **_Obstacle.parameters,
        "distance": Number(100.0, 20.0, 300.0),
    }
    OFFSET = 0.85  # of half a lane's width: where the cones stand

    def _build(self, at: float) -> float:
        stage, path = self.stage, self.stage.road.path
        stage.prop(path.pose(at - 4.0, turned=90.0), "static.prop.trafficwarning")
        stage.prop(path.pose(at + 4.0), "static.prop.dirtdebris02")
        # A row along the lane that is left open, and one across the end of the site.
        edge = -self._offset(at)
        for ahead in range(0, 9, 2):
            stage.prop(path.pose(at + ahead, edge), "static.prop.constructioncone")
        for share in (0.5, 0.0, -0.5):
            stage.prop(path.pose(at + 8.5, edge * share), "static.prop.constructioncone")
        return at + 9.0


class ConstructionObstacleTwoWays(ConstructionObstacle, _TwoWays):
    """A construction site, and oncoming traffic on the lane beside."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        **_TwoWays.parameters,
        "distance": Number(100.0, 20.0, 300.0),
    }
    site = _TwoWays.site


class HazardAtSideLane(_Obstacle):
    """Two cyclists ride slowly at the edge of the hero's lane."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "distance": Number(100.0, 20.0, 300.0),
        "speed": Number(60.0, 0.0, 200.0),
        "bicycle_speed": Number(10.0, 1.0, 30.0),  # [km/h]
        "bicycle_drive_distance": Number(50.0, 0.0, 200.0),
    }
    OFFSET = 0.55

    def _offset(self, at: float) -> float:
        return self.OFFSET * self.stage.road.lane(at).lane_width / 2.0

    def _build(self, at: float) -> float:
        self._cyclists: list[Car] = []
        for number in range(2):
            begin = at + 9.0 * number
            length = self.values["bicycle_drive_distance"] + 10.0
            path = self.stage.road.ahead(begin, length).shifted(self._offset(begin))
            self._cyclists.append(Car(self.stage.vehicle(path.pose(0.0), BICYCLES, ANY), path))
        return at + 9.0 + self.values["bicycle_drive_distance"]

    def play(self) -> Iterator[None]:
        """Ride on for a while, then stand, until the hero is past."""
        scenario = super().play()
        for _ in scenario:
            self._ride()
            yield

    def _ride(self) -> None:
        for cyclist in self._cyclists:
            rides = cyclist.at < self.values["bicycle_drive_distance"]
            cyclist.drive(self.values["bicycle_speed"] / 3.6 if rides else 0.0)


class HazardAtSideLaneTwoWays(HazardAtSideLane, _TwoWays):
    """Two slow cyclists, and oncoming traffic on the lane beside."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        **HazardAtSideLane.parameters,
        "frequency": Interval((100.0, 100.0), 5.0, 400.0),
    }
    site = _TwoWays.site
