"""Tracking: what trackers are told, and that a run does not suffer from them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from mlflow import MlflowClient

from rllib_integration.tracking.mlflow_tracker import MlflowTracker, tracking_uri
from rllib_integration.tracking.run_tracking import RunTracking
from rllib_integration.tracking.tracker import RunDescription, TrackingError, TrackingThread, flat_tree
from rllib_integration.tracking.wandb_tracker import WandbTracker
from tests.patience import PATIENCE


class Slow:
    """A tracker that answers when it is let."""

    name = "Slow"

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.told: list[tuple[int, float]] = []

    def start(self, run: RunDescription) -> str:
        self.may_answer.wait(PATIENCE)
        return "1"

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.told.append((step, metrics["loss"]))

    def add_file(self, file: Path, folder: str) -> None:
        raise AssertionError("no file was added")

    def finish(self, status: str) -> None:
        self.told.append((-1, 0.0))


class Dead(Slow):
    """A tracker whose server does not answer any more."""

    name = "Dead"

    def start(self, run: RunDescription) -> str:
        raise ConnectionError("the server is gone\nand more")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        raise ConnectionError("the server is gone")

    def finish(self, status: str) -> None:
        raise ConnectionError("the server is gone\nand more")


class Noting(Slow):
    """A tracker that answers at once, and notes what it is told of runs."""

    def __init__(self, runs: list[RunDescription]) -> None:
        super().__init__()
        self.runs = runs

    def start(self, run: RunDescription) -> str:
        self.runs.append(run)
        return run.run_id or "new"

    def add_file(self, file: Path, folder: str) -> None:
        assert file.name in ("run.json", "config.yaml")


def describe(folder: Path, run_id: str | None = None, **document: object) -> RunDescription:
    return RunDescription("my_run", folder, document, {"git.commit": "abc"}, run_id)


def test_the_configuration_becomes_a_flat_tree_without_a_loss() -> None:
    tree = {"a": {"b": 1, "c": {}}, "list": [1, 2], "many": [{"x": 1}, {"y": [{"z": None}]}]}
    assert flat_tree(tree) == {"a.b": 1, "a.c": {}, "list": [1, 2], "many.0.x": 1, "many.1.y.0.z": None}


def test_a_slow_tracker_loses_records_and_nothing_waits_for_it(tmp_path: Path) -> None:
    lines: list[str] = []
    slow = Slow()
    thread = TrackingThread(slow, describe(tmp_path), most_waiting=3, tell=lines.append)
    for step in range(50):
        thread.log({"loss": 1.0}, step)
    assert thread.dropped >= 45
    slow.may_answer.set()
    thread.finish("FINISHED", patience=PATIENCE)
    assert slow.told[-1] == (-1, 0.0)
    assert [step for step, _ in slow.told[:-1]] == sorted(step for step, _ in slow.told[:-1])
    assert lines == [f"Tracking: Slow was too slow: {thread.dropped} records are missing."]


def test_a_dead_tracker_is_told_once_and_its_end_is_not_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    thread = TrackingThread(Dead(), describe(tmp_path), tell=lines.append)
    for step in range(20):
        thread.log({"loss": 1.0}, step)
    thread.finish("FINISHED", patience=PATIENCE)
    assert lines == ["Tracking: Dead fails; training continues without it: ConnectionError: the server is gone"]
    silent = TrackingThread(Slow(), describe(tmp_path), tell=lines.append)
    silent.finish("FINISHED", patience=0.01)
    assert lines[1:] == ["Tracking: Slow has not taken all records within 0 s; some are lost."]


def test_mlflow_gets_all_of_a_run_and_continues_it(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("hello", encoding="utf-8")
    numbers: list[str] = []
    lines: list[str] = []
    first = describe(tmp_path, training={"lr": 0.1, "schedule": "x" * 7000})
    for again in (False, True):
        run = describe(tmp_path, numbers[0], training={"lr": 0.2}) if again else first
        thread = TrackingThread(MlflowTracker(str(tmp_path / "runs")), run, numbers.append, tell=lines.append)
        thread.log({"env_runners/return": float(again), "odd(name)": 2.0}, 10 * (again + 1))
        thread.add_file(note, "notes")
        thread.finish("KILLED" if again else "FINISHED", patience=PATIENCE)
    assert lines == []
    assert numbers[0] == numbers[1]
    client = MlflowClient(tracking_uri(str(tmp_path / "runs")))
    kept = client.get_run(numbers[0])
    assert kept.info.status == "KILLED"
    assert kept.data.params["training.lr"] == "0.1"
    assert kept.data.params["restored_1.training.lr"] == "0.2"
    assert kept.data.tags["git.commit"] == "abc"
    history = client.get_metric_history(numbers[0], "env_runners/return")
    assert [(entry.step, entry.value) for entry in history] == [(10, 0.0), (20, 1.0)]
    assert kept.data.metrics["odd_name_"] == 2.0
    assert {item.path for item in client.list_artifacts(numbers[0])} == {"notes", "long_parameters.json"}


def test_a_restored_run_goes_on_under_its_number(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('[{"git": {"commit": "abc"}}]', encoding="utf-8")
    for is_restored, expected in ((False, "new"), (True, "new"), (False, "new")):
        runs: list[RunDescription] = []
        tracking = RunTracking([Noting(runs)], tmp_path, {"a": 1}, is_restored)
        tracking.log({"loss": 1.0}, 10)
        tracking.finish("FINISHED")
        assert runs[0].tags == {"git.commit": "abc"}
        assert runs[0].run_id == (expected if is_restored else None)


def test_wandb_keeps_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    lines: list[str] = []
    thread = TrackingThread(WandbTracker(), describe(tmp_path, lr=0.1), tell=lines.append)
    thread.log({"return": 1.0}, 10)
    thread.finish("FINISHED", patience=PATIENCE)
    assert lines == []
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


def test_an_address_that_answers_nothing_is_a_sentence_at_once() -> None:
    with socket.socket() as taken:  # bound, not listening
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TrackingError, match="but nothing answers there"):
            MlflowTracker(uri)
