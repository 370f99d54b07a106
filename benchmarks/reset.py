"""What an episode's beginning costs, and whether it stays the same however many went before.

Prints milliseconds of `env.reset` within one town, with traffic of either kind, and with a change of town, for the
first and the last tenth of the episodes; the ratio of the two (the reference is the first tenth of the same run) and
the growth of memory of this process and the server tell whether anything is left behind. The last column is the
processor time of a reset, of client, server and traffic together: what one core of its own would take, however busy
the machine.

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
from processor_time import below, processor_seconds

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
        processes = below()
        used_before = time.process_time() + processor_seconds(processes)
        for _ in range(episodes):
            start = time.perf_counter()
            env.reset()
            milliseconds.append((time.perf_counter() - start) * 1e3)
            memory.append((psutil.Process().memory_info().rss + server.memory()) / 1e6)
        used = (time.process_time() + processor_seconds(processes) - used_before) * 1e3 / episodes
    finally:
        env.close()
    tenth = max(1, episodes // 10)
    first, last = (float(np.median(part)) for part in (milliseconds[:tenth], milliseconds[-tenth:]))
    print(
        f"{title:34s} first {first:7.1f} ms   last {last:7.1f} ms   ratio {last / first:5.2f}   "
        f"worst {max(milliseconds):7.1f} ms   memory {memory[-1] - memory[tenth]:+7.1f} MB   "
        f"processor {used:7.1f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--towns", nargs="+", default=["Town01", "Town02"])
    options = parser.parse_args()
    view = {"hero": {"sensors": {"birdview": {"type": "sensor.birdview", "size": 84}}}}
    measure("one town", options.episodes, {"town": "Minitown", **view})
    for driver in ("server", "manager"):
        traffic = {"background_activity": {"n_vehicles": 30, "n_walkers": 20, "traffic": driver}}
        title = f"30 cars, 20 walkers of the {driver}"
        measure(title, options.episodes, {"town": "Minitown", **view, **traffic})
    measure(f"{' or '.join(options.towns)}", options.episodes // 2, {"town": options.towns, **view})


if __name__ == "__main__":
    main()
