"""The embedded server's one addition to CARLA's protocol; `docs/tick_extension.md` describes it.

CARLA's client asks for one tick with each message, which takes it and the server nearly half as long as a tick. A
server with `--skip-overtaken-frames` takes several in one message, in a form that no other program sends by chance:
a batch of a single `ApplyTargetVelocity` for actor 0, which nobody is. Its x says how many ticks follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from minicarla.protocol.values import PackValue

MOST_TICKS = 32
"""Of one message; also of one client before a frame is told although the next tick is there already."""

_TARGET_VELOCITY = 8
_NOBODY = 0  # no actor has this id


def ticks_at_once(commands: list[tuple[tuple[int, Sequence[PackValue]]]]) -> int:
    """How many ticks follow a batch: one, or as many as x of a velocity of nobody says."""
    match commands:
        case [[[kind, [actor_id, [float(count), *_]]]]]:
            if kind == _TARGET_VELOCITY and actor_id == _NOBODY and 1.0 < count <= MOST_TICKS:
                return int(count)
    return 1
