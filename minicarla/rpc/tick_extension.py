"""What the embedded server takes in batches beside CARLA's commands; `docs/tick_extension.md` describes it.

CARLA's client asks for one tick with each message, which takes it and the server nearly half as long as a tick. A
server with `--skip-overtaken-frames` takes several in one message, in a form that no other program sends by chance:
a batch of a single `ApplyTargetVelocity` for actor 0, which nobody is. Its x says how many ticks follow.

Where three more of these and commands `SetAutopilot` come after it, the server itself drives their vehicles; where
commands `ApplyWalkerControl` do, it walks their walkers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from minicarla.protocol.values import PackValue
from minicarla.world.autopilot import Manners

MOST_TICKS = 32
"""Of one message; also of one client before a frame is told although the next tick is there already."""

_WALKER_CONTROL = 4
_TARGET_VELOCITY = 8
_AUTOPILOT = 16
_NOBODY = 0  # no actor has this id
_FASTEST = 10.0  # [m/s] of walkers
_FIGURES = 12  # the seed, a driver's manners and a zero, in velocities of three


Commands: TypeAlias = list[tuple[tuple[int, Sequence[PackValue]]]]
"""Each with its number and what it takes."""


class DrivingOrder(NamedTuple):
    """Which vehicles the server shall drive, and how.

    Attributes:
        seed: Decides where they turn.
        vehicles: Actor ids, with each one's manners.
    """

    seed: int
    vehicles: dict[int, Manners]


def driving_order(commands: Commands) -> DrivingOrder | None:
    """What a batch orders the server to drive; None for all other batches."""
    vehicles: dict[int, Manners] = {}
    figures: list[float] = []
    for command in commands:
        if (three := _velocity_of_nobody(command)) is not None:
            figures = [*(figures if len(figures) < _FIGURES else []), *three]
        elif len(figures) == _FIGURES and (vehicle := _switched_on(command)) is not None:
            vehicles[vehicle] = Manners(*figures[1 : 1 + len(Manners._fields)])
        else:
            return None
    return DrivingOrder(int(abs(figures[0])), vehicles) if vehicles else None


def _velocity_of_nobody(command: object) -> list[float] | None:
    match command:
        case [[kind, [actor_id, [float(x), float(y), float(z)]]]] if kind == _TARGET_VELOCITY and actor_id == _NOBODY:
            return [x, y, z] if all(map(math.isfinite, (x, y, z))) else None
    return None


class WalkingOrder(NamedTuple):
    """Which walkers the server shall walk, and how.

    Attributes:
        walkers: Actor ids, each with its speed [m/s].
        seed: Decides where they begin and go.
        crossing_share: Of those that cross roads away from crossings, too.
    """

    walkers: list[tuple[int, float]]
    seed: int
    crossing_share: float


def walking_order(commands: Commands) -> WalkingOrder | None:
    """Whom a batch orders the server to walk; None for all other batches."""
    match commands:
        case [[[kind, [actor_id, [float(seed), float(share), float()]]]], *rest]:
            if kind != _TARGET_VELOCITY or actor_id != _NOBODY or not rest or not math.isfinite(seed + share):
                return None
            walkers = [_walker(command) for command in rest]
            if None not in walkers:
                named = [walker for walker in walkers if walker is not None]
                return WalkingOrder(named, int(abs(seed)), min(max(share, 0.0), 1.0))
    return None


def _walker(command: object) -> tuple[int, float] | None:
    match command:
        case [[kind, [int(walker), [_, float(speed), _]]]]:
            if kind == _WALKER_CONTROL and math.isfinite(speed):
                return walker, min(max(speed, 0.0), _FASTEST)
    return None


def _switched_on(command: object) -> int | None:
    """The vehicle whose autopilot a command switches on."""
    match command:
        case [[kind, [int(vehicle), bool(enabled), *_]]] if kind == _AUTOPILOT and enabled:
            return vehicle
    return None


def ticks_at_once(commands: Commands) -> int:
    """How many ticks follow a batch: one, or as many as x of a velocity of nobody says."""
    match commands:
        case [[[kind, [actor_id, [float(count), *_]]]]]:
            if kind == _TARGET_VELOCITY and actor_id == _NOBODY and 1.0 < count <= MOST_TICKS:
                return int(count)
    return 1
