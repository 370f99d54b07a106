"""Runs the scenarios of an episode: sets up each, starts it at its trigger, and records its outcome."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import carla
import numpy as np

from rllib_integration.annotations import Record
from rllib_integration.roads.routes import Route
from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.road import Road
from rllib_integration.scenarios.scenario import Scenario
from rllib_integration.scenarios.situations import Situation, Trigger
from rllib_integration.scenarios.stage import Stage
from rllib_integration.scenarios.types import SCENARIO_TYPES

if TYPE_CHECKING:
    from rllib_integration.carla_core import CarlaCore

logger = logging.getLogger(__name__)

TRIGGER_DISTANCE = 2.0
"""Greatest distance of a trigger from the route, and of the hero from a trigger (m); as in the CARLA Leaderboard."""
TRIGGER_ANGLE = 10.0
"""Greatest angle between a trigger's direction and the route's [degrees]; as in the Leaderboard."""

_LONG_OFF_LANE = 0.5  # [s] off every lane that count as an infraction


class Outcome(NamedTuple):
    """The outcome of a scenario.

    Attributes:
        kind: Name of its type.
        name: Its own name.
        result: "passed"; "failed": with an infraction between its trigger and its end; "timeout"; "unfinished": the
            episode ended first; "missed": the hero did not reach the trigger; "skipped": there was no room for it.
        infractions: Counts by the names of `metrics.PENALTIES`, and `outside_lanes`.
        seconds: Simulated seconds from its trigger to its end.
    """

    kind: str
    name: str
    result: str
    infractions: dict[str, int]
    seconds: float

    def info(self) -> Record:
        """The outcome as plain values, for a step's `info`."""
        return {"type": self.kind, **{key: value for key, value in self._asdict().items() if key != "kind"}}


def trigger_on_route(route: Route, trigger: Trigger) -> float | None:
    """Distance of a trigger along a route (m); None if the route does not pass it in its direction."""
    points = route.points
    away = np.hypot(points[:, 0] - trigger.x, points[:, 1] - trigger.y)
    turned = (np.degrees(points[:, 3]) - trigger.yaw + 180.0) % 360.0 - 180.0
    fits = (away < TRIGGER_DISTANCE) & (np.abs(turned) < TRIGGER_ANGLE) & (np.abs(points[:, 2] - trigger.z) < 4.0)
    rows = np.flatnonzero(fits)
    if not len(rows):
        return None
    first = rows[: np.flatnonzero(np.diff(rows, append=rows[-1] + 2) > 1)[0] + 1]  # of several passes of the route
    best = int(first[np.argmin(away[first])])
    return float(np.hypot(*np.diff(points[: best + 1, :2], axis=0).T).sum())


