"""One epoll loop for all sockets and clocks of the server."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
HUNG_UP = select.EPOLLHUP | select.EPOLLERR

LONG_TURN = 0.1
"""[s] of work between two polls, in which nobody's requests were read: it does not count by `EventLoop.clock`."""

Handler = Callable[[int], None]
Timer = Callable[[], "float | None"]


class EventLoop:
    """Calls a handler for every ready file descriptor, and a timer function between polls.

    Python's own selectors would add a tenth to the time of a tick, hence epoll itself.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._stopped = False
        self._woke, self._time_of_long_turns = time.monotonic(), 0.0
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_reader, READABLE, self._drain_wake_ups)

    @property
    def wake_up_descriptor(self) -> int:
        """Writing a byte to it ends the current poll (see `signal.set_wakeup_fd`)."""
        return self._wake_writer

    def clock(self) -> float:
        """`time.monotonic` without the turns in which the loop was too busy to read."""
        return time.monotonic() - self._time_of_long_turns

    def wake_up(self) -> None:
        """End the current poll; may be called by any thread."""
        with contextlib.suppress(BlockingIOError):  # so many wake-ups wait that one more changes nothing
            os.write(self._wake_writer, b"\0")

    def watch(self, descriptor: int, events: int, handler: Handler) -> None:
        """Call `handler(ready events)` whenever one of `events` is ready."""
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Watch for other events."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Watch no longer. To be called before the descriptor is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def stop(self) -> None:
        """Let `run` return after the handlers in progress, or at once if it is still to begin."""
        self._stopped = True

    def run(self, timer: Timer) -> None:
        """Serve until `stop`.

        Args:
            timer: Called before every poll. Does what is due and returns the `time.monotonic()` of the next thing
                to do, or None when only sockets matter.
        """
        handlers = self._handlers
        while not self._stopped:
            due = timer()
            if self._stopped:
                return
            for descriptor, events in self._wait(due):
                # A handler may close other connections of the same poll.
                handler = handlers.get(descriptor)
                if handler is not None:
                    handler(events)

    def _wait(self, due: float | None) -> list[tuple[int, int]]:
        now = time.monotonic()
        if now - self._woke > LONG_TURN:
            self._time_of_long_turns += now - self._woke
        ready = self._poll(due, now)
        self._woke = time.monotonic()
        return ready

    def _poll(self, due: float | None, now: float) -> list[tuple[int, int]]:
        if due is None:
            return self._epoll.poll()
        remaining = due - now
        if remaining <= 0.0:
            return self._epoll.poll(0)
        if remaining < 0.002:
            # epoll counts in milliseconds; select on the epoll descriptor counts in microseconds.
            ready, _, _ = select.select([self._epoll.fileno()], [], [], remaining)
            return self._epoll.poll(0) if ready else []
        return self._epoll.poll(remaining - 0.001)

    def _drain_wake_ups(self, _events: int) -> None:
        os.read(self._wake_reader, 4096)

    def close(self) -> None:
        """Release the loop's own descriptors."""
        self._epoll.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)
