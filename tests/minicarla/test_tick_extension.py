"""Orders to the server's own traffic: what counts as one, and what is left to CARLA's commands."""

from __future__ import annotations

from typing import Any

import pytest

from minicarla.rpc.tick_extension import DrivingOrder, WalkingOrder, driving_order, walking_order
from minicarla.world.autopilot import Manners

_NOBODY = ((8, (0, (7.0, 0.5, 2.5))),)


def _commands(*commands: Any) -> Any:
    """As they come off the wire."""

    def listed(one: Any) -> Any:
        return [listed(part) for part in one] if isinstance(one, tuple) else one

    return [listed(command) for command in commands]


def _walk(actor_id: Any, speed: Any) -> Any:
    return ((4, (actor_id, ((0.0, 0.0, 0.0), speed, False))),)


def test_an_order_names_walkers_and_their_speeds():
    commands = _commands(_NOBODY, _walk(5, 1.4), _walk(6, 99.0))
    assert walking_order(commands) == WalkingOrder([(5, 1.4), (6, 10.0)], 7, 0.5)
    assert driving_order(commands) is None


def _drive(actor_id: Any) -> Any:
    return ((16, (actor_id, True)),)


def _manners(*figures: float) -> list[Any]:
    return [((8, (0, figures[first : first + 3])),) for first in range(0, len(figures), 3)]


_SLOW = (7.0, 50.0, 2.5, 1.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0)
_FAST = (7.0, -20.0, 1.0, 0.0, *([0.0] * 8))


def test_an_order_to_drive_names_vehicles_and_the_manners_of_each():
    commands = _commands(*_manners(*_SLOW), _drive(5), _drive(6), *_manners(*_FAST), _drive(7))
    slow, fast = Manners(*_SLOW[1:11]), Manners(*_FAST[1:11])
    assert slow.ignore_lights_percentage == 10.0
    assert driving_order(commands) == DrivingOrder(7, {5: slow, 6: slow, 7: fast})
    assert walking_order(commands) is None


@pytest.mark.parametrize(
    "commands",
    [
        tuple(_manners(*_SLOW)),
        (*_manners(*_SLOW[:9]), _drive(5)),
        (*_manners(*_SLOW), _drive("five")),
        (*_manners(*_SLOW), ((16, (5, False)),)),
        (*_manners(*_SLOW), _drive(5), _walk(6, 1.4)),
        (*_manners(*_SLOW), _drive(5), _NOBODY, _drive(6)),
        (*_manners(float("inf"), *_SLOW[1:]), _drive(5)),
        (_drive(5), *_manners(*_SLOW)),
    ],
)
def test_everything_else_is_no_order_to_drive(commands):
    assert driving_order(_commands(*commands)) is None


@pytest.mark.parametrize(
    "commands",
    [
        (_NOBODY,),
        (_walk(5, 1.4),),
        (((8, (3, (7.0, 0.5, 2.5))),), _walk(5, 1.4)),
        (((8, (0, (float("nan"), 0.5, 2.5))),), _walk(5, 1.4)),
        (_NOBODY, _walk(5, float("nan"))),
        (_NOBODY, _walk("five", 1.4)),
        (_NOBODY, _walk(5, 1.4), ((16, (5, True)),)),
        (_NOBODY, ((4, (5,)),)),
        (_NOBODY, "nonsense"),
    ],
)
def test_everything_else_is_no_order(commands):
    assert walking_order(_commands(*commands)) is None
