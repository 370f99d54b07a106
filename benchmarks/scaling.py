"""How sampling scales with workers, each a process with an environment and an embedded server of its own.

    python benchmarks/scaling.py [--workers 1 2 4 8 12] [--seconds 10] [--pin auto] [--vehicles 0] [--town TOWN]

Prints environment steps a second of all workers together and the ratio to as many times one worker. The
observation is the quickstart's bird view; the actions are random; there is no learner. With `--pin true` each
server shares one core with its client's thread, with `false` the scheduler decides.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gymnasium.spaces import Discrete

from rllib_integration import CarlaEnv
from rllib_integration.config_file import load_config

_CONFIGURATION = Path(__file__).resolve().parents[1] / "dqn_example" / "dqn_quickstart.yaml"
_PINNING = {"auto": "auto", "true": True, "false": False}


def work(pipe: Connection, pin: bool | str, town: str | None, vehicles: int, seed: int) -> None:
    """Step an environment from the first message to the second, then say how many steps that were."""
    config = load_config(_CONFIGURATION)["env_config"]
    config["carla"]["server"] = {"kind": "embedded", "pin_to_core": pin}
    config["experiment"]["background_activity"] = {"n_vehicles": vehicles}
    if town is not None:
        config["experiment"]["town"] = town
    env = CarlaEnv(config)
    try:
        env.reset(seed=seed)
        choose = random.Random(seed)
        for _ in range(20):
            step(env, choose)
        pipe.send("ready")
        pipe.recv()
        steps = 0
        while not pipe.poll():
            step(env, choose)
            steps += 1
        pipe.send(steps)
    finally:
        env.close()


def step(env: CarlaEnv, choose: random.Random) -> None:
    assert isinstance(env.action_space, Discrete)
    _, _, terminated, truncated, info = env.step(choose.randrange(int(env.action_space.n)))
    assert not info.get("server_restarted"), info
    if terminated or truncated:
        env.reset()


def rate(workers: int, options: argparse.Namespace) -> float:
    """Steps a second of so many workers together."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for seed in range(workers):
        ours, theirs = context.Pipe()
        arguments = (theirs, _PINNING[options.pin], options.town, options.vehicles, seed)
        processes.append(context.Process(target=work, args=arguments))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    begin = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    failed = wait(pipes, options.seconds)  # until then nobody has anything to say
    if failed:
        raise SystemExit(f"{len(failed)} of {workers} workers failed; what they wrote stands above.")
    for pipe in pipes:
        pipe.send("enough")
    seconds = time.perf_counter() - begin
    steps = sum(pipe.recv() for pipe in pipes)
    for process in processes:
        process.join()
    return steps / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pin", choices=sorted(_PINNING), default="auto")
    parser.add_argument("--vehicles", type=int, default=0)
    parser.add_argument("--town", help="instead of the quickstart's")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    one = rate(1, options)
    print(f"{cores} cores, pinning {options.pin}: 1 worker {one:.0f} steps/s", flush=True)
    for workers in options.workers:
        if workers == 1:
            continue
        if workers > cores:
            print(f"{workers} workers: left out, this machine has {cores} cores")
            continue
        together = rate(workers, options)
        ratio = together / (workers * one)
        print(f"{workers} workers {together:.0f} steps/s; ratio to {workers} times one: {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
