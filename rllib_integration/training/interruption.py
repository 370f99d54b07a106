"""Ctrl-C and SIGTERM during a run: the first asks for an orderly end, the second forces it.

The orderly end comes between two training steps. A call of the user's code that never returns would keep it away for
ever; so after the first signal such a call is ended from inside.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import FrameType

from rllib_integration.failures import INTERRUPTED
from rllib_integration.user_code import RunningCall, running_call

STUCK_SECONDS = 5.0
"""After the first signal, how long a call of the user's code may take."""

_LOOKS = 20  # in that time


class Terminated(KeyboardInterrupt):
    """A SIGTERM, raised as Ctrl-C is."""


class EndedInside(KeyboardInterrupt):
    """Raised in a call of the user's code that did not return after the first signal; the message says which."""


class Interruption:
    """SIGINT and SIGTERM as a flag, for the time of a `with` block.

    Attributes:
        requested: Set by the first signal.
        status: Exit status of a program that the first signal ended.
        patient: Whether an orderly end could save anything. If not, the first signal ends the run at once.
    """

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.status = INTERRUPTED
        self.patient = False
        self._over = threading.Event()
        self._stuck: tuple[RunningCall, str] | None = None

    def __enter__(self) -> Interruption:
        self._arrivals, tell = os.pipe()
        for descriptor in (self._arrivals, tell):
            os.set_blocking(descriptor, False)
        self._tell, self._told_before = tell, signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        self._previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.take_signals()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._over.set()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._told_before)
        try:
            if isinstance(error, (Exception, SystemExit)) and not self.requested.is_set():
                self._raise_unheard(error)
        finally:
            os.close(self._arrivals)
            os.close(self._tell)

    def take_signals(self) -> None:
        """Receive the signals. Call it again after a library took one, as Ray takes SIGTERM when it starts.

        Raises:
            KeyboardInterrupt: A signal has already come, and the exception that it raised was swallowed.
        """
        for number in self._previous:
            signal.signal(number, self._receive)
        self._raise_unheard(None)

    def _raise_unheard(self, instead_of: BaseException | None) -> None:
        """Raise what a signal should have raised, had Ray's handler or an import not turned it into something else."""
        with contextlib.suppress(BlockingIOError):
            arrived = os.read(self._arrivals, 4096)
            if signal.SIGTERM in arrived:
                raise Terminated from instead_of
            if signal.SIGINT in arrived:
                raise KeyboardInterrupt from instead_of

    def _receive(self, number: int, frame: FrameType | None) -> None:
        stuck, self._stuck = self._stuck, None
        if stuck is not None and self.patient:
            call, sentence = stuck
            if call.goes_on():
                raise EndedInside(sentence)
            return
        if self.requested.is_set() or not self.patient:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self.status = 128 + number
        self.requested.set()
        print("\nStopping: saving a checkpoint (Ctrl-C again ends at once).", flush=True)
        threading.Thread(target=self._end_stuck_calls, name="carla-interruption", daemon=True).start()

    def _end_stuck_calls(self) -> None:
        """Send this process a signal of its own when a call of the user's code does not return.

        Where it runs in another thread, as episodes that begin side by side do, the main thread waits for it.
        """
        main = threading.main_thread().ident or 0
        call, since = running_call(), time.monotonic()
        while not self._over.wait(STUCK_SECONDS / _LOOKS):
            before, call, now = call, running_call(), time.monotonic()
            if call is None or call != before:
                since = now
            elif now - since >= STUCK_SECONDS and (sentence := call.describe(now - since)):
                self._stuck, since = (call, sentence), now
                signal.pthread_kill(main, signal.SIGINT)
