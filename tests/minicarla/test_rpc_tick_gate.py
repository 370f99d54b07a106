"""A synchronous Traffic Manager that misses a wake-up is woken; one that does not is left alone."""

from __future__ import annotations

import socket
import threading
import time

import carla
import msgpack
import pytest

from minicarla.rpc.quirks import synchronous_traffic as tick_gate
from minicarla.rpc.quirks import wake_up as rescue
from minicarla.rpc.quirks.synchronous_traffic import TickGate
from tests.minicarla.raw_client import RawClient
from tests.ports import free_port

_TIMEOUT = 60.0


class _Connection:
    """What the gate needs of a connection."""

    closed = False


class _ManagerPort:
    """Answers as a Traffic Manager's port does, and notes the calls."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.calls: list[tuple[str, list[object]]] = []
        self.called = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                unpacker = msgpack.Unpacker()
                while data := connection.recv(4096):
                    unpacker.feed(data)
                    for _, number, name, arguments in unpacker:
                        self.calls.append((name, arguments))
                        connection.sendall(msgpack.packb([1, number, None, None]))
                        self.called.release()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread
        self._thread.join(_TIMEOUT)
        self._listener.close()


@pytest.fixture
def manager():
    port = _ManagerPort()
    yield port
    port.close()


class _Clock:
    """Stands for the `time` module where a test sets the time."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The gate's limits are milliseconds, for which a busy machine may leave the test aside."""
    own = _Clock()
    monkeypatch.setattr(tick_gate, "time", own)
    return own


def _gate_after_one_cycle(port: int) -> tuple[TickGate, _Connection]:
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", port)
    gate.ticked(connection)
    for method in ("get_vehicle_light_states", "get_weather_parameters", "apply_batch", "get_episode_settings"):
        gate.observe(connection, method)
    return gate, connection


def test_a_tick_waits_until_the_thread_asked_for_the_settings(manager, clock):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "get_vehicle_light_states")
    gate.observe(connection, "apply_batch")
    assert gate.must_wait(connection, 5)
    assert gate.due_ticks(clock.now) == []
    gate.observe(connection, "get_episode_settings")
    assert gate.due_ticks(clock.now + tick_gate.GRACE) == [(connection, 5)]


def test_a_tick_waits_for_the_end_of_a_cycle_that_the_client_did_not_wait_for(manager, clock):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "get_vehicle_light_states")
    assert gate.must_wait(connection, 5)
    gate.observe(connection, "apply_batch")
    gate.observe(connection, "get_episode_settings")
    assert gate.due_ticks(clock.now + tick_gate.GRACE) == [(connection, 5)]


def test_a_spawn_is_answered_when_the_thread_rests(manager, clock):
    gate, connection = TickGate(), _Connection()
    connection.write = lambda answer: sent.append(answer)
    sent: list[bytes] = []
    gate.register(connection, "127.0.0.1", manager.port)
    assert not gate.hold(connection, b"idle")
    gate.observe(connection, "get_vehicle_light_states")
    assert gate.hold(connection, b"spawned")
    gate.observe(connection, "apply_batch")
    gate.observe(connection, "get_episode_settings")
    gate.answer_held(clock.now)
    assert sent == []
    gate.answer_held(gate.next_due())
    assert sent == [b"spawned"]


def test_a_spawn_is_answered_in_time_also_if_the_thread_never_rests(manager, clock):
    gate, connection = TickGate(), _Connection()
    connection.write = lambda answer: sent.append(answer)
    sent: list[bytes] = []
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "get_vehicle_light_states")
    assert gate.hold(connection, b"spawned")
    gate.answer_held(clock.now + tick_gate.LONGEST_CYCLE)
    assert sent == [b"spawned"]


def test_a_cycle_of_a_thread_that_drives_nothing_ends_without_a_batch(manager):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "get_vehicle_light_states")
    gate.observe(connection, "get_episode_settings")
    assert not gate.must_wait(connection, 5)
    assert gate.hold(connection, b"a spawn"), "made synchronous meanwhile, the thread may have a cycle to run"


def test_a_tick_waits_no_longer_than_its_limit(manager, clock):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "get_vehicle_light_states")
    gate.observe(connection, "apply_batch")
    assert gate.must_wait(connection, 5)
    assert gate.due_ticks(clock.now + tick_gate.LONGEST_WAIT) == [(connection, 5)]


