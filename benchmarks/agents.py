"""What several heroes of one world cost: steps a second, and processor time of client and server.

    python benchmarks/agents.py [--heroes 1 2 4 8 16 32] [--seconds 60]

The task is that of `dqn_example/ppo_agents.yaml`, of which nobody leaves before the end; actions are random, and there
is no policy. Worlds take turns, so that a busy machine slows all of them down alike. Processor time is told beside the
clock's: the last column is what each hero beyond the first adds to the client's share of a decision.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from dqn_example.drive_route import DriveInTraffic
from rllib_integration.carla_core import CarlaCore
from rllib_integration.config_file import load_config
from rllib_integration.multi_agent.shared_world import SharedWorld

_CONFIGURATION = Path(__file__).resolve().parents[1] / "dqn_example" / "ppo_agents.yaml"
_ROUNDS = 5


class Endless(DriveInTraffic):
    """Whatever happens, the hero drives on."""

    def get_done_status(self, observation: object, core: CarlaCore) -> bool:
        super().get_done_status(observation, core)  # type: ignore[arg-type]
        return False

    def get_truncated_status(self, observation: object, core: CarlaCore) -> bool:
        return False


class Cost(NamedTuple):
    """Seconds of a decision of all heroes: by the clock, of the client's processor and of the server's."""

    clock: float
    client: float
    server: float


def make_world(heroes: int) -> SharedWorld:
    env_config = load_config(_CONFIGURATION)["env_config"]
    env_config["carla"]["server"] = "embedded"
    env_config["experiment"]["type"] = Endless
    env_config["agents"]["count"] = heroes
    return SharedWorld(env_config)


def measure(world: SharedWorld, seconds: float, seed: int) -> Cost:
    """Drive for some seconds, and tell what a decision has cost."""
    world.reset(seed)
    assert world.core.server is not None
    server = psutil.Process(world.core.server.pid)
    for number, space in enumerate(world.action_spaces.values()):
        space.seed(seed + number)
    for _ in range(10):
        step(world)
    clock, client, served = time.perf_counter(), time.process_time(), sum(server.cpu_times()[:2])
    steps = 0
    while time.perf_counter() - clock < seconds:
        step(world)
        steps += 1
    passed = (time.perf_counter() - clock, time.process_time() - client, sum(server.cpu_times()[:2]) - served)
    return Cost(*(part / steps for part in passed))


def step(world: SharedWorld) -> None:
    world.begin_step({agent: world.action_spaces[agent].sample() for agent in world.heroes})
    world.finish_step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heroes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--seconds", type=float, default=60.0, help="of driving, of all worlds together")
    options = parser.parse_args()
    worlds = {heroes: make_world(heroes) for heroes in dict.fromkeys([1, *options.heroes])}
    turn = options.seconds / _ROUNDS / len(worlds)
    try:
        rounds = [{heroes: measure(world, turn, seed) for heroes, world in worlds.items()} for seed in range(_ROUNDS)]
    finally:
        for world in worlds.values():
            world.close()
    costs = {
        heroes: Cost(*(statistics.median(column) for column in zip(*(costs[heroes] for costs in rounds))))
        for heroes in worlds
    }
    one = costs[1]
    print(
        f"{'':>6} {'env':>8} {'agent':>8} {'agent steps':>11} {'client':>8} {'server':>8} {'client, each':>12}\n"
        f"{'heroes':>6} {'steps/s':>8} {'steps/s':>8} {'to one hero':>11} {'ms':>8} {'ms':>8} {'further, ms':>12}"
    )
    for heroes, cost in costs.items():
        further = f"{1e3 * (cost.client - one.client) / (heroes - 1):12.2f}" if heroes > 1 else ""
        print(
            f"{heroes:>6} {1 / cost.clock:8.0f} {heroes / cost.clock:8.0f} {heroes * one.clock / cost.clock:11.2f} "
            f"{1e3 * cost.client:8.2f} {1e3 * cost.server:8.2f} {further}"
        )


if __name__ == "__main__":
    main()
