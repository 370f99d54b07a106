"""Sampling with this environment, as a ratio to RLlib's sampling of an environment that costs nothing.

Both have the quickstart's spaces, network, episodes and number of environments; one simulates, the other returns the
same picture. `ratio` compares with RLlib as it is: its env runner, and its network with the scaling of uint8 pictures
that it lacks. `to ours` compares with the same costless environment in this package's own env runner and network. The
three sample in turn, a few steps each, and medians are printed, so that a machine that is busy at times treats them
alike. The last columns count processor time instead of seconds: RLlib's of a step of the costless environment, that of
this package's env runner, what the environment and CARLA's client add in the same process, and the server's. With
`--processes` environments have processes of their own, which count with the servers.

    python3 benchmarks/rllib_sampling.py [--steps 1500] [--envs 1 2 4] [--processes]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from rllib_integration.annotations import Record

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402
from processor_time import below, processor_seconds  # noqa: E402

from rllib_integration.processes.ray_setup import prepare_for_ray, quiet_ray  # noqa: E402

prepare_for_ray()

from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule  # noqa: E402
from ray.rllib.core.columns import Columns  # noqa: E402
from ray.rllib.core.models.torch.encoder import TorchCNNEncoder  # noqa: E402
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner  # noqa: E402
from ray.tune.registry import register_env  # noqa: E402

from dqn_example.dqn_state import HeroState  # noqa: E402
from dqn_example.follow_road import FollowRoad  # noqa: E402
from rllib_integration.carla_core import CarlaCore  # noqa: E402
from rllib_integration.config_file import load_config  # noqa: E402
from rllib_integration.training.env_creator import make_env  # noqa: E402
from rllib_integration.training.env_runner import CarlaEnvRunner, step_together  # noqa: E402
from rllib_integration.training.rllib_config import build_algorithm_config, read_document  # noqa: E402


class RLlibsModule(DefaultDQNTorchRLModule):
    """RLlib's own network, which takes no uint8 pictures unless they are scaled for it."""

    def setup(self) -> None:
        super().setup()
        for module in self.modules():
            if isinstance(module, TorchCNNEncoder):
                module.register_forward_pre_hook(
                    lambda encoder, inputs: ({**inputs[0], Columns.OBS: inputs[0][Columns.OBS].float() / 255.0},)
                )


class EndlessRoad(FollowRoad):
    """The quickstart's task without bad ends: a policy that has learnt ends few episodes before their time."""

    def bad_ends(self, state: HeroState, core: CarlaCore) -> dict[str, bool]:
        return {}


class CostlessEnv(gymnasium.Env):
    """The quickstart's spaces and length of episodes, and always the same picture."""

    def __init__(self, spaces: tuple[gymnasium.Space, gymnasium.Space], episode_steps: int) -> None:
        self.observation_space, self.action_space = spaces
        self.episode_steps = episode_steps
        assert self.observation_space.shape is not None
        self.picture = np.zeros(self.observation_space.shape, np.uint8)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Record | None = None) -> tuple[Any, Record]:
        self.steps = 0
        return self.picture, {}

    def step(self, action: object) -> tuple[Any, float, bool, bool, Record]:
        self.steps += 1
        return self.picture, 0.0, False, self.steps == self.episode_steps, {}


def prepare_quickstart() -> Record:
    """The quickstart's document; its environment is registered as `carla`, the one that costs nothing as `costless`."""
    document, _ = read_document(load_config(ROOT / "dqn_example" / "dqn_quickstart.yaml"))
    experiment = document["environment"]["env_config"]["experiment"]
    experiment["type"] = EndlessRoad
    env = make_env(document["environment"]["env_config"])
    spaces = (env.observation_space, env.action_space)
    env.close()
    register_env("carla", make_env)
    register_env("costless", lambda context: CostlessEnv(spaces, experiment["others"]["max_time_episode"]))
    quiet_ray()
    return document


def with_rllibs_network(document: Record) -> Record:
    """The document, with RLlib's own network."""
    return {**document, "model": {**document["model"], "module_class": RLlibsModule}}


def make_runner(
    document: Record, env: str, envs: int, rllibs_own: bool = False, in_processes: bool = False
) -> SingleAgentEnvRunner:
    """An env runner in this process, RLlib's own or ours, that has made its first steps."""
    config = build_algorithm_config(with_rllibs_network(document) if rllibs_own else document, env)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=envs)
    if env == "carla":
        step_together(config, {"gym_env_vectorize_mode": "async"} if in_processes else None)
    runner = (SingleAgentEnvRunner if rllibs_own else CarlaEnvRunner)(config=config)
    runner.sample(num_timesteps=50 * envs)
    return runner


def sample(runner: SingleAgentEnvRunner, steps: int, servers: list[psutil.Process]) -> tuple[float, float, float]:
    """Seconds a step, and processor seconds a step of this process and of the servers."""
    begin, own, others = time.perf_counter(), time.process_time(), processor_seconds(servers)
    done = sum(len(episode) for episode in runner.sample(num_timesteps=steps))
    spent = (time.perf_counter() - begin, time.process_time() - own, processor_seconds(servers) - others)
    return spent[0] / done, spent[1] / done, spent[2] / done


def main() -> None:
    """Print both rates and their ratio for each number of environments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--envs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--processes", action="store_true", help="give each environment a process of its own")
    arguments = parser.parse_args()
    document = prepare_quickstart()
    print(
        f"{'envs':>4} {'carla steps/s':>14} {'costless steps/s':>17} {'ratio':>6} {'to ours':>8}   "
        f"processor us a step: {'RLlib':>6} {'ours':>6} {'client':>6} {'server':>6}"
    )
    for envs in arguments.envs:
        rllibs = make_runner(document, "costless", envs, rllibs_own=True)
        ours = make_runner(document, "costless", envs)
        before = below()
        carla = make_runner(document, "carla", envs, in_processes=arguments.processes)
        servers = [process for process in below() if process not in before]
        rounds = np.array(
            [
                [sample(runner, 16 * envs, servers) for runner in (rllibs, ours, carla)]
                for _ in range(max(1, arguments.steps // (16 * envs)))
            ]
        )
        carla.stop()
        seconds, used, _ = np.median(rounds, axis=0).T
        served = rounds[:, 2, 2].mean()
        ratio, to_ours = np.median(rounds[:, :2, 0] / rounds[:, 2:, 0], axis=0)
        shares = (used[0], used[1], used[2] - used[1], served)
        print(
            f"{envs:>4} {1.0 / seconds[2]:>14.0f} {1.0 / seconds[0]:>17.0f} {ratio:>6.2f} {to_ours:>8.2f} {'':>22} "
            + " ".join(f"{share * 1e6:>6.0f}" for share in shares),
            flush=True,
        )


if __name__ == "__main__":
    main()
