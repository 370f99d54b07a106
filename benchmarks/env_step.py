"""How much the environment adds to the simulator's tick.

Prints `env.step` a second, bare ticks a second on the same server in the same world and run, their ratio, and the
microseconds between them. The bare tick is the reference: `world.tick` and nothing else; with traffic, the
Traffic Manager's work is in it, as it is in the step. The second column counts processor time, of client, server and
traffic together: what one core of its own would do, however busy the machine is.

    python benchmarks/env_step.py [--vehicles 50] [--birdview 84] [--one-core] [--seconds 4]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import numpy as np
from gymnasium import spaces
from processor_time import below, processor_seconds

from rllib_integration import BaseExperiment, CarlaCore, CarlaEnv
from rllib_integration.annotations import Record
from rllib_integration.sensors import SensorFactory

_ROUNDS = 3


class CruiseExperiment(BaseExperiment):
    """Creeps, so as to hit nothing; observes the bird view if there is one, else the speed."""

    def get_action_space(self) -> spaces.Space:
        return spaces.Discrete(3)

    def get_observation_space(self) -> spaces.Space:
        sensors = self.config["hero"]["sensors"]
        return SensorFactory.space(sensors["birdview"]) if sensors else spaces.Box(0.0, 100.0, (1,), np.float32)

    def place_hero(self, core: CarlaCore) -> None:
        self.core = core

    def compute_action(self, action: int) -> carla.VehicleControl:
        return carla.VehicleControl(throttle=0.3, steer=(action - 1) * 0.1, brake=0.25)

    def get_observation(self, sensor_data: dict[str, tuple[int, Any]]) -> tuple[np.ndarray, Record]:
        if sensor_data:
            return sensor_data["birdview"][1], {}
        return np.array([self.core.hero.get_velocity().length()], np.float32), {}

    def get_done_status(self, observation: object, core: CarlaCore) -> bool:
        return False

    def compute_reward(self, observation: object, core: CarlaCore) -> float:
        return core.hero.get_velocity().length()


def rate(step: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Calls a second and calls a processor second, over the given time."""
    for _ in range(20):
        step()
    processes = below()
    count, start, used = 0, time.perf_counter(), time.process_time() + processor_seconds(processes)
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(20):
            step()
        count += 20
    return count / elapsed, count / (time.process_time() + processor_seconds(processes) - used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=0)
    parser.add_argument("--birdview", type=int, default=0, help="size of the bird view in pixels; 0 for none")
    parser.add_argument("--town", default="Minitown")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--one-core", action="store_true", help="server, client and this process on one core")
    options = parser.parse_args()
    sensors = {"birdview": {"type": "sensor.birdview", "size": options.birdview}} if options.birdview else {}
    config = {
        "carla": {"server": {"kind": "embedded", "pin_to_core": options.one_core}},
        "experiment": {
            "type": CruiseExperiment,
            "town": options.town,
            "hero": {"sensors": sensors},
            "background_activity": {"n_vehicles": options.vehicles},
        },
    }
    env = CarlaEnv(config)
    try:
        env.reset(seed=0)
        if options.one_core:
            server = env.core.server
            assert server is not None
            assert server.pid is not None
            os.sched_setaffinity(0, os.sched_getaffinity(server.pid))
        rounds = []
        for seed in range(_ROUNDS):
            env.reset(seed=seed)
            steps = rate(lambda: env.step(1), options.seconds / _ROUNDS)
            env.reset(seed=seed)
            env.core.hero.apply_control(env.experiment.compute_action(1))
            rounds.append((steps, rate(env.core.clock.ticker().tick, options.seconds / _ROUNDS)))
    finally:
        env.close()
    steps, ticks = (np.median(column, axis=0) for column in zip(*rounds))
    between = (1 / steps - 1 / ticks) * 1e6
    print(f"             {'':>8}   on one core by processor time")
    print(f"env.step     {steps[0]:8.0f}   {steps[1]:8.0f} /s")
    print(f"tick         {ticks[0]:8.0f}   {ticks[1]:8.0f} /s   (the reference: same server, world and traffic)")
    print(f"ratio        {steps[0] / ticks[0]:8.2f}   {steps[1] / ticks[1]:8.2f}")
    print(f"difference   {between[0]:8.0f}   {between[1]:8.0f} us a step")


if __name__ == "__main__":
    main()