def test_a_tick_waits_longer_for_a_cycle_that_surely_is_under_way(manager, clock):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "get_vehicle_light_states")
    gate.observe(connection, "get_weather_parameters")
    assert gate.must_wait(connection, 5)
    clock.now += 2.0 * tick_gate.LONGEST_WAIT
    assert gate.due_ticks(clock.now) == []
    assert clock.now < gate.next_due() <= clock.now + tick_gate.LONGEST_SILENCE
    clock.now += tick_gate.LONGEST_SILENCE
    assert gate.due_ticks(clock.now) == [(connection, 5)]


def test_a_spawn_waits_for_a_cycle_that_a_thread_begins_without_a_tick(manager, clock):
    gate, connection = _gate_after_one_cycle(manager.port)
    connection.write = lambda answer: sent.append(answer)
    sent: list[bytes] = []
    clock.now += 2.0 * tick_gate.GRACE
    assert gate.hold(connection, b"spawned")
    gate.observe(connection, "get_vehicle_light_states")
    clock.now += tick_gate.UNSEEN_BEGINNING
    gate.answer_held(clock.now)
    assert sent == [], "it works on what it saw before the spawn"
    for method in ("get_weather_parameters", "apply_batch", "get_episode_settings"):
        gate.observe(connection, method)
    clock.now = gate.next_due()
    gate.answer_held(clock.now)
    assert sent == [b"spawned"]
    assert not gate.hold(connection, b"spawned soon afterwards")


def test_a_user_who_looks_at_the_lights_delays_nothing(manager, clock):
    gate, connection = _gate_after_one_cycle(manager.port)
    clock.now += tick_gate.UNSEEN_BEGINNING
    gate.observe(connection, "get_vehicle_light_states")
    assert not gate.must_wait(connection, 5)
    assert not gate.hold(connection, b"a spawn")


def test_a_spawn_waits_for_an_asynchronous_thread_that_has_not_begun_its_cycle(manager, clock):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.ticked(connection)
    assert gate.hold(connection, b"a spawn")
    clock.now += tick_gate.LONGEST_WAIT_FOR_REST
    assert not gate.hold(connection, b"another"), "a thread that waits for its own client's ticks begins none"


def test_a_thread_that_gives_no_sign_after_its_first_tick_is_woken_once(manager, clock):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.ticked(connection)
    assert not gate.must_wait(connection, 5), "a tick that is no sign for the thread delays nothing"
    gate.rescue_lost(clock.now + tick_gate.PATIENCE_AFTER_FIRST_TICK)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls[0] == ("set_synchronous_mode", [False])
    assert gate.next_due() is None


def test_batches_of_the_user_hold_no_tick_back(manager):
    gate, connection = TickGate(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "apply_batch")
    assert not gate.must_wait(connection, 5)


def test_a_thread_that_begins_no_cycle_after_a_tick_is_woken(manager, clock):
    gate, connection = _gate_after_one_cycle(manager.port)
    gate.ticked(connection)
    now = clock.now
    gate.rescue_lost(now)
    assert manager.calls == []
    gate.rescue_lost(now + 2 * tick_gate.PATIENCE_AFTER_TICK)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls == [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])]


def test_a_thread_that_never_wakes_is_given_up_after_some_attempts(manager):
    gate, connection = _gate_after_one_cycle(manager.port)
    gate.ticked(connection)
    attempts = 0
    while (due := gate.next_due()) is not None:
        attempts += 1
        assert attempts < 20
        gate.rescue_lost(due)
    assert attempts > 1


def test_a_thread_that_begins_its_cycle_is_left_alone(manager):
    gate, connection = _gate_after_one_cycle(manager.port)
    gate.ticked(connection)
    gate.observe(connection, "get_vehicle_light_states")
    assert gate.next_due() is None


def test_a_thread_that_follows_the_ticks_of_another_client_is_woken_too(manager, clock):
    gate, connection = _gate_after_one_cycle(manager.port)
    other = _Connection()
    for _ in range(tick_gate.SURELY_IN_STEP - 1):
        gate.ticked(other)
        assert gate.next_due() > clock.now + 2 * tick_gate.PATIENCE_AFTER_TICK
        for method in ("get_vehicle_light_states", "get_weather_parameters", "apply_batch", "get_episode_settings"):
            gate.observe(connection, method)
    gate.ticked(other)
    gate.rescue_lost(clock.now + 2 * tick_gate.PATIENCE_AFTER_TICK)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls[0] == ("set_synchronous_mode", [False])


