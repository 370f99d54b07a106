"""YieldToEmergencyVehicle: an emergency vehicle comes up behind the hero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import carla
import numpy as np

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.motion import Car
from rllib_integration.scenarios.parameters import Number, Parameter
from rllib_integration.scenarios.road import Path, back_along, path_of
from rllib_integration.scenarios.scenario import Scenario, Site
from rllib_integration.scenarios.stage import ANY, EMERGENCY

_FASTER = 25.0 / 3.6  # [m/s] than the hero
_NEAR = 50.0  # [m] behind the hero, from which on it has time to give way
_TIME = 10.0  # [s]
_PAST = 50.0  # [m] that the emergency vehicle drives on ahead of the hero
_KEPT = 6.0  # [m] that it keeps to the hero while that is in its way
_NEAREST_START = 20.0  # [m] behind the hero
_LANE = 1.8  # [m] beside its way within which the hero is in its way
_LIGHTS = carla.VehicleLightState.Special1 | carla.VehicleLightState.Special2


class YieldToEmergencyVehicle(Scenario):
    """An emergency vehicle comes from behind, faster than the hero, which has to let it pass."""

    parameters: ClassVar[Mapping[str, Parameter]] = {"distance": Number(140.0, 30.0, 300.0)}
    site = Site(clear=120.0, lane="other side", before=40.0)
    distance_is_ahead = False
    timeout = 180.0
    reach = 260.0

    def set_up(self) -> None:
        """Nothing: it comes from behind when the hero has passed the trigger."""

    def play(self) -> Iterator[None]:
        """Come up, press on, drive past if there is room."""
        stage = self.stage
        self._car = self._put_behind()
        near_since: float | None = None
        past: float | None = None
        while past is None or self._car.at < past + _PAST:
            gap = self._hero_at() - self._car.at
            if abs(gap) < _NEAR and near_since is None:
                near_since = stage.time
            if past is None and gap < -_KEPT:
                past = self._car.at
            if past is None and near_since is not None and stage.time - near_since > _TIME:
                return
            self._car.drive(self._speed(gap))
            yield

    def _put_behind(self) -> Car:
        stage, road = self.stage, self.stage.road
        behind = back_along(road.lane(0.0), self.values["distance"])
        before = path_of(behind) if len(behind) > 1 else None
        ahead = road.ahead(0.0, stage.at + 500.0)
        path = Path(np.concatenate([before.points, ahead.points])) if before is not None else ahead
        self._zero = before.length if before is not None else 0.0
        at = max(0.0, self._zero + stage.at - self.values["distance"])
        if self._zero + stage.at - at < _NEAREST_START:
            raise ScenarioError("There is no road behind the hero for an emergency vehicle to come from.")
        vehicle = stage.vehicle(path.pose(at), EMERGENCY, ANY)
        vehicle.set_light_state(carla.VehicleLightState(_LIGHTS))
        car = Car(vehicle, path, at)
        car.launch(stage.speed + _FASTER)
        return car

    def _hero_at(self) -> float:
        return self._zero + self.stage.at

    def _speed(self, gap: float) -> float:
        """As fast as the hero allows while it is in the way."""
        stage = self.stage
        hero = stage.core.hero
        assert hero is not None
        place = hero.get_location()
        in_the_way = gap > 0.0 and self._car.path.nearest(place.x, place.y)[0] < _LANE
        fast = stage.speed + _FASTER
        if not in_the_way:
            return fast
        free = gap - hero.bounding_box.extent.x - self._car.vehicle.bounding_box.extent.x - _KEPT
        return float(np.clip(stage.speed + 0.5 * free, 0.0, fast))

    def infraction(self) -> str | None:
        """Whether the emergency vehicle is still behind the hero."""
        if not hasattr(self, "_car"):
            return None
        return "yield_emergency_vehicle" if self._car.at < self._hero_at() else None
