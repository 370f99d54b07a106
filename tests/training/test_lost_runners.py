"""The user learns why an env runner was lost, after Ray has forgotten it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rllib_integration.training.lost_runners import LostRunners
from tests.known import present

OUT_OF_MEMORY = (
    "OOM kill reason: Memory usage 24100000000B exceeded threshold of 24000000000B (95.0% of 25276502016B limit)\n"
    "Selected to kill: (Actor(a0ed): job ID=01000000, task name=CarlaEnvRunner.__init__, pid={pid}, actual memory)\n"
)


@pytest.fixture
def runner(tmp_path: Path):
    """A process that has logs as Ray writes them for an env runner."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    out = tmp_path / f"worker-ab12-01000000-{process.pid}.out"
    out.write_text(":job_id:01000000\n:actor_name:CarlaEnvRunner\n")
    out.with_suffix(".err").write_text(":job_id:01000000\n")
    yield process
    process.kill()
    process.wait()


def end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_an_env_runner_that_runs_is_not_lost_and_a_lost_one_is_told_once(runner, tmp_path: Path) -> None:
    runners = LostRunners(tmp_path, tmp_path)
    assert runners.new() == []
    (tmp_path / f"worker-ab12-01000000-{runner.pid}.err").write_text("*** SIGSEGV received at time=1 on cpu 1 ***\n")
    end(runner)
    (lost,) = runners.new()
    assert "it crashed (SIGSEGV)" in str(lost)
    assert str(lost.log) in str(lost)
    assert "*** SIGSEGV" in present(lost.log).read_text()
    assert runners.new() == []


def test_one_that_ray_ended_for_lack_of_memory_says_so(runner, tmp_path: Path) -> None:
    (tmp_path / "raylet.out").write_text(
        OUT_OF_MEMORY.format(pid=runner.pid + 1) + OUT_OF_MEMORY.format(pid=runner.pid)
    )
    end(runner)
    (lost,) = LostRunners(tmp_path, tmp_path).new()
    assert "24.1 GB of the machine's memory were in use, more than the 24.0 GB" in str(lost)


def test_one_that_failed_with_an_exception_says_which_and_not_how_ray_ended_it(runner, tmp_path: Path) -> None:
    (tmp_path / f"worker-ab12-01000000-{runner.pid}.err").write_text(
        "2026-11-23 14:32:15,621\tERROR actor_manager.py:201 -- Worker exception caught during `apply()`: \n"
        "Traceback (most recent call last):\n"
        '  File "env_runner.py", line 261, in _try_env_step\n'
        "    results = self.env.step(actions)\n"
        "ValueError: There are actions for [].\n"
        "\n"
        "The above exception was the direct cause of the following exception:\n"
        "\n"
        "RuntimeError\n"
        "*** SIGABRT received at time=1 on cpu 1 ***\n"
    )
    end(runner)
    (lost,) = LostRunners(tmp_path, tmp_path).new()
    assert "was lost: it failed, ValueError: There are actions for []." in str(lost)
    assert "SIGABRT" not in str(lost)


def test_workers_of_another_kind_may_end(runner, tmp_path: Path) -> None:
    (tmp_path / f"worker-ab12-01000000-{runner.pid}.out").write_text(":job_id:01000000\n")
    end(runner)
    assert LostRunners(tmp_path, tmp_path).new() == []
