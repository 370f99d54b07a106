"""Stop rules, the run's records and the process guard."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from rllib_integration.annotations import Record
from rllib_integration.driving.evaluation import evaluation_table, read_episodes
from rllib_integration.driving.policies import find_policy
from rllib_integration.training import interruption
from rllib_integration.training.checkpoints import CheckpointKeeper
from rllib_integration.training.env_creator import (
    _number_of_environment,
    _share_of,
    in_processes,
    make_env,
    numbers_dealt,
    worker_index,
)
from rllib_integration.training.interruption import EndedInside, Interruption, Terminated
from rllib_integration.training.progress import Figure, Meter, progress_line
from rllib_integration.training.run_log import RunLog, flatten, git_state
from rllib_integration.training.sampling_watch import why_no_steps
from rllib_integration.training.stop_rules import Progress, StopRules, format_duration, parse_duration
from rllib_integration.user_code import COMPUTE_REWARD, RESET, UserCode
from rllib_integration.vector_env import CarlaProcessVectorEnv
from tests.known import of_kind
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


def progress(**changes: float | None) -> Progress:
    values: dict[str, float | int | None] = {
        "iteration": 4,
        "timesteps": 4000,
        "seconds": 60.0,
        "iterations_now": 2,
        "timesteps_now": 2000,
        "steps_per_second": 33.0,
        "mean_return": 1.0,
        "ram_percent": 20.0,
    }
    return Progress(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "changes", "flag"),
    [
        (StopRules(iterations=4), {}, "--stop-iterations"),
        (StopRules(timesteps=4000), {}, "--stop-timesteps"),
        (StopRules(seconds=60), {}, "--stop-duration"),
        (StopRules(reward=1.0), {}, "--stop-reward"),
        (StopRules(), {"ram_percent": 85.0}, "memory"),
    ],
)
def test_fault_24_a_run_ends_when_a_bound_is_reached(rules: StopRules, changes: dict[str, float], flag: str) -> None:
    assert flag in (rules.reason(progress(**changes)) or "")


def test_a_run_goes_on_below_its_bounds() -> None:
    rules = StopRules(iterations=5, timesteps=4001, seconds=61, reward=1.1)
    assert rules.reason(progress()) is None
    assert rules.reason(progress(mean_return=None)) is None


def test_the_time_left_is_that_of_the_nearest_bound() -> None:
    assert StopRules().seconds_left(progress()) is None
    assert StopRules(iterations=6).seconds_left(progress()) == 60.0
    assert StopRules(iterations=6, seconds=70).seconds_left(progress()) == 10.0
    assert StopRules(timesteps=5000).seconds_left(progress()) == 30.0
    assert StopRules(seconds=50).seconds_left(progress()) == 0.0  # it should have ended


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800)])
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "ten", "10x", "m", "1h30", "-5m", "0"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_duration(text)


def test_durations_are_shown_short() -> None:
    assert [format_duration(seconds) for seconds in (42, 250, 3723)] == ["0:42", "4:10", "1:02:03"]


def test_the_progress_line_has_its_figures_and_marks_what_is_not_known() -> None:
    known = {"env_runners": {"episode_return_mean": 12.5, "episode_len_mean": 80.0, "distance": 101.0}}
    figures = (Figure("distance", "distance", "m"), Figure("heading", "heading_deviation", "deg"))
    line = progress_line(known, progress(), 250.0, figures)
    for figure in ("iteration    4", "4,000 steps", "33 steps/s", "12.50", "80.0", "101.0 m", "4:10 left"):
        assert figure in line
    assert "heading      - deg" in line
    several = {"env_runners": {"episode_return_mean": 96.0, "life_return_mean": 12.0}}
    assert "return    12.00" in progress_line(several, progress(), None)
    unknown = progress_line({"env_runners": {"episode_return_mean": float("nan")}}, progress(), None)
    assert "return        -" in unknown
    assert "left" not in unknown
    assert "distance" not in unknown


def test_a_run_without_a_step_says_why_that_is() -> None:
    steps, healthy = 100, 2
    group = SimpleNamespace(num_remote_workers=lambda: 2, num_healthy_remote_workers=lambda: healthy)
    algorithm: Any = SimpleNamespace(
        iteration=0,
        metrics=SimpleNamespace(peek=lambda key, default: steps),
        env_runner_group=group,
        config=SimpleNamespace(sample_timeout_s=60.0),
    )
    meter = Meter(algorithm)
    assert not meter.iterated_in_vain()  # a restored run may have come far enough
    algorithm.iteration = 1
    assert meter.iterated_in_vain()
    assert "within env_runners.sample_timeout_s, 60 s" in why_no_steps(algorithm)
    healthy = 1
    assert "1 of 2 env runners were lost" in why_no_steps(algorithm)
    steps = 101
    assert not meter.iterated_in_vain()


def test_results_are_recorded_for_people_programs_and_tensorboard(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.describe({"training": {"lr": 0.1}}, {"seed": 3})
    episode = json.dumps({"distance": 12.0, "end": "idle", "return": 1.0, "speed": 3.0, "town": "Town01"})
    log.add({"training_iteration": 1, "env_runners": {"episodes": [episode], "distance": np.float64(12.0)}})
    old = {"evaluation": {"env_runners": {"episodes": [episode]}}}
    log.add({"training_iteration": 2, "learners": {"loss": 0.5, "nothing": float("nan")}, **old}, evaluated=False)
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "result.json").read_text().splitlines()]
    assert rows[0]["env_runners/distance"] == 12.0
    assert rows[1] == {"training_iteration": 2, "learners/loss": 0.5}
    table = (tmp_path / "progress.csv").read_text().splitlines()
    assert table[0].split(",") == ["training_iteration", "env_runners/distance", "learners/loss"]
    assert table[2] == "2,,0.5"
    (recorded,) = read_episodes(tmp_path / "episodes.jsonl")
    assert (recorded["end"], recorded["iteration"]) == ("idle", 1)
    assert read_episodes(tmp_path / "evaluation.jsonl") == []
    start = json.loads((tmp_path / "run.json").read_text())[0]
    assert start["seed"] == 3
    assert {"ray", "torch", "carla"} <= set(start["versions"])
    assert len(start["git"]["commit"]) == 40
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert "lr: 0.1" in (tmp_path / "config.yaml").read_text()


def test_a_restored_run_continues_its_records(tmp_path: Path) -> None:
    for iteration in (1, 2):
        log = RunLog(tmp_path)
        log.describe({}, {})
        log.add({"training_iteration": iteration, **({"loss": 0.5} if iteration == 1 else {"return": 3.0})})
        log.close()
    table = (tmp_path / "progress.csv").read_text().split()
    assert table == ["training_iteration,loss,return", "1,0.5,", "2,,3.0"]
    assert len(json.loads((tmp_path / "run.json").read_text())) == 2


@pytest.mark.parametrize("text", ["", '[{"seed": 1},', "{}", "\x00"])
def test_a_broken_record_of_starts_is_put_aside_with_a_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(text)
    log = RunLog(tmp_path)
    log.describe({}, {"seed": 3})
    log.close()
    assert "run.json can't be read: it is now" in capsys.readouterr().out
    assert (tmp_path / "broken_run.json").read_text() == text
    assert [start["seed"] for start in json.loads((tmp_path / "run.json").read_text())] == [3]


def test_a_line_of_episodes_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "episodes.jsonl"
    file.write_text('{"return": 1.0}\n{"retu{"return": 2.0}\n{"return": 3.0}\n{"ret')
    assert [episode["return"] for episode in read_episodes(file)] == [1.0, 3.0]


def test_code_that_is_no_checkout_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git_state() is None


def test_flatten_keeps_finite_numbers_only() -> None:
    nested = {"a": {"b": np.int64(2), "c": "text"}, "d": [1], "e": float("inf"), "config": {"lr": 1}}
    assert dict(flatten(nested)) == {"a/b": 2}


def test_evaluations_are_shown_by_iteration_and_town() -> None:
    episodes = [
        {"iteration": 5, "town": "Town03", "distance": 10.0, "speed": 20.0, "return": 1.0, "end": "left_lane"},
        {"iteration": 5, "town": "Town03", "distance": 30.0, "speed": 30.0, "return": 3.0, "end": "time_limit"},
        {"iteration": 5, "town": "Town01", "distance": 7.0, "speed": 5.0, "return": 0.0, "end": "idle"},
    ]
    lines = evaluation_table(episodes).splitlines()
    assert len(lines) == 3
    assert "Town01" in lines[1]
    assert "20.0" in lines[2]
    assert "left_lane 50 %" in lines[2]
    counted = {"drive_distance": 250.0, "drive_collisions_vehicle": 1.0, "drive_red_lights_run": 0.0}
    table = evaluation_table([{**episodes[0], **counted}, {**episodes[1], **counted, "drive_collisions_vehicle": 2.0}])
    assert table.endswith("collisions vehicle 6.00")  # a kilometre


def test_environments_of_a_run_are_dealt_different_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rllib_integration.training.env_creator._environments_made", 0)
    assert [_number_of_environment(0) for _ in range(3)] == [0, 1, 2]
    assert _number_of_environment(3) == 5


def test_environments_in_processes_have_seeds_and_towns_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rllib_integration.training.env_creator._environments_made", 0)
    config = {
        "carla": {"seed": 5},
        "experiment": {"type": "tests.experiments:PoseExperiment", "town": ["Town01", "Town02"]},
    }
    context = copy_context()
    context.run(in_processes.set, True)
    environments = context.run(make_env, {**config, "num_envs": 2})
    try:
        made = of_kind(CarlaProcessVectorEnv, environments).get_attr("config")
    finally:
        environments.close()
    assert [one["experiment"]["town"] for one in made] == ["Town01", "Town02"]
    assert [one["carla"]["seed"] for one in made] == [5, 6]


@pytest.mark.parametrize("agents", [{}, {"agents": {"count": 2}}])
def test_an_environment_knows_the_runner_that_makes_it(agents: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr("rllib_integration.carla_env.CarlaEnv", taken.append)
    monkeypatch.setattr("rllib_integration.multi_agent.rllib_env.CarlaMultiAgentEnv", taken.append)
    for runner in (1, 2):
        context = copy_context()
        context.run(worker_index.set, runner)
        context.run(make_env, {"carla": {"seed": 5}, "experiment": {"town": "Town01"}, **agents})
    assert [config.worker_index for config in taken] == [1, 2]
    assert [config.get("agents") for config in taken] == [agents.get("agents")] * 2


@pytest.mark.parametrize(
    ("numbers", "shares"),
    [(None, ["A", "B", "C"]), (4, ["A", "B", "C", "A"]), (2, [["A", "C"], "B"]), (1, [["A", "B", "C"]])],
)
def test_every_town_of_a_list_is_driven_in_however_few_environments_there_are(
    numbers: int | None, shares: list[str | list[str]]
) -> None:
    token = numbers_dealt.set(numbers)
    try:
        assert [_share_of(["A", "B", "C"], number) for number in range(len(shares))] == shares
        assert _share_of(["A", "B", "C"], 12) == shares[0]
    finally:
        numbers_dealt.reset(token)


GUARDED = """
import subprocess, sys, time
sys.path.insert(0, {root!r})
from rllib_integration.processes.guard import run_guarded

