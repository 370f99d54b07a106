"""One tick of a world: who makes it, how its end is noticed, and the sensor data that belong to it."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import carla

from rllib_integration.sensors import SensorInterface, SensorTimeoutError
from rllib_integration.servers import BoundedCalls, ServerHangError
from rllib_integration.servers.bounded_calls import PendingCall
from rllib_integration.traffic.handle import Traffic

logger = logging.getLogger(__name__)

_SUBSCRIPTION_SECONDS = 1.0  # for the first data of a new sensor, before the world is ticked once more for it
_SUBSCRIPTION_TICKS = 3
_MOST_TICKS_AT_ONCE = 32  # that the embedded server takes in one message
_STRAGGLER_SECONDS = 0.5  # for a frame on its way, before it counts as not ticked


def _nobody_listens() -> None:
    """Stands for a listener where nobody has to hear of progress."""


@functools.cache
def _ticks_at_once(count: int) -> list[Any]:
    """The commands of a batch that so many ticks follow, as the embedded server has it (`--skip-overtaken-frames`).

    Messages that ask for one tick each would cost client and server nearly half as much as the ticks.
    """
    return [carla.command.ApplyTargetVelocity(0, carla.Vector3D(x=count))] if count > 1 else []


class FrameWatch:
    """Notices when this client receives a frame, whoever ticked it.

    Args:
        world: The world.
        progress: Called with each frame.
    """

    def __init__(self, world: carla.World, progress: Callable[[], None] = _nobody_listens) -> None:
        self._progress = progress
        self._arrived = threading.Condition()
        self._frame = 0
        self._expected: tuple[int, PendingCall[int]] | None = None
        self._world = world
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
        """Receive no more frames."""
        self._world.remove_on_tick(self._callback)


@dataclass(frozen=True)
class Clock:
    """Ticks one world. Holds all that it needs: a tick that was given up may still end in its thread when the
    core has long moved on to another world.

    Attributes:
        world: The world.
        timeout: Seconds that a tick may take.
        traffic: The traffic's process, which ticks while there is traffic.
        frames: Notices the frames that arrive.
        queue: A client of a server that takes several ticks at once, which saves the way there and back; None where
            each has to be waited for.
        progress: Called when one of several ticks, or another part of what was asked for, is done.
    """

    world: Any
    timeout: float
    traffic: Traffic | None = None
    frames: FrameWatch | None = None
    queue: carla.Client | None = None
    progress: Callable[[], None] = _nobody_listens

    def tick(self) -> int:
        """Advance the world by one step; return the frame."""
        if self.traffic is None or self.frames is None:
            frame = self.world.tick(self.timeout)
        else:
            self._flush_commands()
            frame = self.traffic.tick()
            self.progress()
            self.frames.wait_for(frame, self.timeout)
        self.progress()
        return frame

    def _flush_commands(self) -> None:
        """Have the server know all that this client has sent without waiting for an answer, the hero's control above
        all: the traffic's process, which is to tick, has a connection of its own."""
        self.world.get_settings()
        self.progress()

    def begin(self, repeat: int) -> int:
        """Ask for as many of the ticks as need no waiting; return the frame that the last one leads to, or 0 if each
        is still to be made."""
        if self.queue is None or repeat < 2:
            return 0
        goal = self.world.get_snapshot().frame + repeat
        self._queue(repeat - 1)
        return goal

    def _queue(self, count: int) -> None:
        assert self.queue is not None
        while count > 0:
            at_once = min(count, _MOST_TICKS_AT_ONCE)
            self.queue.apply_batch(_ticks_at_once(at_once), True)
            count -= at_once

    def finish(self, repeat: int, goal: int) -> int:
        """Make the remaining ticks; return the frame."""
        if goal:
            frame = self.world.tick(self.timeout * repeat)
            repeat = goal - frame  # of a queued tick that failed nobody has heard yet
        for _ in range(repeat):
            frame = self.tick()
        return frame

    def expect(self, repeat: int, calls: BoundedCalls) -> tuple[int, PendingCall[int]] | None:
        """Ask for all of the ticks, and only wait for the frame that the last one leads to: while this client looks at
        it, a Traffic Manager already decides about the next one.

        Returns:
            The frame, and what ends with its arrival; None where ticks have to be waited for.
        """
        if self.frames is None or (self.traffic is None and self.queue is None):
            return None
        goal = self.world.get_snapshot().frame + repeat
        call: PendingCall[int] = calls.expect(f"The tick to frame {goal}", self.timeout * (repeat + 1))
        self.frames.expect(goal, call)
        if self.traffic is None:
            self._queue(repeat)
        else:
            calls.hand_over(call, self._let_traffic_tick, repeat)
        return goal, call

    def _let_traffic_tick(self, repeat: int) -> None:
        assert self.traffic is not None
        self.traffic.settle()
        self._flush_commands()
        self.traffic.begin_ticks(repeat)

    def make_up(self, goal: int) -> int:
        """Find out why a frame does not arrive; return the frame when it is there after all.

        Raises:
            RuntimeError: What the tick has failed of, or makes it fail again.
        """
        if self.traffic is not None:
            self.traffic.settle()
            self.progress()
        self._flush_commands()  # answered after all ticks that were asked for
        if self.frames is not None:
            with contextlib.suppress(ServerHangError):
                self.frames.wait_for(goal, _STRAGGLER_SECONDS)
        frame = self.world.get_snapshot().frame
        while frame < goal:
            frame = self.tick()
        return frame


def finish_and_collect(
    clock: Clock, repeat: int, goal: int, interface: SensorInterface, sensors_are_new: bool
) -> tuple[int, dict[str, tuple[int, Any]]]:
    """Tick, then wait for the sensors: as one call, so that the end of the server cuts any part of it short."""
    frame = clock.finish(repeat, goal)
    if sensors_are_new:
        # Listening begins some time after it was asked for, so a simulator may have ticked without it.
        # And an episode begins with a frame of which there are pictures.
        for _ in range(_SUBSCRIPTION_TICKS + interface.ticks_per_step):
            try:
                data = interface.get_data(frame, min(_SUBSCRIPTION_SECONDS, clock.timeout))
            except SensorTimeoutError as error:
                logger.info("Another tick for sensors that do not listen yet: %s", error)
                frame = clock.tick()
                continue
            ticks = interface.ticks_to_pictures(frame)
            if not ticks:
                return frame, data
            for _ in range(ticks):
                frame = clock.tick()
    return frame, interface.get_data(frame, clock.timeout)
