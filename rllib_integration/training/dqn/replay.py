"""A replay buffer for pictures: one flat ring of bytes, on the device where the network learns.

RLlib's episode buffers keep Python objects for every step and rebuild batches from them, which takes two
thirds of the time of a DQN run. Here each observation is stored once, as uint8; a transition is a row number,
and n-step returns are summed up when an episode's steps arrive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rllib_integration.config.merging import ConfigError
from rllib_integration.processes.memory import available_memory

logger = logging.getLogger(__name__)

_MOST_OF_MEMORY = 0.8  # of what is free when the first steps arrive, which simulators and env runners have theirs of


class RingReplayBuffer:
    """Uniform replay over the newest transitions.

    A chunk of T steps takes T + 1 rows, its T + 1 observations; the last row starts no transition. A chunk
    never wraps around the ring's end, so that row + n is always the observation n steps later.

    Args:
        capacity: Number of rows, that is, of observations kept; fewer where the device has no memory for so many.
        device: Where the ring lies, such as "cuda:0". Its pictures take capacity x their bytes of it.
    """

    def __init__(self, capacity: int = 50_000, device: str = "cpu", **_: object) -> None:
        if capacity < 2:
            raise ConfigError(f"replay_buffer_config.capacity is {capacity}, but 2 or more are needed.")
        self.capacity = int(capacity)
        self.device = torch.device(device)
        self.added = 0
        self._next = 0
        self._filled = 0
        self._observations: torch.Tensor | None = None

    def __len__(self) -> int:
        return int(self._valid[: self._filled].sum()) if self._observations is not None else 0

    def add(self, episodes: Iterable[SingleAgentEpisode], n_step: int, gamma: float) -> int:
        """Store the steps of episode chunks.

        Args:
            episodes: Chunks with numpy observations of one shape.
            n_step: Rewards of so many steps are summed up, fewer at a chunk's end.
            gamma: Discount of one step.

        Returns:
            The number of transitions added.
        """
        added = 0
        for episode in episodes:
            for chunk in _split(episode, self.capacity - 1):
                added += self._add_chunk(*chunk, n_step, gamma)
        self.added += added
        return added

    def sample(self, count: int) -> dict[str, torch.Tensor]:
        """Draw transitions uniformly, with replacement, as the batch that RLlib's DQN learner expects."""
        if self._observations is None:
            raise ValueError("The replay buffer is empty; add episodes before sampling.")
        rows = torch.randint(self._filled, (count,), device=self.device)
        unusable = ~self._valid[rows]
        while bool(unusable.any()):
            rows[unusable] = torch.randint(self._filled, (int(unusable.sum()),), device=self.device)
            unusable = ~self._valid[rows]
        steps = self._steps[rows]
        zeros = torch.zeros(count, device=self.device)
        return {
            "obs": self._observations[rows],
            "new_obs": self._observations[rows + steps],
            "actions": self._actions[rows],
            "rewards": self._rewards[rows],
            "terminateds": self._terminated[rows],
            "truncateds": zeros,
            "n_step": steps.float(),
            "weights": zeros + 1,
        }

    def _add_chunk(
        self, observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray, ended: bool, n_step: int, gamma: float
    ) -> int:
        length = len(actions)
        if length == 0:
            return 0
        self._allocate(observations, actions)
        if self._next + length + 1 > self.capacity:
            self._valid[self._next :] = False
            self._filled = self._next
            self._next = 0
        first, last = self._next, self._next + length
        steps = np.minimum(n_step, length - np.arange(length))
        terminated = ended & (np.arange(length) + steps == length)
        assert self._observations is not None
        self._observations[first : last + 1] = self._tensor(observations)
        self._actions[first:last] = self._tensor(actions)
        self._rewards[first:last] = self._tensor(n_step_returns(rewards, n_step, gamma))
        self._steps[first:last] = self._tensor(steps)
        self._terminated[first:last] = self._tensor(terminated.astype(np.float32))
        self._valid[first:last] = True
        self._valid[last] = False
        self._next = last + 1
        self._filled = max(self._filled, self._next)
        return length

    def _allocate(self, observations: np.ndarray, actions: np.ndarray) -> None:
        if self._observations is not None:
            return
        self._fit(observations)

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros((self.capacity, *shape), dtype=dtype, device=self.device)

        self._observations = zeros(*observations.shape[1:], dtype=torch.from_numpy(observations[:1]).dtype)
        self._actions = zeros(*actions.shape[1:], dtype=torch.from_numpy(actions[:1]).dtype)
        self._rewards, self._terminated = zeros(), zeros()
        self._steps = zeros(dtype=torch.int64)
        self._valid = zeros(dtype=torch.bool)

    def _fit(self, observations: np.ndarray) -> None:
        """Lower the capacity to what the device has memory for, but not below these observations (T + 1, ...)."""
        is_cuda = self.device.type == "cuda"
        free = torch.cuda.mem_get_info(self.device)[0] if is_cuda else available_memory()
        fits = max(int(_MOST_OF_MEMORY * free) // observations[0].nbytes, len(observations))
        if fits < self.capacity:
            logger.warning(
                "training.replay_buffer_config.capacity: %d instead of %d, because %.1f GB of %s are free and an "
                "observation takes %d bytes.",
                *(fits, self.capacity, free / 1e9, "the GPU's memory" if is_cuda else "memory", observations[0].nbytes),
            )
            self.capacity = fits

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, non_blocking=True)

    def get_state(self) -> dict[str, np.ndarray]:
        """The buffer's content as arrays, for a checkpoint."""
        state = {"place": np.array([self._next, self._filled, self.added])}
        if self._observations is not None:
            state |= {name: getattr(self, f"_{name}")[: self._filled].cpu().numpy() for name in _COLUMNS}
        return state

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `get_state` returned, of a buffer of at most this capacity.

        Raises:
            ConfigError: the content does not fit into this buffer.
        """
        place = [int(number) for number in state["place"]]
        if place[1] > self.capacity:
            raise ConfigError(
                f"The checkpoint's replay buffer holds {place[1]} rows, more than "
                f"replay_buffer_config.capacity: {self.capacity}."
            )
        self._next, self._filled, self.added = place
        if "observations" in state:
            self._allocate(state["observations"], state["actions"])
            for name in _COLUMNS:
                getattr(self, f"_{name}")[: self._filled] = self._tensor(state[name])


_COLUMNS = ("observations", "actions", "rewards", "steps", "terminated", "valid")


def n_step_returns(rewards: np.ndarray, n_step: int, gamma: float) -> np.ndarray:
    """Discounted sums of the next `n_step` rewards, fewer at the end; float32 (T,) for rewards (T,)."""
    result = np.zeros(len(rewards), np.float32)
    for ahead in range(min(n_step, len(rewards))):
        result[: len(rewards) - ahead] += gamma**ahead * rewards[ahead:]
    return result


def _split(episode: SingleAgentEpisode, longest: int) -> Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, bool]]:
    """Observations, actions, rewards and whether a terminal state follows, in chunks of at most `longest` steps."""
    observations = np.asarray(episode.get_observations())
    actions = np.asarray(episode.get_actions())
    rewards = np.asarray(episode.get_rewards(), np.float32)
    chunks = []
    for start in range(0, len(actions), longest):
        end = min(start + longest, len(actions))
        ended = bool(episode.is_terminated) and end == len(actions)
        chunks.append((observations[start : end + 1], actions[start:end], rewards[start:end], ended))
    return chunks
