"""The ring holds what was sampled, and hands it out as RLlib's DQN learner wants it."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from rllib_integration.training.dqn import replay
from rllib_integration.training.dqn.replay import RingReplayBuffer, n_step_returns

SHAPE = (4, 4, 2)
GAMMA = 0.9


def chunk(first: int, length: int, terminated: bool = False, truncated: bool = False) -> SingleAgentEpisode:
    """Steps whose observation, action and reward say which step they are, counted from `first`."""
    episode = SingleAgentEpisode(
        observation_space=gymnasium.spaces.Box(0, 255, SHAPE, np.uint8),
        action_space=gymnasium.spaces.Discrete(500),
        observations=[np.full(SHAPE, first + step, np.uint8) for step in range(length + 1)],
        actions=[first + step for step in range(length)],
        rewards=[float(first + step) for step in range(length)],
        terminated=terminated,
        truncated=truncated,
        len_lookback_buffer=0,
    )
    return episode.to_numpy()


def by_action(buffer: RingReplayBuffer, count: int = 2000) -> dict[int, dict[str, torch.Tensor]]:
    """One drawn sample of every action that the buffer holds."""
    batch = buffer.sample(count)
    return {int(action): {name: batch[name][row] for name in batch} for row, action in enumerate(batch["actions"])}


def test_a_transition_leads_n_steps_ahead_with_its_discounted_rewards() -> None:
    buffer = RingReplayBuffer(100)
    assert buffer.add([chunk(10, 5)], n_step=3, gamma=GAMMA) == 5
    samples = by_action(buffer)
    assert sorted(samples) == [10, 11, 12, 13, 14]
    first = samples[10]
    assert first["obs"].dtype == torch.uint8
    assert int(first["obs"][0, 0, 0]) == 10
    assert int(first["new_obs"][0, 0, 0]) == 13
    assert float(first["rewards"]) == pytest.approx(10 + 11 * GAMMA + 12 * GAMMA**2)
    assert float(first["n_step"]) == 3
    last = samples[14]
    assert int(last["new_obs"][0, 0, 0]) == 15
    assert float(last["n_step"]) == 1
    assert float(last["rewards"]) == 14


def test_only_an_ending_that_has_no_future_is_terminal() -> None:
    buffer = RingReplayBuffer(100)
    buffer.add([chunk(0, 4, terminated=True), chunk(20, 4, truncated=True), chunk(40, 4)], n_step=2, gamma=GAMMA)
    terminal = {action for action, sample in by_action(buffer).items() if float(sample["terminateds"]) == 1}
    assert terminal == {2, 3}


def test_old_steps_make_room_and_no_sample_joins_two_chunks() -> None:
    buffer = RingReplayBuffer(40)
    generator = np.random.default_rng(0)
    value = 0
    for _ in range(60):
        length = int(generator.integers(1, 9))
        value = value if value + length < 240 else 0
        buffer.add([chunk(value, length)], n_step=3, gamma=1.0)
        value += length
        batch = buffer.sample(300)
        observed, following = batch["obs"][:, 0, 0, 0].int(), batch["new_obs"][:, 0, 0, 0].int()
        assert torch.equal(observed, batch["actions"].int())
        assert torch.equal(following - observed, batch["n_step"].int())
        sums = torch.stack([torch.arange(a, b).sum() for a, b in zip(observed.tolist(), following.tolist())])
        assert torch.allclose(batch["rewards"], sums.float())
        assert len(buffer) <= 40


def test_a_chunk_longer_than_the_ring_is_cut() -> None:
    buffer = RingReplayBuffer(8)
    assert buffer.add([chunk(0, 20)], n_step=1, gamma=1.0) == 20
    assert set(by_action(buffer)) <= set(range(20))


def test_the_content_survives_a_checkpoint() -> None:
    buffer = RingReplayBuffer(50)
    buffer.add([chunk(5, 7, terminated=True)], n_step=2, gamma=GAMMA)
    restored = RingReplayBuffer(60)
    restored.set_state(buffer.get_state())
    mine, theirs = by_action(buffer), by_action(restored)
    assert mine.keys() == theirs.keys()
    for action, sample in mine.items():
        assert all(torch.equal(sample[name], theirs[action][name]) for name in sample)
    restored.add([chunk(100, 3)], n_step=2, gamma=GAMMA)
    assert {100, 101, 102} <= set(by_action(restored))


def test_a_ring_is_no_larger_than_memory(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(replay, "available_memory", lambda: 800)  # 0.8 of it are 20 observations of 32 bytes
    buffer = RingReplayBuffer(50)
    buffer.add([chunk(0, 15), chunk(20, 15)], n_step=1, gamma=GAMMA)
    assert set(by_action(buffer)) == set(range(20, 35))
    assert "capacity: 20 instead of 50, because 0.0 GB of memory are free" in caplog.text
    small = RingReplayBuffer(50)
    small.add([chunk(0, 30)], n_step=1, gamma=GAMMA)  # what is to be kept at once needs its rows
    assert small.capacity == 31
    plenty = RingReplayBuffer(20)
    plenty.add([chunk(0, 15)], n_step=1, gamma=GAMMA)
    assert plenty.capacity == 20


def test_content_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    buffer = RingReplayBuffer(50)
    buffer.add([chunk(0, 30)], n_step=1, gamma=GAMMA)
    with pytest.raises(ValueError, match=r"replay_buffer_config\.capacity: 10"):
        RingReplayBuffer(10).set_state(buffer.get_state())
    with pytest.raises(ValueError, match="2 or more"):
        RingReplayBuffer(1)


def test_returns_are_summed_to_the_end_of_the_chunk() -> None:
    rewards = np.array([1.0, 2.0, 4.0], np.float32)
    assert n_step_returns(rewards, 2, 0.5).tolist() == [2.0, 4.0, 4.0]
    assert n_step_returns(rewards, 9, 0.5).tolist() == [3.0, 4.0, 4.0]
