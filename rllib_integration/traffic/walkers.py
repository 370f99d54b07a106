"""Draws the traffic's walkers: those that a client's navigation walks, and those that the server does."""

from __future__ import annotations

from collections.abc import Sequence

import carla
import numpy as np

from rllib_integration.traffic.vehicles import Answers

_RUNNING_SHARE = 0.1  # of the walkers that run


class DrawnWalkers:
    """Commands that spawn walkers, drawn from a generator.

    Args:
        library: The server's blueprints.
        places: Where they begin.
        rng: Draws blueprints and speeds.

    Attributes:
        commands: `carla.command.SpawnActor`, one for each place.
    """

    def __init__(
        self, library: carla.BlueprintLibrary, places: Sequence[carla.Location], rng: np.random.Generator
    ) -> None:
        blueprints = sorted(library.filter("walker.pedestrian.*"), key=lambda blueprint: blueprint.id)
        self.commands: list[carla.command.SpawnActor] = []
        self._speeds: list[float] = []
        for place in places:
            blueprint = blueprints[int(rng.integers(len(blueprints)))]
            if blueprint.has_attribute("is_invincible"):
                blueprint.set_attribute("is_invincible", "false")
            self._speeds.append(_walking_speed(blueprint, rng))
            self.commands.append(carla.command.SpawnActor(blueprint, carla.Transform(place)))

    def spawned(self, answers: Answers) -> dict[int, float]:
        """Ids and speeds [m/s] of the walkers in the server's responses."""
        return {answer.actor_id: speed for answer, speed in zip(answers, self._speeds) if not answer.error}


def missing_walkers(found: int, wanted: int) -> list[str]:
    """A sentence if walkers are missing."""
    if found == wanted:
        return []
    return [f"Only {found} of {wanted} walkers found a free place on the town's sidewalks."]


def _walking_speed(blueprint: carla.ActorBlueprint, rng: np.random.Generator) -> float:
    """Speed [m/s]; most walk, some run."""
    if not blueprint.has_attribute("speed"):
        return 1.4
    values = [float(value) for value in blueprint.get_attribute("speed").recommended_values]
    running = rng.random() < _RUNNING_SHARE
    return values[2] if running and len(values) > 2 else values[1] if len(values) > 1 else 1.4
