"""The base class of scenario types: a scenario spawns actors and controls them when the hero is there.

Types have the names and parameters of the CARLA Leaderboard 2.0, and run on any CARLA. Each type is one class:

- `site`: the kind of place that it needs;
- `parameters`: its settings;
- `set_up()`: spawns its actors while the hero is still on its way to the trigger;
- `play()`: its course from the trigger on, as a generator with one `yield` for each decision of the hero; its end is
  the scenario's end;
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
        clear: Length of road ahead of the trigger without a junction (m), without its parameter `distance`; for a
            scenario at a junction, the distance to the junction.
        junction: Kind of the next junction; None if there has to be none.
        turns: The route's possible turns there.
        others_from: Directions of traffic that crosses the route there; one of them is needed.
        lane: Driving lane that is needed beside the route's: of the same direction on the side that the parameter
            `direction` names, or on the other side, or of the opposite direction.
        before: Length of road before the trigger without a junction (m).
    """

    clear: float
    junction: Literal["any", "signalised", "unsignalised"] | None = None
    turns: tuple[Turn, ...] = ANY_TURN
    others_from: tuple[Direction, ...] = ()
    lane: Literal["named side", "other side", "opposite"] | None = None
    before: float = 20.0


class Scenario:
    """A situation that begins when the hero passes its trigger; derive a class for each type.

    Args:
        stage: The world, the hero and its route.
        at: Distance of the trigger along the route (m).
        values: All of its parameters.

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
    """Length of road that the scenario needs beyond the trigger (m), without its parameters."""
    distance_is_ahead: ClassVar[bool] = True
    """Whether the parameter `distance`, if there is one, is measured ahead from the trigger."""
    set_up_before: ClassVar[float] = 100.0
    """Distance before the trigger at which the actors are spawned (m)."""

    def __init__(self, stage: Stage, at: float, values: Settings) -> None:
        self.stage = stage
        self.at = at
        self.values = dict(values)

    def set_up(self) -> None:
        """Spawn the actors.

        Raises:
            ScenarioError: The place does not fit the scenario.
        """
        raise NotImplementedError(f"{type(self).__name__} has to override set_up().")

    def approach(self) -> None:
        """Called at each decision between `set_up` and the trigger."""

    def play(self) -> Iterator[None]:
        """The course from the trigger on, with one `yield` for each decision; the scenario ends with it."""
        raise NotImplementedError(f"{type(self).__name__} has to override play().")

    def tear_down(self) -> None:
        """Undo changes that removing the actors does not undo; called at every end."""

    def infraction(self) -> str | None:
        """The Leaderboard's name of an infraction that no other criterion covers; called at the end."""
        return None

    # For `play`

    def until(self, condition: Callable[[], bool]) -> Iterator[None]:
        """Wait until a condition holds."""
        while not condition():
            yield

    def wait(self, seconds: float) -> Iterator[None]:
        """Wait for some simulated seconds."""
        end = self.stage.time + seconds
        yield from self.until(lambda: self.stage.time >= end)

    def until_passed(self, place: float) -> Iterator[None]:
        """Wait until the hero is beyond a distance along its route (m)."""
        yield from self.until(lambda: self.stage.at >= place)
