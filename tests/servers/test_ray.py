"""Ray ends actors in several ways; the servers of their environments end with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rllib_integration.servers.cleanup import await_ends
from tests.known import present
from tests.patience import PATIENCE
from tests.servers.ray_driver import ANSWER
from tests.servers.stand_ins import ANSWERING, below, make_install


class Driver:
    """A process that drives Ray."""

    def __init__(self, carla_root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.ray_driver", str(carla_root)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, command: str) -> str:
        """What it answers to a command."""
        commands, answers = present(self._process.stdin), present(self._process.stdout)
        commands.write(f"{command}\n")
        commands.flush()
        said = iter(answers.readline, "")  # Ray, too, has something to say
        return next(line for line in said if line.startswith(ANSWER)).removeprefix(ANSWER).strip()

    def new_actor(self) -> tuple[psutil.Process, list[psutil.Process]]:
        """An actor's process, and those of its server."""
        pid, supervisor = map(int, self.do("new").split())
        tree = below(supervisor)
        assert len(tree) >= 4
        return psutil.Process(pid), tree

    def close(self) -> None:
        """End it, and Ray with it."""
        self._process.communicate(timeout=PATIENCE)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(make_install(tmp_path / "CARLA", "forks", [*ANSWERING, "--children", "1"]))
    yield driver
    driver.close()


def test_an_actors_server_ends_however_ray_ends_the_actor(driver: Driver) -> None:
    for end in ("kill", "forget", signal.SIGTERM, signal.SIGKILL):
        worker, tree = driver.new_actor()
        if isinstance(end, str):
            assert driver.do(end) == "done"
        else:
            os.kill(worker.pid, end)
        assert await_ends([worker], PATIENCE) == []
        assert await_ends(tree, PATIENCE) == [], end


def test_the_end_of_ray_is_the_end_of_the_servers(driver: Driver) -> None:
    trees = [process for _ in range(2) for process in driver.new_actor()[1]]
    assert driver.do("shutdown") == "done"
    assert await_ends(trees, PATIENCE) == []
