"""A client that listens to a sensor twice would end its process: it is told so instead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from minicarla.rpc.quirks.second_listens import TOKEN_CALL, SecondListens
from minicarla.rpc.quirks.subscribing import Subscribing
from tests.minicarla.client_program import run_synchronous_client
from tests.minicarla.quirk_rig import FakeConnection, Rig, client_at

_LISTENER = """
sensor = world.spawn_actor(world.get_blueprint_library().find("sensor.other.gnss"), carla.Transform())
inbox = queue.Queue()
for number in range(3):
    sensor.listen(inbox.put)
    world.tick()
    inbox.get(timeout=20.0)
    try:
        sensor.listen(inbox.put)
    except RuntimeError as error:
        print(number, error, flush=True)
    sensor.stop()
os._exit(0)
"""


def test_a_second_listen_is_refused_until_the_first_one_stops(embedded_server):
    client = run_synchronous_client(_LISTENER, embedded_server[1], worker_threads=1)
    lines = client.stdout.splitlines()
    assert [line[:1] for line in lines] == ["0", "1", "2"], (client.returncode, client.stderr)
    assert all(line.endswith("call stop() before another listen()") for line in lines)


def _listens(rig: Rig, streams: Any) -> tuple[SecondListens, Subscribing, list]:
    clients = [client_at(f"127.0.0.1:{port}") for port in (1, 2)]
    subscribing = Subscribing(clients, lambda: {7}, rig.monotonic)
    listens = rig.quirk = SecondListens(streams, subscribing, rig.deferrals, clients)
    return listens, subscribing, clients


def test_a_call_waits_for_the_subscription_before_it(rig):
    streams = SimpleNamespace(subscribers={})
    listens, subscribing, (client, other) = _listens(rig, streams)
    assert not listens.is_one(client, 7)
    assert not rig.ask(client, TOKEN_CALL, 7)
    listens.note(client, 7, {7})
    subscribing.announce(client, 7)
    assert not rig.ask(other, TOKEN_CALL, 7)
    assert rig.ask(client, TOKEN_CALL, 7)
    assert not rig.ask(client, TOKEN_CALL, 7), "one at a time"
    rig.done.clear()
    assert rig.go_on() == []
    subscribing.arrived(7)
    streams.subscribers[7] = [FakeConnection()]
    assert rig.go_on() == [TOKEN_CALL]
    assert listens.is_one(client, 7)
    streams.subscribers[7][0].closed = True
    assert not listens.is_one(client, 7)


def test_several_clients_may_listen_to_one_sensor(rig):
    listens, _, clients = _listens(rig, SimpleNamespace(subscribers={7: [FakeConnection()]}))
    for client in clients:
        assert not listens.is_one(client, 7)
        listens.note(client, 7, {7})
    # Which of them has the stream that is open is not known.
    assert not any(listens.is_one(client, 7) for client in clients)
