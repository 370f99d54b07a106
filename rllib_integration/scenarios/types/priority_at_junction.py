"""PriorityAtJunction: the hero's light turns green as it comes."""

from __future__ import annotations

from collections.abc import Iterator

from rllib_integration.scenarios.scenario import Scenario, Site
from rllib_integration.scenarios.signals import SignalPlan


class PriorityAtJunction(Scenario):
    """The light of the next junction turns green for the hero, and red for all others, until it is through."""

    site = Site(clear=35.0, junction="signalised")
    timeout = 120.0
    reach = 60.0

    def set_up(self) -> None:
        """Find the lights."""
        self._junction = self.stage.road.junction(self.at)
        self._signals = SignalPlan(self.stage, self._junction)

    def play(self) -> Iterator[None]:
        """Give way to the hero."""
        self._signals.green_for_the_hero()
        yield from self.until_passed(min(self._junction.end, self.stage.road.length - 3.0))

    def tear_down(self) -> None:
        """Let the lights go on."""
        self._signals.release()
