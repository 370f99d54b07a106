"""The state log's files, and what becomes of them elsewhere."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from ppo_example.ppo_state import sample_state
from rllib_integration.state_log.callbacks import state_line
from rllib_integration.state_log.files import StateLogWriter, read_state_log, state_log_files
from rllib_integration.state_log.sim_trace import sim_trace_lines


def test_lines_come_back_file_by_file_and_every_file_is_whole_at_any_moment(tmp_path: Path) -> None:
    writer = StateLogWriter(tmp_path / "log", "train", 2)
    writer.add({"step": 1, "action": np.array([0.5, -1.0], np.float32), "flag": np.bool_(True)})
    writer.flush()
    writer.add({"step": 2})
    writer.flush()
    assert [file.name for file in state_log_files(tmp_path / "log")] == ["train-2-1.jsonl.gz"]
    assert list(read_state_log(tmp_path / "log")) == [
        {"step": 1, "action": [0.5, -1.0], "flag": True},
        {"step": 2},
    ]


def test_a_full_file_is_followed_by_the_next_and_the_oldest_go(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    writer = StateLogWriter(tmp_path, "eval", 0, file_bytes=2000, files_kept=3)
    for number in range(12):
        writer.add({"number": number, "noise": noise.random(64).tolist()})
        writer.flush()
    files = state_log_files(tmp_path, "eval")
    assert 2 <= len(files) <= 4
    assert max(file.stat().st_size for file in files) < 4000
    numbers = [line["number"] for line in read_state_log(tmp_path)]
    assert numbers == list(range(12))[-len(numbers) :]
    StateLogWriter(tmp_path, "eval", 0).add({"number": 12})  # a restored run begins a file of its own
    assert state_log_files(tmp_path, "train") == []


def test_a_line_has_the_whole_state_and_the_rewards_parts() -> None:
    state = {**sample_state(), "x": 1.23456789}
    line = state_line({"state": state, "town": "Racetrack01", "reward_parts": {"progress": 0.5}, "end": "off_track"})
    assert set(state) <= {*line, "waypoints"}
    assert (line["x"], line["end"], line["reward_parts"]) == (1.23457, "off_track", {"progress": 0.5})
    longer = state_line({"state": {**state, "waypoints": [(0.0, 0.0)] * 100}})
    assert "waypoints" not in longer
    assert state_line({"speed": 3.0, "picture": np.zeros(3)}) == {"speed": 3.0}  # of an experiment without a state


def test_the_export_is_what_deepracers_tools_read(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for step in (1, 2):
        state = {**sample_state(), "steps": step, "heading": 90.0, "steering_angle": -12.5, "is_crashed": step == 2}
        common = {"episode": "b", "time": 100.0 + step, "action": 4, "reward": 0.25, "truncated": False}
        rows.append({**common, **state_line({"state": state}), "terminated": step == 2, "end": "collision"})
    rows.append({"episode": "of another experiment", "time": 1.0})
    first, last = sim_trace_lines(rows)
    fields = first.removeprefix("SIM_TRACE_LOG:").split(",")
    # https://github.com/aws-deepracer-community/deepracer-utils, deepracer/logs/log_utils.py: convert_to_pandas
    assert fields[:7] == ["0", "1", "0.0000", "0.0000", "1.5708", "-12.50", "4.00"]
    assert fields[7:13] == ["4", "0.2500", "False", "True", "1.0000", "0"]
    assert fields[13:] == ["330.00", "101.000", "in_progress", "0.0", "0", "101.000"]
    assert last.split(",")[9] == "True"
    assert (last.split(",")[14], last.split(",")[18]) == ("101.200", "102.000")  # simulated, and the clock's
    assert last.split(",")[15:18] == ["crashed", "0.0", "1"]


def test_files_are_gzip_of_many_members(tmp_path: Path) -> None:
    writer = StateLogWriter(tmp_path, "train", 1)
    writer.add({"a": 1})
    writer.flush()
    (file,) = state_log_files(tmp_path)
    assert gzip.decompress(file.read_bytes()) == b'{"a":1}\n'
