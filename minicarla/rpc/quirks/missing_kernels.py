"""Holds what needs a sensor whose kernels are still being compiled: in a synchronous world, its spawn and ticks.

The server listens before everything is compiled. In an asynchronous world such a sensor is silent until then. In a
synchronous one every tick has its message: whoever spawns such a sensor waits for the answer, and so do ticks if the
sensor was there before. All other calls, and other clients', are answered meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from minicarla.protocol.rpc_framing import Request
from minicarla.protocol.rpc_server import RpcConnection

logger = logging.getLogger(__name__)

Held = tuple[RpcConnection, Request]

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


class KernelGate:
    """Knows which sensors cannot be had yet, and keeps the requests that need one."""

    def __init__(self) -> None:
        self._is_missing: Callable[[str], bool] | None = None
        self._held: list[Held] = []
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        return self._is_missing is not None

    def close(self, is_missing: Callable[[str], bool]) -> None:
        """From now on hold what needs sensors of which this says that they cannot be had yet."""
        self._is_missing = is_missing

    def open(self) -> None:
        """Everything is compiled."""
        self._is_missing = None

    def lacks(self, *sensors: str) -> bool:
        """Whether any of these sensors cannot be had yet."""
        return self._is_missing is not None and any(map(self._is_missing, sensors))

    def hold(self, connection: RpcConnection, request: Request, mounted: Iterable[str]) -> bool:
        """Keep a request that needs such a sensor for later; False if it is to be answered now.

        Args:
            connection: Whose request it is.
            request: Any request.
            mounted: Types of the sensors that are there.
        """
        missing = self._missing(request, mounted)
        if missing is None:
            return False
        if missing not in self._told:
            self._told.add(missing)
            logger.warning("a client waits for a %s until its kernels are compiled, once on this machine", missing)
        self._held.append((connection, request))
        return True

    def released(self, mounted: Iterable[str]) -> list[Held]:
        """Take out the requests that can be answered now; `mounted` as of `hold`."""
        waiting = [(held, self._missing(held[1], mounted)) for held in self._held]
        self._held = [held for held, missing in waiting if missing is not None]
        return [held for held, missing in waiting if missing is None and not held[0].closed]

    def _missing(self, request: Request, mounted: Iterable[str]) -> str | None:
        """A sensor that the request needs and that cannot be had yet."""
        if self._is_missing is None:
            return None
        needed = [*_spawned(request), *(mounted if _ticks(request) else ())]
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


def _blueprint(description: Any) -> str:
    _, name, _ = description
    return str(name)
