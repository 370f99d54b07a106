"""What a scenario type is: a class that puts actors in place and says what they do once the hero is there.

A type has the name and the parameters that it has in the CARLA Leaderboard 2.0, and runs on any CARLA. It is one class:

- `site`: the kind of place that it needs;
- `parameters`: what can be set;
- `set_up()`: puts its actors in place while the hero is still on its way to the trigger;
- `play()`: what happens from the trigger on, as a generator with one `yield` a decision of the hero; its end is the
  scenario's end;
- `timeout`: the simulated seconds after which it ends in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple

from rllib_integration.annotations import Settings
from rllib_integration.roads.routes import RoadOption
from rllib_integration.scenarios.parameters import Parameter
from rllib_integration.scenarios.road import Direction
from rllib_integration.scenarios.stage import Stage

Turn = Literal["left", "right", "straight"]
ANY_TURN: tuple[Turn, ...] = ("left", "right", "straight")
TURNS: dict[Turn, RoadOption] = {
    "left": RoadOption.LEFT,
    "right": RoadOption.RIGHT,
    "straight": RoadOption.STRAIGHT,
}


class Site(NamedTuple):
    """The kind of place that a scenario type needs.

    Attributes:
        clear: Road ahead of the trigger without a junction (m), its parameter `distance` aside; for a scenario at a
            junction, the distance to that.
        junction: What kind of junction comes next; None where there has to be none.
        turns: What the route may do there.
        others_from: From where others have to be able to come into the way of the route there, one of these.
        lane: A driving lane that has to lie beside the route's: of the same direction on the side that the parameter
            `direction` names, or on the other side, or of the opposite direction.
        before: Road that leads to the trigger without a junction (m).
    """

    clear: float
    junction: Literal["any", "signalised", "unsignalised"] | None = None
    turns: tuple[Turn, ...] = ANY_TURN
    others_from: tuple[Direction, ...] = ()
    lane: Literal["named side", "other side", "opposite"] | None = None
    before: float = 20.0


class Scenario:
    """A situation that begins where the hero passes its trigger; derive a class for each type.

    Args:
        stage: The world, the hero and its route.
        at: Where on the route the trigger is (m).
        values: Its parameters, complete.

    Attributes:
        stage: As given.
        at: As given.
        values: As given.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {}
    site: ClassVar[Site] = Site(clear=50.0)
    timeout: ClassVar[float] = 60.0
    """Simulated seconds after the trigger."""
    timeout_is_infraction: ClassVar[bool] = False
    """Whether the Leaderboard counts a time-out of this type against the driver."""
    reach: ClassVar[float] = 60.0
    """Road beyond the trigger that the scenario takes up (m), its parameters aside."""
    distance_is_ahead: ClassVar[bool] = True
    """Whether the parameter `distance`, if there is one, is that of something on the road ahead of the trigger."""
    set_up_before: ClassVar[float] = 100.0
    """Distance before the trigger at which the actors are put in place (m)."""

    def __init__(self, stage: Stage, at: float, values: Settings) -> None:
        self.stage = stage
        self.at = at
        self.values = dict(values)

    def set_up(self) -> None:
        """Put the actors in place.

        Raises:
            ScenarioError: The place is none for this scenario.
        """
        raise NotImplementedError(f"{type(self).__name__} has to override set_up().")

    def approach(self) -> None:
        """Called once a decision between `set_up` and the trigger."""

    def play(self) -> Iterator[None]:
        """What happens from the trigger on: one `yield` a decision; the scenario ends with it."""
        raise NotImplementedError(f"{type(self).__name__} has to override play().")

    def tear_down(self) -> None:
        """Undo what the end of the actors does not undo; called at the end, however it came."""

    def infraction(self) -> str | None:
        """The Leaderboard's name of what the hero did wrong that no other criterion sees; asked at the end."""
        return None

    # For `play`

    def until(self, condition: Callable[[], bool]) -> Iterator[None]:
        """Wait until something is the case."""
        while not condition():
            yield

    def wait(self, seconds: float) -> Iterator[None]:
        """Wait for some simulated seconds."""
        end = self.stage.time + seconds
        yield from self.until(lambda: self.stage.time >= end)

    def until_passed(self, place: float) -> Iterator[None]:
        """Wait until the hero is beyond a place of its route (m)."""
        yield from self.until(lambda: self.stage.at >= place)
