"""Ctrl-C and SIGTERM during a run: the first asks for an orderly end, the second forces it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType

from rllib_integration.failures import INTERRUPTED


class Terminated(KeyboardInterrupt):
    """A SIGTERM, raised as Ctrl-C is."""


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

    def __enter__(self) -> Interruption:
        self._arrivals, tell = os.pipe()
        for descriptor in (self._arrivals, tell):
            os.set_blocking(descriptor, False)
        self._tell, self._told_before = tell, signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        self._previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self.take_signals()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
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
        if self.requested.is_set() or not self.patient:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self.status = 128 + number
        self.requested.set()
        print("\nStopping: saving a checkpoint (Ctrl-C again ends at once).", flush=True)
