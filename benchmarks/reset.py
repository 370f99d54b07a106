"""What an episode's beginning costs, and whether it stays the same however many went before.

Prints milliseconds of `env.reset` within one town, with traffic, and with a change of town, for the first and the
last tenth of the episodes; the ratio of the two (the reference is the first tenth of the same run) and the growth
of memory of this process and the server tell whether anything is left behind.

    python benchmarks/reset.py [--episodes 200] [--towns Town01 Town02]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import psutil
from env_step import CruiseExperiment

from rllib_integration import CarlaEnv
from rllib_integration.annotations import Record


def measure(title: str, episodes: int, experiment: Record) -> None:
    config = {
        "carla": {"server": {"kind": "embedded"}, "timeout": 30.0},
        "experiment": {"type": CruiseExperiment, **experiment},
    }
    env = CarlaEnv(config)
    try:
        env.reset(seed=0)
        server = env.core.server
        assert server is not None
        memory = []
        milliseconds = []
        for _ in range(episodes):
            start = time.perf_counter()
            env.reset()
            milliseconds.append((time.perf_counter() - start) * 1e3)
            memory.append((psutil.Process().memory_info().rss + server.memory()) / 1e6)
            for _ in range(3):
                env.step(1)
    finally:
        env.close()
    tenth = max(1, episodes // 10)
    first, last = (float(np.median(part)) for part in (milliseconds[:tenth], milliseconds[-tenth:]))
    print(
        f"{title:34s} first {first:7.1f} ms   last {last:7.1f} ms   ratio {last / first:5.2f}   "
        f"worst {max(milliseconds):7.1f} ms   memory {memory[-1] - memory[tenth]:+7.1f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--towns", nargs="+", default=["Town01", "Town02"])
    options = parser.parse_args()
    view = {"hero": {"sensors": {"birdview": {"type": "sensor.birdview", "size": 84}}}}
    traffic = {"background_activity": {"n_vehicles": 20, "n_walkers": 10}}
    measure("one town", options.episodes, {"town": "Minitown", **view})
    measure("one town, 20 cars, 10 walkers", options.episodes, {"town": "Minitown", **view, **traffic})
    measure(f"{' or '.join(options.towns)}", options.episodes // 2, {"town": options.towns, **view})


if __name__ == "__main__":
    main()
