"""The meeting point of the client's threads, which deliver messages, and the step, which wants one frame.

The contract: `SensorInterface.get_data` returns data of exactly the ticked frame for every sensor that
speaks at every tick. What is older is dropped, what is newer is kept for its own step. One condition variable
joins the threads; nothing polls.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import carla

from rllib_integration.annotations import Reading, Record
from rllib_integration.errors import IntegrationError
from rllib_integration.sensors.actor_roster import Ask, call
from rllib_integration.sensors.base_sensor import BaseSensor, EventSensor, PseudoSensor, SensorConfigError

if TYPE_CHECKING:
    from rllib_integration.roads.routes import Route

logger = logging.getLogger(__name__)

MAX_PENDING_MESSAGES = 32
"""Unread messages kept for each sensor that speaks every tick; the oldest go first."""

MAX_PENDING_EVENTS = 4096
"""Unread events kept for each event sensor; the oldest go first, with a warning."""

LATE_SECONDS = 0.25
"""How long a step waits for a sensor with a longer `sensor_tick` that should speak now; its previous data is
used after that, because a simulator's own rounding may put a capture one tick later."""


EVENT_SECONDS = 10.0
"""How long a step waits at most for events that the server has announced; they are on their way."""


class SensorTimeoutError(IntegrationError, RuntimeError):
    """A sensor did not deliver the data of the frame that was asked for."""


class _Mailbox:
    """Messages of one sensor that have not been read, and the last that was."""

    def __init__(self, sensor: BaseSensor) -> None:
        self.sensor = sensor
        self.pending: list[Reading] = []
        self.latest: Reading | None = None
        self.overflowed = False

    def newest(self, frame: int) -> int | None:
        """The newest frame not above `frame` of which there is data."""
        frames = [f for f, _ in self.pending if f <= frame]
        if self.latest is not None and self.latest[0] <= frame:
            frames.append(self.latest[0])
        return max(frames, default=None)

    def lacks(self, frame: int, patient: bool) -> bool:
        """Whether a step of `frame` still has to wait; `patient` also waits for what is merely due."""
        if self.sensor.is_event_sensor():
            return patient and not self.sensor.is_settled(frame)
        newest = self.newest(frame)
        ticks = self.sensor.ticks_between_data
        if newest is None:
            return True
        if ticks <= 1:
            return newest != frame
        if self.sensor.sends_once_a_step:
            return frame - newest >= ticks
        return frame - newest >= (ticks if patient else 2 * ticks)

    def has_lost_the_beat(self, frame: int) -> bool:
        """Whether the sensor sends, but not when it was due, so that its last data have to do."""
        newest = self.newest(frame)
        if not self.sensor.sends_once_a_step or newest is None:
            return False
        return frame - newest < 2 * self.sensor.ticks_between_data

    def take(self, frame: int) -> Reading | None:
        """Remove everything up to `frame` and return the newest of it, or None where the last read is newest."""
        best = None
        rest = []
        for message in self.pending:
            if message[0] > frame:
                rest.append(message)
            elif best is None or message[0] >= best[0]:
                best = message
        self.pending = rest
        if best is not None and self.latest is not None and best[0] <= self.latest[0] <= frame:
            return None
        return best

    def take_events(self, frame: int) -> list[Reading]:
        """Remove and return the events up to `frame`, ordered by frame, then by arrival."""
        due = [message for message in self.pending if message[0] <= frame]
        if due:
            self.pending = [message for message in self.pending if message[0] > frame]
            due.sort(key=lambda message: message[0])
        return due


