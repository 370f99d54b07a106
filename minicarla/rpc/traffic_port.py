"""Calls of the server to a Traffic Manager, which answers on a port of its own in the client's process."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

import msgpack

from minicarla.protocol.values import PackValue
from minicarla.rpc.deferrals import PATIENCE

logger = logging.getLogger(__name__)


class PortCalls:
    """Some calls in a row, made in the background at once.

    Args:
        host: Where the Traffic Manager listens.
        port: Likewise.
        calls: Names and arguments.
        at_end: Called in the background when all were answered, or cannot be.

    Attributes:
        ended: Whether that has happened.
        answered: Whether all were answered.
    """

    def __init__(
        self, host: str, port: int, calls: list[tuple[str, list[PackValue]]], at_end: Callable[[], object] | None = None
    ) -> None:
        self.ended = self.answered = False
        self._at_end = at_end
        self._thread = threading.Thread(
            target=self._make, args=(host, port, calls), name="traffic manager calls", daemon=True
        )
        self._thread.start()

    def _make(self, host: str, port: int, calls: list[tuple[str, list[PackValue]]]) -> None:
        requests = (msgpack.packb([0, number, name, arguments]) for number, (name, arguments) in enumerate(calls))
        answers, left = msgpack.Unpacker(), len(calls)
        try:
            with socket.create_connection((host, port), timeout=PATIENCE) as connection:
                connection.sendall(b"".join(requests))
                while left > 0:
                    data = connection.recv(4096)
                    if not data:
                        break
                    answers.feed(data)
                    left -= sum(1 for _ in answers)
        except OSError as error:
            logger.info("the Traffic Manager at %s:%d does not answer: %s", host, port, error)
        finally:
            self.answered, self.ended = left == 0, True
            if self._at_end is not None:
                self._at_end()


def wake_traffic_manager(host: str, port: int) -> None:
    """Wake the thread of a Traffic Manager.

    Switching synchronous mode off wakes the thread without waiting for anything. Switched on again at once, before the
    thread looks at the mode, it changes nothing else: the thread runs the cycle that it should have run.
    """
    _wake(host, port, [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])])


def wake_main_thread(host: str, port: int) -> None:
    """Wake a main thread that missed the end of a cycle, by the end of another one; no harm if nobody waits for it."""
    _wake(host, port, [("synchronous_tick", [])])


def _wake(host: str, port: int, calls: list[tuple[str, list[PackValue]]]) -> None:
    logger.info("the Traffic Manager at %s:%d gave no sign and is sent %s", host, port, [name for name, _ in calls])
    PortCalls(host, port, calls)
