"""The library's side of what the embedded server takes in batches beside CARLA's commands (`docs/tick_extension.md`).

A server takes them that was started with `--skip-overtaken-frames`. They begin with a command for actor 0, whom no
server has, and are sent without waiting for an answer: `client.apply_batch(commands, ...)`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import carla

MOST_TICKS = 32
"""That the server takes in one message."""

SEEDS = 2**24
"""Number of seeds of an order to drive or walk: whole numbers that a float of CARLA's vectors holds."""

_NO_ACTOR = 0


@functools.cache
def ticks_at_once(count: int) -> list[Any]:
    """The commands of a batch that so many ticks follow; none for one tick.

    Messages that ask for one tick each would cost client and server nearly half as much as the ticks.
    """
    return [carla.command.ApplyTargetVelocity(_NO_ACTOR, carla.Vector3D(x=count))] if count > 1 else []


def driving_order(vehicles: Sequence[int], seed: int, speed_share: float, distance: float) -> list[Any]:
    """The commands of a batch that lets the server drive vehicles, and no others.

    Args:
        vehicles: Their ids.
        seed: Decides where they turn, 0 <= seed < `SEEDS`.
        speed_share: Of the speed limit.
        distance: To the vehicle ahead while standing [m].
    """
    manners = carla.command.ApplyTargetVelocity(_NO_ACTOR, carla.Vector3D(seed, speed_share, distance))
    return [manners, *(carla.command.SetAutopilot(vehicle, True) for vehicle in vehicles)]


def walking_order(walkers: Mapping[int, float], seed: int, crossing_share: float) -> list[Any]:
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
