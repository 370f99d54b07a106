"""A driver of Ray with actors that have servers; it obeys the lines of its standard input.

It is a process of its own, as Ray's threads stay in a driver's process when its cluster has ended. If one of them still
has something to ask the cluster, it ends the process a minute later.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ray

from tests.servers.stand_ins import supervisor_of

ANSWER = "answer: "
"""Begins the lines that answer a command."""


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
    """Answer each line: `new` with the ids of an actor's processes, the others when they are done."""
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
    for line in sys.stdin:
        command = line.strip()
        answer = "done"
        if command == "new":
            actors.append(ray.remote(Runner).options(num_cpus=1).remote(carla_root))
            pid, supervisor = ray.get(actors[-1].processes.remote(), timeout=60)
            answer = f"{pid} {supervisor}"
        elif command == "kill":
            ray.kill(actors.pop())
        elif command == "forget":
            actors.pop()
        elif command == "shutdown":
            ray.shutdown()
        print(ANSWER + answer, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
