"""OppositeVehicleRunningRedLight, OppositeVehicleTakingPriority: another vehicle crosses out of turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import carla

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.motion import Car
from rllib_integration.scenarios.parameters import Choice, Parameter
from rllib_integration.scenarios.road import Path, along, back_along, path_of
from rllib_integration.scenarios.scenario import Scenario, Site
from rllib_integration.scenarios.signals import SignalPlan
from rllib_integration.scenarios.stage import ANY, EMERGENCY

_SOURCE = 30.0  # [m] before the junction: the farthest start of the other vehicle
_SPEED = 60.0 / 3.6  # [m/s]
_BEFORE_THE_HERO = 0.4  # [s] by which it reaches the conflict point before the hero
_SYNC_TIME = 2.2  # [s] before the hero reaches the conflict point: the start of the other vehicle
_NEAREST = 12.0  # [m] distance of the hero at which it starts in any case
_BEYOND = 30.0  # [m] behind the junction: the end of its path
_LIGHTS = carla.VehicleLightState.Special1 | carla.VehicleLightState.Special2


class OppositeVehicleTakingPriority(Scenario):
    """An emergency vehicle crosses a junction without lights as the hero comes."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "direction": Choice("right", ("left", "right", "opposite")),
    }
    site = Site(clear=30.0, junction="unsignalised", turns=("straight",), others_from=("left", "right"))
    timeout = 180.0
    reach = 70.0

    def set_up(self) -> None:
        """Put the vehicle on the road that it comes from."""
        stage = self.stage
        self._junction = stage.road.junction(self.at)
        self._path, self._conflict, way = self._crossing_path()
        # It starts far enough away to arrive with the hero; on a shorter road, it drives slower.
        seconds = _SYNC_TIME - _BEFORE_THE_HERO
        self._begin = max(0.0, way - _SPEED * seconds)
        self._speed = (way - self._begin) / seconds
        self._vehicle = stage.vehicle(self._path.pose(self._begin), EMERGENCY, ANY)
        self._vehicle.set_light_state(carla.VehicleLightState(_LIGHTS))

    def _crossing_path(self) -> tuple[Path, float, float]:
        """A path that crosses the route in the junction, and the conflict's distances along route and path."""
        road, junction = self.stage.road, self._junction
        for lane in junction.lanes_from(self.values["direction"]):
            lanes = [*back_along(lane.entry, _SOURCE), *lane.entry.next_until_lane_end(1.0), lane.exit]
            path = path_of([*lanes, *along(lane.exit, _BEYOND)])
            meeting = road.conflict(path, junction.begin - 2.0, junction.end + 2.0)
            if meeting is not None:
                return path, *meeting
        raise ScenarioError(f"No lane from the {self.values['direction']} crosses the route there.")

    def play(self) -> Iterator[None]:
        """Wait for the hero, then cross."""
        yield from self.until(lambda: self.stage.is_near(self._conflict, _SYNC_TIME, _NEAREST))
        car = Car(self._vehicle, self._path, self._begin)
        car.launch(self._speed)
        while not car.has_arrived and self._is_on_its_way(car):
            car.drive(self._speed)
            yield
        self.stage.clear()
        yield from self.until_passed(min(self._junction.end + 2.0, self.stage.road.length - 3.0))

    def _is_on_its_way(self, car: Car) -> bool:
        """Whether it still drives; after a collision it does not."""
        return car.at < self._begin + 5.0 or car.speed > 1.0


class OppositeVehicleRunningRedLight(OppositeVehicleTakingPriority):
    """An emergency vehicle runs a red light while the hero has green."""

    site = OppositeVehicleTakingPriority.site._replace(junction="signalised")

    def set_up(self) -> None:
        """As without lights; they are green for the hero alone."""
        super().set_up()
        self._signals = SignalPlan(self.stage, self._junction)

    def play(self) -> Iterator[None]:
        """As without lights."""
        self._signals.green_for_the_hero()
        yield from super().play()

    def tear_down(self) -> None:
        """Return the lights to their cycle."""
        self._signals.release()
