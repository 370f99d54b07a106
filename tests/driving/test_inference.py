"""What is told of the episodes that a policy drives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rllib_integration import CarlaEnv
from rllib_integration.driving.inference import drive
from tests.experiments import PoseExperiment


@pytest.mark.parametrize("steps", [None, 8], ids=["ended", "cut_off"])
def test_an_episode_of_a_task_that_tells_nothing_has_the_figures_of_the_library(steps: int | None) -> None:
    experiment = {"type": PoseExperiment, "town": "Minitown", "others": {"last_step": 10}}
    env = CarlaEnv(
        {"carla": {"server": {"kind": "embedded"}, "timeout": 20.0, "ticks_per_step": 4}, "experiment": experiment}
    )
    full_throttle = SimpleNamespace(act=lambda observation: (1, 0.0))
    try:
        (episode,) = drive(env, full_throttle, episodes=1, steps=steps, seed=1)
        assert episode.distance is not None
        assert episode.mean_speed is not None
        assert 0.1 < episode.distance < 10.0
        seconds = (steps or 10) * 0.2
        assert episode.mean_speed == pytest.approx(3.6 * episode.distance / seconds, rel=0.1)
    finally:
        env.close()
