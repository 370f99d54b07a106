"""BlockedIntersection: behind a turn the way is blocked for a while."""

from __future__ import annotations

from collections.abc import Iterator

import carla

from rllib_integration.scenarios.motion import Car
from rllib_integration.scenarios.scenario import Scenario, Site

_BEHIND_JUNCTION = 6.0  # [m]
_NEAR = 13.0  # [m] of the hero from the car, from which on its time counts
_STOP = 10.0  # [s]
_DRIVES_ON = 8.0  # [m/s]


class BlockedIntersection(Scenario):
    """A car stands where the hero leaves a junction, and drives on 10 s after the hero has come near."""

    site = Site(clear=20.0, junction="any", turns=("left", "right"))
    timeout = 240.0
    timeout_is_infraction = True
    reach = 80.0

    def set_up(self) -> None:
        """Put the car behind the junction."""
        stage, road = self.stage, self.stage.road
        path = road.ahead(road.junction(self.at).end + _BEHIND_JUNCTION, 150.0)
        self._car = Car(stage.vehicle(path.pose(0.0)), path)
        self._car.vehicle.set_light_state(carla.VehicleLightState(carla.VehicleLightState.Brake))

    def play(self) -> Iterator[None]:
        """Stand, drive on, leave."""
        hero, vehicle = self.stage.core.hero, self._car.vehicle
        assert hero is not None
        yield from self.until(lambda: hero.get_location().distance(vehicle.get_location()) < _NEAR)
        yield from self.wait(_STOP)
        while self._car.at < 40.0:
            self._car.drive(_DRIVES_ON)
            yield
