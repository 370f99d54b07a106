"""What a camera costs a decision of several ticks: drawn once a decision, as by itself, and once a tick.

A grey camera of 84 px on a small car on a race track, a decision every four ticks. Prints steps a second and processor
time a step, of client and server together, of both and their ratio; the two are measured in turns.

    python benchmarks/camera_step.py [--size 84] [--ticks 4] [--seconds 3] [--rounds 3]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import carla
import numpy as np
from gymnasium import spaces
from processor_time import below, processor_seconds

from rllib_integration import BaseExperiment, CarlaEnv
from rllib_integration.annotations import Record


class SlowRound(BaseExperiment):
    """Drives slowly and observes the camera."""

    def get_action_space(self) -> spaces.Space:
        """One action."""
        return spaces.Discrete(1)

    def get_observation_space(self) -> spaces.Space:
        """Nothing that has to be checked for long."""
        return spaces.Box(0.0, 1.0, (1,), np.float32)

    def compute_action(self, action: object) -> carla.VehicleControl:
        """Hardly any throttle."""
        return carla.VehicleControl(throttle=0.2, steer=0.1)

    def get_observation(self, sensor_data: Record) -> tuple[Any, Record]:
        """Look whether the picture is there."""
        assert sensor_data["camera"][1].ndim == 3
        return np.zeros(1, np.float32), {}

    def get_done_status(self, observation: object, core: object) -> bool:
        """Never."""
        return False

    def compute_reward(self, observation: object, core: object) -> float:
        """None."""
        return 0.0


def make(size: int, ticks: int, every_tick: bool) -> CarlaEnv:
    """An environment whose camera draws once a decision or once a tick."""
    camera = {"type": "sensor.camera.rgb", "transform": "0.8,0,1.2,0,-10,0", "grayscale": True}
    camera |= {"image_size_x": size, "image_size_y": size, **({"sensor_tick": 0.0} if every_tick else {})}
    hero = {"blueprint": "vehicle.micro.microlino", "sensors": {"camera": camera}}
    experiment = {"type": SlowRound, "town": "Racetrack01", "hero": hero}
    return CarlaEnv({"carla": {"server": "embedded", "timeout": 60, "ticks_per_step": ticks}, "experiment": experiment})


def main() -> None:
    """Measure in turns, print both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=84)
    parser.add_argument("--ticks", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = {"once a decision": [], "once a tick": []}
    for _ in range(options.rounds):
        for name, found in results.items():
            env = make(options.size, options.ticks, name == "once a tick")
            try:
                env.reset(seed=0)
                for _ in range(10):
                    env.step(0)
                watched, steps = below(), 0
                began, used = time.perf_counter(), time.process_time() + processor_seconds(watched)
                while time.perf_counter() - began < options.seconds:
                    env.step(0)
                    steps += 1
                elapsed = time.perf_counter() - began
                used = time.process_time() + processor_seconds(watched) - used
                found.append((steps / elapsed, used / steps))
            finally:
                env.close()
    rates = {name: max(rate for rate, _ in found) for name, found in results.items()}
    costs = {name: min(cost for _, cost in found) for name, found in results.items()}
    for name in results:
        print(f"drawn {name:<16} {rates[name]:6.0f} steps/s   {1000 * costs[name]:6.2f} ms of processor time a step")
    once, always = results
    print(f"ratio: {rates[once] / rates[always]:.2f} times as fast, {costs[once] / costs[always]:.2f} of the cost")


if __name__ == "__main__":
    main()
