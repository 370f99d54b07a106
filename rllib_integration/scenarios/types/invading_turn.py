"""InvadingTurn: oncoming vehicles drive partly on the hero's lane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.motion import Flow
from rllib_integration.scenarios.parameters import Number, Parameter
from rllib_integration.scenarios.road import path_of
from rllib_integration.scenarios.scenario import Scenario, Site

_FROM = 30.0  # [m] behind the end of the stretch, where they come from
_GAP = (40.0, 40.0)  # [m] from one to the next
_SPEED = 8.0  # [m/s]
_HALF_CAR = 0.7  # [m] of a car that is beside the middle of the road where it does not invade the other lane
_CONES = 5.0  # [m] from one cone to the next


class InvadingTurn(Scenario):
    """Cones take up part of the oncoming lane; vehicles on it go around them, into the hero's lane."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "distance": Number(100.0, 30.0, 200.0),
        "offset": Number(0.25, 0.0, 1.0),  # [m] that they are in the hero's lane
    }
    site = Site(clear=70.0, lane="opposite", before=20.0)
    timeout = 240.0
    timeout_is_infraction = True
    reach = 60.0

    def set_up(self) -> None:
        """Put the cones and the first cars on the oncoming lane."""
        stage, road = self.stage, self.stage.road
        length = self.values["distance"] + _FROM
        places = []
        for at in range(int(self.at + length), int(self.at) - 1, -2):
            lane = road.opposite_lane(float(at))
            if lane is None:
                raise ScenarioError("There is no lane of the other direction beside the route there.")
            places.append(lane)
        oncoming = path_of(places)
        width = places[0].lane_width
        for at in range(10, int(10.0 + 0.5 * self.values["distance"]), int(_CONES)):
            stage.prop(oncoming.pose(float(at), 0.8 * width / 2.0), "static.prop.constructioncone")
        path = oncoming.shifted(-(self.values["offset"] + width / 2.0 - _HALF_CAR))
        self._flow = Flow(stage, path, _GAP, _SPEED, yields=False)
        self._flow.fill(path.length * 0.6)
        self._end = self.at + length

    def approach(self) -> None:
        """Let them drive."""
        self._flow.move()

    def play(self) -> Iterator[None]:
        """Let them drive until the hero is past."""
        end = min(self._end, self.stage.road.length - 3.0)
        while self.stage.at < end:
            self._flow.move()
            yield
