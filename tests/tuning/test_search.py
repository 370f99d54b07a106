"""`carla-rllib tune` finds values, writes what it found, and population based training changes them."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rllib_integration.config.merging import ConfigError
from rllib_integration.training.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import argparse, sys
from rllib_integration.cli import tune
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    tune.add_arguments(parser)
    sys.exit(tune.run(parser.parse_args()))
"""
SMALL = (
    *("env_runners.num_envs_per_env_runner=1", "reporting.min_sample_timesteps_per_iteration=80"),
    *("env_config.experiment.others.time_limit=20", "training.train_batch_size_per_learner=40"),
)


def search(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    command = [sys.executable, str(program), str(ROOT / "rl_example/configs/a2c.yaml"), "--directory", str(folder)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    return subprocess.run(
        [*command, *settings, *words], cwd=folder, capture_output=True, text=True, timeout=550, env=environment
    )


@pytest.mark.parametrize("scheduler", ["asha", "pbt"])
def test_a_search_ends_with_a_table_a_picture_and_a_configuration_that_trains(scheduler: str, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("training.lr: {loguniform: [0.0001, 0.1]}")
    words = ("--space", str(space), "--trials", "2", "--grace", "1", "--scheduler", scheduler)
    done = search(tmp_path, *words, "--steps", "160")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "search"
    with (folder / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert float(rows[0]["score"]) >= float(rows[1]["score"])
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert best["training"]["lr"] == pytest.approx(float(rows[0]["training.lr"]))
    assert (folder / "search.png").stat().st_size > 5000
    if scheduler == "pbt":
        changed = list(folder.glob("pbt_policy_*.txt"))
        assert changed, "no trial has gone on from another one with changed values"
        return
    again = search(tmp_path, *words, "--steps", "160", "--restore")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "  1. score" in again.stdout


def test_a_setting_that_does_not_exist_is_told_before_ray_starts(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("training.learning_rat: {uniform: [0.1, 1.0]}")
    done = search(tmp_path, "--space", str(space))
    assert done.returncode == 1
    assert "learning_rat" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("asked", "gpus", "parallel", "given"),
    [("auto", 0, 4, 0), ("auto", 1, 4, 0.25), ("auto", 2, 3, 0.5), ("auto", 8, 4, 1.0), (0.5, 1, 2, 0.5), (0, 1, 2, 0)],
)
def test_trials_share_the_graphics_cards(asked: float | str, gpus: int, parallel: int, given: float) -> None:
    from rllib_integration.tuning.search import share_gpus

    shared = share_gpus({"learners": {"num_gpus_per_learner": asked}}, Machine(cpus=16, gpus=gpus), parallel)
    assert shared["learners"]["num_gpus_per_learner"] == given


def test_a_trial_that_asks_for_more_graphics_cards_than_there_are_is_refused() -> None:
    from rllib_integration.tuning.search import share_gpus

    with pytest.raises(ConfigError, match=r"asks for 1 GPUs .* has 0; set it to auto"):
        share_gpus({"learners": {"num_gpus_per_learner": 1}}, Machine(cpus=16, gpus=0), parallel=2)
