"""Servers that die, freeze and starve under two environments at work: each loss costs one episode of one of them.

The long version of this is benchmarks/chaos.py.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rllib_integration.carla_env import CarlaEnv
from rllib_integration.servers.cleanup import await_ends
from rllib_integration.servers.probe import is_listening
from tests.experiments import PoseExperiment
from tests.known import present
from tests.patience import PATIENCE
from tests.servers.stand_ins import EMBEDDED, make_install, supervisor_of

TIMEOUT = 5.0
_SENSORS = {"collision": {"type": "sensor.other.collision"}, "position": {"type": "sensor.other.gnss"}}


def configuration(install: Path, others: dict[str, Any]) -> dict[str, Any]:
    """An environment whose CARLA is a stand-in installation, with a launcher script before the server."""
    server = {"carla_root": str(install), "kind": "packaged", "max_failures": 10, "log_folder": str(install)}
    return {
        "carla": {"timeout": TIMEOUT, "enable_rendering": False, "server": server},
        "experiment": {
            "type": PoseExperiment,
            "town": "Minitown",
            "hero": {"sensors": _SENSORS},
            "others": others,
        },
    }


class Fleet:
    """Environments of one process that take turns, as RLlib's vector does, with an account of each."""

    def __init__(self, configurations: list[dict[str, Any]]) -> None:
        self.envs = [CarlaEnv(one) for one in configurations]
        self.lost = [0] * len(self.envs)
        self.ended = [0] * len(self.envs)
        for index, env in enumerate(self.envs):
            env.reset(seed=index)

    def server_process(self, index: int) -> psutil.Process:
        """The server proper of one environment, below its launcher script."""
        return psutil.Process(present(self.envs[index].core.server).pid).children()[0]

    def run(self, steps: int, until: Callable[[], bool] = lambda: False) -> None:
        """Let every environment make so many steps, or fewer if `until` says so."""
        for _ in range(steps):
            for index, env in enumerate(self.envs):
                observation, _, terminated, truncated, info = env.step(1)
                assert env.observation_space.contains(observation)
                if info.get("server_restarted"):
                    assert truncated
                    self.lost[index] += 1
                elif terminated or truncated:
                    self.ended[index] += 1
                if terminated or truncated:
                    env.reset()
            if until():
                return

    def close(self) -> None:
        for env in self.envs:
            env.close()


def settled_resources() -> tuple[int, int]:
    """Threads and descriptors of this process, once the client has given up its calls to lost servers."""
    threading.Event().wait(TIMEOUT + 1.0)
    gc.collect()
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


@pytest.fixture
def install(tmp_path: Path) -> Path:
    return make_install(tmp_path / "CARLA", "works", EMBEDDED)


@pytest.fixture
def fleet(install: Path) -> Iterator[Fleet]:
    made = Fleet([configuration(install, {"step_limit": 40}) for _ in range(2)])
    yield made
    made.close()


def test_each_loss_costs_one_episode_of_one_environment_and_leaves_nothing_behind(fleet: Fleet) -> None:
    servers, ports = [], []

    def lose(index: int, number: signal.Signals) -> None:
        server = present(fleet.envs[index].core.server)
        servers.extend(psutil.Process(supervisor_of(server)).children(recursive=True))
        ports.append(server.port)
        before = fleet.lost[index]
        fleet.server_process(index).send_signal(number)
        fleet.run(1000, until=lambda: fleet.lost[index] > before)

    fleet.run(50)
    assert fleet.lost == [0, 0]
    assert fleet.ended == [1, 1]
    lose(0, signal.SIGKILL)
    lose(0, signal.SIGSTOP)
    lose(1, signal.SIGSEGV)
    held = settled_resources()
    lose(0, signal.SIGKILL)
    lose(0, signal.SIGKILL)
    fleet.run(50)
    assert fleet.lost == [4, 1]
    metrics = fleet.envs[0].core.pool.metrics()
    assert (metrics["servers_died"], metrics["servers_hung"]) == (3, 1)
    threads, descriptors = settled_resources()
    # One client has two threads and eight descriptors: two losses that leaked theirs would show.
    assert threads - held[0] < 3
    assert descriptors - held[1] < 12
    assert await_ends(servers, PATIENCE) == []
    assert not any(is_listening("127.0.0.1", port, 0.5) for port in ports)


def test_a_server_that_starves_for_less_than_the_timeout_loses_nothing(fleet: Fleet) -> None:
    server = fleet.server_process(0)
    for _ in range(2):
        server.suspend()
        timer = threading.Timer(0.5, server.resume)
        timer.start()
        fleet.run(10)
        timer.join()
    assert fleet.lost == [0, 0]
