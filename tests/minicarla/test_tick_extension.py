"""Orders to the server's own traffic: what counts as one, and what is left to CARLA's commands."""

from __future__ import annotations

from typing import Any

import pytest

from minicarla.rpc.tick_extension import DrivingOrder, WalkingOrder, driving_order, walking_order

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


def test_an_order_to_drive_is_none_to_walk():
    commands = _commands(_NOBODY, ((16, (5, True)),))
    assert driving_order(commands) == DrivingOrder([5], 7, 0.5, 2.5)
    assert walking_order(commands) is None


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
