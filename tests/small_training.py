"""Settings under which the quickstart trains within seconds: a small picture, a small network, short iterations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

QUICKSTART = str(Path(__file__).resolve().parents[1] / "dqn_example" / "dqn_quickstart.yaml")
SMALL = {
    "env_config.experiment.town": "Minitown",
    "env_config.experiment.hero.sensors.birdview.size": 42,
    "env_config.experiment.others.max_time_episode": 40,
    "env_runners.num_env_runners": 0,
    "env_runners.num_envs_per_env_runner": 1,
    "model.conv_filters": "[[8,[8,8],4,valid],[8,[3,3],2,valid]]",
    "model.head_fcnet_hiddens": "[32]",
    "training.num_steps_sampled_before_learning_starts": 60,
    "training.replay_buffer_config.capacity": 500,
    "reporting.min_sample_timesteps_per_iteration": 120,
}


def words_of(settings: Mapping[str, object]) -> list[str]:
    """The words of a command line that set them."""
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
