"""Every step gets data of exactly its frame, whatever the client's threads do."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import carla
import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rllib_integration.sensors import (
    BaseSensor,
    EventSensor,
    PseudoSensor,
    SensorInterface,
    SensorTimeoutError,
    sensor_interface,
)
from tests.patience import PATIENCE


class Message:
    """What a simulator sends: a frame and a value."""

    def __init__(self, frame: int, value: Any) -> None:
        self.frame = frame
        self.value = value


NOBODY: Any = None
"""Carries a sensor that does not ask who does."""


class Steady(BaseSensor):
    """Speaks at every tick, or at every n-th."""

    def __init__(self, name: str, interface: SensorInterface, ticks: int = 1) -> None:
        super().__init__(name, {}, interface, NOBODY)
        self.ticks_between_data = ticks

    def parse(self, data: Message) -> Any:
        return data.value


class Eventful(BaseSensor):
    """Speaks when something happens; its value is its strength."""

    def __init__(self, name: str, interface: SensorInterface) -> None:
        super().__init__(name, {}, interface, NOBODY)

    def is_event_sensor(self) -> bool:
        return True

    def parse(self, data: Message) -> Any:
        return data.value

    def strength(self, data: Any) -> float:
        return data


class Counting(PseudoSensor):
    """Counts how often it was computed."""

    calls = 0

    def compute(self, frame: int) -> Any:
        self.calls += 1
        return frame * 10


FIRST_FRAME = 100
STEPS = 6

deliveries = st.lists(
    st.tuples(
        st.integers(FIRST_FRAME - 5, FIRST_FRAME + STEPS + 3),  # frame of a stale, early or repeated message
        st.integers(0, STEPS - 1),  # step before which it arrives
    ),
    max_size=12,
)
events = st.lists(
    st.tuples(st.integers(0, STEPS - 1), st.integers(0, STEPS - 1), st.integers(0, 9)).filter(lambda e: e[1] >= e[0]),
    max_size=20,
)


@settings(max_examples=60)
@given(
    noise=deliveries,
    order=st.permutations(range(3)),
    delays=st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.003]), min_size=3 * STEPS, max_size=3 * STEPS),
)
def test_fault_12_every_sensor_gives_exactly_the_ticked_frame(noise: Any, order: Any, delays: Any) -> None:
    interface = SensorInterface()
    sensors = [Steady(f"sensor{i}", interface) for i in range(3)]
    for step in range(STEPS):
        frame = FIRST_FRAME + step
        for noise_frame, when in noise:
            if when == step and noise_frame != frame:
                sensors[noise_frame % 3].callback(Message(noise_frame, ("noise", noise_frame)))
        timers = [
            threading.Timer(delays[3 * step + i], sensors[i].callback, [Message(frame, ("data", frame))]) for i in order
        ]
        for timer in timers:
            timer.start()
        data = interface.get_data(frame, timeout=5.0)
        for timer in timers:
            timer.join()
        assert {name: reading[0] for name, reading in data.items()} == {s.name: frame for s in sensors}
        assert all(reading[1][1] == frame for reading in data.values())


def test_a_message_that_comes_early_waits_for_its_own_step() -> None:
    interface = SensorInterface()
    sensor = Steady("camera", interface)
    for frame in (2, 1, 3):
        sensor.callback(Message(frame, frame))
    for frame in (1, 2, 3):
        assert interface.get_data(frame, timeout=0.1) == {"camera": (frame, frame)}


@settings(max_examples=30)
@given(dropped=st.sets(st.tuples(st.integers(0, 2), st.integers(0, STEPS - 1)), max_size=4))
def test_fault_12_a_dropped_message_fails_its_own_step_by_name_and_no_other(dropped: set[tuple[int, int]]) -> None:
    interface = SensorInterface()
    sensors = [Steady(f"sensor{i}", interface) for i in range(3)]
    for step in range(STEPS):
        frame = FIRST_FRAME + step
        for i, sensor in enumerate(sensors):
            if (i, step) not in dropped:
                sensor.callback(Message(frame, frame))
        silent = [f"sensor{i}" for i in range(3) if (i, step) in dropped]
        if not silent:
            assert interface.get_data(frame, timeout=1.0) == {s.name: (frame, frame) for s in sensors}
            continue
        with pytest.raises(SensorTimeoutError, match=f"frame {frame} within") as error:
            interface.get_data(frame, timeout=0.01)
        assert [s.name for s in sensors if repr(s.name) in str(error.value)] == silent


@settings(max_examples=100)
@given(events=events)
def test_fault_13_every_event_is_delivered_once_in_order_in_the_first_step_that_can_have_it(events: Any) -> None:
    interface = SensorInterface()
    sensor = Eventful("bang", interface)
    expected: dict[int, list[tuple[int, int]]] = {}
    for happened, arrives, value in events:
        expected.setdefault(arrives, []).append((FIRST_FRAME + happened, value))
    for step in range(STEPS):
        for frame, value in expected.get(step, []):
            sensor.callback(Message(frame, value))
        data = interface.get_data(FIRST_FRAME + step, timeout=0.1)
        due = sorted(expected.get(step, []), key=lambda event: event[0])
        assert interface.events.get("bang", []) == due
        if due:
            assert data["bang"][1] == max(value for _, value in due)
        else:
            assert "bang" not in data


def test_a_step_waits_until_an_event_sensor_that_knows_has_said_all_about_the_frame() -> None:
    class Knowing(Eventful):
        settled = 0

        def is_settled(self, frame: int) -> bool:
            return self.settled >= frame

        def settle(self, frame: int) -> None:
            self.callback(Message(frame, 1.0))
            self.settled = frame
            self.interface.wake(frame)

    interface = SensorInterface()
    sensor = Knowing("lane", interface)
    timer = threading.Timer(0.02, sensor.settle, [5])
    timer.start()
    assert interface.get_data(5, timeout=5.0) == {"lane": (5, 1.0)}
    timer.join()
    assert interface.get_data(6, timeout=0.05) == {}  # it never settles: no reason to fail


def test_an_event_of_a_coming_frame_waits_for_its_own_step() -> None:
    interface = SensorInterface()
    sensor = Eventful("bang", interface)
    sensor.callback(Message(8, 1.0))
    assert interface.get_data(7) == {}
    assert interface.get_data(8) == {"bang": (8, 1.0)}
    assert interface.get_data(9) == {}


@settings(max_examples=60)
@given(ticks=st.integers(2, 5), stale=st.lists(st.integers(0, 9), max_size=5))
def test_fault_15_a_slow_sensor_gives_its_latest_data_with_that_datas_frame(ticks: int, stale: list[int]) -> None:
    interface = SensorInterface()
    sensor = Steady("slow", interface, ticks)
    for frame in stale:
        sensor.callback(Message(frame, frame))
    for step in range(3 * ticks):
        frame = 10 + step
        if step % ticks == 0:
            sensor.callback(Message(frame, frame))
        latest = frame - step % ticks
        assert interface.get_data(frame, timeout=1.0) == {"slow": (latest, latest)}


def test_a_slow_sensor_is_awaited_when_it_is_due() -> None:
    interface = SensorInterface()
    sensor = Steady("slow", interface, 2)
    sensor.callback(Message(10, 10))
    assert interface.get_data(11)["slow"] == (10, 10)
    timer = threading.Timer(0.02, sensor.callback, [Message(12, 12)])
    timer.start()
    assert interface.get_data(12)["slow"] == (12, 12)
    timer.join()


def test_a_slow_sensor_one_tick_late_neither_stalls_nor_fails_but_a_silent_one_does() -> None:
    interface = SensorInterface()
    sensor = Steady("slow", interface, 2)
    sensor.callback(Message(10, 10))
    interface.get_data(10)
    assert interface.get_data(12, timeout=0.5)["slow"] == (10, 10)
    with pytest.raises(SensorTimeoutError, match="'slow'"):
        interface.get_data(14, timeout=0.05)


def test_a_sensor_that_fails_to_deliver_names_itself_its_frame_and_the_wait() -> None:
    interface = SensorInterface()
    good, bad = Steady("good", interface), Steady("left_camera", interface)
    good.callback(Message(7, 0))
    bad.callback(Message(6, 0))
    bad.callback(Message(8, 0))
    with pytest.raises(RuntimeError, match=r"'left_camera'.*frame 7 within 0\.05 s.*frame 8 has come") as error:
        interface.get_data(7, timeout=0.05)
    assert "'good'" not in str(error.value)


def test_the_same_frame_can_be_read_twice_and_pseudo_sensors_are_computed_once() -> None:
    interface = SensorInterface()
    sensor, pseudo = Steady("camera", interface), Counting("count", {}, interface, NOBODY)
    sensor.callback(Message(3, "x"))
    assert interface.get_data(3) == interface.get_data(3) == {"camera": (3, "x"), "count": (3, 30)}
    assert pseudo.calls == 1


def test_fault_14_destroying_renaming_and_adding_sensors_between_episodes() -> None:
    interface = SensorInterface()
    first, event = Steady("camera", interface), Eventful("bang", interface)
    event.callback(Message(1, 1.0))
    interface.destroy()
    interface.destroy()
    assert interface.sensors == {}
    first.callback(Message(2, "late"))
    renamed, again = Steady("front", interface), Steady("camera", interface)
    first.callback(Message(3, "of the old camera"))
    first.destroy()
    renamed.callback(Message(3, "front"))
    again.callback(Message(3, "camera"))
    assert interface.get_data(3) == {"front": (3, "front"), "camera": (3, "camera")}
    renamed.destroy()
    again.callback(Message(4, "alone"))
    assert interface.get_data(4, timeout=0.5) == {"camera": (4, "alone")}


def test_a_simulator_that_counts_from_the_start_again_is_believed() -> None:
    interface = SensorInterface()
    sensor = Steady("camera", interface)
    sensor.callback(Message(500, "old"))
    interface.get_data(500)
    sensor.callback(Message(5, "new"))
    assert interface.get_data(5, timeout=0.5) == {"camera": (5, "new")}


def test_unread_messages_do_not_pile_up() -> None:
    interface = SensorInterface()
    sensor = Steady("camera", interface)
    for frame in range(10_000):
        sensor.callback(Message(frame, frame))
    mailbox = interface._mailboxes["camera"]
    assert len(mailbox.pending) < 100
    assert interface.get_data(9_999) == {"camera": (9_999, 9_999)}


def test_two_sensors_of_one_name_are_refused() -> None:
    interface = SensorInterface()
    Steady("camera", interface)
    with pytest.raises(ValueError, match="already a sensor called 'camera'"):
        Steady("camera", interface)


def test_an_error_while_parsing_reaches_the_step() -> None:
    class Broken(Steady):
        def parse(self, data: Message) -> Any:
            raise KeyError("no such channel")

    interface = SensorInterface()
    Broken("lidar", interface).callback(Message(1, 0))
    with pytest.raises(KeyError, match="no such channel"):
        interface.get_data(1)


def test_a_users_own_sensor_is_found_by_its_type_and_by_its_path() -> None:
    from rllib_integration.sensors import SensorFactory

    class Speed(PseudoSensor):
        type_id = "sensor.test.speed"

        def compute(self, frame: int) -> Any:
            return np.zeros(1, np.float32)

        @classmethod
        def space_for(cls, attributes: Any) -> gymnasium.Space:
            return gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)

    interface = SensorInterface()
    sensor = SensorFactory.spawn("speed", {"type": "sensor.test.speed"}, interface, NOBODY)
    assert isinstance(sensor, Speed)
    assert sensor.space().contains(interface.get_data(1)["speed"][1])
    by_path = SensorFactory.spawn("two", {"type": f"{__name__}:Counting"}, interface, NOBODY)
    assert type(by_path).__name__ == "Counting"


def test_an_unknown_type_is_named_with_the_nearest() -> None:
    from rllib_integration.sensors import SensorFactory

    with pytest.raises(RuntimeError, match=r"'sensor\.camera\.rbg'.*'sensor\.camera\.rgb'"):
        SensorFactory.spawn("camera", {"type": "sensor.camera.rbg"}, SensorInterface(), NOBODY)
    with pytest.raises(RuntimeError, match="no_such_module"):
        SensorFactory.spawn("mine", {"type": "no_such_module:Thing"}, SensorInterface(), NOBODY)
    with pytest.raises(RuntimeError, match="needs a type"):
        SensorFactory.spawn("mine", {}, SensorInterface(), NOBODY)


class Announcing(EventSensor):
    """A sensor of a server that tells how many messages are on their way."""

    def _spawn(self, attributes):
        self.sent = 0
        told: Any = SimpleNamespace(get_angular_velocity=lambda: carla.Vector3D(x=self.sent))
        self.sensor = told

    def parse(self, data):
        return data.frame


def test_a_step_waits_for_the_events_that_the_server_has_announced(monkeypatch):
    monkeypatch.setattr(sensor_interface, "EVENT_SECONDS", PATIENCE)
    interface = SensorInterface()
    sensor = Announcing("bumper", {}, interface, NOBODY)
    interface.counts_events, sensor.sent = True, 2
    messages = [SimpleNamespace(frame=3), SimpleNamespace(frame=4)]
    threads = [threading.Timer(0.05 * n, sensor._receive, [message]) for n, message in enumerate(messages, 1)]
    for thread in threads:
        thread.start()
    assert interface.get_data(4, PATIENCE)["bumper"][0] in (3, 4)
    assert interface.events == {"bumper": [(3, 3), (4, 4)]}
    assert interface.get_data(5) == {}
    for thread in threads:
        thread.join()


def test_an_announced_event_that_never_comes_is_missed_once(caplog):
    interface = SensorInterface()
    sensor = Announcing("bumper", {}, interface, NOBODY)
    interface.counts_events, sensor.sent = True, 1
    assert interface.get_data(1, timeout=0.05) == {}
    assert "'bumper': 1 events did not come within 0.05 s" in caplog.text
    caplog.clear()
    assert interface.get_data(2) == {}
    assert not caplog.text


def test_a_destroyed_sensor_has_announced_nothing():
    def fail():
        raise RuntimeError("trying to operate on a destroyed actor")

    interface = SensorInterface()
    sensor = Announcing("bumper", {}, interface, NOBODY)
    destroyed: Any = SimpleNamespace(get_angular_velocity=fail)
    interface.counts_events, sensor.sensor = True, destroyed
    assert interface.get_data(1) == {}
