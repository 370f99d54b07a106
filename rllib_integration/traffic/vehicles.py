"""Draws the traffic's vehicles and their spawn points, with or without a Traffic Manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import carla
import numpy as np

Answers: TypeAlias = Sequence[Any]
"""A server's responses to the commands of a batch, which the client's types do not name."""

_CLEARANCE = 8.0  # [m] of vehicles from the places of `keep_clear`


class DrawnVehicles:
    """Commands that spawn vehicles at spawn points, drawn from a generator.

    Args:
        town: The town's map.
        library: The server's blueprints.
        number: Number of vehicles.
        keep_clear: Places (x, y in metres) without vehicles within 8 m.
        rng: Draws points, blueprints and colours.

    Attributes:
        commands: `carla.command.SpawnActor`, at most one for each free point.
    """

    def __init__(
        self,
        town: carla.Map,
        library: carla.BlueprintLibrary,
        number: int,
        keep_clear: Sequence[Sequence[float]],
        rng: np.random.Generator,
    ) -> None:
        points = [
            point
            for point in town.get_spawn_points()
            if all(np.hypot(point.location.x - x, point.location.y - y) > _CLEARANCE for x, y in keep_clear)
        ]
        blueprints = sorted(library.filter("vehicle.*"), key=lambda blueprint: blueprint.id)
        self.commands: list[carla.command.SpawnActor] = []
        for index in rng.permutation(len(points))[:number]:
            blueprint = blueprints[int(rng.integers(len(blueprints)))]
            _draw(blueprint, "color", rng)
            _draw(blueprint, "driver_id", rng)
            blueprint.set_attribute("role_name", "autopilot")
            self.commands.append(carla.command.SpawnActor(blueprint, points[int(index)]))
        self._number, self._points = number, len(points)

    def spawned(self, answers: Answers) -> tuple[list[int], list[str]]:
        """Ids of the vehicles in the server's responses, and a sentence if some are missing."""
        found = [answer.actor_id for answer in answers if not answer.error]
        if len(found) == self._number:
            return found, []
        refusals = "; ".join(sorted({answer.error for answer in answers if answer.error})[:1])
        sentence = f"Only {len(found)} of {self._number} vehicles found a free one of {self._points} spawn points."
        return found, [sentence + (f" The server said: {refusals}" if refusals else "")]


def _draw(blueprint: carla.ActorBlueprint, attribute: str, rng: np.random.Generator) -> None:
    if blueprint.has_attribute(attribute):
        values = blueprint.get_attribute(attribute).recommended_values
        if values:
            blueprint.set_attribute(attribute, values[int(rng.integers(len(values)))])
