"""Not the client's defect but the server's: it listens before all of its kernels are compiled.

In an asynchronous world a sensor without kernels is silent until they are there. In a synchronous one every tick has
its message, so the spawn of such a sensor waits, and so do ticks if the sensor was there before. All other calls, and
other clients', are answered meanwhile.

Sign: the kernels are compiled; nothing else bounds this wait. Test: `tests/minicarla/test_warming.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.deferrals import NOT_YET, Wait
from minicarla.rpc.quirks.quirk import Quirk
from minicarla.rpc.session import Client

logger = logging.getLogger(__name__)

_SPAWNS = frozenset({"spawn_actor", "spawn_actor_with_parent"})
_SPAWN_COMMAND = 0


class Compiling(Protocol):
    """The compiling of kernels under way.

    Attributes:
        progress: Descriptor that is readable whenever `take_progress` should be called.
    """

    progress: int

    @property
    def has_ended(self) -> bool:
        """Whether there is no more to come."""

    def lacks(self, sensor: str) -> bool:
        """Whether a blueprint cannot be had yet."""

    def take_progress(self) -> None:
        """Note what was compiled."""

    def close(self) -> None:
        """Release what it holds, once it has ended."""


class MissingKernels(Quirk):
    """Knows which sensors cannot be had yet, and holds the requests that need one.

    Args:
        is_synchronous: Tells whether the world is.
        mounted: Types of the sensors that there are.
    """

    def __init__(self, is_synchronous: Callable[[], bool], mounted: Callable[[], Iterable[str]]) -> None:
        self._is_synchronous = is_synchronous
        self._mounted = mounted
        self._is_missing: Callable[[str], bool] | None = None
        self._told: set[str] = set()

    def close(self, is_missing: Callable[[str], bool]) -> None:
        """From now on hold what needs sensors of which this says that they cannot be had yet."""
        self._is_missing = is_missing

    def open(self) -> None:
        """Everything is compiled."""
        self._is_missing = None

    def lacks(self, *sensors: str) -> bool:
        """Whether any of these sensors cannot be had yet."""
        return self._is_missing is not None and any(map(self._is_missing, sensors))

    def before(self, client: Client, request: Request) -> Wait | None:
        """In a synchronous world, spawns and ticks wait for the kernels that they need."""
        if self._is_missing is None or not self._is_synchronous():
            return None
        missing = self._missing(request)
        if missing is None:
            return None
        if missing not in self._told:
            self._told.add(missing)
            logger.warning("a client waits for a %s until its kernels are compiled, once on this machine", missing)
        return Wait(lambda: 0.0 if self._missing(request) is None else NOT_YET, "", is_bounded=False)

    def _missing(self, request: Request) -> str | None:
        """A sensor that the request needs and that cannot be had yet."""
        if self._is_missing is None:
            return None
        needed = [*_spawned(request), *(self._mounted() if _ticks(request) else ())]
        return next((name for name in needed if self._is_missing(name)), None)


def _ticks(request: Request) -> bool:
    return request.method == "tick_cue" or (request.method == "apply_batch" and request.arguments[1:] == [True])


def _spawned(request: Request) -> list[str]:
    """The blueprints that a request spawns; none where it is malformed, of which its own call complains."""
    try:
        if request.method in _SPAWNS:
            return [_blueprint(request.arguments[0])]
        if request.method == "apply_batch":
            return [_blueprint(payload[0]) for ((kind, payload),) in request.arguments[0] if kind == _SPAWN_COMMAND]
    except (IndexError, KeyError, TypeError, ValueError):
        return []
    return []


def _blueprint(description: tuple[int, str, object]) -> str:
    _, name, _ = description
    return str(name)
