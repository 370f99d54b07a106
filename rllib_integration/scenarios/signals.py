"""The traffic lights of one junction, under a scenario's control."""

from __future__ import annotations

import carla

from rllib_integration.scenarios.errors import ScenarioError
from rllib_integration.scenarios.road import Junction
from rllib_integration.scenarios.stage import Stage

_BEFORE = 25.0  # [m] greatest distance of a stop line before the junction


class SignalPlan:
    """Holds the lights of a junction, and releases them afterwards.

    Args:
        stage: The world and the hero.
        junction: The junction.

    Raises:
        ScenarioError: The route crosses no stop line of a light there.
    """

    def __init__(self, stage: Stage, junction: Junction) -> None:
        self._stage = stage
        before = max(junction.begin - _BEFORE, 0.0)
        lights = stage.lights_at(stage.road.ahead(before, junction.end - before))
        if not lights:
            raise ScenarioError("The junction has no traffic lights for the route; take the type without lights.")
        self._own = lights[0]
        self._all = stage.junction_lights(self._own)

    def green_for_the_hero(self) -> None:
        """Show green to the hero, and red to all others."""
        self.hold({self._own.id})

    def hold(self, green: set[int]) -> None:
        """Show green at the lights with these ids, and red at the others, until they are released."""
        for light in self._all:
            shown = carla.TrafficLightState.Green if light.id in green else carla.TrafficLightState.Red
            light.set_state(shown)
        self._own.freeze(True)

    def red_for_the_hero(self, green: set[int]) -> None:
        """Show red to the hero, and green at some other lights, by their ids."""
        self.hold(green - {self._own.id})

    @property
    def own(self) -> carla.TrafficLight:
        """The hero's light."""
        return self._own

    def release(self) -> None:
        """Return the lights to their cycle."""
        self._own.freeze(False)
