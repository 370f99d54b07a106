"""Drives an environment on the node of a Ray cluster that has the resource `elsewhere`, until it is ended."""

from __future__ import annotations

import sys
import time

import ray

from rllib_integration import CarlaEnv
from tests.experiments import PoseExperiment


def drive(port: int, live_folder: str) -> None:
    """Drive in the world of a server of this machine, for ever, not much faster than life."""
    core = {"server": {"kind": "external", "host": "127.0.0.1", "port": port}, "live_folder": live_folder}
    experiment = {"type": PoseExperiment, "town": "Minitown", "others": {"step_limit": 10}}
    env = CarlaEnv({"carla": core, "experiment": experiment})
    while True:
        env.reset()
        env.record_next_episode(f"{live_folder}/../replays", "Far away")
        while not env.step(1)[3]:
            time.sleep(0.02)


if __name__ == "__main__":
    ray.init(address=sys.argv[1], log_to_driver=False)
    ray.get(ray.remote(drive).options(num_cpus=0, resources={"elsewhere": 0.1}).remote(int(sys.argv[2]), sys.argv[3]))
