"""Ray ends actors in several ways; the servers of their environments end with them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from rllib_integration.servers.cleanup import await_ends
from tests.obedient import Obedient
from tests.patience import PATIENCE
from tests.servers.stand_ins import ANSWERING, below, make_install


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Obedient]:
    install = make_install(tmp_path_factory.mktemp("CARLA"), "forks", [*ANSWERING, "--children", "1"])
    driver = Obedient("tests.servers.ray_driver", str(install))
    yield driver
    driver.close()


def new_actor(driver: Obedient) -> tuple[psutil.Process, list[psutil.Process]]:
    """An actor's process, and those of its server."""
    pid, supervisor = map(int, driver.do("new").split())
    tree = below(supervisor)
    assert len(tree) >= 4
    return psutil.Process(pid), tree


@pytest.mark.parametrize("end", ["kill", "forget", signal.SIGTERM, signal.SIGKILL])
def test_an_actors_server_ends_however_ray_ends_the_actor(driver: Obedient, end: str | signal.Signals) -> None:
    worker, tree = new_actor(driver)
    if isinstance(end, str):
        driver.do(end)
    else:
        os.kill(worker.pid, end)
    assert await_ends([worker], PATIENCE) == []
    assert await_ends(tree, PATIENCE) == []


def test_the_end_of_ray_is_the_end_of_the_servers(driver: Obedient) -> None:
    trees = [process for _ in range(2) for process in new_actor(driver)[1]]
    driver.do("shutdown")
    assert await_ends(trees, PATIENCE) == []
