"""Programs of one's own that Ctrl-C or a mistake ends: nothing is left behind, and the user's own line is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil
import pytest

from rllib_integration.servers.cleanup import await_ends
from tests.known import present
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
STARTED_IN = "TEST_STARTED_IN"  # environment variable that processes inherit

TASKS = """
import os
import time
from pathlib import Path

from tests.experiments import PoseExperiment


class EndlessReset(PoseExperiment):
    def reset(self):
        super().reset()
        print("inside", flush=True)
        while True:
            time.sleep(0.01)


class Driver(PoseExperiment):
    def compute_reward(self, observation, core):
        if self.steps == 3:
            print("inside", flush=True)
        return 1.0


class EndlessStart(PoseExperiment):
    def place_hero(self, core):
        Path(os.environ["TEST_STARTED_IN"], "inside").touch()
        while True:
            time.sleep(0.01)


class EndlessStep(PoseExperiment):
    def compute_action(self, action):
        Path(os.environ["TEST_STARTED_IN"], "inside").touch()
        while True:
            time.sleep(0.01)


class Broken(PoseExperiment):
    def compute_reward(self, observation, core):
        return self.speeed
"""

PROGRAM = """
import gymnasium
import rllib_integration
import tasks

CONFIG = {{
    "carla": {{"server": {{"kind": "embedded"}}, "timeout": 20.0}},
    "experiment": {{"type": "tasks:{task}", "town": "Minitown"}},
}}


def drive():
    {make}
    try:
        environments.reset(seed=1)
        while True:
            {step}
    finally:
        environments.close()


drive()
"""

VECTOR = 'environments = gymnasium.make_vec("rllib_integration/Carla-v0", 2, vectorization_mode={mode}, config=CONFIG)'
ALL_STEP = "environments.step(environments.action_space.sample())"
AGENTS = (
    "from rllib_integration.multi_agent.parallel_env import CarlaParallelEnv; "
    'environments = CarlaParallelEnv({**CONFIG, "agents": {"count": 2}})'
)
AGENTS_STEP = "environments.step({agent: 1 for agent in environments.agents})"
IN_THREADS, IN_PROCESSES = VECTOR.format(mode="None"), VECTOR.format(mode='"async"')


TRAINING = """
algorithm: PPO
env_config: {{experiment: {{type: "tasks:{task}", town: Minitown, others: {{step_limit: 8}}}}}}
env_runners: {{num_env_runners: 1}}
training: {{train_batch_size_per_learner: 32, minibatch_size: 32, num_epochs: 1}}
"""


def program(folder: Path, task: str, make: str, step: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A program of one's own."""
    (folder / "drive.py").write_text(PROGRAM.format(task=task, make=make, step=step))
    return started(folder, str(folder / "drive.py"))


def training(folder: Path, task: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A training run with an env runner."""
    (folder / "task.yaml").write_text(TRAINING.format(task=task))
    words = ["train", str(folder / "task.yaml"), "--directory", str(folder / "runs"), "--tboff"]
    return started(folder, "-m", "rllib_integration", *words)


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """What `python` runs with these words, in a session of its own: a Ctrl-C reaches its whole process group."""
    (folder / "tasks.py").write_text(TASKS)
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", STARTED_IN: str(folder)},
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def started_in(folder: Path) -> Iterator[psutil.Process]:
    """What the program in a folder has started and is still there."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(STARTED_IN) == str(folder):
                yield process


def await_inside(output: IO[str] | None) -> None:
    assert any("inside" in line for line in present(output))  # two threads may share one


@pytest.mark.parametrize(
    ("task", "make", "step"),
    [
        ("EndlessReset", IN_THREADS, ALL_STEP),
        ("Driver", IN_PROCESSES, ALL_STEP),
        ("EndlessReset", IN_PROCESSES, ALL_STEP),
        ("EndlessReset", AGENTS, AGENTS_STEP),
    ],
    ids=["endless_reset_in_threads", "processes", "endless_reset_in_processes", "endless_reset_of_agents"],
)
def test_ctrl_c_ends_a_program_and_all_that_it_has_started(tmp_path: Path, task: str, make: str, step: str) -> None:
    with program(tmp_path, task, make, step) as process:
        await_inside(process.stdout)
        below = psutil.Process(process.pid).children(recursive=True)
        assert below
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait(PATIENCE)
        assert await_ends(below, PATIENCE) == []
    errors = (tmp_path / "errors").read_text()
    assert "KeyboardInterrupt" in errors
    # Gymnasium's own close() fails where Ctrl-C came while half of a process's message had been read.
    cut_off = make == IN_PROCESSES and "in close_extras" in errors
    assert status == -signal.SIGINT or (cut_off and status == 1)
    if task == "EndlessReset":
        assert f"{tmp_path / 'tasks.py'}" in errors


def await_marker(folder: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 2 * PATIENCE
    while not (folder / "inside").exists():
        assert process.poll() is None, (folder / "errors").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)


def test_ctrl_c_ends_a_training_whose_first_episode_never_begins(tmp_path: Path) -> None:
    with training(tmp_path, "EndlessStart") as process:
        await_marker(tmp_path, process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert await_ends(list(started_in(tmp_path)), PATIENCE) == []


def test_a_second_ctrl_c_ends_a_training_whose_env_runner_never_returns(tmp_path: Path) -> None:
    with training(tmp_path, "EndlessStep") as process:
        await_marker(tmp_path, process)
        os.killpg(process.pid, signal.SIGINT)
        assert any("Ctrl-C again ends at once" in line for line in present(process.stdout))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert await_ends(list(started_in(tmp_path)), PATIENCE) == []


@pytest.mark.parametrize(("make", "step"), [(IN_PROCESSES, ALL_STEP), (IN_THREADS, ALL_STEP), (AGENTS, AGENTS_STEP)])
def test_an_exception_of_an_experiment_is_shown_with_its_line_and_leaves_nothing_behind(
    tmp_path: Path, make: str, step: str
) -> None:
    with program(tmp_path, "Broken", make, step) as process:
        process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == 1
    assert await_ends(list(started_in(tmp_path)), PATIENCE) == []
    errors = (tmp_path / "errors").read_text()
    line = TASKS.splitlines().index("        return self.speeed") + 1
    assert f'{tmp_path / "tasks.py"}", line {line},' in errors
    assert "AttributeError: 'Broken' object has no attribute 'speeed'" in errors
