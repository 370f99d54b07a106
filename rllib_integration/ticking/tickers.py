"""Three ways to make the ticks of a step behind one interface: `begin`, then `finish`.

- `PlainTicker`: this client asks for each tick and waits for it.
- `BundledTicker`: the embedded server takes several ticks in one message.
- `TrafficTicker`: the traffic's process ticks, so that its Traffic Manager decides about every frame.
"""

from __future__ import annotations

import abc
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import carla

from rllib_integration.sensors import SensorInterface, SensorTimeoutError
from rllib_integration.servers import BoundedCalls, ServerHangError
from rllib_integration.servers.bounded_calls import PendingCall
from rllib_integration.tick_extension import MOST_TICKS, ticks_at_once
from rllib_integration.ticking.frame_watch import FrameWatch
from rllib_integration.traffic.handle import Traffic

logger = logging.getLogger(__name__)

SensorData: TypeAlias = dict[str, tuple[int, Any]]
"""Sensor name -> (frame, parsed data)."""

_SUBSCRIPTION_SECONDS = 1.0  # for the first data of a new sensor, before the world is ticked once more for it
_SUBSCRIPTION_TICKS = 3
_STRAGGLER_SECONDS = 0.5  # for a frame on its way, before it counts as not ticked
_SILENCE = 1.0  # [s] after which a frame that was only asked for is asked after
_SPARE_SECONDS = 1.0  # the client's own time-outs come first: their messages say more


@dataclass(frozen=True)
class TickedWorld:
    """What a ticker works with. It stays as it is: a tick that was given up may still end in its thread when the
    environment has long moved on to another world.

    Attributes:
        world: The world.
        calls: Makes the calls that wait for its server.
        timeout: Seconds that a tick may take.
        sensors: Whose data belong to the last tick's frame.
        sensors_are_new: Whether they may not listen yet.
    """

    world: carla.World
    calls: BoundedCalls
    timeout: float
    sensors: SensorInterface
    sensors_are_new: bool = False


class Ticker(abc.ABC):
    """Makes the ticks of one step: `begin` returns while the server works, `finish` waits."""

    @abc.abstractmethod
    def begin(self, repeat: int) -> None:
        """Begin so many ticks; `finish` has to follow.

        Raises:
            ServerError: The server is lost.
        """

    @abc.abstractmethod
    def finish(self) -> tuple[int, SensorData]:
        """Wait for the ticks that have begun; return the last one's frame, and what the sensors saw of it.

        Raises:
            ServerError: The server died or hung.
            SensorTimeoutError: A sensor fell silent.
        """

    @abc.abstractmethod
    def tick(self) -> int:
        """Advance the world by one step without a look at the sensors; return the frame.

        Nothing bounds the wait: call it by `BoundedCalls.call`.
        """


class PlainTicker(Ticker):
    """Asks for each tick and waits for it, as any server of CARLA's protocol has it.

    Args:
        place: What it works with.
    """

    def __init__(self, place: TickedWorld) -> None:
        self.place = place
        self._whole: PendingCall[tuple[int, SensorData]] | None = None

    def begin(self, repeat: int) -> None:
        place = self.place
        goal = self.ask_ahead(repeat)
        # Several things are waited for as one where ticks were asked for ahead, and where sensors begin to listen.
        parts = repeat + 1 if goal or place.sensors_are_new else 1
        seconds = place.timeout * parts + _SPARE_SECONDS
        self._whole = place.calls.begin(self._finish_and_read, repeat, goal, timeout=seconds)

    def finish(self) -> tuple[int, SensorData]:
        assert self._whole is not None, "finish() without begin()"
        whole, self._whole = self._whole, None
        return whole.result()

    def tick(self) -> int:
        frame = self.place.world.tick(self.place.timeout)
        self.place.calls.note_progress()
        return frame

    def ask_ahead(self, repeat: int) -> int:
        """Ask for as many of the ticks as need no waiting; return the frame that the last one leads to, or 0."""
        return 0

    def finish_ticks(self, repeat: int, goal: int) -> int:
        """Make the ticks that were not asked for ahead; return the frame.

        Args:
            repeat: Ticks of the step.
            goal: What `ask_ahead` has returned.
        """
        if goal:
            frame = self.place.world.tick(self.place.timeout * repeat)
            repeat = goal - frame  # a queued tick that failed is not known yet
        for _ in range(repeat):
            frame = self.tick()
        return frame

    def _finish_and_read(self, repeat: int, goal: int) -> tuple[int, SensorData]:
        """Tick, then wait for the sensors: as one call, so that the end of the server cuts any part of it short."""
        place = self.place
        frame = self.finish_ticks(repeat, goal)
        if place.sensors_are_new:
            # Listening begins some time after it was asked for, so a simulator may have ticked without it.
            # And an episode begins with a frame of which there are pictures.
            for _ in range(_SUBSCRIPTION_TICKS + place.sensors.ticks_per_step):
                try:
                    data = place.sensors.get_data(frame, min(_SUBSCRIPTION_SECONDS, place.timeout))
                except SensorTimeoutError as error:
                    logger.info("Another tick for sensors that do not listen yet: %s", error)
                    frame = self.tick()
                    continue
                ticks = place.sensors.ticks_to_pictures(frame)
                if not ticks:
                    return frame, data
                for _ in range(ticks):
                    frame = self.tick()
        return frame, place.sensors.get_data(frame, place.timeout)


