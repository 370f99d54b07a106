"""Environment steps a second while DQN trains, as a ratio to RLlib's DQN with an environment that costs nothing.

`carla` trains the quickstart as `dqn_train.py` does. `costless` is the same program with an environment that returns
always the same picture. `RLlib` is RLlib's own DQN, env runner, network and replay buffer with that environment. All
have the quickstart's spaces, network, episodes, batches and updates a step, and take turns.

    python3 benchmarks/training_rate.py [--seconds 20] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from rllib_sampling import (  # before Ray is imported, it prepares the process
    ROOT,
    prepare_quickstart,
    with_rllibs_network,
)

from rllib_integration.annotations import Record

os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])  # for the env runners' processes

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.dqn import DQN
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rllib_integration.training.env_runner import CarlaEnvRunner, step_together
from rllib_integration.training.ray_session import native_output_in, ray_session
from rllib_integration.training.rllib_config import build_algorithm_config


def with_carla(document: Record) -> Algorithm:
    """Our trainer, env runner, network and replay buffer with simulators."""
    config = build_algorithm_config(document, "carla")
    step_together(config, None)
    return config.build_algo()


def costless(document: Record) -> Algorithm:
    """The same with the environment that costs nothing."""
    config = build_algorithm_config(document, "costless")
    config.env_runners(env_runner_cls=CarlaEnvRunner)
    return config.build_algo()


def rllibs_own(document: Record) -> Algorithm:
    """RLlib's trainer, env runner, network and replay buffer with that environment."""
    replay = {"type": "EpisodeReplayBuffer", "capacity": document["training"]["replay_buffer_config"]["capacity"]}
    training = {**document["training"], "replay_buffer_config": replay}
    document = {**with_rllibs_network(document), "algorithm": DQN, "training": training}
    config = build_algorithm_config(document, "costless")
    config.env_runners(env_runner_cls=SingleAgentEnvRunner)
    return config.build_algo()


def rate(build: Callable[[Record], Algorithm], document: Record, seconds: float) -> float:
    """Environment steps a second once updates are made."""
    algorithm = build(document)
    begins = 2 * document["training"]["num_steps_sampled_before_learning_starts"]
    try:
        while (first := _steps(algorithm.train())) < begins:
            pass
        begin = time.perf_counter()
        while time.perf_counter() < begin + seconds:
            last = _steps(algorithm.train())
        return (last - first) / (time.perf_counter() - begin)
    finally:
        algorithm.stop()


def _steps(result: Record) -> int:
    return result["env_runners"]["num_env_steps_sampled_lifetime"]


def main() -> None:
    """Print the median rate of each, and its ratio to RLlib's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    document = prepare_quickstart()
    document["reporting"]["min_sample_timesteps_per_iteration"] = 200
    programs = {"carla": with_carla, "costless": costless, "RLlib": rllibs_own}
    rates: dict[str, list[float]] = {name: [] for name in programs}
    with native_output_in(Path(os.devnull)), ray_session(auto=False):
        for _ in range(arguments.rounds):
            for name, build in programs.items():
                rates[name].append(rate(build, document, arguments.seconds))
    reference = statistics.median(rates["RLlib"])
    for name, found in rates.items():
        middle = statistics.median(found)
        spread = ", ".join(f"{each:.0f}" for each in found)
        print(f"{name:>8} {middle:>6.0f} environment steps/s ({spread})   ratio to RLlib {middle / reference:.2f}")


if __name__ == "__main__":
    main()
