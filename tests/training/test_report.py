"""The report: curves over seeds, ends and where they were, as a picture and one page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rllib_integration.cli.main import main
from rllib_integration.training import report, report_figure
from rllib_integration.training.report import page
from rllib_integration.training.report_figure import Measure, draw, learning_curve
from rllib_integration.training.run_log import RunLog
from rllib_integration.training.run_record import group_runs, read_run


def write_run(
    folder: Path, seed: int, rate: float = 0.001, iterations: int = 10, place: tuple[float, ...] = (1.0, -5.0)
) -> Path:
    """A run whose episodes get longer at a known pace; half of it they end by leaving the lane, then by the time."""
    log = RunLog(folder)
    git = {"commit": "0123456789abcdef", "changed_files": ["README.md"]}
    log.describe({"training": {"lr": rate}, "debugging": {"seed": seed}}, {"seed": seed, "git": git})
    for iteration in range(1, iterations + 1):
        episode = {"distance": 10.0 * iteration + seed, "return": float(iteration), "speed": 20.0, "town": "Town05"}
        episode |= {"drive_distance": 500.0, "drive_collisions_vehicle": float(iteration == 10), "reward_speed": 2.0}
        end = "left_lane" if iteration <= 5 else "time_limit"
        episode |= {"heading_deviation": 0.1, "end": end, "position": [iteration * number for number in place]}
        runners = {"episodes": [json.dumps(episode)]}
        result = {"training_iteration": iteration, "num_env_steps_sampled_lifetime": 1000 * iteration}
        evaluation = {"evaluation": {"env_runners": runners}} if iteration == 10 else {}
        log.add({**result, "env_runners": runners, **evaluation}, evaluated=iteration == 10)
    log.close()
    return folder


def test_runs_that_differ_only_in_their_seed_are_one_curve(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "a", 0), write_run(tmp_path / "b", 1), write_run(tmp_path / "c", 0, rate=0.1)]
    groups = group_runs([read_run(folder) for folder in folders])
    assert {name: len(runs) for name, runs in groups.items()} == {"a": 2, "c": 1}


def test_a_curve_is_the_mean_of_the_episodes_of_its_steps(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", 0))
    curve = learning_curve(run, Measure("distance [m]", "distance"), np.array([500.0, 2000.0, 2500.0, 4000.0]))
    assert np.isnan(curve[0])
    assert curve[1:].tolist() == [20.0, 25.0, 40.0]
    per_km = Measure("collisions a km", "drive_collisions_vehicle", per="drive_distance", scale=1000.0)
    assert learning_curve(run, per_km, np.array([9000.0, 9500.0, 10000.0])).tolist() == [0.0, 1.0, 2.0]


def test_the_picture_has_a_panel_for_all_that_the_runs_tell(tmp_path: Path) -> None:
    figure = draw(group_runs([read_run(write_run(tmp_path / "a", 0)), read_run(write_run(tmp_path / "b", 1))]))
    shown = {axis.get_ylabel(): axis for axis in figure.axes if axis.get_visible()}
    assert "driving score" not in shown
    assert "distance of an episode [m]" in shown
    collisions = {
        line.get_label(): np.asarray(line.get_ydata()) for line in shown["infractions a kilometre"].get_lines()
    }
    assert collisions["collisions vehicle"][-1] == pytest.approx(2.0)
    assert max(collisions["red lights run"], default=0.0) == 0.0
    assert [line.get_label() for line in shown["sum over an episode"].get_lines()] == ["speed"]
    assert np.asarray(shown["greedy: median distance [m]"].get_lines()[1].get_ydata()).tolist() == [101.0]


def test_a_band_shows_the_spread_of_the_seeds_as_far_as_all_of_them_came(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "a", 0), write_run(tmp_path / "b", 1, iterations=8)]
    axis = draw(group_runs([read_run(folder) for folder in folders])).axes[0]
    x, mean = map(np.asarray, axis.get_lines()[0].get_data())
    assert (x[-1], mean[-1]) == (8000.0, 80.5)
    corners = np.asarray(axis.collections[0].get_paths()[0].vertices)
    assert sorted({y for x, y in corners if x == 8000.0}) == [80.0, 81.0]


def test_the_newest_ends_are_shown_in_time_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_figure, "NEWEST", 3)
    figure = draw(group_runs([read_run(write_run(tmp_path / "a", 0))]))
    shown = {axis.get_title(): axis for axis in figure.axes}
    places = shown["Town05: where episodes ended"]
    assert places.yaxis_inverted()  # CARLA's y axis points down on a map
    (points,) = places.collections
    assert points.get_label() == "time_limit (3)"
    assert np.asarray(points.get_offsets())[:, 0].tolist() == [8.0, 9.0, 10.0]
    left_lane = np.asarray(shown["a: how episodes ended"].collections[0].get_paths()[0].vertices)
    assert left_lane[left_lane[:, 0] == 3000.0, 1].max() == 1.0
    assert left_lane[left_lane[:, 0] == 8000.0, 1].max() == 0.0


def test_no_map_is_drawn_of_a_task_that_tells_no_places(tmp_path: Path) -> None:
    figure = draw(group_runs([read_run(write_run(tmp_path / "a", 0, place=()))]))
    assert [axis.get_title() for axis in figure.axes if "where" in axis.get_title()] == []


def test_the_table_is_of_the_newest_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "NEWEST", 2)
    shown = page(group_runs([read_run(write_run(tmp_path / "a&b", 0))]), b"")
    for words in ("newest 2 episodes", "<td>a&amp;b</td>", "<td>95.0</td>", "collisions vehicle 1.00"):
        assert words in shown
    assert "0123456789ab + changes" in shown


def test_the_page_holds_the_picture_and_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(write_run(tmp_path / name, seed)) for seed, name in enumerate(("first", "second"))]
    assert main(["report", *folders, "--output", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.split("base64,")[0]
    for word in ("first", "second", "Evaluation of first", "left_lane 50 %", "torch", "collisions vehicle 0.20"):
        assert word in page
    assert "report.html" in capsys.readouterr().out


def test_what_is_no_run_is_refused_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "config.yaml is missing" in capsys.readouterr().err
    assert main(["report", str(write_run(tmp_path / "begun", 0, iterations=0))]) == 1
    assert "episodes.jsonl is missing" in capsys.readouterr().err
    (tmp_path / "begun" / "episodes.jsonl").touch()
    assert main(["report", str(tmp_path / "begun")]) == 1
    assert "No episode has ended yet" in capsys.readouterr().err
