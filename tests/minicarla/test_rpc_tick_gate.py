"""A synchronous Traffic Manager that misses a wake-up is woken; one that does not is left alone."""

from __future__ import annotations

import socket
import threading
import time

import carla
import msgpack
import pytest

from minicarla.rpc import traffic_port
from minicarla.rpc.deferrals import PATIENCE as BOUND
from minicarla.rpc.quirks.synchronous_traffic import SynchronousTraffic
from minicarla.rpc.session import Client
from minicarla.rpc.traffic_cycles import (
    GRACE,
    LOST_BEGIN,
    LOST_END,
    LOST_FIRST_BEGIN,
    SURELY_IN_STEP,
    UNSEEN_BEGINNING,
)
from tests.minicarla.quirk_rig import CYCLE, Rig, client_at
from tests.minicarla.raw_client import RawClient
from tests.ports import free_port

_TIMEOUT = 60.0
_LITTLE = 1e-6
"""[s] for what is due just now."""


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


@pytest.fixture
def gate(rig):
    rig.quirk = SynchronousTraffic(rig.deferrals, rig.managers.owners, lambda: rig.is_synchronous)
    return rig


@pytest.fixture
def client(gate, manager):
    """A client with a Traffic Manager."""
    one = client_at()
    gate.managers.add(manager.port, one)
    return one


def _one_cycle(gate: Rig, client: Client) -> None:
    gate.quirk.ticked(client)
    gate.calls(client, *CYCLE)


def test_a_tick_waits_until_the_thread_asked_for_the_settings_and_fell_asleep(gate, client):
    gate.calls(client, "get_vehicle_light_states")
    assert gate.ask(client, "tick_cue")
    assert gate.go_on() == []
    gate.calls(client, "get_weather_parameters", "apply_batch")
    assert gate.go_on(0.5 * BOUND) == []
    gate.calls(client, "get_episode_settings")
    assert gate.go_on() == []
    assert gate.deferrals.next_due() == gate.now + GRACE
    assert gate.go_on(GRACE + _LITTLE) == ["tick_cue"]


def test_a_tick_waits_no_longer_than_its_bound_and_the_next_one_not_at_all(gate, client, caplog):
    gate.calls(client, "get_vehicle_light_states")
    assert gate.ask(client, "tick_cue")
    assert gate.go_on(BOUND + _LITTLE) == ["tick_cue"]
    assert "127.0.0.1:1 gave no sign within" in caplog.text
    assert not gate.ask(client, "tick_cue"), "what looked like a cycle was none"


def test_a_spawn_is_answered_when_the_thread_rests(gate, client):
    gate.go_on(UNSEEN_BEGINNING)
    assert not gate.answer(client, "idle")
    gate.calls(client, "get_vehicle_light_states")
    assert gate.answer(client, "spawned")
    gate.calls(client, "get_weather_parameters", "apply_batch", "get_episode_settings")
    assert gate.go_on() == ["idle"]
    gate.now = gate.deferrals.next_due()
    assert gate.go_on() == ["spawned"]


def test_a_cycle_of_a_thread_that_drives_nothing_ends_without_a_batch(gate, client):
    gate.calls(client, "get_vehicle_light_states", "get_episode_settings")
    assert not gate.ask(client, "tick_cue")
    assert gate.answer(client, "a spawn"), "made synchronous meanwhile, the thread may have a cycle to run"


def test_a_spawn_waits_for_a_cycle_that_a_thread_begins_without_a_tick(gate, client):
    _one_cycle(gate, client)
    gate.now += 2.0 * GRACE
    assert gate.answer(client, "spawned")
    gate.calls(client, "get_vehicle_light_states")
    assert gate.go_on(UNSEEN_BEGINNING) == [], "it works on what it saw before the spawn"
    gate.calls(client, *CYCLE[1:])
    gate.now = gate.deferrals.next_due()
    assert gate.go_on() == ["spawned"]
    assert not gate.answer(client, "spawned soon afterwards")


def test_a_user_who_looks_at_the_lights_delays_nothing(gate, client):
    _one_cycle(gate, client)
    gate.go_on(UNSEEN_BEGINNING)
    gate.calls(client, "get_vehicle_light_states")
    assert not gate.ask(client, "tick_cue")
    assert not gate.answer(client, "a spawn")


def test_batches_of_the_user_hold_no_tick_back(gate, client):
    gate.calls(client, "apply_batch")
    assert not gate.ask(client, "tick_cue")