class FrameTicker(PlainTicker):
    """Asks for all ticks at once and only waits until the last one's frame arrives, where the sensors allow it.

    Args:
        place: What it works with.
        frames: Notices the frames that arrive.
    """

    def __init__(self, place: TickedWorld, frames: FrameWatch) -> None:
        super().__init__(place)
        self.frames = frames
        self._expected: PendingCall[int] | None = None
        self._goal = 0

    def begin(self, repeat: int) -> None:
        if not self._may_only_ask():
            super().begin(repeat)
            return
        place = self.place
        self._goal = place.world.get_snapshot().frame + repeat
        self._expected = place.calls.expect(f"The tick to frame {self._goal}", place.timeout * (repeat + 1))
        self.frames.expect(self._goal, self._expected)
        self._ask(repeat, self._expected)

    def finish(self) -> tuple[int, SensorData]:
        if self._expected is None:
            return super().finish()
        place, expected = self.place, self._expected
        self._expected = None
        if expected.came_within(_SILENCE):
            frame = expected.result()
        else:
            frame = place.calls.call(self._make_up, timeout=place.timeout + _SPARE_SECONDS)
            if not expected.done:
                self.frames.stop()  # it has heard nothing, as when another client has loaded a world
        return frame, place.sensors.get_data(frame, place.timeout)

    def _may_only_ask(self) -> bool:
        """Whether nothing but the frame has to be awaited: no sensor's message, and no answer."""
        place = self.place
        return not (place.sensors_are_new or place.sensors.has_streams or place.sensors.asks_server)

    @abc.abstractmethod
    def _ask(self, count: int, arrival: PendingCall[int]) -> None:
        """Ask for so many ticks without waiting.

        Args:
            count: How many.
            arrival: Ends with the last one's frame, or with an error of asking for it.
        """

    def _make_up(self) -> int:
        """Find out why the frame does not arrive; return the frame when it is there after all.

        Raises:
            RuntimeError: What the tick has failed of, or makes it fail again.
        """
        self._flush_commands()  # answered after all ticks that were asked for
        with contextlib.suppress(ServerHangError):
            self.frames.wait_for(self._goal, _STRAGGLER_SECONDS)
        frame = self.place.world.get_snapshot().frame
        while frame < self._goal:
            frame = self.tick()
        return frame

    def _flush_commands(self) -> None:
        """Have the server know all that this client has sent without waiting for an answer."""
        self.place.world.get_settings()
        self.place.calls.note_progress()


class BundledTicker(FrameTicker):
    """Asks the embedded server for several ticks in one message, which saves the way there and back.

    Args:
        place: What it works with.
        frames: Notices the frames that arrive.
        send: `carla.Client.apply_batch` of a server that takes several ticks at once.
    """

    def __init__(self, place: TickedWorld, frames: FrameWatch, send: Callable[[list[Any], bool], None]) -> None:
        super().__init__(place, frames)
        self._send = send

    def ask_ahead(self, repeat: int) -> int:
        if repeat < 2:
            return 0
        goal = self.place.world.get_snapshot().frame + repeat
        self._queue(repeat - 1)
        return goal

    def _ask(self, count: int, arrival: PendingCall[int]) -> None:
        self._queue(count)

    def _queue(self, count: int) -> None:
        while count > 0:
            at_once = min(count, MOST_TICKS)
            self._send(ticks_at_once(at_once), True)
            count -= at_once


class TrafficTicker(FrameTicker):
    """Has the traffic's process tick. While the step looks at a frame, the Traffic Manager already decides about the
    next one.

    Args:
        place: What it works with.
        frames: Notices the frames that arrive.
        traffic: The traffic's process.
        rests: Whether the Traffic Manager has to be at rest between two steps, since it is told things from here.
    """

    def __init__(self, place: TickedWorld, frames: FrameWatch, traffic: Traffic, rests: bool = False) -> None:
        super().__init__(place, frames)
        self._traffic = traffic
        self._rests = rests

    def tick(self) -> int:
        self._flush_commands()  # the hero's control above all: the process has a connection of its own
        frame = self._traffic.tick()
        self.place.calls.note_progress()
        self.frames.wait_for(frame, self.place.timeout)
        self.place.calls.note_progress()
        return frame

    def _may_only_ask(self) -> bool:
        return not self._rests and super()._may_only_ask()

    def _ask(self, count: int, arrival: PendingCall[int]) -> None:
        self.place.calls.hand_over(arrival, self._let_traffic_tick, count)

    def _let_traffic_tick(self, count: int) -> None:
        self._traffic.settle()
        self._flush_commands()
        self._traffic.begin_ticks(count)

    def _make_up(self) -> int:
        self._traffic.settle()
        self.place.calls.note_progress()
        return super()._make_up()
