"""Wakes a Traffic Manager, or the client's main thread that waits for it, after a lost wake-up.

A Traffic Manager answers calls on a port of its own. Switching synchronous mode off wakes its thread without waiting
for anything; switched on again at once, before the thread looks at the mode, it changes nothing else: the thread runs
the cycle that it should have run, and the client goes on. A synchronous tick on that port wakes a main thread that
missed the end of a cycle by the end of another one; if nobody waited, it is one more cycle, and no harm.
"""

from __future__ import annotations

import logging
import socket
import threading

import msgpack

logger = logging.getLogger(__name__)

_TIMEOUT = 1.0
"""[s]"""


def wake_traffic_manager(host: str, port: int) -> None:
    """Wake the Traffic Manager thread at an address, in the background."""
    _call_in_background(host, port, [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])])


def wake_main_thread(host: str, port: int) -> None:
    """Wake a main thread that waits for the Traffic Manager at an address, in the background."""
    _call_in_background(host, port, [("synchronous_tick", [])])


def _call_in_background(host: str, port: int, calls: list[tuple[str, list[object]]]) -> None:
    logger.info("the Traffic Manager at %s:%d gave no sign and is sent %s", host, port, [name for name, _ in calls])
    threading.Thread(target=_call, args=(host, port, calls), name="rescue", daemon=True).start()


def _call(host: str, port: int, calls: list[tuple[str, list[object]]]) -> None:
    requests = (msgpack.packb([0, number, name, arguments]) for number, (name, arguments) in enumerate(calls))
    answers, left = msgpack.Unpacker(), len(calls)
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT) as connection:
            connection.sendall(b"".join(requests))
            while left > 0:
                data = connection.recv(4096)
                if not data:
                    return
                answers.feed(data)
                left -= sum(1 for _ in answers)
    except OSError as error:
        logger.info("the Traffic Manager at %s:%d does not answer: %s", host, port, error)
