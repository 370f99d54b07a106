"""The driving test as its command runs it, with the policy that the example ships."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rllib_integration.driving.evaluation import best_policy, driving_summary, driving_table
from rllib_integration.driving.trials import expected_and_realised

ROOT = Path(__file__).resolve().parents[2]
LIMITS = "evaluation.evaluation_config.env_config.experiment.others"


def test_the_shipped_policy_drives_where_it_was_never_trained(tmp_path: Path) -> None:
    run = tmp_path / "run"  # with a single checkpoint
    shutil.copytree(ROOT / "dqn_example" / "policies" / "drive", run / "checkpoint_000001")
    command = [sys.executable, "dqn_evaluate.py", "dqn_example/dqn_drive.yaml", str(run), "--all-checkpoints"]
    command += ["--towns", "Minitown", "--episodes", "4", "--workers", "2", "--output", str(tmp_path / "test")]
    command += ["--set", f"{LIMITS}.distance_limit=400"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "distance_limit 100 %" in done.stdout
    result = json.loads((tmp_path / "test.json").read_text(encoding="utf-8"))
    assert [episode["seed"] for episode in result["episodes"]] == [1_000_000, 1_000_001, 1_000_002, 1_000_003]
    assert min(episode["distance"] for episode in result["episodes"]) >= 400.0
    assert result["best"] == "checkpoint_000001"
    assert result["summaries"][0]["off_lane"] < 0.01
    assert (tmp_path / "test.png").stat().st_size > 10_000


def test_expected_returns_are_compared_where_the_realised_ones_are_known() -> None:
    assert expected_and_realised([2.0, 1.0], [1.0, 1.0], 0.5, terminated=True) == [(2.0, 1.5)]
    assert expected_and_realised([2.0] * 5, [1.0] * 5, 0.5, terminated=False) == []  # six steps may still count


def test_the_table_tells_each_policy_and_the_spread() -> None:
    def record(policy: str, distance: float, end: str) -> dict[str, object]:
        figures = {"distance": distance, "speed": 27.0, "steps": 100, "off_lane": 0.5, "off_road": 0.0}
        return {"policy": policy, "town": "Town02", "end": end, "metrics": {}, **figures}

    records = [record("a", 100.0, "left_lane"), record("a", 300.0, "time_limit"), record("b", 200.0, "time_limit")]
    summary = driving_summary(records)
    assert (summary["median"], summary["worst_tenth"], summary["off_lane"]) == (200.0, 100.0, pytest.approx(0.5))
    assert best_policy(records) == "a"  # both 200 m: the first
    assert best_policy([*records, record("b", 260.0, "time_limit")]) == "b"
    lines = driving_table(records).splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["a", "b", "mean", "sd"]
    assert "left_lane 50 %, time_limit 50 %" in lines[1]
