"""Each configuration of the example trains, is saved, and goes on from there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.warm_commands import WarmCommands

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "rl_example" / "configs"
SMALL = {
    "a2c": ["env_runners.num_envs_per_env_runner=1", "reporting.min_sample_timesteps_per_iteration=80"],
    "acktr": ["env_runners.num_envs_per_env_runner=1", "reporting.min_sample_timesteps_per_iteration=80"],
    "ppo": [
        *("training.train_batch_size_per_learner=80", "training.minibatch_size=40"),
        *("env_runners.num_envs_per_env_runner=1", "reporting.min_sample_timesteps_per_iteration=80"),
    ],
    "her": ["training.learning_starts=60", "n_envs=1", "reporting.min_sample_timesteps_per_iteration=80"],
    "her_ppo": [
        *("training.train_batch_size_per_learner=80", "training.minibatch_size=40"),
        *("env_runners.num_envs_per_env_runner=1", "reporting.min_sample_timesteps_per_iteration=80"),
    ],
}
SMALL["her_dqn"] = SMALL["her"]
BRIEF = ("--set", "evaluation.evaluation_duration=2")
LIMIT = "env_config.experiment.others.time_limit=20"


def train(commands: WarmCommands, name: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    settings = [word for setting in [*SMALL[name], LIMIT] for word in ("--set", setting)]
    command = ["rl_train.py", "--config", str(CONFIGS / f"{name}.yaml"), "--directory", str(folder)]
    return commands.run(*command, "--tboff", *settings, *options)


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_it_trains_saves_and_continues(name: str, warm_commands: WarmCommands, tmp_path: Path) -> None:
    first = train(warm_commands, name, tmp_path, "--stop-iterations", "1", "--evaluation-interval", "1", *BRIEF)
    assert first.returncode == 0, first.stdout + first.stderr
    again = train(warm_commands, name, tmp_path, "--restore", "--stop-iterations", "2")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Restored checkpoint_000001" in again.stdout
    run = tmp_path / name
    episodes = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert episodes
    assert all({"return", "length", "end", "iteration", "step"} <= set(episode) for episode in episodes)
    assert (run / "checkpoint_000002").is_dir()
    assert len((run / "result.json").read_text().splitlines()) == 2
    assert len((run / "evaluation.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("algorithm=SB3-SCA", "Did you mean SB3-SAC?"),
        ("training.lerning_rate=1", "learning_rate"),
        ("trainig={}", "Unknown section 'trainig'"),
        ("n_envs=0", "n_envs is 0, but it has to be a whole number, 1 or more"),
        ("training.policy_kwargs.features_extractor_class=os:path", "has to be a subclass of BaseFeaturesExtractor"),
    ],
)
def test_mistakes_for_stable_baselines_are_told_in_a_sentence(
    setting: str, message: str, warm_commands: WarmCommands, tmp_path: Path
) -> None:
    command = ["rl_train.py", "--config", str(CONFIGS / "her.yaml"), "--directory", str(tmp_path)]
    done = warm_commands.run(*command, "--set", setting)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
