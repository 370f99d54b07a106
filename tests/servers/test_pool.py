"""A pool hands out running servers until it is hopeless, and says what it did."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from rllib_integration.servers import (
    CarlaServer,
    ServerDiedError,
    ServerGaveUpError,
    ServerHangError,
    ServerPool,
    ServerVersionError,
    pool,
)
from rllib_integration.servers.cleanup import await_ends
from rllib_integration.servers.packaged import PackagedServer
from tests.known import present
from tests.patience import PATIENCE
from tests.servers.conftest import ServerFactory
from tests.servers.stand_ins import below, supervisor_of

KeeperFactory = Callable[..., ServerPool]


@pytest.fixture
def new_keeper(new_server: ServerFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeeperFactory]:
    monkeypatch.setattr(pool, "_FIRST_PAUSE", 0.01)
    made: list[ServerPool] = []

    def create(behaviour: str = "works", **section: Any) -> ServerPool:
        made.append(ServerPool(lambda: new_server(behaviour, **section)))
        return made[-1]

    yield create
    for one in made:
        one.close()


def kill(server: CarlaServer) -> None:
    os.kill(present(server.pid), signal.SIGKILL)
    server.wait_for_exit(PATIENCE)


def test_the_same_server_is_handed_out_while_it_runs(new_keeper: KeeperFactory) -> None:
    kept = new_keeper()
    server = kept.acquire()
    assert kept.acquire() is server
    assert present(kept.calls).call(server.exit_status) is None


def test_a_dead_server_is_replaced_and_nothing_of_it_is_left(new_keeper: KeeperFactory) -> None:
    kept = new_keeper()
    first = kept.acquire()
    tree = below(supervisor_of(first))
    kill(first)
    second = kept.acquire()
    assert second is not first
    assert second.exit_status() is None
    assert await_ends(tree, PATIENCE) == []
    metrics = kept.metrics()
    assert (metrics["servers_started"], metrics["servers_died"]) == (2, 1)
    assert metrics["recovery_seconds_worst"] >= metrics["recovery_seconds_median"] > 0


def test_a_frozen_server_is_ended_when_it_is_reported(new_keeper: KeeperFactory) -> None:
    kept = new_keeper()
    first = kept.acquire()
    tree = below(supervisor_of(first))
    for process in psutil.Process(first.pid).children(recursive=True):
        process.suspend()
    kept.failed(ServerHangError("it did not answer"))
    assert await_ends(tree, PATIENCE) == []
    assert kept.acquire().exit_status() is None
    assert kept.metrics()["servers_hung"] == 1


def test_after_several_failures_in_a_row_it_gives_up_with_the_logs_last_lines(new_keeper: KeeperFactory) -> None:
    kept = new_keeper("crashes", max_failures=3)
    with pytest.raises(ServerGaveUpError, match=r"^3 CARLA servers in a row failed[\s\S]*no Vulkan device"):
        kept.acquire()
    with pytest.raises(ServerGaveUpError):
        kept.acquire()
    assert kept.metrics()["servers_other_failures"] == 3


def test_servers_that_die_at_work_count_as_failures_in_a_row_too(new_keeper: KeeperFactory) -> None:
    kept = new_keeper(max_failures=2)
    kill(kept.acquire())
    kill(kept.acquire())
    with pytest.raises(ServerGaveUpError, match="SIGKILL"):
        kept.acquire()


def test_a_whole_episode_ends_a_row_of_failures(new_keeper: KeeperFactory) -> None:
    kept = new_keeper(max_failures=2)
    for _ in range(4):
        kill(kept.acquire())
        kept.acquire()
        kept.episode_ended()
    assert kept.metrics()["servers_died"] == 4


def test_long_work_ends_a_row_of_failures_although_no_episode_was_whole(
    new_keeper: KeeperFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_PROVEN_SECONDS", 0.0)
    kept = new_keeper(max_failures=2)
    for _ in range(3):
        kill(kept.acquire())
    assert kept.acquire().exit_status() is None


def test_what_another_attempt_cannot_mend_is_raised_at_once(new_keeper: KeeperFactory) -> None:
    kept = new_keeper(extra_arguments=["--version", "0.9.12"])
    with pytest.raises(ServerVersionError):
        kept.acquire()


def test_a_server_is_replaced_after_so_many_episodes(new_keeper: KeeperFactory) -> None:
    kept = new_keeper(restart_every_episodes=2)
    first = kept.acquire()
    assert not kept.episode_ended()
    assert kept.acquire() is first
    assert kept.episode_ended()
    second = kept.acquire()
    assert second is not first
    assert not kept.episode_ended()
    assert kept.acquire() is second
    assert kept.metrics()["servers_planned_restarts"] == 1


def test_a_server_that_has_grown_is_replaced_at_an_episodes_end(new_keeper: KeeperFactory) -> None:
    modest, greedy = new_keeper(restart_above_gb=100), new_keeper(restart_above_gb=0.001)
    for kept in (modest, greedy):
        kept.acquire()
    assert not modest.episode_ended()
    assert greedy.episode_ended()


def ready_spare(kept: ServerPool) -> CarlaServer:
    kept.episode_began()
    return present(kept._next).result()


def test_a_spare_server_takes_over_at_once_and_is_replaced_when_the_next_episode_has_begun(
    new_keeper: KeeperFactory,
) -> None:
    kept = new_keeper(spare=True)
    first = kept.acquire()
    spare = ready_spare(kept)
    assert spare is not first
    assert ready_spare(kept) is spare
    kill(first)
    assert kept.acquire() is spare
    another = ready_spare(kept)
    assert another not in (first, spare)
    kept.close()
    assert another.exit_status() is not None


def test_a_spare_server_that_died_while_it_waited_is_told_and_another_started_at_once(
    new_keeper: KeeperFactory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_FIRST_PAUSE", 1000.0)
    monkeypatch.setattr(pool, "_LONGEST_PAUSE", 1000.0)
    kept = new_keeper(spare=True)
    first = kept.acquire()
    spare = ready_spare(kept)
    kill(spare)
    kill(first)
    assert kept.acquire() not in (first, spare)
    assert f":{spare.port}" in caplog.text
    spare = ready_spare(kept)
    kill(spare)
    kept.episode_began()
    assert ready_spare(kept).exit_status() is None
    assert kept.metrics()["servers_other_failures"] == 2


@pytest.mark.parametrize(
    ("light", "memory_limit", "has_spare"), [(True, 100.1, True), (False, 100.1, False), (True, 0.0, False)]
)
def test_a_spare_is_had_unasked_after_a_loss_of_a_light_server_while_there_is_memory(
    light: bool, memory_limit: float, has_spare: bool, new_keeper: KeeperFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackagedServer, "light", light)
    monkeypatch.setattr(pool, "_MEMORY_FOR_SPARES", memory_limit)
    kept = new_keeper()
    first = kept.acquire()
    kept.episode_began()
    assert kept._next is None
    kill(first)
    kept.acquire()
    kept.episode_began()
    assert (kept._next is not None) is has_spare


def test_closing_ends_the_present_server_and_the_one_in_preparation(new_keeper: KeeperFactory) -> None:
    kept = new_keeper()
    first = kept.acquire()
    kept.failed(ServerDiedError("it died"))
    kept.close()
    kept.close()
    supervisors = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # also of who has ended and was not awaited yet
            if "supervisor.py" in " ".join(process.cmdline()):
                supervisors.append(process)
    assert supervisors == []
    assert first.exit_status() is not None