class Director:
    """Runs scenarios around the hero.

    Args:
        core: The world, with the hero on its route.
        situations: The scenarios.
        rng: The scenarios' random numbers.

    Raises:
        ScenarioError: The hero has no route, or a trigger is not on it.
    """

    def __init__(self, core: CarlaCore, situations: Sequence[Situation], rng: np.random.Generator) -> None:
        route = core.sensor_interface.route
        if route is None:
            raise ScenarioError("Scenarios take place on a route: set env_config.experiment.route.")
        road = Road(core.map, route)
        self._core = core
        self._parts: list[_Part] = []
        for situation in situations:
            at = trigger_on_route(route, situation.trigger)
            if at is None:
                raise ScenarioError(
                    f"The trigger {situation.trigger} of {situation.name} is not on the route (within "
                    f"{TRIGGER_DISTANCE:g} m and {TRIGGER_ANGLE:g} degrees of its direction)."
                )
            # A generator for each, so that its draws do not depend on the course of another scenario.
            own = np.random.default_rng(rng.integers(2**63))
            self._parts.append(_Part(core, situation, at, Stage(core, road, own)))

    def prepare(self) -> None:
        """Set up the scenarios that begin soon; before the episode's first tick."""
        for part in self._parts:
            part.prepare()

    def act(self, control: carla.VehicleControl) -> carla.VehicleControl:
        """Let the scenarios act on the newest frame, before a step; return the hero's disturbed control."""
        for part in self._parts:
            part.advance()
            if part.stage.disturb is not None:
                control = part.stage.disturb(control)
        return control

    def finish(self) -> list[Outcome]:
        """End the episode; return the outcomes of all scenarios, in their order."""
        route = self._core.sensor_interface.route
        for part in self._parts:
            part.advance()
            part.finish(route is not None and route.finished)
        return self.outcomes

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of the scenarios that have ended so far."""
        return [part.outcome for part in self._parts if part.outcome is not None]


class _Part:
    """One scenario, from its planning to its end."""

    def __init__(self, core: CarlaCore, situation: Situation, at: float, stage: Stage) -> None:
        self.stage = stage
        self.outcome: Outcome | None = None
        self._core = core
        self._situation = situation
        self._at = at
        kind = SCENARIO_TYPES[situation.kind]
        self._scenario: Scenario = kind(stage, at, situation.values(stage.rng))
        self._is_set_up = False
        self._play: Iterator[None] | None = None
        self._began = 0.0
        self._counts_before: dict[str, int] = {}
        self._off_lane_before = 0.0

    def prepare(self) -> None:
        """Set it up, if its trigger is near."""
        if self._is_set_up or self.outcome is not None or self._at - self.stage.at > self._scenario.set_up_before:
            return
        try:
            self._scenario.set_up()
            self._is_set_up = True
        except ScenarioError as error:
            self._skip(error)

    def advance(self) -> None:
        """Advance by one decision of the hero."""
        if self.outcome is not None:
            return
        self.prepare()
        if not self._is_set_up:
            return
        if self._play is None and self.stage.at < self._at - TRIGGER_DISTANCE:
            self._scenario.approach()
            return
        if self._play is None:
            self._play = self._scenario.play()
            self._began = self.stage.time
            self._counts_before = self._counts()
            self._off_lane_before = self._off_lane()
        if self.stage.time - self._began > self._scenario.timeout:
            self._time_out()
            return
        try:
            if next(self._play, self) is self:
                self._end("passed")
        except ScenarioError as error:
            self._skip(error)

    def _skip(self, error: ScenarioError) -> None:
        logger.warning("%s at %s does not take place: %s", self._situation.name, self._situation.trigger, error)
        self._end("skipped")

    def finish(self, arrived: bool) -> None:
        """End it together with the episode."""
        if self.outcome is not None:
            return
        if self._play is None:
            self._end("missed")
        else:
            self._end("passed" if arrived else "unfinished")

    def _time_out(self) -> None:
        if self._scenario.timeout_is_infraction and self._core.metrics is not None:
            self._core.metrics.note("scenario_timeouts", "Agent timed out a scenario")
        self._end("timeout")

    def _counts(self) -> dict[str, int]:
        return dict(self._core.metrics.counts) if self._core.metrics is not None else {}

    def _off_lane(self) -> float:
        return self._core.metrics.time_off_lane if self._core.metrics is not None else 0.0

    def _end(self, result: str) -> None:
        began = self._play is not None
        wrong = self._scenario.infraction() if began else None
        if wrong is not None and self._core.metrics is not None:
            self._core.metrics.note(wrong, f"{self._situation.kind}: {wrong}")
        counts = self._counts() if began else {}
        infractions = {
            name: count - self._counts_before.get(name, 0)
            for name, count in counts.items()
            if count > self._counts_before.get(name, 0)
        }
        if began and self._off_lane() - self._off_lane_before > _LONG_OFF_LANE:
            infractions["outside_lanes"] = 1
        if infractions and result in ("passed", "unfinished"):
            result = "failed"
        seconds = self.stage.time - self._began if began else 0.0
        self.outcome = Outcome(self._situation.kind, self._situation.name, result, infractions, seconds)
        if self._is_set_up:
            self._scenario.tear_down()
        self.stage.clear()


def launch(core: CarlaCore, start: carla.Transform, speeds: Sequence[float], rng: np.random.Generator) -> None:
    """Move the hero to the start of an episode with scenarios, even if its experiment has moved it elsewhere.

    Args:
        core: The world with the hero.
        start: The start.
        speeds: The range of its speed [m/s].
        rng: Draws the speed.
    """
    core.start_hero(start, float(rng.uniform(speeds[0], speeds[1])))


def direct(core: CarlaCore, situations: Sequence[Situation], rng: np.random.Generator) -> Director | None:
    """The director of an episode's scenarios, with those set up that begin soon; None without scenarios."""
    if not situations:
        return None
    director = Director(core, situations, rng)
    director.prepare()
    return director