class SensorInterface:
    """Keeps the hero's sensors and gathers their data frame by frame.

    Sensors whose names begin with an underscore are the library's own: their events are in `events`, but
    experiments do not find their data in `sensor_data`.

    Args:
        ask: Calls a function, with its arguments, that asks the server for something, and bounds how long that takes.

    Attributes:
        ask: That.
        events: After `get_data`, every event of the step: `{sensor name: [(frame, data), ...]}` in order.
        route: The hero's route, if it has one; the bird view draws it.
        map: The town, where it is known already; asking the server for it takes a while.
        blueprints: The simulator's blueprints, as `map`.
        memory: What sensors keep from one episode to the next; emptied with `abandon`.
        ticks_per_step: After how many ticks the data are read; cameras draw no more often.
        has_streams: Whether a sensor sends something at every tick, or at every few.
        streams_between: Whether one does so between the last frames of two steps.
        hears_every_frame: Whether a sensor has to hear of every tick.
        asks_server: Whether a sensor that is computed here asks the server for something.
        counts_events: Whether the server announces with each frame how many events it has sent.
        cameras_keep_the_beat: Whether cameras have drawn when they should. Once one did not, although its simulator
            was alive, all that are spawned later draw every tick.
    """

    cameras_keep_the_beat: ClassVar[bool] = True

    def __init__(self, ask: Ask = call) -> None:
        self.ask = ask
        self.events: dict[str, list[Reading]] = {}
        self.route: Route | None = None
        self.map: carla.Map | None = None
        self.blueprints: carla.BlueprintLibrary | None = None
        self.memory: Record = {}
        self._arrived = threading.Condition()
        self._mailboxes: dict[str, _Mailbox] = {}
        self._awaited: list[_Mailbox] = []  # those that a step may have to wait for
        self._wanted: int | None = None
        self.ticks_per_step = 1
        self.has_streams = self.streams_between = False
        self.asks_server = self.hears_every_frame = False
        self.counts_events = False

    @property
    def sensors(self) -> dict[str, BaseSensor]:
        """The registered sensors by name."""
        return {name: mailbox.sensor for name, mailbox in self._mailboxes.items()}

    def register(self, name: str, sensor: BaseSensor) -> None:
        """Add a sensor under a name of its own.

        Raises:
            SensorConfigError: The name is taken.
        """
        with self._arrived:
            if name in self._mailboxes:
                taken = type(self._mailboxes[name].sensor).__name__
                raise SensorConfigError(
                    f"There is already a sensor called '{name}' ({taken}): give each a name of its own."
                )
            self._mailboxes[name] = _Mailbox(sensor)
            self._note_streams()

    def unregister(self, name: str, sensor: BaseSensor | None = None) -> None:
        """Forget a sensor and its messages; unknown names, or another sensor's, are left alone."""
        with self._arrived:
            mailbox = self._mailboxes.get(name)
            if mailbox is not None and (sensor is None or mailbox.sensor is sensor):
                del self._mailboxes[name]
                self._note_streams()
                self.events.pop(name, None)
                self._arrived.notify_all()

    def _note_streams(self) -> None:
        boxes = self._mailboxes.values()
        self._awaited = [mailbox for mailbox in boxes if not isinstance(mailbox.sensor, PseudoSensor)]
        streams = [mailbox.sensor for mailbox in self._awaited if not mailbox.sensor.is_event_sensor()]
        self.has_streams = bool(streams)
        self.streams_between = not all(sensor.sends_once_a_step for sensor in streams)
        self.asks_server = any(mailbox.sensor.asks_server for mailbox in boxes)
        self.hears_every_frame = any(mailbox.sensor.hears_every_frame for mailbox in boxes)

    def push(self, sensor: BaseSensor, frame: int, data: object) -> None:
        """Take a raw message from a sensor. Called by the client's threads; messages of sensors that have left
        are dropped."""
        with self._arrived:
            mailbox = self._mailboxes.get(sensor.name)
            if mailbox is None or mailbox.sensor is not sensor:
                return
            mailbox.pending.append((frame, data))
            if sensor.is_event_sensor():
                if len(mailbox.pending) > MAX_PENDING_EVENTS:
                    if not mailbox.overflowed:
                        logger.warning("Nobody reads the events of sensor '%s': the oldest are dropped.", sensor.name)
                    mailbox.overflowed = True
                    del mailbox.pending[0]
                return
            if len(mailbox.pending) > MAX_PENDING_MESSAGES:
                del mailbox.pending[mailbox.pending.index(min(mailbox.pending, key=lambda message: message[0]))]
            if self._wanted is not None and frame <= self._wanted:
                self._arrived.notify_all()

    def get_data(self, frame: int | None = None, timeout: float = 10.0) -> dict[str, Reading]:
        """The data of a frame, waiting for sensors that have not delivered theirs.

        Args:
            frame: The frame that `world.tick()` returned. None is the newest that the client has received.
            timeout: Longest wait in seconds for all sensors together.

        Returns:
            `{sensor name: (frame, parsed data)}`. A sensor with a `sensor_tick` longer than the time step gives
            its latest data with that data's own frame. An event sensor is present only if it fired since the last
            call, with its strongest event; `events` has them all.

        Raises:
            SensorTimeoutError: A sensor did not deliver; its name, the frame and the wait are in the message.
        """
        if frame is None:
            frame = self._current_frame()
        if self.counts_events:
            self._await_events(timeout)
        with self._arrived:
            self._await_frame(frame, timeout)
            raw: Record = {}
            for name, mailbox in self._mailboxes.items():
                if mailbox.sensor.is_event_sensor():
                    raw[name] = mailbox.take_events(frame)
                elif not isinstance(mailbox.sensor, PseudoSensor):
                    raw[name] = mailbox.take(frame)
            mailboxes = list(self._mailboxes.items())
        self.events = {}
        data: dict[str, Reading] = {}
        for name, mailbox in mailboxes:
            reading = self._read(name, mailbox, raw.get(name), frame)
            if reading is not None and not name.startswith("_"):
                data[name] = reading
        return data

    def _read(self, name: str, mailbox: _Mailbox, raw: Any, frame: int) -> Reading | None:
        """Parse what was taken out of one mailbox."""
        sensor = mailbox.sensor
        if isinstance(sensor, PseudoSensor):
            if mailbox.latest is None or mailbox.latest[0] != frame:
                mailbox.latest = (frame, sensor.compute(frame))
            return mailbox.latest
        if sensor.is_event_sensor():
            if not raw:
                return None
            events = [(event_frame, sensor.parse(message)) for event_frame, message in raw]
            self.events[name] = events
            return max(events, key=lambda event: sensor.strength(event[1]))
        if raw is not None:
            mailbox.latest = (raw[0], sensor.parse(raw[1]))
        return mailbox.latest

    def ticks_to_pictures(self, frame: int) -> int:
        """How many ticks after a frame the sensors that send once a step are to send again; 0 = they have just."""
        waits = [
            (mailbox.latest[0] - frame) % mailbox.sensor.ticks_between_data
            for mailbox in self._mailboxes.values()
            if mailbox.sensor.sends_once_a_step and mailbox.latest is not None
        ]
        return max(waits, default=0)

    def wake(self, frame: int) -> None:
        """Look again whether a step of `frame` has everything. Called by the client's threads."""
        with self._arrived:
            if self._wanted is not None and frame <= self._wanted:
                self._arrived.notify_all()

    def event_came(self) -> None:
        """Look again whether all events have come. Called by the client's threads."""
        with self._arrived:
            self._arrived.notify_all()

    def _current_frame(self) -> int:
        """The newest world frame that the client of the sensors' parents has received."""
        for sensor in self.sensors.values():
            return sensor.parent.get_world().get_snapshot().frame
        return 0

    def _await_events(self, timeout: float) -> None:
        """Wait for the events that the server has announced with the newest frame."""
        behind = [
            (sensor, announced)
            for mailbox in self._awaited
            if isinstance(sensor := mailbox.sensor, EventSensor) and (announced := sensor.announced()) > sensor.heard
        ]
        if not behind:
            return
        with self._arrived:
            seconds = min(EVENT_SECONDS, timeout)
            self._arrived.wait_for(lambda: all(sensor.heard >= announced for sensor, announced in behind), seconds)
        for sensor, announced in behind:
            if sensor.heard < announced:
                lost, sensor.heard = announced - sensor.heard, announced
                logger.warning("Sensor '%s': %d events did not come within %g s.", sensor.name, lost, seconds)

    def _await_frame(self, frame: int, timeout: float) -> None:
        """Wait until every sensor has its data of `frame`."""

        def complete(patient: bool) -> bool:
            return not any(mailbox.lacks(frame, patient) for mailbox in self._awaited)

        if complete(patient=True):
            return
        deadline = time.monotonic() + timeout
        self._wanted = frame
        try:
            if not self._arrived.wait_for(lambda: complete(patient=True), min(LATE_SECONDS, timeout)):
                self._arrived.wait_for(lambda: complete(patient=False), max(0.0, deadline - time.monotonic()))
        finally:
            self._wanted = None
        late = [mailbox for mailbox in self._awaited if mailbox.lacks(frame, patient=False)]
        off_beat = [mailbox for mailbox in late if mailbox.has_lost_the_beat(frame)]
        if off_beat:
            logger.warning("%s Cameras draw every tick from now on.", _complaint(off_beat[0], frame, timeout))
            SensorInterface.cameras_keep_the_beat = False
        late = [mailbox for mailbox in late if mailbox not in off_beat]
        if late:
            raise SensorTimeoutError("; ".join(_complaint(mailbox, frame, timeout) for mailbox in late))

    def destroy(self) -> None:
        """Destroy every sensor and forget it. Twice is fine."""
        for sensor in list(self.sensors.values()):
            sensor.destroy()
        self._forget()

    def abandon(self) -> list[BaseSensor]:
        """Forget everything without a word to the simulator, for when that has died.

        Returns:
            The sensors that were there. Keep them for a while: their streams end in the client's own thread, and
            if that drops the last reference to the client, the process aborts.
        """
        sensors = list(self.sensors.values())
        for sensor in sensors:
            sensor.abandon()
        self._forget()
        self.map = self.blueprints = None
        self.memory = {}
        return sensors

    def _forget(self) -> None:
        with self._arrived:
            self._mailboxes.clear()
            self._note_streams()
            self.events = {}
            self.route = None
            self._arrived.notify_all()


def _complaint(mailbox: _Mailbox, frame: int, timeout: float) -> str:
    """A sentence about a sensor that did not deliver."""
    frames = [f for f, _ in mailbox.pending]
    if mailbox.latest is not None:
        frames.append(mailbox.latest[0])
    if frames:
        seen = (
            f"it has delivered frame {max(frames)} at most"
            if max(frames) < frame
            else (f"frame {frame} was left out, although frame {max(frames)} has come")
        )
    else:
        seen = "it has not delivered anything yet"
    sensor = mailbox.sensor
    return (
        f"Sensor '{sensor.name}' ({sensor.type_id or type(sensor).__name__}) did not deliver frame {frame} "
        f"within {timeout:g} s: {seen}. Is the simulator still running, and the sensor's parent alive?"
    )
