"""Sockets that are slow, gone or too many cost only themselves."""

from __future__ import annotations

import functools
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from minicarla.protocol import rpc_server, stream_server
from minicarla.protocol.connection import bind_port, open_port
from minicarla.protocol.event_loop import EventLoop
from minicarla.protocol.rpc_server import RpcServer
from minicarla.protocol.stream_server import StreamServer
from tests.patience import PATIENCE


class _Running:
    """A stream server whose loop runs in a thread."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.arrived = threading.Semaphore(0)
        self.work: list[object] = []
        self.work_off = lambda: None
        self.flooded = lambda: False
        self.done = threading.Semaphore(0)
        port = open_port(bind_port("127.0.0.1", 0))
        self.server = StreamServer(self.loop, port, lambda connection, stream: self.arrived.release())
        self.thread = threading.Thread(target=self.loop.run, args=(self._timer,))
        self.thread.start()

    def _timer(self) -> float | None:
        self.work_off()
        while self.work:
            self.work.pop(0)()  # type: ignore[operator]
            self.done.release()
        return 0.0 if self.flooded() else None

    def in_loop(self, action) -> None:
        """Run something in the loop's thread."""
        self.work.append(action)
        os.write(self.loop.wake_up_descriptor, b"x")
        assert self.done.acquire(timeout=PATIENCE)

    def serve_calls(self, handle) -> RpcServer:
        """Serve remote calls, too."""
        port = open_port(bind_port("127.0.0.1", 0))
        rpc = RpcServer(self.loop, port, lambda one: functools.partial(handle, one))
        self.work_off, self.flooded = rpc.work_off_backlog, lambda: bool(rpc.backlog)
        return rpc

    def subscribe(self, stream_id: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.server.listener.port), timeout=PATIENCE)
        client.sendall(struct.pack("<I", stream_id))
        assert self.arrived.acquire(timeout=PATIENCE)
        return client


@pytest.fixture
def running() -> Iterator[_Running]:
    running = _Running()
    yield running
    running.in_loop(running.loop.stop)
    running.thread.join(PATIENCE)
    running.server.close()
    running.loop.close()


def _read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        assert part, "the server closed the connection"
        data += part
    return data


def test_every_subscriber_of_a_stream_gets_its_messages(running):
    one, two, other = running.subscribe(5), running.subscribe(5), running.subscribe(6)
    running.in_loop(lambda: running.server.publish(5, b"head", b"body"))
    assert _read(one, 8) == _read(two, 8) == b"headbody"
    other.settimeout(0.1)
    with pytest.raises(TimeoutError):
        other.recv(1)
    for client in (one, two, other):
        client.close()


def test_a_subscriber_that_does_not_read_loses_whole_old_messages_and_delays_nobody(running, monkeypatch):
    monkeypatch.setattr(stream_server, "MAX_QUEUED_PER_SUBSCRIBER", 4 * 2**20)
    stopped, reading = running.subscribe(5), running.subscribe(5)
    size = 2**20
    received, queued = [], []
    for number in range(40):
        running.in_loop(lambda number=number: running.server.publish(5, bytes([number]) * size))
        received.append(_read(reading, size)[0])
    running.in_loop(lambda: queued.append(running.server.queued_bytes))
    assert received == list(range(40))
    assert queued[0] <= 5 * 2**20
    late: list[Any] = []
    while not late or late[-1] != 39:
        message = _read(stopped, size)
        assert len(set(message)) == 1, "a message was cut"
        late.append(message[0])
    assert late == sorted(late)
    assert len(late) < 40
    stopped.close()
    reading.close()


def test_one_that_reads_late_gets_no_message_that_was_only_for_the_idle(running):
    late, reading = running.subscribe(5), running.subscribe(5)
    size = 2**20
    for number in range(40):
        running.in_loop(
            lambda number=number: running.server.publish(5, bytes([number]) * 7, bytes([number]) * (size - 7), True)
        )
        assert _read(reading, size) == bytes([number]) * size
    running.in_loop(lambda: running.server.publish(5, b"\xff" * size))  # for all of them
    began = [_read(late, size)[0]]
    while began[-1] != 0xFF:
        began.append(_read(late, size)[0])
    assert began[:-1] == list(range(len(began) - 1)), "those that found room, in order and whole"
    assert len(began) < 40
    running.in_loop(lambda: running.server.publish(5, b"news", b"", True))
    assert _read(late, 4) == b"news"
    late.close()
    reading.close()


def test_a_subscriber_that_vanishes_is_forgotten(running):
    client = running.subscribe(9)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    for _ in range(100):
        running.in_loop(lambda: running.server.publish(9, b"x" * 1000))
        if 9 not in running.server.subscribers:
            break
    assert 9 not in running.server.subscribers


