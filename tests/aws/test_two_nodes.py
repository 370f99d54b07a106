"""Training on a cluster of two real Ray nodes on this machine, one of which dies."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.conftest import ROOT
from tests.obedient import Obedient
from tests.small_training import QUICKSTART, SMALL, words_of

SETTINGS = SMALL | {
    "env_runners.num_env_runners": 2,
    "env_runners.rollout_fragment_length": 16,
    "env_runners.sample_timeout_s": 20,
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Obedient]:
    """Two nodes, so that each gets one of two env runners."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # A short folder: Ray's socket files lie in it, and their paths may have 107 characters.
    session = tempfile.mkdtemp(prefix="rt", dir="/tmp")
    nodes = Obedient("tests.aws.ray_nodes", session)
    yield nodes
    nodes.close()
    shutil.rmtree(session, ignore_errors=True)


class Training:
    """`dqn_train.py --auto` in a process, and the lines that it prints."""

    def __init__(self, address: str, folder: Path) -> None:
        command = [
            sys.executable, str(ROOT / "dqn_train.py"), QUICKSTART, *words_of(SETTINGS),
            "--auto", "--tboff", "--directory", str(folder), "--name", "two",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"RAY_ADDRESS": address}, cwd=ROOT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def wait_for_iteration(self, number: int, seconds: float) -> None:
        """Returns when the line of an iteration of that number or later was printed."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._queue.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, "The training ended:\n" + "".join(self.lines)
            self.lines.append(line)
            found = re.match(r"iteration +(\d+)", line)
            if found and int(found.group(1)) >= number:
                return

    def stop(self) -> int:
        self.process.send_signal(2)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def training(cluster: Obedient, tmp_path: Path) -> Iterator[Training]:
    training = Training(cluster.do("address"), tmp_path)
    yield training
    training.process.kill()
    training.process.wait()


def test_a_node_dies_and_the_run_goes_on(cluster: Obedient, training: Training) -> None:
    training.wait_for_iteration(1, 300)
    cluster.do("kill")
    seen = len(training.lines)
    training.wait_for_iteration(1 + 2, 300)
    cluster.do("add")
    training.wait_for_iteration(1 + 4, 300)
    assert len(training.lines) >= seen + 3
    assert training.stop() == 130
