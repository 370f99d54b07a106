"""Signalized- and NonSignalizedJunctionLeftTurn and RightTurn: the hero has to find a gap in a flow of cars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.motion import Flow
from rllib_integration.scenarios.parameters import Interval, Number, Parameter
from rllib_integration.scenarios.road import Direction, Path, along, back_along, path_of
from rllib_integration.scenarios.scenario import Scenario, Site
from rllib_integration.scenarios.signals import SignalPlan

_SOURCE_TIME, _SINK_TIME = 4.0, 2.5  # [s] of the cars' driving before and behind the junction
_RED = 5.0  # [s] before the hero's light turns green
_END = 10.0  # [m] that the hero drives behind the junction


class _Turn(Scenario):
    """A flow of cars crosses the turning hero's path."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "flow_speed": Number(20.0, 2.0, 30.0),  # [m/s]
        "source_dist_interval": Interval((25.0, 50.0), 8.0, 300.0),  # [m] from one car to the next
    }
    timeout = 240.0
    timeout_is_infraction = True
    reach = 60.0
    FROM: ClassVar[Direction]

    def set_up(self) -> None:
        """Find the flow's path, and fill it with cars before the hero comes."""
        self._junction = self.stage.road.junction(self.at)
        speed = self.values["flow_speed"]
        self._path, source = self._way(_SOURCE_TIME * speed, _SINK_TIME * speed)
        self._flow = Flow(self.stage, self._path, self.values["source_dist_interval"], speed)
        self._flow.fill(source)

    def _way(self, source: float, sink: float) -> tuple[Path, float]:
        """The flow's path, and its length before the junction (m)."""
        road, junction = self.stage.road, self._junction
        for lane in junction.lanes_from(self.FROM):
            before = back_along(lane.entry, source, through_junctions=True)
            path = path_of([*before, *lane.entry.next_until_lane_end(1.0), lane.exit, *along(lane.exit, sink)])
            if road.conflict(path, junction.begin - 2.0, junction.end + 2.0) is not None:
                length = path_of(before).length if len(before) > 1 else 0.0
                return path, length
        raise ScenarioError(f"No lane from the {self.FROM} crosses the route there.")

    def approach(self) -> None:
        """Advance the cars."""
        self._flow.move()

    def play(self) -> Iterator[None]:
        """Advance the cars until the hero is through."""
        end = min(self._junction.end + _END, self.stage.road.length - 3.0)
        while self.stage.at < end:
            self._flow.move()
            yield


class _SignalisedTurn(_Turn):
    """The same with lights: after some seconds the hero has green together with the flow."""

    def set_up(self) -> None:
        """As without lights."""
        super().set_up()
        self._signals = SignalPlan(self.stage, self._junction)
        self._theirs = {light.id for light in self.stage.lights_at(self._path)}

    def play(self) -> Iterator[None]:
        """Red for the hero, then green, while the flow drives."""
        self._signals.hold(self._theirs - {self._signals.own.id})
        began, is_red = self.stage.time, True
        for _ in super().play():
            if is_red and self.stage.time - began > _RED:
                is_red = False
                self._signals.hold(self._theirs | {self._signals.own.id})
            yield

    def tear_down(self) -> None:
        """Return the lights to their cycle."""
        self._signals.release()


class NonSignalizedJunctionLeftTurn(_Turn):
    """The hero turns left across the way of oncoming vehicles."""

    site = Site(clear=25.0, junction="unsignalised", turns=("left",), others_from=("opposite",))
    FROM = "opposite"


class SignalizedJunctionLeftTurn(_SignalisedTurn):
    """The hero turns left at a light, across the way of oncoming vehicles."""

    site = Site(clear=25.0, junction="signalised", turns=("left",), others_from=("opposite",))
    FROM = "opposite"


class NonSignalizedJunctionRightTurn(_Turn):
    """The hero turns right, into the way of vehicles from the left."""

    site = Site(clear=25.0, junction="unsignalised", turns=("right",), others_from=("left",))
    FROM = "left"


class SignalizedJunctionRightTurn(_SignalisedTurn):
    """The hero turns right at a light, into the way of vehicles from the left."""

    site = Site(clear=25.0, junction="signalised", turns=("right",), others_from=("left",))
    FROM = "left"