def test_one_that_reads_nothing_takes_no_room_from_one_that_reads_late(running, monkeypatch):
    monkeypatch.setattr(stream_server, "MAX_QUEUED_PER_SUBSCRIBER", 16 * 2**20)
    monkeypatch.setattr(stream_server, "MAX_QUEUED_IN_ALL", 16 * 2**20)
    size, count = 2**17, 64
    with running.subscribe(5) as stalled, running.subscribe(6) as late:
        is_read: list[Any] = []

        def fill() -> None:
            for _ in range(40):
                running.server.publish(5, bytes(2**20))
            is_read.extend(map(running.server.is_read, (5, 6, 7)))

        running.in_loop(fill)
        assert is_read == [False, True, False]
        running.in_loop(
            lambda: [running.server.publish(6, struct.pack("<I", number) + bytes(size - 4)) for number in range(count)]
        )
        queued = {}
        running.in_loop(lambda: queued.update({c.stream_id: c.queued_bytes for c in running.server._connections}))
        assert queued[6] > 2**20, "all of it went into the socket's own buffers"
        assert sum(queued.values()) <= 16 * 2**20
        numbers = [struct.unpack_from("<I", _read(late, size))[0] for _ in range(count)]
        stalled.close()
    assert numbers == list(range(count))


def test_a_stream_id_may_come_in_pieces(running):
    client = socket.create_connection(("127.0.0.1", running.server.listener.port), timeout=PATIENCE)
    for byte in struct.pack("<I", 77):
        client.sendall(bytes([byte]))
    assert running.arrived.acquire(timeout=PATIENCE)
    running.in_loop(lambda: running.server.publish(77, b"hello"))
    assert _read(client, 5) == b"hello"
    client.close()


def test_a_client_that_floods_gives_way_to_others_after_a_turn(running, monkeypatch):
    monkeypatch.setattr(rpc_server, "_TURN", 0.0)
    handled, first, all_done = [], threading.Event(), threading.Event()
    others_turn = threading.Event()

    def handle(connection, request):
        handled.append(request.method)
        if request.method == "flood" and len(handled) == 1:
            first.set()
            others_turn.wait(PATIENCE)
        if handled.count("flood") == 2000 and "other" in handled:
            all_done.set()

    server = []
    running.in_loop(lambda: server.append(running.serve_calls(handle)))
    address = ("127.0.0.1", server[0].listener.port)
    with socket.create_connection(address) as flood, socket.create_connection(address) as other:
        flood.sendall(msgpack.packb([0, 1, "flood", [[True]]]) * 2000)
        assert first.wait(PATIENCE)
        other.sendall(msgpack.packb([0, 1, "other", [[True]]]))
        others_turn.set()
        assert all_done.wait(PATIENCE)
    assert handled.index("other") < 100
    running.in_loop(server[0].close)


def test_a_loop_that_was_stopped_before_it_began_does_not_begin():
    loop = EventLoop()
    turns = []
    loop.stop()
    loop.run(lambda: turns.append(1))
    assert turns == []
    loop.close()
    assert turns == []


def test_subscribers_that_never_read_are_ended_before_they_take_all_room(running, monkeypatch):
    monkeypatch.setattr(stream_server, "MAX_QUEUED_IN_ALL", 64 * 2**20)
    size = 12 * 2**20
    stalled = [running.subscribe(5) for _ in range(12)]
    running.in_loop(lambda: running.server.publish(5, bytes(size)))
    left = []
    running.in_loop(lambda: left.append((len(running.server.subscribers[5]), running.server.queued_bytes)))
    count, queued = left[0]
    assert 0 < count < len(stalled)
    assert queued <= 64 * 2**20 + size
    reading = running.subscribe(6)
    running.in_loop(lambda: running.server.publish(6, b"news"))
    assert _read(reading, 4) == b"news"
    for client in (*stalled, reading):
        client.close()


def test_requests_wait_until_their_client_reads_the_answers_to_those_before(running, monkeypatch):
    monkeypatch.setattr(rpc_server, "_MAX_UNREAD_ANSWERS", 2**20)
    answer, handled, most = bytes(2**20), [], []

    def handle(connection, request):
        handled.append(request.message_id)
        connection.write(answer)
        most.append(connection.queued_bytes)

    rpc = running.serve_calls(handle)
    count = 100
    with socket.create_connection(("127.0.0.1", rpc.listener.port), timeout=PATIENCE) as client:
        client.sendall(b"".join(msgpack.packb([0, number, "f", [[False]]]) for number in range(count)))
        _read(client, count * len(answer))
    assert handled == list(range(count))
    assert max(most) <= 3 * 2**20
    running.in_loop(rpc.close)


def test_incomplete_requests_of_many_clients_end_the_greediest(running, monkeypatch):
    monkeypatch.setattr(rpc_server, "MAX_INCOMPLETE", 2**20)
    rpc = running.serve_calls(lambda connection, request: connection.write(b"ok"))
    begun = b"\x94\x00\x01\xa1f\x92\x91\xc2\xdd\x00\x0f\xff\xff"
    clients = [socket.create_connection(("127.0.0.1", rpc.listener.port), timeout=PATIENCE) for _ in range(4)]
    for place, client in enumerate(clients[1:]):
        client.sendall(begun + b"\x90" * (3000 + 1500 * place))
    assert clients[-1].recv(1) == b"", "the greediest"
    clients[0].sendall(msgpack.packb([0, 1, "f", [[False]]]))
    assert _read(clients[0], 2) == b"ok"
    for client in clients:
        client.close()
    running.in_loop(rpc.close)
