"""The library's side of what the embedded server takes in batches beside CARLA's commands (`docs/tick_extension.md`).

A server takes them that was started with `--skip-overtaken-frames`. They begin with a command for actor 0, whom no
server has, and are sent without waiting for an answer: `client.apply_batch(commands, ...)`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import carla

Commands: TypeAlias = list[Any]
"""Of a batch; CARLA's types have no name for them all."""

MOST_TICKS = 32
"""That the server takes in one message."""

SEEDS = 2**24
"""Number of seeds of an order to drive or walk: whole numbers that a float of CARLA's vectors holds."""

_NO_ACTOR = 0


@functools.cache
def ticks_at_once(count: int) -> Commands:
    """The commands of a batch that so many ticks follow; none for one tick.

    Messages that ask for one tick each would cost client and server nearly half as much as the ticks.
    """
    return [carla.command.ApplyTargetVelocity(_NO_ACTOR, carla.Vector3D(x=count))] if count > 1 else []


def driving_order(vehicles: Mapping[int, Sequence[float]], seed: int) -> Commands:
    """The commands of a batch that lets the server drive vehicles, and no others.

    Args:
        vehicles: Their ids, with the ten figures of how each of them drives.
        seed: Decides where they turn, 0 <= seed < `SEEDS`.
    """
    commands: Commands = []
    last: Sequence[float] | None = None
    for vehicle, manners in vehicles.items():
        if manners != last:
            figures = [float(seed), *map(float, manners), 0.0]
            places = [carla.Vector3D(*figures[first : first + 3]) for first in range(0, len(figures), 3)]
            commands += [carla.command.ApplyTargetVelocity(_NO_ACTOR, place) for place in places]
        commands.append(carla.command.SetAutopilot(vehicle, True))
        last = manners
    return commands


def walking_order(walkers: Mapping[int, float], seed: int, crossing_share: float) -> Commands:
    """The commands of a batch that lets the server put walkers on sidewalks and walk them, and no others.

    Args:
        walkers: Their ids, and their speeds [m/s].
        seed: Decides where they begin and go, 0 <= seed < `SEEDS`.
        crossing_share: Of those that cross roads away from crossings, too.
    """
    manners = carla.command.ApplyTargetVelocity(_NO_ACTOR, carla.Vector3D(seed, crossing_share))
    # The client's types give the command the control of a vehicle.
    controls = [
        carla.command.ApplyWalkerControl(walker, carla.WalkerControl(speed=speed))  # type: ignore[arg-type]
        for walker, speed in walkers.items()
    ]
    return [manners, *controls]
