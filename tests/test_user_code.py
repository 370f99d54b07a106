"""User code that never returns, or that ends its process, is told by experiment, method and step."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from rllib_integration.training.lost_runners import LostRunners
from rllib_integration.user_code import COMPUTE_REWARD, STUCK_SECONDS, UserCode, remove_stale_calls, stuck_calls
from tests.training.test_lost_runners import end, runner

__all__ = ["runner"]


class EndlessTask:
    def __init__(self) -> None:
        self.goes_on, self.is_inside = threading.Event(), threading.Event()

    def compute_reward(self) -> None:
        self.is_inside.set()
        self.goes_on.wait()


def test_a_call_that_does_not_return_is_told_once_with_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = EndlessTask()
    code = UserCode(task, tmp_path)

    def drive() -> None:
        code.begin_episode()
        code.begin_step(7)
        code.inside[0] = COMPUTE_REWARD
        task.compute_reward()
        code.inside[0] = 0

    thread = threading.Thread(target=drive)
    thread.start()
    task.is_inside.wait()
    with caplog.at_level(logging.WARNING, "rllib_integration.user_code"):
        for seconds in (0.0, STUCK_SECONDS - 1, STUCK_SECONDS, 2 * STUCK_SECONDS):
            code.look(seconds)
    (sentence,) = stuck_calls(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [sentence]
    assert "EndlessTask.compute_reward, in step 7 of its episode, has not returned for 30 s." in sentence
    assert f"{__file__}, line " in sentence
    task.goes_on.set()
    thread.join()
    assert list(stuck_calls(tmp_path)) == []
    code.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_was_in_is_no_call_that_does_not_return(tmp_path: Path, runner) -> None:
    live = tmp_path / "live"
    code = UserCode(EndlessTask(), live)
    code.begin_step(3)
    code.inside[0] = COMPUTE_REWARD
    code.inside[512:516] = b"Old\0"  # the sentence
    assert list(stuck_calls(live)) == ["Old"]
    (file,) = live.iterdir()
    left = file.rename(file.with_name(f"{runner.pid}-0.calls"))  # whose process began at another time
    assert list(stuck_calls(live)) == []
    remove_stale_calls(live)
    assert not left.exists()


def test_an_env_runner_lost_inside_an_experiment_names_it_and_after_three_the_run_ends(tmp_path: Path, runner) -> None:
    runners = LostRunners(tmp_path, tmp_path)
    code = UserCode(EndlessTask(), tmp_path / "live")
    code.begin_step(3)
    code.inside[0] = COMPUTE_REWARD
    (file,) = (tmp_path / "live").iterdir()
    file.rename(file.with_name(f"{runner.pid}-0.calls"))
    end(runner)
    (lost,) = runners.new()
    assert "It was in EndlessTask.compute_reward, in step 3 of its episode, which may end the process" in str(lost)
    assert not runners.comes_again()
    runners._lost_inside = 3
    assert runners.comes_again()
