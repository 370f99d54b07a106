"""Ticks wait for the subscriptions that their own client has begun, for a while, and for nobody else's."""

from __future__ import annotations

import pytest

from minicarla.rpc.deferrals import PATIENCE as BOUND
from minicarla.rpc.quirks.subscribing import Subscribing
from tests.minicarla.quirk_rig import client_at


@pytest.fixture
def clients():
    return [client_at("127.0.0.1:1"), client_at("127.0.0.1:2")]


@pytest.fixture
def living():
    return {7, 8}


@pytest.fixture
def streams(rig, clients, living):
    rig.quirk = Subscribing(clients, lambda: living, rig.monotonic)
    return rig


def test_a_tick_waits_until_all_streams_are_there(streams, clients):
    one, other = clients
    for stream in (7, 8, 8):
        streams.quirk.announce(one, stream)
    assert streams.ask(one, "tick_cue")
    assert not streams.ask(other, "tick_cue")
    streams.done.clear()
    for stream in (8, 7):
        streams.quirk.arrived(stream)
        assert streams.go_on() == []
    streams.quirk.arrived(8)
    assert streams.go_on() == ["tick_cue"]
    assert not streams.ask(one, "tick_cue")


def test_a_client_that_never_subscribes_costs_its_own_ticks_one_wait(streams, clients):
    one, other = clients
    for _ in range(1000):
        streams.quirk.announce(one, 7)
        assert not streams.ask(other, "tick_cue")
    streams.done.clear()
    assert streams.ask(one, "tick_cue")
    assert streams.go_on(BOUND) == ["tick_cue"]
    assert not streams.ask(one, "tick_cue")


def test_a_sensor_that_has_ended_is_not_awaited(streams, clients, living):
    streams.quirk.announce(clients[0], 7)
    assert streams.ask(clients[0], "tick_cue")
    living.discard(7)
    assert streams.go_on() == ["tick_cue"]


def test_a_client_that_is_gone_is_forgotten_with_its_ticks(streams, clients):
    streams.quirk.announce(clients[0], 7)
    assert streams.ask(clients[0], "tick_cue")
    clients[0].connection.closed = True
    assert streams.go_on() == []
    assert not streams.deferrals
