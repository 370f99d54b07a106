"""Ticks wait for the subscriptions that their own client has begun, for a while, and for nobody else's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minicarla.rpc.quirks import subscribing as awaited_streams
from minicarla.rpc.quirks.subscribing import PATIENCE, AwaitedStreams


class Client(SimpleNamespace):
    """What is asked of an RPC connection."""

    __hash__ = object.__hash__


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(awaited_streams.time, "monotonic", lambda: now.time)
    return now


@pytest.fixture
def clients():
    return Client(name="one", closed=False), Client(name="other", closed=False)


@pytest.mark.usefixtures("clock")
def test_a_tick_waits_until_all_streams_are_there(clients):
    one, other = clients
    streams = AwaitedStreams()
    for stream in (7, 8, 8):
        streams.announce(one, stream)
    assert streams.delay_tick(one, 5)
    assert not streams.delay_tick(other, 6)
    for stream in (8, 7):
        streams.arrived(stream)
        assert streams.due_ticks(100.0) == []
    assert streams.next_due() == 100.0 + PATIENCE
    streams.arrived(8)
    assert streams.next_due() == 0.0
    assert streams.due_ticks(100.0) == [(one, 5)]
    assert not streams
    assert not streams.delay_tick(one, 9)


def test_who_never_subscribes_costs_its_own_ticks_one_wait(clients, clock):
    one, other = clients
    streams = AwaitedStreams()
    for _ in range(1000):
        streams.announce(one, 7)
        assert not streams.delay_tick(other, 1)
    assert streams.delay_tick(one, 2)
    clock.time += PATIENCE
    assert streams.due_ticks(clock.time) == [(one, 2)]
    assert not streams.delay_tick(one, 3)


@pytest.mark.usefixtures("clock")
def test_a_client_that_is_gone_is_forgotten_with_its_ticks(clients):
    one, _ = clients
    streams = AwaitedStreams()
    streams.announce(one, 7)
    assert streams.delay_tick(one, 2)
    one.closed = True
    assert streams.due_ticks(100.0) == []
    assert not streams
    streams.arrived(7)  # of another client
