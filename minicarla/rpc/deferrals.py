"""Answers, requests and messages that wait for a sign from a client."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from minicarla.rpc.session import Client

logger = logging.getLogger(__name__)

PATIENCE = 1.5
"""[s] after which whatever waits goes on without its sign: less than the shortest time-out in CARLA's examples, 2 s."""
NOT_YET = math.inf
"""The moment of a sign that has not come."""


class Wait(NamedTuple):
    """What ends a wait.

    Attributes:
        due: When it is over, as known now, by `time.monotonic`; `NOT_YET` while a sign is missing.
        sign: The sign, for the log.
        ended: Called at the end, with whether the sign never came.
        is_bounded: Whether it ends after `PATIENCE` at the latest.
    """

    due: Callable[[], float]
    sign: str
    ended: Callable[[bool], object] | None = None
    is_bounded: bool = True


class _Deferred(NamedTuple):
    """Something that waits; `latest` is by the queue's own clock."""

    client: Client
    action: Callable[[], object]
    wait: Wait
    latest: float


class Deferrals:
    """Everything that waits, in the order in which it came.

    Args:
        clock: Seconds, without those in which the server was too busy to take a sign in.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: list[_Deferred] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def awaits(self, client: Client) -> bool:
        """Whether anything waits for a client."""
        return any(one.client is client for one in self._waiting)

    def add(self, client: Client, action: Callable[[], object], wait: Wait) -> None:
        """Do something for a client once a wait is over, unless the client is gone by then."""
        latest = self._clock() + PATIENCE if wait.is_bounded else math.inf
        self._waiting.append(_Deferred(client, action, wait, latest))

    def run(self) -> None:
        """Do what need wait no longer."""
        for one in tuple(self._waiting):
            # Read anew for each: what is done here may be what another one waits for, or make it wait longer.
            due, gone = one.wait.due(), one.client.closed
            expired = due == NOT_YET and self._clock() >= one.latest
            if not gone and not expired and time.monotonic() < due and self._clock() < one.latest:
                continue
            self._waiting.remove(one)
            if expired and not gone:
                peer = one.client.connection.peer
                logger.warning("%s gave no sign within %g s that %s: it is not awaited", peer, PATIENCE, one.wait.sign)
            if one.wait.ended is not None:
                one.wait.ended(expired)
            if not gone:
                one.action()

    def next_due(self) -> float | None:
        """When to call `run` next if nothing happens before, None for no such moment."""
        if not self._waiting:
            return None
        behind = time.monotonic() - self._clock()
        moment = min(min(one.wait.due(), one.latest + behind) for one in self._waiting)
        return None if moment == NOT_YET else moment
