"""Time of a DQN update with this package's learner, as a ratio to RLlib's, and how far their weights come apart.

Both learn from the same random batches with the network of `dqn_traffic.yaml`, on a GPU if there is one, and take
turns. Weights are compared after each of the first updates. With Adam, a gradient near zero that is rounded otherwise
can move a weight by as much as the learning rate.

    python3 benchmarks/dqn_updates.py [--rounds 5] [--batch 256]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rllib_integration.config_file import load_config  # noqa: E402
from rllib_integration.training.dqn.learner import DQNLearner  # noqa: E402
from rllib_integration.training.rl_modules import PictureDQNModule  # noqa: E402

PLANES, ACTIONS = 19, 30
LEARNING_RATE = 3e-4
COMPARED = 8  # updates after which the weights are compared
TOGETHER = 8  # updates made of one draw from the replay buffer, as the trainer does


class Pictures(gymnasium.Env):
    """Spaces alone: a learner takes no step of it."""

    observation_space = spaces.Box(0, 255, (84, 84, PLANES), np.uint8)
    action_space = spaces.Discrete(ACTIONS)


def build(kind: type[DQNTorchLearner], batch: int) -> DQNTorchLearner:
    """A learner with the traffic's network."""
    model = load_config(ROOT / "dqn_example" / "dqn_traffic.yaml")["model"]
    model.pop("weight_average")
    config = (
        DQNConfig()
        .environment(Pictures)
        .learners(num_learners=0, num_gpus_per_learner=int(torch.cuda.is_available()))
        .training(lr=LEARNING_RATE, train_batch_size=batch, grad_clip=10.0, double_q=True, dueling=True)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=PictureDQNModule, model_config=model))
    )
    torch.manual_seed(0)
    learner = kind(config=config, module_spec=config.get_multi_rl_module_spec(env=Pictures()))
    learner.build()
    return learner


def draw(count: int, seed: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Random transitions."""
    source = torch.Generator(device).manual_seed(seed)
    shape = (count, *Pictures.observation_space.shape)
    shares = torch.rand(2, count, generator=source, device=device)
    return {
        "obs": torch.randint(0, 255, shape, generator=source, device=device, dtype=torch.uint8),
        "new_obs": torch.randint(0, 255, shape, generator=source, device=device, dtype=torch.uint8),
        "actions": torch.randint(0, ACTIONS, (count,), generator=source, device=device),
        "rewards": shares[0],
        "terminateds": (shares[1] < 0.1).float(),
        "truncateds": torch.zeros(count, device=device),
        "n_step": torch.ones(count, device=device),
        "weights": torch.ones(count, device=device),
    }


def update(learner: DQNTorchLearner, columns: dict[str, torch.Tensor], batch: int) -> None:
    """Make the updates that a draw is good for."""
    count = len(columns["rewards"])
    samples = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=count)
    learner.update(batch=samples, minibatch_size=batch, num_epochs=1, timesteps={})


def weights(learner: DQNTorchLearner) -> torch.Tensor:
    """All weights in one row."""
    parameters = learner.module[DEFAULT_MODULE_ID].parameters()
    return torch.cat([weight.detach().float().cpu().ravel() for weight in parameters])


def main() -> None:
    """Compare and time the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    options = parser.parse_args()
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    learners = {"RLlib": build(DQNTorchLearner, options.batch), "ours": build(DQNLearner, options.batch)}
    for number in range(1, COMPARED + 1):
        for learner in learners.values():
            update(learner, draw(options.batch, number, device), options.batch)
        apart = (weights(learners["ours"]) - weights(learners["RLlib"])).abs()
        print(f"after {number} updates weights differ by {apart.mean():.1e} on average and {apart.max():.1e} at most")
    columns = draw(TOGETHER * options.batch, 0, device)
    seconds: dict[str, list[float]] = {name: [] for name in learners}
    for _ in range(options.rounds):
        for name, learner in learners.items():
            began = time.perf_counter()
            update(learner, columns, options.batch)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append((time.perf_counter() - began) / TOGETHER)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:6} {1e3 * median:8.2f} ms an update of {options.batch} on {device}")
    print(f"ratio  {medians['ours'] / medians['RLlib']:8.2f}")


if __name__ == "__main__":
    main()
