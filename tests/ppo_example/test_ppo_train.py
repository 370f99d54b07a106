"""The race's training as a user types it: logged step by step, tracked and evaluated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from rllib_integration.driving.rllib_policy import RLlibPolicy
from rllib_integration.driving.torch_policy import GreedyPolicy
from rllib_integration.state_log.files import FOLDER, read_state_log
from rllib_integration.tracking.mlflow_tracker import tracking_uri

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "env_config.carla.server": "embedded",
    "env_config.experiment.others.max_time_episode": 20,
    "env_runners.num_env_runners": 1,
    "env_runners.num_envs_per_env_runner": 2,
    "training.train_batch_size_per_learner": 80,
    "training.minibatch_size": 40,
    "training.num_epochs": 1,
    "evaluation.evaluation_duration": 1,
}


def train(folder: Path, *arguments: str) -> str:
    """Train as a user does; returns what was printed."""
    settings = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [sys.executable, "ppo_train.py", "ppo_example/configs/ppo_vlidar_config.yaml", "--tboff", *settings]
        + ["-d", str(folder), "--state_log", "--mlflow_uri", str(folder / "mlflow"), "--evaluation-interval", "1"]
        + list(arguments),
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "CARLA_ROOT"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_step_is_logged_and_every_iteration_is_tracked(tmp_path: Path) -> None:
    said = train(tmp_path, "--stop_iteration", "2")
    assert "Tracking:" not in said  # nothing failed
    run = tmp_path / "ppo_example"
    steps = list(read_state_log(run / FOLDER, "train"))
    assert {line["iteration"] for line in steps} == {1, 2}
    assert len(steps) == 2 * 80
    assert {line["town"] for line in steps} == {"Racetrack01"}
    assert all(len(line["action"]) == 2 and "progress" in line["reward_parts"] for line in steps)
    ended = [line for line in steps if line["terminated"] or line["truncated"]]
    assert ended
    assert all(line["end"] for line in ended)
    assert {line["town"] for line in read_state_log(run / FOLDER, "eval")} <= {"Racetrack01", "Racetrack02"}
    number = json.loads((run / "tracking.json").read_text(encoding="utf-8"))["MLflow"]
    client = MlflowClient(tracking_uri(str(tmp_path / "mlflow")))
    kept = client.get_run(number)
    assert kept.info.status == "FINISHED"
    assert kept.data.params["env_config.experiment.town"] == "Racetrack01"
    history = client.get_metric_history(number, "training_iteration")
    assert [entry.value for entry in history] == [1, 2]
    assert history[0].step < history[1].step
    assert {item.path for item in client.list_artifacts(number)} >= {"config.yaml", "run.json", "checkpoints"}
    check_that_torch_alone_chooses_the_same(next(run.glob("checkpoint_*")))


def check_that_torch_alone_chooses_the_same(checkpoint: Path) -> None:
    """A checkpoint's plain network against RLlib's own network and connectors."""
    with_rllib, with_torch = RLlibPolicy(checkpoint), GreedyPolicy(checkpoint, "cpu")
    for observation in np.random.default_rng(0).uniform(-1.0, 1.0, (50, 183)).astype(np.float32):
        np.testing.assert_allclose(with_torch.act(observation)[0], with_rllib.act(observation)[0], atol=1e-5)
