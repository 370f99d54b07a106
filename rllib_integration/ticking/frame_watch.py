"""Notices frames as they arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable

import carla

from rllib_integration.servers import ServerHangError
from rllib_integration.servers.bounded_calls import PendingCall


def _nobody_listens() -> None:
    """Stands for a listener where there is none."""


class FrameWatch:
    """Notices when this client receives a frame, whichever client ticked it.

    Args:
        world: The world.
        progress: Called with each frame.

    Attributes:
        world: The world.
        stopped: Whether it receives nothing any more.
    """

    def __init__(self, world: carla.World, progress: Callable[[], None] = _nobody_listens) -> None:
        self._progress = progress
        self._arrived = threading.Condition()
        self._frame = 0
        self._expected: tuple[int, PendingCall[int]] | None = None
        self.world = world
        self.stopped = False
        self._callback = world.on_tick(self._note)

    def _note(self, snapshot: carla.WorldSnapshot) -> None:
        self._progress()
        with self._arrived:
            self._frame = snapshot.frame
            self._arrived.notify_all()
            if self._expected is not None and self._frame >= self._expected[0]:
                self._expected[1].complete(self._frame)
                self._expected = None

    def expect(self, frame: int, call: PendingCall[int]) -> None:
        """Complete a call when the frame, or a later one, is here; before it is ticked."""
        with self._arrived:
            self._expected = frame, call

    def wait_for(self, frame: int, seconds: float) -> None:
        """Return when the frame, or a later one, is here.

        Raises:
            ServerHangError: It did not come in time.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._frame >= frame, seconds):
                raise ServerHangError(f"Frame {frame} was ticked, but did not arrive within {seconds:g} s.")

    def stop(self) -> None:
        """Receive no more frames. Twice is fine."""
        if self.stopped:
            return
        self.stopped = True
        self.world.remove_on_tick(self._callback)
