"""Ray ends actors in several ways; the servers of their environments end with them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from rllib_integration.servers.cleanup import await_ends
from tests.patience import PATIENCE
from tests.servers.stand_ins import ANSWERING, below, make_install, supervisor_of


class Runner:
    """An actor with a server, as an env runner has one."""

    def __init__(self, carla_root: str) -> None:
        from rllib_integration.servers import create_server

        section = {"kind": "packaged", "carla_root": carla_root, "log_folder": carla_root}
        self.server = create_server({"server": section})
        self.server.start()

    def processes(self) -> tuple[int, int]:
        """Ids of this actor's process and of its server's supervisor."""
        return os.getpid(), supervisor_of(self.server)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    environment = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}}
    ray.init(
        num_cpus=4,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env=environment,
    )
    yield
    ray.shutdown()


@pytest.fixture
def new_runner(cluster: None, tmp_path: Path) -> Any:
    install = make_install(tmp_path / "CARLA", "forks", [*ANSWERING, "--children", "1"])
    return lambda: ray.remote(Runner).options(num_cpus=1).remote(str(install))


def test_an_actors_server_ends_however_ray_ends_the_actor(new_runner: Any) -> None:
    def kill(actor: Any, pid: int) -> None:
        ray.kill(actor)

    def terminate(actor: Any, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)

    def murder(actor: Any, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def forget(actor: Any, pid: int) -> None:
        pass  # the last handle goes at the end of this iteration

    for end in (kill, terminate, murder, forget):
        actor = new_runner()
        pid, supervisor = ray.get(actor.processes.remote(), timeout=60)
        worker, tree = psutil.Process(pid), below(supervisor)
        assert len(tree) >= 4
        end(actor, pid)
        del actor
        assert await_ends([worker], PATIENCE) == []
        assert await_ends(tree, PATIENCE) == [], end.__name__


def test_the_end_of_ray_is_the_end_of_the_servers(new_runner: Any) -> None:
    actors = [new_runner() for _ in range(2)]
    pids = ray.get([actor.processes.remote() for actor in actors], timeout=60)
    trees = [process for _, supervisor in pids for process in below(supervisor)]
    ray.shutdown()
    await_ends([psutil.Process(pid) for pid, _ in pids if psutil.pid_exists(pid)], PATIENCE)
    assert await_ends(trees, PATIENCE) == []