def work():
    stubborn = "trap '' TERM; while true; do sleep 0.1; done"
    for number in range(2):
        child = subprocess.Popen(["setsid", "bash", "-c", stubborn])
        print(child.pid, flush=True)
    time.sleep({seconds})
    return 7

sys.exit(run_guarded(work))
"""


def start_guarded(seconds: float) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    code = GUARDED.format(root=str(ROOT), seconds=seconds)
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    started = [psutil.Process(int(command.stdout.readline())) for _ in range(2)]
    return command, [*started, *psutil.Process(command.pid).children(recursive=True)]


def test_the_guard_ends_what_the_work_leaves_behind() -> None:
    command, processes = start_guarded(0.3)
    assert command.wait(timeout=PATIENCE) == 7
    assert not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def test_nothing_survives_a_killed_command() -> None:
    command, processes = start_guarded(60)
    command.kill()
    command.wait()
    assert not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def test_nothing_survives_a_killed_guard() -> None:
    command, processes = start_guarded(60)
    guard = psutil.Process(command.pid).children()[0]
    guard.kill()
    assert command.wait(timeout=PATIENCE) == 137
    assert not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def test_an_interrupted_command_says_so_in_its_status() -> None:
    command, processes = start_guarded(60)
    os.kill(command.pid, signal.SIGINT)
    assert command.wait(timeout=PATIENCE) == 130
    assert not psutil.wait_procs(processes, timeout=PATIENCE)[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_is_swallowed_while_a_run_starts_is_heard_afterwards(number: signal.Signals) -> None:
    def start() -> None:
        with Interruption() as interruption:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(number)
            interruption.take_signals()

    with pytest.raises(KeyboardInterrupt) as raised:
        start()
    assert isinstance(raised.value, Terminated) == (number == signal.SIGTERM)


def test_a_run_is_terminated_whatever_rays_handler_makes_of_the_signal_while_ray_starts() -> None:
    def start() -> None:
        with Interruption():
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Terminated):
        start()


def test_the_first_signal_ends_a_call_of_the_users_code_that_never_returns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Task:
        def compute_reward(self) -> None:
            signal.raise_signal(signal.SIGINT)
            while True:
                with contextlib.suppress(Exception):
                    time.sleep(PATIENCE)

    monkeypatch.setattr(interruption, "STUCK_SECONDS", 0.2)
    code = UserCode(Task(), None)

    def train() -> None:
        with Interruption() as interrupted:
            interrupted.patient = True
            code.begin_episode()
            code.begin_step(7)
            code.inside[0] = COMPUTE_REWARD
            Task().compute_reward()

    with pytest.raises(EndedInside) as raised:
        train()
    code.close()
    assert capsys.readouterr().out.startswith("\nStopping: ")
    assert "Task.compute_reward, in step 7 of its episode, has not returned for" in str(raised.value)
    assert f"{__file__}, line " in str(raised.value)


def test_the_first_signal_ends_a_run_that_waits_for_a_call_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on, is_inside = threading.Event(), threading.Event()

    class Task:
        def reset(self) -> None:
            is_inside.set()
            goes_on.wait()

    monkeypatch.setattr(interruption, "STUCK_SECONDS", 0.2)
    code = UserCode(Task(), None)

    def begin() -> None:
        code.begin_episode()
        with code.within(RESET):
            Task().reset()

    def train() -> None:
        with Interruption() as interrupted:
            interrupted.patient = True
            thread.start()
            is_inside.wait()
            signal.raise_signal(signal.SIGINT)
            thread.join()

    thread = threading.Thread(target=begin)
    with pytest.raises(EndedInside, match=r"Task\.reset, as an episode began, has not returned for"):
        train()
    goes_on.set()
    thread.join()
    code.close()


def saved(keeper: CheckpointKeeper, iteration: int, score: float | None) -> None:
    def write(folder: str) -> None:
        Path(folder).mkdir()
        (Path(folder) / "state").write_text(str(iteration))

    assert (keeper.save(iteration, write, score) / "state").read_text() == str(iteration)


def test_the_newest_checkpoints_and_the_best_one_are_kept(tmp_path: Path) -> None:
    def kept() -> list[int]:
        return sorted(int(path.name.removeprefix("checkpoint_")) for path in tmp_path.glob("checkpoint_*"))

    def best() -> str:
        assert find_policy(tmp_path).path == find_policy(tmp_path / "best").path
        return find_policy(tmp_path).path.name

    keeper = CheckpointKeeper(tmp_path, keep=2)
    for iteration, score in enumerate([1.0, 5.0, 2.0, None], 1):
        saved(keeper, iteration, score)
    assert kept() == [2, 3, 4]
    assert best() == "checkpoint_000002"
    restored = CheckpointKeeper(tmp_path, keep=2)
    saved(restored, 5, 4.0)
    assert kept() == [2, 4, 5]
    saved(restored, 6, 6.0)
    assert kept() == [5, 6]
    assert best() == "checkpoint_000006"
    for iteration in (7, 8, 9, 10):
        saved(restored, iteration, 6.0)  # of equal ones the newest is the best
    assert kept() == [9, 10]
    assert best() == "checkpoint_000010"


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one_alone(tmp_path: Path) -> None:
    keeper = CheckpointKeeper(tmp_path, keep=1)
    saved(keeper, 1, None)

    def fail(folder: str) -> None:
        Path(folder).mkdir()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        keeper.save(2, fail)
    assert [path.name for path in tmp_path.glob("checkpoint_*")] == ["checkpoint_000001"]
    saved(keeper, 2, None)
    assert [path.name for path in tmp_path.glob("checkpoint_*")] == ["checkpoint_000002"]
