"""HardBreakRoute: the car ahead brakes as hard as it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from rllib_integration.annotations import Settings
from rllib_integration.scenarios.motion import Car
from rllib_integration.scenarios.parameters import Number, Parameter
from rllib_integration.scenarios.scenario import Scenario, Site
from rllib_integration.scenarios.stage import Stage

_STOP = 10.0  # [s] that the car ahead stands
_HEADWAY = 0.6  # [s] of the hero's driving that it is farther ahead than at rest
_SLOWEST = 3.0  # [m/s] at which it drives off before the hero comes too near
_DRIVES_ON = 10.0  # [m/s] afterwards
_END = 15.0  # [m] that the hero drives after that


class HardBreakRoute(Scenario):
    """A car drives ahead of the hero, stops hard where the hero passes the trigger, and drives on 10 s later."""

    parameters: ClassVar[Mapping[str, Parameter]] = {"gap": Number(12.0, 5.0, 40.0)}
    site = Site(clear=60.0, before=40.0)
    timeout = 60.0
    reach = 90.0
    set_up_before = 60.0

    def __init__(self, stage: Stage, at: float, values: Settings) -> None:
        super().__init__(stage, at, values)
        self._length = 0.0

    def set_up(self) -> None:
        """Put the car ahead of the hero, as fast as that."""
        stage = self.stage
        begin = stage.front + self.values["gap"]
        path = stage.road.ahead(begin, 400.0)
        self._car = Car(stage.vehicle(path.pose(0.0)), path)
        self._begin = begin
        self._car.launch(stage.speed)

    def approach(self) -> None:
        """Keep ahead of the hero."""
        hero = self.stage.speed
        wanted = self.values["gap"] + _HEADWAY * hero
        error = wanted - self._gap()
        self._car.drive(max(hero + 0.4 * error, _SLOWEST if error > 2.0 else 0.0))

    def _gap(self) -> float:
        """From the hero's front to the car's rear (m)."""
        return self._begin + self._car.at - self._car.vehicle.bounding_box.extent.x - self.stage.front

    def play(self) -> Iterator[None]:
        """Brake, stand, drive on."""
        for _ in self.wait(_STOP):
            self._car.stop()
            yield
        resumed = self.stage.at
        while self.stage.at < resumed + _END:
            self._car.drive(_DRIVES_ON)
            yield
