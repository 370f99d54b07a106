"""DQN for pictures: RLlib's learner and env runners around a flat replay buffer.

The env runners sample the next round while the learner trains on the rounds before, and every checkpoint
carries the network for inference without Ray: with `model.weight_average`, the moving average of its weights,
which drives more evenly than any of them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    REPLAY_BUFFER_ADD_DATA_TIMER,
    REPLAY_BUFFER_SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TD_ERROR_KEY,
    TIMERS,
)
from torch.optim.swa_utils import get_ema_multi_avg_fn

from rllib_integration.annotations import Record
from rllib_integration.config.merging import ConfigError
from rllib_integration.driving.torch_policy import DESCRIPTION_FILE, WEIGHTS_FILE, describe_network, extract_weights
from rllib_integration.training.dqn.learner import DQNLearner
from rllib_integration.training.dqn.replay import RingReplayBuffer
from rllib_integration.training.dqn.sampling_rounds import SamplingRounds
from rllib_integration.training.plain_policy import learnt_weights

REPLAY_FILE = "replay_buffer.npz"
Round: TypeAlias = tuple[list[SingleAgentEpisode], Record]
"""What an env runner has sampled in a round, and its metrics."""

UPDATES_AT_ONCE = 8  # batches drawn together: enough to hide the draw, few enough to fit into memory


class DQNTrainer(DQN):
    """DQN with a `RingReplayBuffer`, where `training.replay_buffer_config.type` names one.

    With one of RLlib's own buffers it trains exactly as RLlib's DQN does.
    """

    @classmethod
    def get_default_config(cls) -> DQNConfig:
        """RLlib's defaults for DQN, built into this class, with a learner that makes more of a GPU."""
        return DQNConfig(algo_class=cls).learners(learner_class=DQNLearner)

    def setup(self, config: DQNConfig) -> None:
        """Build as RLlib does, and put the ring where the learner works."""
        super().setup(config)
        self._update_debt = 0.0
        self._rounds: SamplingRounds[Round] | None = None
        module = self.get_module(DEFAULT_MODULE_ID)
        self._average = WeightAverage(module.model_config.get("weight_average"))
        if isinstance(self.local_replay_buffer, RingReplayBuffer):
            self.local_replay_buffer.device = self._learner_device()

    def _learner_device(self) -> torch.device:
        is_local_gpu = self.config.num_learners == 0 and self.config.num_gpus_per_learner > 0
        if is_local_gpu and torch.cuda.is_available():
            return torch.device(f"cuda:{self.config.local_gpu_idx}")
        return torch.device("cpu")

    def training_step(self) -> None:
        """One round: take what the env runners sampled, let them sample on, and learn meanwhile."""
        buffer = self.local_replay_buffer
        if not isinstance(buffer, RingReplayBuffer):
            super().training_step()
            return
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            results = self._sample_round()
        self.metrics.aggregate([metrics for _, metrics in results], key=ENV_RUNNER_RESULTS)
        with self.metrics.log_time((TIMERS, REPLAY_BUFFER_ADD_DATA_TIMER)):
            added = sum(buffer.add(episodes, self.config.n_step, self.config.gamma) for episodes, _ in results)
        if buffer.added < max(self.config.num_steps_sampled_before_learning_starts, 1):
            return
        updates = self._updates_due(added)
        if not updates:
            return
        for done in range(0, updates, UPDATES_AT_ONCE):
            self._update(buffer, min(updates - done, UPDATES_AT_ONCE))
        if self._average.is_kept:
            self._average.add(self._newest_weights(), updates)
        self._send_weights()

    def _sample_round(self) -> list[Round]:
        """Episode chunks and metrics of each env runner that is done; remote ones start on their next round at once."""
        if self.env_runner_group.num_remote_workers() == 0:
            return [_sample(self.env_runner)]
        if self._rounds is None:
            self._rounds = SamplingRounds(self, _sample)
        return self._rounds.next()

    def _updates_due(self, added: int) -> int:
        """Updates that keep the ratio of trained to sampled steps at `training_intensity`; one if it is unset."""
        if not self.config.training_intensity:
            return 1
        self._update_debt += added * self.config.training_intensity / self.config.total_train_batch_size
        due = int(self._update_debt)
        self._update_debt -= due
        return due

    def _update(self, buffer: RingReplayBuffer, count: int) -> None:
        size = self.config.total_train_batch_size
        with self.metrics.log_time((TIMERS, REPLAY_BUFFER_SAMPLE_TIMER)):
            samples = SampleBatch(buffer.sample(count * size))
            batch = MultiAgentBatch({DEFAULT_MODULE_ID: samples}, env_steps=count * size)
        steps = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            results = self.learner_group.update(
                batch=batch,
                minibatch_size=self.config.train_batch_size_per_learner,
                num_epochs=1,
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: steps},
            )
        for result in results:
            for metrics in result.values():
                metrics.pop(TD_ERROR_KEY, None)  # one number a sample, which nothing here reads
        self.metrics.aggregate(results, key=LEARNER_RESULTS)

    def _local_module(self) -> TorchRLModule | None:
        """The network that learns in this process; None where learners are processes of their own."""
        if not self.learner_group.is_local:
            return None
        (module,) = self.learner_group.foreach_learner(lambda learner: learner.module[DEFAULT_MODULE_ID])
        return module.get()

    def _newest_weights(self) -> dict[str, torch.Tensor]:
        """The learning network's weights, by name; of one learner, where there are several: they are all alike."""
        module = self._local_module()
        if module is not None:
            return dict(module.named_parameters())
        return {name: torch.tensor(weight) for name, weight in learnt_weights(self).items()}

    def evaluate(self, *arguments: object, **keywords: object) -> Record:
        """Evaluate as RLlib does, with the averaged weights where they are kept and the learner is in this process."""
        module = self._local_module()
        if module is None:
            return super().evaluate(*arguments, **keywords)
        with self._average.put_into(module):
            return super().evaluate(*arguments, **keywords)

    def _send_weights(self) -> None:
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
            )

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save RLlib's checkpoint, and with it the network for inference without Ray."""
        super().save_checkpoint(checkpoint_dir)
        folder = Path(checkpoint_dir)
        module = self.get_module(DEFAULT_MODULE_ID)
        state = learnt_weights(self)
        description = describe_network(module, module.observation_space.shape)
        (folder / DESCRIPTION_FILE).write_text(json.dumps(description, indent=1), encoding="utf-8")
        torch.save(extract_weights(module, self._average.over(state)), folder / WEIGHTS_FILE)
        buffer = self.local_replay_buffer
        if self.config.store_buffer_in_checkpoints and isinstance(buffer, RingReplayBuffer):
            np.savez(folder / REPLAY_FILE, **buffer.get_state())  # type: ignore[arg-type]

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Restore the state, and the replay buffer where it was stored; otherwise it is filled anew."""
        super().load_checkpoint(checkpoint_dir)
        file = Path(checkpoint_dir) / REPLAY_FILE
        if file.is_file() and isinstance(self.local_replay_buffer, RingReplayBuffer):
            with np.load(file) as state:
                self.local_replay_buffer.set_state(dict(state))


class WeightAverage:
    """An exponential moving average of a network's weights.

    Args:
        decay: Of one update, such as 0.999; None keeps no average.
    """

    def __init__(self, decay: float | None) -> None:
        if decay is not None and not 0.0 <= decay < 1.0:
            raise ConfigError(f"model.weight_average is {decay}, but a number from 0 up to below 1 was expected.")
        self._decay = decay
        self._updates = 0
        self._weights: dict[str, torch.Tensor] = {}

    @property
    def is_kept(self) -> bool:
        """Whether there is anything to be averaged."""
        return self._decay is not None

    @torch.no_grad()
    def add(self, current: dict[str, torch.Tensor], updates: int) -> None:
        """Take in the weights after some updates; begins quickly, like a plain mean."""
        assert self._decay is not None
        self._updates += updates
        if not self._weights:
            self._weights = {name: weight.detach().clone() for name, weight in current.items()}
            return
        share = max(1.0 - self._decay**updates, updates / self._updates)
        move = get_ema_multi_avg_fn(1.0 - share)
        move(list(self._weights.values()), [current[name].detach() for name in self._weights], None)

    def over(self, state: Record) -> Record:
        """A state dictionary with the averaged weights in place of the newest."""
        return {**state, **{name: weight.cpu().numpy() for name, weight in self._weights.items() if name in state}}

    @contextlib.contextmanager
    def put_into(self, module: torch.nn.Module) -> Iterator[None]:
        """Let a network have the averaged weights for a while."""
        weights = dict(module.named_parameters())
        newest = {name: weights[name].detach().clone() for name in self._weights}
        try:
            with torch.no_grad():
                for name, average in self._weights.items():
                    weights[name].copy_(average)
            yield
        finally:
            with torch.no_grad():
                for name, weight in newest.items():
                    weights[name].copy_(weight)


def _sample(runner: EnvRunner) -> Round:
    return runner.sample(), runner.get_metrics()
