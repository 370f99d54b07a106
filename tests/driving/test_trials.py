"""The driving test as its command runs it, with the policy that the example ships."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rllib_integration.cli.evaluate import _checkpoints, _name_policies
from rllib_integration.config.merging import ConfigError
from rllib_integration.driving.evaluation import INFRACTIONS, best_policy, driving_summary, driving_table, worst_tenth
from rllib_integration.driving.trials import Task, _share_out, drive_tasks, expected_and_realised
from tests.experiments import PoseExperiment

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


def test_a_worker_that_fails_ends_the_test_with_its_sentence() -> None:
    settings = {"experiment": {"type": "tests.nowhere:Nothing"}}
    load: Any = str  # no policy: the environment fails first
    with pytest.raises(RuntimeError, match=r"tests\.nowhere"):
        list(drive_tasks(settings, {"a": ""}, load, [Task("a", "Minitown", 0)], workers=1, gamma=0.9))


class Driver:
    """A policy that fits, or one that does not."""

    def __init__(self, path: str) -> None:
        self.fits = path == "fits"

    def act(self, observation: object) -> tuple[int, float]:
        if not self.fits:
            raise ConfigError("The policy was trained on other observations.")
        return 1, 0.0


def test_a_policy_that_does_not_fit_is_told_before_another_has_driven() -> None:
    settings = {"experiment": {"type": PoseExperiment, "town": "Minitown", "others": {"step_limit": 2}}}
    tasks = [Task(name, "Minitown", 0) for name in ("first", "second")]
    both = {"first": "fits", "second": "fits"}
    driven = list(drive_tasks(settings, both, Driver, tasks, workers=1, gamma=0.9))
    assert [(record["policy"], record["steps"]) for record in driven] == [("first", 2), ("second", 2)]
    with pytest.raises(RuntimeError, match="trained on other observations"):
        next(drive_tasks(settings, both | {"second": "unfit"}, Driver, tasks, workers=1, gamma=0.9))


def test_policies_have_short_names_of_their_own(tmp_path: Path) -> None:
    for run, iteration in (("a", 1), ("a", 2), ("b", 2)):
        folder = tmp_path / run / f"checkpoint_{iteration:06d}"
        folder.mkdir(parents=True)
        (folder / "weights.pth").touch()
    runs = [str(tmp_path / run) for run in "ab"]
    assert list(_name_policies(runs)) == ["a/000002", "b/000002"]
    assert list(_name_policies(_checkpoints(runs))) == ["a/000001", "a/000002", "b/000002"]
    assert list(_name_policies(runs[:1])) == ["checkpoint_000002"]
    with pytest.raises(ConfigError, match="named twice"):
        _name_policies([runs[0], runs[0]])


def test_expected_returns_are_compared_where_the_realised_ones_are_known() -> None:
    assert expected_and_realised([2.0, 1.0], [1.0, 1.0], 0.5, terminated=True) == [(2.0, 1.5)]
    assert expected_and_realised([2.0] * 5, [1.0] * 5, 0.5, terminated=False) == []  # six steps may still count


def test_a_worker_stays_in_a_town_for_as_long_as_there_is_work() -> None:
    tasks = [Task("a", town, seed) for seed in range(3) for town in ("Town01", "Town02")]
    shares = _share_out(tasks, 2)
    assert [{task.town for task in share} for share in shares] == [{"Town01"}, {"Town02"}]
    assert [[task.seed for task in share] for share in shares] == [[0, 1, 2], [0, 1, 2]]


def test_routes_are_judged_by_their_score_their_faults_and_the_kilometres() -> None:
    def record(
        policy: str, steps: int, off_lane: float, score: float, penalty: float, completion: float = 100.0
    ) -> dict[str, object]:
        metrics = dict.fromkeys(INFRACTIONS, 0) | {"collisions_vehicle": int(penalty < 1.0), "distance": 500.0}
        metrics |= {"route_completion": completion, "driving_score": score, "penalty": penalty}
        figures = {
            "distance": 500.0 + steps,
            "speed": steps / 10.0,
            "steps": steps,
            "off_lane": off_lane,
            "off_road": 0.0,
        }
        return {"policy": policy, "town": "Town02", "end": "route_done", "metrics": metrics, **figures}

    records = [record("far", 300, 0.2, 60.0, 0.6), record("good", 100, 0.0, 100.0, 1.0)]
    summary = driving_summary(records)
    # Of all decisions, not of the episodes.
    assert (summary["off_lane"], summary["speed"]) == (pytest.approx(0.15), pytest.approx(25.0))
    assert (summary["driving_score"], summary["faultless"]) == (80.0, 0.5)
    assert summary["infractions_per_km"]["collisions_vehicle"] == pytest.approx(1.0)
    assert best_policy(records) == "good"
    there = [{**record("far", 300, 0.0, 90.0, 1.0), "town": "Town03"}]
    there.append({**record("good", 1, 0.0, 0.0, 1.0), "town": "Town03"})
    assert best_policy([*records, *there]) == "far"  # over all towns
    half = driving_summary([*records, record("stuck", 100, 0.0, 50.0, 1.0, completion=50.0)])
    assert half["faultless"] == pytest.approx(1 / 3)


def test_the_worst_tenth_is_the_mean_of_the_shortest() -> None:
    assert worst_tenth([float(metres) for metres in range(100, 0, -5)]) == 7.5
    assert worst_tenth([3.0, 1.0]) == 1.0


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
