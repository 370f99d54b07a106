"""A driver of Ray with actors that have servers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ray

from tests.obedient import obey
from tests.servers.stand_ins import supervisor_of


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


def main(carla_root: str) -> None:
    """Make actors, end the newest of them, or end Ray."""
    environment = {"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}}
    ray.init(
        num_cpus=4,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env=environment,
    )
    actors: list[Any] = []

    def new() -> str:
        actors.append(ray.remote(Runner).options(num_cpus=1).remote(carla_root))
        pid, supervisor = ray.get(actors[-1].processes.remote(), timeout=60)
        return f"{pid} {supervisor}"

    def kill() -> None:
        ray.kill(actors.pop())

    def forget() -> None:
        actors.pop()

    obey({"new": new, "kill": kill, "forget": forget, "shutdown": ray.shutdown})


if __name__ == "__main__":
    main(sys.argv[1])
