"""A client that listens to a sensor twice would end its process: it is told so instead."""

from __future__ import annotations

from types import SimpleNamespace

from minicarla.protocol.rpc_framing import Request
from minicarla.rpc.quirks import subscribing as awaited_streams
from minicarla.rpc.quirks.second_listens import TOKEN_CALL, SecondListens
from minicarla.rpc.quirks.subscribing import AwaitedStreams
from tests.minicarla.client_program import run_synchronous_client

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


class Peer(SimpleNamespace):
    """What is asked of a connection."""

    __hash__ = object.__hash__

    def has_hung_up(self):
        return self.closed


def test_a_call_waits_for_the_subscription_before_it(monkeypatch):
    monkeypatch.setattr(awaited_streams.time, "monotonic", lambda: 100.0)
    streams, awaited = SimpleNamespace(subscribers={}), AwaitedStreams()
    listens = SecondListens(streams, awaited)
    client, other = (Peer(peer=f"127.0.0.1:{port}", closed=False) for port in (1, 2))
    call = Request(5, TOKEN_CALL, [7], False)
    assert not listens.is_one(client, 7)
    assert not listens.hold(client, call)
    listens.note(client, 7, {7})
    awaited.announce(client, 7)
    assert not listens.hold(other, call)
    assert listens.hold(client, call)
    assert not listens.hold(client, call)
    assert listens.due() == []
    assert listens.next_due() > 0.0
    awaited.arrived(7)
    streams.subscribers[7] = [Peer(closed=False)]
    assert listens.due() == [(client, call)]
    assert not listens
    assert listens.is_one(client, 7)
    streams.subscribers[7][0].closed = True
    assert not listens.is_one(client, 7)


def test_several_clients_may_listen_to_one_sensor():
    streams = SimpleNamespace(subscribers={7: [Peer(closed=False)]})
    listens = SecondListens(streams, AwaitedStreams())
    clients = [Peer(peer=f"127.0.0.1:{port}", closed=False) for port in (1, 2)]
    for client in clients:
        assert not listens.is_one(client, 7)
        listens.note(client, 7, {7})
    # Which of them has the stream that is open is not known.
    assert not any(listens.is_one(client, 7) for client in clients)
