"""ControlLoss: the road is slippery in three places."""

from __future__ import annotations

from collections.abc import Iterator

import carla
import numpy as np

from rllib_integration.scenarios.scenario import Scenario, Site

_DEBRIS = (14.0, 48.0, 74.0)  # [m] behind the trigger
_AROUND = 5.0  # [m] distance from debris within which controls are disturbed
_STEER = (0.055, 0.015)  # mean and deviation of the steering's disturbance, to either side
_THROTTLE = (0.03, 0.01)
_END = 110.0  # [m] behind the trigger


class ControlLoss(Scenario):
    """Near dirt on the road, the hero's steering and throttle are disturbed."""

    site = Site(clear=120.0)
    timeout = 60.0
    reach = 120.0

    def set_up(self) -> None:
        """Put dirt on the road."""
        for ahead in _DEBRIS:
            dirt = self.stage.prop(self.stage.road.path.pose(self.at + ahead), "static.prop.dirtdebris01")
            dirt.set_collisions(False)  # type: ignore[attr-defined]  # it is seen, and driven over

    def play(self) -> Iterator[None]:
        """Disturb the hero's control near the dirt."""
        stage = self.stage
        for ahead in _DEBRIS:
            place = self.at + ahead
            yield from self.until_passed(place - _AROUND)
            sides = [float(stage.rng.choice((-1.0, 1.0))) for _ in range(2)]
            while stage.at < place + _AROUND:
                steer = sides[0] * float(stage.rng.normal(*_STEER))
                throttle = sides[1] * float(stage.rng.normal(*_THROTTLE))
                stage.disturb = lambda control, steer=steer, throttle=throttle: _disturbed(control, steer, throttle)
                yield
            stage.disturb = None
        yield from self.until_passed(min(self.at + _END, stage.road.length - 3.0))


def _disturbed(control: carla.VehicleControl, steer: float, throttle: float) -> carla.VehicleControl:
    return carla.VehicleControl(
        throttle=float(np.clip(control.throttle + throttle, 0.0, 1.0)),
        steer=float(np.clip(control.steer + steer, -1.0, 1.0)),
        brake=control.brake,
        hand_brake=control.hand_brake,
        reverse=control.reverse,
        manual_gear_shift=control.manual_gear_shift,
        gear=control.gear,
    )
