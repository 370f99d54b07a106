"""Past selves of a policy: they are part of a checkpoint, and a restored run renews them in turn as before."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ray
from gymnasium import spaces
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from rllib_integration.training.league import LeagueCallbacks
from rllib_integration.training.ray_session import log_folder_elsewhere
from rllib_integration.training.rllib_config import build_algorithm_config
from tests.experiments import PoseExperiment

AGENTS = ["car", "rival"]
MEMBERS = ["past_0", "past_1"]
DOCUMENT = {
    "algorithm": "PPO",
    "env_config": {"experiment": {"type": PoseExperiment}, "agents": {"heroes": dict.fromkeys(AGENTS)}},
    "policies": {"cars": {}, "past": {"league": 2, "every": 2}},
    "policy_mapping": {"car": "cars", "*": "past"},
    "env_runners": {"num_env_runners": 0, "num_envs_per_env_runner": 1, "rollout_fragment_length": 16},
    "training": {"train_batch_size_per_learner": 16, "minibatch_size": 16, "num_epochs": 1},
    "model": {"fcnet_hiddens": [4]},
    "debugging": {"seed": 1},
}


class Meeting(MultiAgentEnv):
    """A world without a simulator: two agents observe noise for four decisions."""

    def __init__(self, config: object = None) -> None:
        super().__init__()
        self.possible_agents = self.agents = AGENTS
        self.observation_spaces: dict[str, spaces.Space] = dict.fromkeys(
            AGENTS, spaces.Box(-1.0, 1.0, (3,), np.float32)
        )
        self.action_spaces: dict[str, spaces.Space] = dict.fromkeys(AGENTS, spaces.Discrete(2))
        self.rng = np.random.default_rng(1)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        self.steps = 0
        return self._seen(), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        self.steps += 1
        rewards = {agent: float(action) for agent, action in action_dict.items()}
        return self._seen(), rewards, {"__all__": self.steps == 4}, {"__all__": False}, {}

    def _seen(self) -> dict[str, np.ndarray]:
        return {agent: self.rng.uniform(-1.0, 1.0, 3).astype(np.float32) for agent in AGENTS}


@pytest.fixture
def make_algorithm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(ray, "put", lambda value: value)  # all is in this process, so Ray needn't start its own
    made = []

    def make() -> Algorithm:
        with log_folder_elsewhere():
            made.append(build_algorithm_config(DOCUMENT, Meeting).build_algo())
        return made[-1]

    yield make
    for algorithm in made:
        algorithm.stop()


def weights(module: Any, policy: str) -> np.ndarray:
    """The network of a policy that its actions come from, as one vector."""
    state = module[policy].unwrapped().get_state(inference_only=True)
    return np.concatenate([np.asarray(state[name]).ravel() for name in sorted(state)])


def league(algorithm: Algorithm) -> dict[str, np.ndarray]:
    """The weights of the past selves, which are the same where they learn and where they act."""
    (found,) = algorithm.learner_group.foreach_learner(
        lambda learner: {name: weights(learner.module, name) for name in MEMBERS}
    )
    members = found.get()
    for name in MEMBERS:
        np.testing.assert_array_equal(weights(algorithm.env_runner.module, name), members[name])
    return members


def test_past_selves_keep_their_weights_and_their_turn_in_a_restored_run(make_algorithm, tmp_path):
    first = make_algorithm()
    beginning = league(first)
    for _ in range(3):
        first.train()
    saved = league(first)
    assert not np.array_equal(saved["past_0"], beginning["past_0"])  # renewed after two iterations
    np.testing.assert_array_equal(saved["past_1"], beginning["past_1"])
    first.save(str(tmp_path))
    second = make_algorithm()
    second.restore(str(tmp_path))
    restored = league(second)
    for name in MEMBERS:
        np.testing.assert_array_equal(restored[name], saved[name])
    second.train()
    (learner,) = second.learner_group.foreach_learner(lambda learner: weights(learner.module, "cars"))
    now = league(second)
    np.testing.assert_array_equal(now["past_0"], saved["past_0"])
    np.testing.assert_array_equal(now["past_1"], learner.get())  # its turn came after four


def test_a_restored_run_does_not_repeat_the_draws_of_its_beginning():
    drawn = []
    for sampled in (0, 512):
        runner = SimpleNamespace(config=SimpleNamespace(seed=1), worker_index=0, num_env_steps_sampled_lifetime=sampled)
        episode = SimpleNamespace(custom_data={})
        LeagueCallbacks().on_episode_created(episode=episode, env_runner=runner)
        drawn.append(list(episode.custom_data.values()))
    assert drawn[0] != drawn[1]
