"""A batch that takes long lets others have their turn, and is one batch all the same."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest

from minicarla.protocol.connection import bind_port, open_port
from minicarla.rpc.calls import batch
from minicarla.rpc.server import Server
from minicarla.world.clock import Clock
from minicarla.world.settings import EpisodeSettings
from minicarla.world.simulation import Simulation
from tests.minicarla.raw_client import RawClient

_COUNT = 40


@pytest.fixture
def server(monkeypatch):
    """Its batches have a turn for each command; two clients' requests are there before it begins to serve."""
    monkeypatch.setattr(batch, "LONGEST_AT_ONCE", 0.0)
    monkeypatch.setattr("minicarla.rpc.server._BATCH_TURN", 0.0)
    simulation = Simulation()
    server = Server(simulation, open_port(bind_port("127.0.0.1", 0)), open_port(bind_port("127.0.0.1", 0)), Clock())
    simulation.load("Minitown")
    simulation.apply_settings(EpisodeSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    return server


def _serve(server: Server, *requests: list[bytes]) -> list[list[list[Any]]]:
    """What each client is answered, to as many requests as it sends at once; the server knows the clients already."""
    clients = [RawClient(("127.0.0.1", server.port)) for _ in requests]
    left = sum(map(len, requests))
    answers: list[list[list[Any]]] = [[] for _ in requests]
    with contextlib.ExitStack() as opened:
        for client, messages in zip(clients, requests):
            opened.enter_context(client)
            client.send(b"".join(messages))

        def look() -> float | None:
            for client, got, messages in zip(clients, answers, requests):
                client._socket.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while len(got) < len(messages):
                        got.append(client.answer())
            if sum(map(len, answers)) == left:
                server.loop.stop()
            due = server._on_time()
            return 0.0 if due is None else due

        server.loop.run(look)
    return answers


def _request(method: str, *arguments: object) -> bytes:
    return msgpack.packb([0, 1, method, [[False], *arguments]])


def _spawns(count: int) -> list[object]:
    def spawn(place: int) -> list[object]:
        pose = [[3.0 * place, 0.0, 400.0], [0.0, 0.0, 0.0]]
        return [[0, [[0, "static.prop.barrel", []], pose, [False], 0, "", []]]]

    return [spawn(place) for place in range(count)]


def _ids(answer: list[object]) -> list[int]:
    result = answer[3]
    assert isinstance(result, list)
    assert all(kind == 1 for ((kind, _),) in result)
    return [number for ((_, number),) in result]


def test_others_are_answered_and_tick_between_the_commands_of_a_long_batch(server):
    first = server.simulation._last_actor_id + 1
    numbers = list(range(first, first + _COUNT))
    (spawned, seen_afterwards), (seen, ticked) = _serve(
        server,
        [_request("apply_batch", _spawns(_COUNT), True), _request("get_actors_by_id", numbers)],
        [_request("get_actors_by_id", numbers), _request("tick_cue")],
    )
    assert _ids(spawned) == numbers
    assert [actor[0] for actor in seen_afterwards[3][0][1]] == numbers  # answered after the batch before it
    assert len(seen[3][0][1]) < _COUNT
    assert server.simulation.episode.frame == ticked[3][0][1] + 1  # and the batch ticks at its end


def test_what_is_left_of_a_long_batch_does_not_reach_into_another_world(server):
    (spawned,), (loaded,) = _serve(
        server, [_request("apply_batch", _spawns(_COUNT), False)], [_request("load_new_episode", "Minitown", False)]
    )
    assert loaded[2] is None
    kinds = [kind for ((kind, _),) in spawned[3]]
    assert 0 < kinds.count(1) < _COUNT
    assert "another world" in spawned[3][-1][0][1][0]
    assert len(server.simulation.episode.props) == 0


def test_actors_ended_together_end_as_if_one_by_one(server):
    ((answer,),) = _serve(server, [_request("apply_batch", _spawns(6), False)])
    server.loop._stopped = False
    a, b, c, d, e, f = _ids(answer)
    child = [[0, [[0, "util.actor.empty", []], [[0, 0, 1], [0, 0, 0]], [True, b], 0, "", []]]]
    ((answer, ended, left),) = _serve(
        server,
        [
            _request("apply_batch", [child], False),
            _request(
                "apply_batch", [[[1, [n]]] for n in (a, c, b, b + 5, e, e, server.simulation.spectator.id)], False
            ),
            _request("get_actors_by_id", [a, b, c, d, e, f, b + 5]),
        ],
    )
    hung = _ids(answer)[0]
    assert hung == b + 5
    assert [kind for ((kind, _),) in ended[3]] == [1, 1, 1, 0, 1, 0, 0]
    assert [actor[0] for actor in left[3][0][1]] == [d, f]
    rows = server.simulation.episode.props
    assert rows.rows["id"].tolist() == [d, f]
    assert [actor.row for actor in rows.actors] == [0, 1]