def test_a_spawn_waits_for_an_asynchronous_thread_that_has_not_begun_its_cycle(gate, client):
    gate.quirk.ticked(client)
    assert gate.answer(client, "a spawn")
    assert gate.go_on(UNSEEN_BEGINNING) == ["a spawn"], "a thread that waits for its own client's ticks begins none"


def test_a_thread_that_gives_no_sign_after_its_first_tick_is_woken_once(gate, client, manager):
    gate.quirk.ticked(client)
    assert not gate.ask(client, "tick_cue"), "a tick that is no sign for the thread delays nothing"
    assert gate.quirk.rescue_lost(gate.now + LOST_FIRST_BEGIN) is None
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls[0] == ("set_synchronous_mode", [False])


def test_a_thread_that_begins_no_cycle_after_a_tick_is_woken(gate, client, manager):
    _one_cycle(gate, client)
    gate.quirk.ticked(client)
    gate.quirk.rescue_lost(gate.now)
    assert manager.calls == []
    gate.quirk.rescue_lost(gate.now + LOST_BEGIN)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls == [("set_synchronous_mode", [False]), ("set_synchronous_mode", [True])]


def test_a_thread_that_never_wakes_is_given_up_after_some_attempts(gate, client):
    _one_cycle(gate, client)
    gate.quirk.ticked(client)
    attempts, due = 0, gate.quirk.rescue_lost(gate.now)
    while due is not None:
        attempts += 1
        assert attempts < 20
        due = gate.quirk.rescue_lost(due)
    assert attempts > 1


def test_a_thread_that_begins_its_cycle_is_left_alone(gate, client):
    _one_cycle(gate, client)
    gate.quirk.ticked(client)
    gate.calls(client, "get_vehicle_light_states")
    assert gate.quirk.rescue_lost(gate.now) is None


def test_a_thread_that_follows_the_ticks_of_another_client_is_woken_too(gate, client, manager):
    _one_cycle(gate, client)
    other = client_at()
    for _ in range(SURELY_IN_STEP - 1):
        gate.quirk.ticked(other)
        assert gate.quirk.rescue_lost(gate.now) > gate.now + 2 * LOST_BEGIN
        gate.calls(client, *CYCLE)
    gate.quirk.ticked(other)
    gate.quirk.rescue_lost(gate.now + LOST_BEGIN)
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls[0] == ("set_synchronous_mode", [False])


def test_a_thread_that_takes_no_notice_of_another_clients_ticks_is_left_alone(gate, client, manager):
    _one_cycle(gate, client)
    other = client_at()
    for number in range(3 * SURELY_IN_STEP):
        gate.quirk.ticked(other)
        for _ in range(number % 3):
            gate.calls(client, "get_vehicle_light_states", "apply_batch", "get_episode_settings")
    gate.quirk.ticked(other)
    gate.quirk.rescue_lost(gate.now + 2 * LOST_BEGIN)
    assert not manager.called.acquire(timeout=0.2)


def test_a_long_silence_after_a_cycle_is_broken_once(gate, client, manager):
    _one_cycle(gate, client)
    assert gate.quirk.rescue_lost(gate.now + LOST_END) is None
    assert manager.called.acquire(timeout=_TIMEOUT)
    assert manager.calls == [("synchronous_tick", [])]


def test_a_tick_that_waits_for_a_traffic_manager_outlives_it(gate, client, manager):
    other = client_at()
    gate.calls(client, "get_vehicle_light_states", "apply_batch")
    assert gate.ask(other, "tick_cue")
    gate.managers.remove(manager.port)
    assert gate.go_on() == ["tick_cue"]


def test_a_tick_waits_for_all_traffic_managers_of_a_client(gate, client, manager):
    gate.managers.add(1, client)
    for _ in range(2):
        gate.calls(client, "get_vehicle_light_states")
    gate.calls(client, "apply_batch", "apply_batch", "get_episode_settings")
    assert gate.ask(client, "tick_cue")
    assert gate.go_on(2.0 * GRACE) == []
    gate.calls(client, "get_episode_settings")
    assert gate.go_on(GRACE + _LITTLE) == ["tick_cue"]
    gate.quirk.ticked(client)
    gate.calls(client, "get_vehicle_light_states")
    gate.quirk.rescue_lost(gate.now + LOST_BEGIN)
    assert manager.called.acquire(timeout=_TIMEOUT), "one of the two threads missed its wake-up"
    gate.managers.remove(1)
    assert client.traffic is not None


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


@pytest.mark.parametrize("wake", [traffic_port.wake_traffic_manager, traffic_port.wake_main_thread])
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
            if thread.name == "traffic manager calls":
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