def test_a_thread_that_takes_no_notice_of_another_clients_ticks_is_left_alone(manager, clock):
    gate, connection = _gate_after_one_cycle(manager.port)
    other = _Connection()
    for number in range(3 * tick_gate.SURELY_IN_STEP):
        gate.ticked(other)
        for _ in range(number % 3):
            for method in ("get_vehicle_light_states", "apply_batch", "get_episode_settings"):
                gate.observe(connection, method)
    gate.ticked(other)
    gate.rescue_lost(clock.now + 2 * tick_gate.PATIENCE_AFTER_TICK)
    assert not manager.called.acquire(timeout=0.2)


def test_a_long_silence_after_a_cycle_is_broken_once(manager, clock):
    gate, _ = _gate_after_one_cycle(manager.port)
    later = clock.now + tick_gate.PATIENCE_AFTER_CYCLE
    gate.rescue_lost(later)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls == [("synchronous_tick", [])]
    gate.rescue_lost(later + 10 * tick_gate.PATIENCE_AFTER_CYCLE)
    assert gate.next_due() is None


def test_a_tick_that_waits_for_a_traffic_manager_outlives_it(manager, clock):
    gate, connection, other = TickGate(), _Connection(), _Connection()
    gate.register(connection, "127.0.0.1", manager.port)
    gate.observe(connection, "get_vehicle_light_states")
    gate.observe(connection, "apply_batch")
    assert gate.must_wait(other, 5)
    gate.unregister(manager.port)
    assert gate
    assert gate.next_due() is not None
    assert gate.due_ticks(clock.now) == [(other, 5)]
    assert not gate


def test_a_tick_waits_for_all_traffic_managers_of_a_connection(manager, clock):
    gate, connection = TickGate(), _Connection()
    for port in (1, manager.port):
        gate.register(connection, "127.0.0.1", port)
        gate.observe(connection, "get_vehicle_light_states")
    for _ in range(2):
        gate.observe(connection, "apply_batch")
    gate.observe(connection, "get_episode_settings")
    assert gate.must_wait(connection, 5)
    assert gate.due_ticks(clock.now) == []
    gate.observe(connection, "get_episode_settings")
    assert gate.due_ticks(clock.now + tick_gate.GRACE) == [(connection, 5)]
    gate.ticked(connection)
    gate.observe(connection, "get_vehicle_light_states")
    gate.rescue_lost(clock.now + 2 * tick_gate.PATIENCE_AFTER_TICK)
    assert manager.called.acquire(timeout=_TIMEOUT), "one of the two threads missed its wake-up"
    gate.unregister(1)
    assert gate.has_traffic_manager(connection)


def test_the_end_of_a_client_forgets_no_traffic_manager_of_another_one(embedded_server):
    port = 61234
    with RawClient(embedded_server) as first, RawClient(embedded_server) as second, RawClient(embedded_server) as third:
        assert first.call("add_traffic_manager_running", ["127.0.0.1", port])[3] == [[1, True]]
        assert second.call("add_traffic_manager_running", ["127.0.0.1", port])[3] == [[1, False]]
        first.call("destroy_traffic_manager", port)
        assert second.call("add_traffic_manager_running", ["127.0.0.1", port])[3] == [[1, True]]
        first.close()
        third.call("version")
        assert third.call("is_traffic_manager_running", port)[3] == [[1, True]]
        second.close()
        deadline = time.monotonic() + _TIMEOUT
        while third.call("is_traffic_manager_running", port)[3] != [[1, False]]:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("wake", [rescue.wake_traffic_manager, rescue.wake_main_thread])
def test_a_real_traffic_manager_survives_being_woken_for_nothing(carla_client, wake):
    world = carla_client.get_world()
    port = free_port()
    manager = carla_client.get_trafficmanager(port)
    manager.set_synchronous_mode(True)
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    car.set_autopilot(True, port)
    for _ in range(20):
        world.tick()
    for _ in range(3):
        wake("127.0.0.1", port)
        for thread in threading.enumerate():
            if thread.name == "rescue":
                thread.join(_TIMEOUT)
        for _ in range(20):
            world.tick()
    speed = car.get_velocity().length()
    car.set_autopilot(False, port)
    world.tick()
    manager.shut_down()
    assert isinstance(car, carla.Vehicle)
    assert speed > 1.0


def test_a_traffic_manager_on_a_machine_without_a_route_is_found_where_its_client_looked_for_one(embedded_server):
    port = 61235
    with RawClient(embedded_server) as first, RawClient(embedded_server) as second:
        assert first.call("is_traffic_manager_running", port)[3] == [[1, False]]
        assert first.call("add_traffic_manager_running", ["", 0])[3] == [[1, True]]
        assert second.call("is_traffic_manager_running", port)[3] == [[1, True]]
        assert second.call("get_traffic_manager_running", port)[3] == [[1, ["127.0.0.1", port]]]
